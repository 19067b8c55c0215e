"""The bare loops are the zoo's mathematics at no more than its price; the instrument measures what it says."""

import ast
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.flops import Cost
from benchmarks.loops import LOOPS, Deal, Loop
from benchmarks.loops.base import Player, first_of
from benchmarks.peers import write_plainly
from benchmarks.setting import Setting
from benchmarks.statistics import interval, summary
from tests.games import fit
from zoo.gan import GAN
from zoo.noise import mix

ROOT = Path(__file__).parent.parent
ENERGIES = {"began", "ebgan"}
CASES = [(v, b) for v in LOOPS for b in ("dcgan", "mlp") if not (b == "mlp" and v in ENERGIES)]
CASES += [("wgan_gp", "resnet"), ("nsgan", "resnet")]


class SameDraws:
    """A draw is a function of the step and its shape, so that the order of draws does not matter."""

    seed = 0

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def begin(self, step: int) -> None:
        self.step = step

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape, dtype=dtype, generator=self._generator(shape))

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.rand(*shape, dtype=dtype, generator=self._generator(shape))

    def _generator(self, shape: tuple[int, ...]) -> torch.Generator:
        self.shapes.append(shape)
        return torch.Generator().manual_seed(mix(self.step, *shape))


class Match:
    """Two rounds of a variant, played by the zoo and by the bare loop from the same start."""

    def __init__(self, variant: str, backbone: str) -> None:
        setting = Setting(variant, backbone=backbone, width=4, size=8, batch=4)
        self.gan: GAN = setting.gan().double()
        self.gan.on_fit_start = lambda: None
        self.gan.noise = SameDraws()
        self.loop: Loop = setting.loop(self.gan, SameDraws())
        self.steps = 2 * setting.d_steps
        generator = torch.Generator().manual_seed(1)
        shape = (setting.batch, *setting.image_shape)
        self.data = [(2 * torch.rand(shape, generator=generator).double() - 1,) for _ in range(self.steps)]
        with Cost() as self.zoo_cost:
            fit(self.gan, self.data)
        with Cost() as self.bare_cost:
            for (real,) in self.data:
                self.loop.step(real)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def match(request) -> Match:
    return Match(*request.param)


def test_weights_and_losses_are_those_of_the_zoo(match: Match) -> None:
    for role, net in match.loop.networks.items():
        theirs = dict(getattr(match.gan, role).named_parameters())
        assert theirs.keys() == dict(net.named_parameters()).keys()
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(parameter, theirs[name], rtol=0, atol=1e-10, msg=f"{role}.{name}")
    averaged = match.gan.generator_ema.parameters()
    for mine, theirs in zip(match.loop.averaged.parameters(), averaged, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)
    losses = {k: v for k, v in match.loop.losses.items() if f"loss/{k}" in match.gan.latest}
    assert losses
    for turn, loss in losses.items():
        assert loss.item() == pytest.approx(match.gan.latest[f"loss/{turn}"].item(), abs=1e-10), turn


def test_flops_are_those_of_the_zoo(match: Match) -> None:
    assert match.zoo_cost.total / match.steps == match.bare_cost.total / match.steps


def test_the_bare_loop_launches_less(match: Match) -> None:
    assert sum(match.bare_cost.launches.values()) < sum(match.zoo_cost.launches.values())
    assert match.bare_cost.launches["_local_scalar_dense"] <= match.steps  # one read, where the step is gated


def test_every_move_has_latents_of_its_own(match: Match) -> None:
    assert len(match.gan.noise.shapes) == len(match.loop.draws.shapes)


def test_asleep_nothing_changes_and_nothing_is_kept_for_a_gradient() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    player = Player(lambda p: torch.optim.SGD(p, lr=1.0), net)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    asleep = net(torch.randn(5, 3))
    assert not asleep.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    player.wake()
    player.move(net(torch.randn(5, 3)).square().sum())
    assert all(not torch.equal(v, before[k]) for k, v in net.state_dict().items() if k != "0.bias")
    assert not net(torch.randn(5, 3)).requires_grad


def test_a_batch_is_dealt_once_an_epoch_and_scaled() -> None:
    data = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    batches = [x for x, _ in zip(Deal(data, 64), range(4), strict=False)]
    dealt = torch.cat(batches).flatten()
    assert torch.equal(dealt.sort().values, torch.arange(256) / 127.5 - 1)


@pytest.mark.parametrize(("n", "low", "high"), [(15, 3, 11), (6, 0, 5), (20, 5, 14), (3, 0, 2)])
def test_the_interval_of_a_median_is_of_order_statistics(n: int, low: int, high: int) -> None:
    """P(low-th < median < high-th) = 1 - 2 P(Binomial(n, ½) <= low) is the least that is 95 %."""
    values = [float(v) for v in range(n)]
    assert interval(values[::-1]) == (low, high)
    tail = sum(math.comb(n, k) for k in range(low + 1)) / 2**n
    if n >= 6:
        assert 1 - 2 * tail >= 0.95
        assert 1 - 2 * (tail + math.comb(n, low + 1) / 2**n) < 0.95
    assert summary(values).median == (n - 1) / 2


def test_no_flop_of_a_double_backward_is_missed() -> None:
    """x (4, 3) W (3, 2): forward, W's gradient and x's are 2·4·3·2 each."""
    weight = torch.randn(3, 2, requires_grad=True)
    x = torch.randn(4, 3, requires_grad=True)
    with Cost() as cost:
        (slope,) = torch.autograd.grad((x @ weight).square().sum(), x, create_graph=True)
        slope.sum().backward(inputs=[weight])
    assert cost.flops["mm"] == cost.total
    assert cost.total % 48 == 0
    assert cost.total >= 4 * 48


def test_a_setting_refuses_by_name() -> None:
    with pytest.raises(ValueError, match=r"'sagan' has no bare loop; choose from nsgan, "):
        Setting("sagan")
    with pytest.raises(ValueError, match="began needs an autoencoder"):
        Setting("began", backbone="mlp")


def test_nothing_imports_the_benchmarks_and_no_loop_imports_the_zoo() -> None:
    def imported(path: Path) -> set[str]:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
        return {name.split(".")[0] for name in names}

    for path in [*ROOT.glob("zoo/**/*.py"), *ROOT.glob("datamodules/**/*.py"), ROOT / "train.py"]:
        assert "benchmarks" not in imported(path), path
    for path in ROOT.glob("benchmarks/loops/*.py"):
        assert not imported(path) & {"zoo", "lightning", "datamodules"}, path


@pytest.mark.parametrize("variant", ["nsgan", "sngan", "began"])
def test_written_plainly_a_network_is_torchs_own(variant: str) -> None:
    networks = Setting(variant, width=8, size=16).bare_networks()
    z = torch.randn(4, networks["generator"].latent_dim)
    said = []
    for net in networks.values():
        net.eval()
    for plainly in (False, True):
        for net in networks.values() if plainly else ():
            write_plainly(net, inplace=False)
        said.append(first_of(networks["discriminator"](networks["generator"](z))))
    assert torch.allclose(*said, rtol=1e-5, atol=1e-6)
    seen, left = set(), [said[1].grad_fn]
    while left:
        node = left.pop()
        seen.add(type(node).__module__)
        left += [following for following, _ in node.next_functions if following is not None]
    assert {name for name in seen if name.startswith("zoo")} == set()
