"""PacGAN's packs against numbers worked out by hand."""

import pytest
import torch
from torch import nn

from tests.games import fit, networks, points, score
from tests.test_loss_table import make
from zoo.backbones import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from zoo.gan import GAN
from zoo.stabilizers import (
    Dropout,
    GradientPenalty,
    HistoricalAveraging,
    LabelSmoothing,
    MinibatchDiscrimination,
    Packed,
    SpectralNorm,
    VirtualBatchNorm,
)
from zoo.variants import variants
from zoo.variants.ali import ALI
from zoo.variants.infogan import InfoGAN
from zoo.variants.nsgan import NSGAN


def linear(gan: GAN, *weights: float) -> None:
    """D becomes a linear map of its input."""
    gan.discriminator.trunk = nn.Flatten()
    gan.discriminator.head = nn.Linear(len(weights), 1, bias=False)
    gan.discriminator.head.weight.data = torch.tensor([weights])


def test_points_are_scored_two_at_a_time() -> None:
    gan = NSGAN(*networks(), stabilizers=[Packed(2)])
    linear(gan, 1.0, 10.0, 100.0, 1000.0)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], requires_grad=True)
    out = score(gan, x)
    assert out.score.tolist() == [4321, 4321, 8765, 8765]
    assert out.features["hidden"].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    (gradient,) = torch.autograd.grad(out.score.mean(), x)
    assert gradient.tolist() == [[0.5, 5], [50, 500], [0.5, 5], [50, 500]]  # a mean over two packs


def test_images_are_joined_along_their_channels() -> None:
    torch.manual_seed(0)
    shape = (2, 8, 8)
    gan = NSGAN(DCGANGenerator(shape, width=4), DCGANDiscriminator(shape, width=4), stabilizers=[Packed(3)])
    seen = []
    gan.discriminator.trunk.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x = torch.arange(6.0)[:, None, None, None] + torch.tensor([0.0, 0.5])[:, None, None].expand(2, 8, 8)
    assert score(gan, x).score.shape == (6,)
    assert seen[0].shape == (2, 6, 8, 8)
    assert seen[0][:, :, 3, 4].tolist() == [[0, 0.5, 1, 1.5, 2, 2.5], [3, 3.5, 4, 4.5, 5, 5.5]]
    packed = DCGANDiscriminator((6, 8, 8), width=4)
    assert {k: v.shape for k, v in gan.discriminator.state_dict().items()} == {
        k: v.shape for k, v in packed.state_dict().items()
    }
    assert gan.discriminator.arguments["image_shape"] == shape  # a checkpoint builds it, and packs it again


def test_every_sample_of_a_pack_reaches_g() -> None:
    gan = NSGAN(*networks(), stabilizers=[Packed(4)])
    batch = gan.deal(points(1)[0], graph=True)
    critic = gan.bind(batch)
    fake = batch.fake.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(gan.g_loss(critic(fake, "fake").score), fake)
    assert (gradient.norm(dim=1) > 0).all()


@pytest.mark.parametrize("name", variants())
def test_every_objective_takes_it_or_refuses(name: str) -> None:
    torch.manual_seed(0)
    try:
        gan = make(variants()[name], stabilizers=[Packed(2)])
    except ValueError as error:
        assert "Packed" in str(error)  # noqa: PT017
        assert name in {"ALI", "DRAGAN", "InfoGAN", "WGANGP"}
        return
    shape = gan.discriminator.arguments["image_shape"]
    fit(gan, [(torch.randn(8, *shape, dtype=torch.float64),) for _ in range(3)])
    assert all(value.isfinite().all() for value in gan.state_dict().values())


@pytest.mark.parametrize(
    "others",
    [[SpectralNorm()], [Dropout(), LabelSmoothing()], [MinibatchDiscrimination(2, 2)], [HistoricalAveraging()]],
)
def test_stabilizers_after_it_see_the_packed_d(others) -> None:
    gan = NSGAN(*networks(), stabilizers=[Packed(2), *others])
    before = [p.clone() for p in gan.discriminator.parameters()]
    fit(gan, points(2))
    assert all(not torch.equal(p, q) for p, q in zip(gan.discriminator.parameters(), before, strict=True))


def test_virtual_batch_norm_has_a_reference_of_packs() -> None:
    gan = NSGAN(*networks(d_norm="batch"), stabilizers=[Packed(2), VirtualBatchNorm("discriminator", size=4)])
    fit(gan, points(2))
    assert gan.discriminator.trunk.reference.shape == (4, 4)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="Packed: m must be at least 1, got 0"):
        Packed(0)
    with pytest.raises(ValueError, match="NSGAN: a gradient penalty is per sample, but Packed"):
        NSGAN(*networks(), stabilizers=[Packed(), GradientPenalty()])
    for earlier in (SpectralNorm(), Dropout(), MinibatchDiscrimination(2, 2)):
        with pytest.raises(ValueError, match="a stabilizer before it changed the MLPDiscriminator; put Packed first"):
            NSGAN(*networks(), stabilizers=[earlier, Packed()])
    with pytest.raises(ValueError, match="ALI: Packed joins samples alone"):
        make(ALI, stabilizers=[Packed()])
    labelled = MLPGenerator((2,), width=4, num_classes=3), MLPDiscriminator((2,), width=4, num_classes=3)
    with pytest.raises(ValueError, match="NSGAN: Packed joins samples alone"):
        NSGAN(*labelled, stabilizers=[Packed()])
    with pytest.raises(ValueError, match="InfoGAN: a network reads D's features of each sample"):
        InfoGAN(*networks(), categorical=2, continuous=0, stabilizers=[Packed()])
    with pytest.raises(ValueError, match=r"m is 3, which does not divide a batch of 8; change data.batch_size or m"):
        fit(NSGAN(*networks(), stabilizers=[Packed(3)]), points(1))
    own = nn.Sequential(nn.Linear(2, 1))
    with pytest.raises(ValueError, match=r"Packed: Sequential has no image_shape to enlarge; use one of zoo.backbones"):
        NSGAN(networks()[0], own, stabilizers=[Packed()])
