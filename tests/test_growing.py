"""Progressive growing: what a level shows, what a fade mixes, and that it is saved."""

import copy

import pytest
import torch
from torch.nn import functional as F

from tests.games import fit
from zoo.backbones import DCGANGenerator
from zoo.backbones.growing import EqualConv2d, GrowingDiscriminator, GrowingGenerator, PixelNorm
from zoo.dynamics import Alternating
from zoo.stabilizers import ProgressiveGrowing, ScoreDrift
from zoo.types import Output
from zoo.variants.wgan_gp import WGANGP

SHAPE = (3, 16, 16)  # levels 0, 1, 2


def networks() -> tuple[GrowingGenerator, GrowingDiscriminator]:
    torch.manual_seed(0)
    return GrowingGenerator(SHAPE, latent_dim=5, width=4), GrowingDiscriminator(SHAPE, width=4)


def test_a_level_is_a_resolution() -> None:
    g, _ = networks()
    for level, size in ((0, 4), (1, 8), (2, 16)):
        g.level.set(level)
        image = g(torch.randn(2, 5))
        assert image.shape == (2, *SHAPE)
        blocks = image.unfold(2, 16 // size, 16 // size).unfold(3, 16 // size, 16 // size).flatten(4)
        assert (blocks == blocks[..., :1]).all()  # enlarged pixels are constant
        assert size == 4 or len(image[0, 0].unique()) > (size // 2) ** 2


def test_a_fade_starts_at_the_old_image_and_ends_at_the_new() -> None:
    g, _ = networks()
    z = torch.randn(2, 5)
    images = {}
    for level in (1.0, 1.0 + 1e-7, 1.5, 2.0 - 1e-7, 2.0):
        g.level.set(level)
        images[level] = g(z)
    torch.testing.assert_close(images[1.0 + 1e-7], images[1.0])
    torch.testing.assert_close(images[2.0 - 1e-7], images[2.0])
    half = (images[1.0].atanh() + images[2.0].atanh()) / 2  # the mix is before tanh
    torch.testing.assert_close(images[1.5].atanh(), half, rtol=1e-4, atol=1e-4)


def test_the_discriminator_fades_too() -> None:
    _, d = networks()
    x = torch.rand(4, *SHAPE) * 2 - 1
    scores = {}
    for level in (1.0, 1.0 + 1e-7, 2.0 - 1e-7, 2.0):
        d.level.set(level)
        scores[level] = d(x)[0]
    torch.testing.assert_close(scores[1.0 + 1e-7], scores[1.0])
    torch.testing.assert_close(scores[2.0 - 1e-7], scores[2.0])
    d.level.set(0)
    coarse = F.interpolate(F.avg_pool2d(x, 4), scale_factor=4)
    torch.testing.assert_close(d(x)[0], d(coarse)[0])  # at 4x4 it sees no more


def test_blocks_above_the_level_are_idle() -> None:
    g, _ = networks()
    g.level.set(0.5)
    g(torch.randn(2, 5)).sum().backward()
    idle = [n for n, p in g.named_parameters() if p.grad is None]
    assert {n.split(".")[2] for n in idle if "blocks" in n} == {"1"}
    assert {n.split(".")[2] for n in idle if "to_image" in n} == {"2"}


def test_the_level_is_saved_and_copied() -> None:
    g, _ = networks()
    g.level.set(0.25)
    twin, _ = networks()
    assert twin.level.now == 2.0
    twin.load_state_dict(g.state_dict())
    assert twin.level.now == 0.25
    z = torch.randn(2, 5)
    assert torch.equal(twin(z), g(z))
    assert torch.equal(copy.deepcopy(g)(z), g(z))


def test_equalised_weights_and_pixel_norm() -> None:
    conv = EqualConv2d(8, 6, 3)
    with torch.no_grad():
        conv.weight.fill_(1.0)
    # 8·9 inputs of 1, each weight √(2/72): 72·√(2/72) = 12
    assert conv(torch.ones(1, 8, 3, 3)).flatten().tolist() == pytest.approx([12.0] * 6)
    x = PixelNorm()(torch.randn(2, 7, 3, 3))
    torch.testing.assert_close(x.square().mean(1), torch.ones(2, 3, 3))


def test_a_level_outside_is_refused() -> None:
    g, _ = networks()
    with pytest.raises(ValueError, match="from 0 to 2, got 3"):
        g.level.set(3)


def test_the_schedule_takes_both_networks_and_the_average_through_the_levels() -> None:
    g, d = networks()
    growing = ProgressiveGrowing(stable_kimg=0.008, fade_kimg=0.016)
    gan = WGANGP(g, d, dynamics=Alternating(), stabilizers=[growing], ema_decay=0.5)
    assert [growing.level_at(k) for k in (0, 0.008, 0.016, 0.024, 0.032, 0.04, 9)] == pytest.approx(
        [0, 0, 0.5, 1, 1, 1.5, 2]
    )
    seen = []
    gan.after_turn = lambda turn: seen.append((gan.generator.level.now, gan.generator_ema.level.now, d.level.now))
    fit(gan, [(torch.rand(8, *SHAPE) * 2 - 1,) for _ in range(7)])
    levels = [growing.level_at(0.008 * step) for step in range(7) for _ in "dg"]
    assert [s[0] for s in seen] == pytest.approx(levels)
    assert all(s[0] == s[1] == s[2] for s in seen)
    assert gan.generator_ema.level.value.item() == pytest.approx(levels[-1])


def test_real_images_fade_with_the_layers() -> None:
    growing = ProgressiveGrowing(stable_kimg=1, fade_kimg=1)
    gan = WGANGP(*networks(), stabilizers=[growing])
    x = torch.rand(2, *SHAPE)
    for kimg, level in ((0.5, 0), (1.5, 0.5), (3.25, 1.25), (7, 2)):
        gan.images = int(kimg * 1000)
        growing.begin(gan)
        faded = growing.perturb(x, role="real", kimg=kimg, noise=None)
        assert gan.discriminator.level.now == level
        if level % 1 == 0:
            assert faded is x
        else:
            share, fine = level % 1, {0.5: 2, 1.25: 1}[level]
            means = {f: F.interpolate(F.avg_pool2d(x, f), scale_factor=f) for f in (fine, 2 * fine)}
            torch.testing.assert_close(faded, (1 - share) * means[2 * fine] + share * means[fine])
        assert growing.perturb(x, role="fake", kimg=kimg, noise=None) is x


def test_other_networks_cannot_grow() -> None:
    with pytest.raises(ValueError, match=r"DCGANGenerator cannot grow; use zoo\.backbones\.GrowingGenerator"):
        WGANGP(DCGANGenerator(SHAPE, width=4), networks()[1], stabilizers=[ProgressiveGrowing()])


def test_score_drift() -> None:
    real = Output(torch.tensor([3.0, -1.0]), {})
    # 0.1·(9 + 1)/2
    assert ScoreDrift(0.1).d_terms(None, None, real, None)["score_drift"].item() == pytest.approx(0.5)
