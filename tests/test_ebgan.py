"""EBGAN: the hinge is each fake's own, and codes pull away from each other."""

import math

import pytest
import torch
from torch import Tensor, nn

from tests.games import fit, same, snapshot
from zoo.backbones import Autoencoder, MLPGenerator
from zoo.noise import Noise
from zoo.stabilizers import FeatureMatching, LabelSmoothing, VirtualBatchNorm
from zoo.variants.began import BEGAN
from zoo.variants.ebgan import EBGAN, pulling_away

SHAPE = (1, 8, 8)


def make(**kwargs) -> EBGAN:
    torch.manual_seed(0)
    return EBGAN(MLPGenerator(SHAPE, latent_dim=6, width=5), Autoencoder(SHAPE, width=2, code_dim=4), **kwargs)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_inside_the_margin_fakes_gain_energy_and_outside_they_are_left_alone() -> None:
    gan = make(margin=2.0)
    real = tensor(0.25, 0.75)
    inside = tensor(0.5, 1.5).requires_grad_()
    loss = gan.d_loss(real, inside)
    assert (loss + inside.mean()).item() == pytest.approx(0.5 + 2)
    assert torch.autograd.grad(loss, inside)[0].tolist() == [-0.5, -0.5]
    outside = tensor(2.5, 3.0).requires_grad_()
    loss = gan.d_loss(real, outside)
    assert loss.item() == 0.5
    assert torch.autograd.grad(loss, outside)[0].tolist() == [0, 0]


def test_the_hinge_is_inside_the_mean() -> None:
    """Energies 0 and 2m: m/2, where the hinge of the mean energy would be 0."""
    assert make(margin=0.5).d_loss(tensor(0.0), tensor(0.0, 1.0)).item() == 0.25


@pytest.mark.parametrize("energy", [0.0, 0.3, 0.8])
def test_at_the_equilibrium_the_loss_is_the_margin(energy: float) -> None:
    """Theorem 2: p_g = p_data and a constant energy of at most m."""
    assert make(margin=0.8).d_loss(tensor(energy), tensor(energy)).item() == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("codes", "value"),
    [
        ([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, -5.0]], 0.0),  # orthogonal
        ([[1.0, 2.0], [1.0, 2.0], [3.0, 6.0]], 1.0),  # one direction
        ([[1.0, 2.0], [-1.0, -2.0]], 1.0),  # antipodal
        ([[1.0, 0.0], [0.5, math.sqrt(0.75)]], 0.25),  # 60°
        ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 1 / 3),  # cos² of 0, ½ and ½
    ],
)
def test_pulling_away(codes: list[list[float]], value: float) -> None:
    assert pulling_away(torch.tensor(codes, dtype=torch.float64)).item() == pytest.approx(value, abs=1e-12)


def test_pulling_away_of_gaussian_codes_is_one_over_their_dimension() -> None:
    torch.manual_seed(0)
    assert pulling_away(torch.randn(2000, 16)).item() == pytest.approx(1 / 16, rel=0.02)
    with pytest.raises(ValueError, match="there is 1; deal at least 2"):
        pulling_away(torch.ones(1, 3))


def test_the_term_is_the_generators_only_and_nothing_at_weight_zero() -> None:
    data = [(torch.rand(4, *SHAPE) * 2 - 1,) for _ in range(2)]
    runs = {}
    for weight in (0.0, 0.1):
        gan = make(pt_weight=weight)
        gan.noise = Noise(1)
        fit(gan, data)
        runs[weight] = gan
    assert "loss/g/pulling_away" not in runs[0.0].latest
    latest = runs[0.1].latest
    code = pulling_away(runs[0.1].outputs["g"]["fake"].features["code"])
    assert latest["loss/g/pulling_away"].item() == pytest.approx(0.1 * code.item(), rel=1e-5)
    assert "loss/d/pulling_away" not in latest
    assert not same(snapshot(runs[0.0]), snapshot(runs[0.1]))


def test_weight_zero_never_asks_for_a_code() -> None:
    class Coreless(nn.Module):
        energy = True

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * x.square().flatten(1).mean(1)

    data = [(torch.rand(4, *SHAPE),)]
    generator = MLPGenerator(SHAPE, latent_dim=6, width=5)
    fit(EBGAN(generator, Coreless()), data)
    with pytest.raises(ValueError, match="needs a discriminator that shows its code"):
        fit(EBGAN(generator, Coreless(), pt_weight=0.1), data)


def test_what_cannot_go_with_energies_is_refused() -> None:
    with pytest.raises(ValueError, match=r"margin must be above 0 .* margin=0"):
        make(margin=0.0)
    with pytest.raises(ValueError, match="EBGAN: LabelSmoothing is for"):
        make(stabilizers=[LabelSmoothing()])
    with pytest.raises(ValueError, match=r"EBGAN: .* alone: false"):
        make(stabilizers=[FeatureMatching(feature="code")])
    with pytest.raises(ValueError, match="Autoencoder has no trunk"):
        make(stabilizers=[VirtualBatchNorm("discriminator")])
    remedy = FeatureMatching(feature="code")
    gan = BEGAN(MLPGenerator(SHAPE, width=4), Autoencoder(SHAPE, width=2), stabilizers=[remedy])
    fit(gan, [(torch.rand(4, *SHAPE),)])
    assert gan.latest["loss/g"] > 0
