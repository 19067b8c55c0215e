"""Consistency regularisation and top-k training against numbers worked out by hand."""

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.games import fit, make, networks, same, snapshot
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.noise import Noise
from zoo.schedules import Linear
from zoo.stabilizers import ConsistencyRegularization, FeatureMatching, TopK
from zoo.stabilizers.consistency import changed
from zoo.types import Batch, Output, Role
from zoo.variants.ali import ALI
from zoo.variants.ebgan import EBGAN
from zoo.variants.hinge_gan import HingeGAN
from zoo.variants.infogan import InfoGAN
from zoo.variants.lsgan import LSGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.relativistic_gan import RelativisticGAN

SHAPE = (3, 8, 16)


def test_the_change_is_a_flip_and_a_shift_each_as_likely() -> None:
    """8 by 16 pixels: by up to one row and two columns, mirrored beyond the edge: 30 images."""
    image = torch.randn(1, *SHAPE)
    padded = F.pad(image, (2, 2, 1, 1), mode="reflect")[0]
    crops = [padded[:, i : i + 8, j : j + 16] for i, j in product(range(3), range(5))]
    possible = torch.stack([*crops, *(crop.flip(2) for crop in crops)])
    seen = changed(image.expand(3000, -1, -1, -1), Noise(0))
    equal = (seen.flatten(1)[:, None] == possible.flatten(1)[None]).all(2)
    assert equal.any(1).all()
    assert equal.float().mean(0).tolist() == pytest.approx([1 / 30] * 30, abs=0.015)


def test_the_terms_and_their_gradients() -> None:
    """D sums the left half and takes off the right one: under a flip alone its score changes its sign."""
    weights = torch.ones(16).index_fill(0, torch.arange(8, 16), -1.0).requires_grad_()

    def critic(x: Tensor, role: Role) -> Output:
        return Output((x * weights).flatten(1).sum(1), {})

    class Flips(Noise):
        def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.tensor([0.0, 0.5, 0.5]).expand(shape)

    real, fake = torch.zeros(2, 1, 8, 16), torch.zeros(2, 1, 8, 16)
    real[0, 0, 3, 2], real[1, 0, 3, 15], fake[0, 0, 0, 0] = 2.0, 1.0, 0.5  # scores 2, -1; 0.5, 0
    batch = Batch(real, None, real[:, :0], fake, Flips(0))
    terms = ConsistencyRegularization(real=10.0, fake=4.0).d_terms(
        critic, batch, critic(real, "real"), critic(fake, "fake")
    )
    assert terms["consistency_real"].item() == pytest.approx(10 * (4**2 + 2**2) / 2)
    assert terms["consistency_fake"].item() == pytest.approx(4 * 1**2 / 2)
    (gradient,) = torch.autograd.grad(terms["consistency_real"], weights)
    assert gradient[2].item() == pytest.approx(10 * 2 * 4 * 2 / 2)  # D(x) - D(Tx) = 2 (w₂ - w₁₃) of the first image
    assert gradient[13].item() == pytest.approx(-10 * 2 * 4 * 2 / 2)


def played(*stabilizers, kind=NSGAN):
    torch.manual_seed(0)
    nets = MLPGenerator(SHAPE, latent_dim=4, width=5), MLPDiscriminator(SHAPE, width=5)
    gan = kind(*nets, stabilizers=stabilizers)
    fit(gan, [(torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(i)),) for i in range(3)])
    return gan


def test_in_a_game() -> None:
    gan = played(ConsistencyRegularization(fake=0.0))
    assert gan.latest["loss/d/consistency_real"] > 0
    assert "loss/d/consistency_fake" not in gan.latest
    assert played(ConsistencyRegularization()).latest["loss/d/consistency_fake"] > 0
    assert same(snapshot(played(ConsistencyRegularization(0.0, 0.0))), snapshot(played()))


def test_refusals_of_consistency() -> None:
    with pytest.raises(ValueError, match=r"real and fake must be at least 0, got real=-1\.0"):
        ConsistencyRegularization(real=-1.0)
    with pytest.raises(ValueError, match=r"changes images \(C, H, W\), but the data are \(2,\)"):
        NSGAN(*networks(), stabilizers=[ConsistencyRegularization()])
    pairs = make(ALI)
    pairs.discriminator.image_shape = SHAPE
    with pytest.raises(ValueError, match="ALI: ConsistencyRegularization changes x"):
        ConsistencyRegularization().prepare(pairs)


def best(kind, scores: Tensor, kimg: float = 0.0, scheduler=None) -> Tensor:
    stabilizer = TopK(scheduler)
    gan = kind(*networks(), stabilizers=[stabilizer]) if not kind.energy_based else make(kind, stabilizers=[stabilizer])
    batch = Batch(scores, None, scores, scores, gan.noise, kimg)
    return stabilizer.g_terms(None, batch, Output(scores, {}))["adversarial"]


def test_the_best_fakes_make_the_loss() -> None:
    scores = torch.tensor([3.0, -1.0, 2.0, 0.5], requires_grad=True)
    half = Linear(end_kimg=10, end_factor=0.5)
    loss = best(HingeGAN, scores, kimg=10, scheduler=half)
    assert loss.item() == -2.5
    assert torch.autograd.grad(loss, scores)[0].tolist() == [-0.5, 0.0, -0.5, 0.0]
    assert best(HingeGAN, scores, kimg=5, scheduler=half).item() == pytest.approx(-5.5 / 3)  # 3 of 4
    assert best(HingeGAN, scores, kimg=10, scheduler=Linear(10)).item() == -3.0  # at least one
    assert best(LSGAN, scores, kimg=10, scheduler=half).item() == pytest.approx((4 + 1) / 4)


def test_k_falls_as_in_the_paper() -> None:
    scores = torch.arange(1000.0)
    for kimg, k in ((0, 1000), (49.9, 1000), (50, 990), (100, 980), (50 * 68, 505), (50 * 200, 500)):  # 0.99⁶⁸ = 0.5049
        assert best(HingeGAN, scores, kimg=kimg).item() == pytest.approx(-scores[-k:].mean().item())


def test_all_of_them_are_the_plain_run() -> None:
    assert same(snapshot(played(TopK())), snapshot(played()))  # 0.024 kimg
    assert not same(snapshot(played(TopK(Linear(0.01, end_factor=0.5)))), snapshot(played()))


def test_refusals_of_top_k() -> None:
    for kind in (InfoGAN, RelativisticGAN, EBGAN):
        with pytest.raises(
            ValueError, match=f"{kind.__name__}: TopK picks from .* parts of its own are in its loss for G"
        ):
            make(kind, stabilizers=[TopK()])
    with pytest.raises(ValueError, match="FeatureMatching replaces its loss for G"):
        NSGAN(*networks(), stabilizers=[FeatureMatching(), TopK()])
    with pytest.raises(ValueError, match="TopK: scheduler must be a function of kimg"):
        TopK(0.5)
