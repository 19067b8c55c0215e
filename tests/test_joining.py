"""Real and fake images through D in one pass: where it may be done, and that it changes nothing."""

import pytest
import torch
from torch import nn

from tests.games import fit, points, snapshot
from zoo.backbones import Autoencoder, DCGANDiscriminator, MLPDiscriminator, MLPGenerator, PairDiscriminator
from zoo.dynamics import Alternating
from zoo.joining import samplewise, split
from zoo.stabilizers import Dropout, InstanceNoise, LayerNoise, MinibatchDiscrimination, SpectralNorm
from zoo.types import Verdict
from zoo.variants.hinge_gan import HingeGAN
from zoo.variants.wgan_gp import WGANGP


def game(objective=HingeGAN, **kwargs):
    torch.manual_seed(0)
    g, d = MLPGenerator((2,), latent_dim=6, width=9), MLPDiscriminator((2,), width=7)
    return objective(g, d, **kwargs).double()


class Calls(nn.Module):
    """D, and how many samples each of its calls had."""

    energy, paired, samplewise = False, False, True

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.sizes = net, []

    def forward(self, x):
        self.sizes.append(len(x))
        return self.net(x)


@pytest.mark.parametrize(
    ("net", "yes"),
    [
        (MLPDiscriminator((2,)), True),
        (MLPDiscriminator((2,), norm="layer"), True),
        (MLPDiscriminator((2,), norm="batch"), False),
        (DCGANDiscriminator((1, 16, 16), width=4, norm="instance"), True),
        (DCGANDiscriminator((1, 16, 16), width=4, norm="batch"), False),
        (Autoencoder((1, 8, 8), width=4), True),
        (PairDiscriminator((2,), norm="none"), True),
        (nn.Sequential(nn.Linear(2, 1)), False),  # does not say so
    ],
)
def test_a_network_is_samplewise_if_it_says_so_and_no_layer_says_otherwise(net, yes: bool) -> None:
    assert samplewise(net) is yes


@pytest.mark.parametrize(
    "remedy", [SpectralNorm(), MinibatchDiscrimination(3), LayerNoise(0.1), Dropout(0.5)], ids=repr
)
def test_a_remedy_in_d_may_end_it(remedy) -> None:
    assert samplewise(game().discriminator)
    assert not samplewise(game(stabilizers=[remedy]).discriminator)


def test_d_sees_both_in_one_call_and_g_its_own() -> None:
    gan = game(dynamics=Alternating(1, 1))
    gan.discriminator = Calls(gan.discriminator)
    fit(gan, points(1, dtype=torch.float64))
    assert gan.discriminator.sizes == [16, 8]


@pytest.mark.parametrize(
    ("objective", "kwargs"),
    [(HingeGAN, {}), (HingeGAN, {"stabilizers": [InstanceNoise(1.0, sigma=0.3)]}), (WGANGP, {"gp_weight": 2.0})],
)
def test_one_pass_or_two_is_the_same_game(objective, kwargs, monkeypatch) -> None:
    ends = []
    for joined in (True, False):
        gan = game(objective, **kwargs)
        monkeypatch.setattr(gan, "_samplewise", lambda judge, joined=joined: joined)
        fit(gan, points(5, dtype=torch.float64))
        ends.append(snapshot(gan))
    assert ends[0].keys() == ends[1].keys()
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=0, atol=1e-12)


def test_a_verdict_is_split_with_its_features() -> None:
    whole = Verdict(torch.arange(5.0), {"hidden": torch.arange(10.0).view(5, 2)})
    first, second = split(whole, [2, 3])
    assert (first.score.tolist(), second.score.tolist()) == ([0, 1], [2, 3, 4])
    assert second.features["hidden"].tolist() == [[4, 5], [6, 7], [8, 9]]
