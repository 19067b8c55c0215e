"""What is not finite never reaches the weights, and the run says where it came from."""

import json
import math
from pathlib import Path

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.games import fit, networks, points, same, snapshot
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.cli.main import ROOT, main
from zoo.dynamics import (
    Alternating,
    Consensus,
    Extragradient,
    GradientRegularized,
    Lookahead,
    Optimistic,
    Simultaneous,
    Unrolled,
)
from zoo.gan import GAN
from zoo.nonfinite import EVERY, Monitor, masked
from zoo.optim import Adam
from zoo.stabilizers import HistoricalAveraging, InstanceNoise, SpectralNorm
from zoo.variants.began import BEGAN
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.unrolled_gan import UnrolledGAN
from zoo.variants.wgan_gp import WGANGP

NAN = float("nan")


class Watched(NSGAN):
    """Keeps every player's state after each of its moves, and its optimiser's."""

    def after_turn(self, turn) -> None:
        super().after_turn(turn)
        player = turn.movers[0]
        state = {f"{i} {k}": v.clone() for i, s in enumerate(self.optimizer_of(player).state.values())
                 for k, v in s.items() if isinstance(v, Tensor)}  # fmt: skip
        self.__dict__.setdefault("seen", []).append((turn.name, snapshot(self.players()[player]), state))


def poisoned(at: int, batches: int = 6, value: float = NAN) -> list[tuple[Tensor]]:
    data = points(batches)
    data[at][0][3, 1] = value
    return data


@pytest.mark.parametrize("value", [NAN, math.inf])
def test_a_poisoned_batch_moves_nothing(value: float) -> None:
    """D, its batch norms and its Adam stand still to the bit; G, who does not look at real points, moves."""
    gan = Watched(*networks(norm="batch", d_norm="batch"), nonfinite="skip", ema_decay=0.5)
    told = (
        r"Watched: the move of d at 0.016 kimg: the term adversarial is nan, and the gradient of discriminator\S+ "
        r"and \d+ more of its \d+ is not finite; no weight took it"
    )
    with pytest.warns(UserWarning, match=told):
        fit(gan, poisoned(2, value=value))
    turns = [name for name, _, _ in gan.seen]
    assert turns == ["d", "g"] * 6
    states = {name: [(net, adam) for turn, net, adam in gan.seen if turn == name] for name in ("d", "g")}
    for name, standing in (("d", {2}), ("g", set())):
        for i in range(1, 6):
            (net, adam), (net_before, adam_before) = states[name][i], states[name][i - 1]
            assert same(net, net_before) == (i in standing), (name, i)
            assert same(adam, adam_before) == (i in standing), (name, i)
    assert all(torch.isfinite(v).all() for v in gan.state_dict().values())
    assert gan.steps == 6
    assert gan.latest["nonfinite/moves"] == gan.skipped == 1


def test_it_stops_once_everything_is_saved_and_says_why() -> None:
    gan = Watched(*networks())
    with pytest.raises(
        FloatingPointError, match=r"the move of d at 0.016 kimg: .*; lower the learning rates, set clip_n"
    ):
        fit(gan, poisoned(2, EVERY + 20))
    assert gan.steps == EVERY
    assert all(torch.isfinite(v).all() for v in gan.state_dict().values())


def test_a_step_that_overflows_is_never_saved() -> None:
    """The gradients are finite, and the step on them is not."""
    gan = NSGAN(*networks(), d_optimizer=lambda p: torch.optim.SGD(p, lr=1e5, momentum=0.99, weight_decay=1e5))
    with pytest.raises(FloatingPointError, match=r"discriminator\.\S+ overflowed at .* kimg, though the gradients"):
        fit(gan, points(EVERY + 5))


def test_a_run_that_skipped_most_moves_has_failed() -> None:
    gan = NSGAN(*networks(), nonfinite="skip")
    data = points(6)
    for (batch,) in data[1:]:
        batch[0, 0] = NAN
    with pytest.warns(UserWarning, match="no weight took it"):
        fit(gan, data)  # D's moves alone: 5 of 12
    assert (gan.skipped, gan.total_moves) == (5, 12)
    gan = NSGAN(*networks(), nonfinite="skip", dynamics=Alternating(d_steps=2))
    with (
        pytest.warns(UserWarning, match="no weight"),
        pytest.raises(FloatingPointError, match="5 of 9 moves were not finite"),
    ):
        fit(gan, data)


def test_a_run_that_ends_before_the_next_reading_fails_too() -> None:
    gan = Watched(*networks())
    with pytest.raises(FloatingPointError, match=r"0.016 kimg"):
        fit(gan, poisoned(2))
    assert gan.steps == 6


def test_the_term_at_fault_is_named() -> None:
    """The penalty of a steep critic, weighed by 3e38, overflows, and the rest of the loss does not."""
    gan = WGANGP(*networks(), gp_weight=3e38, dynamics=Alternating(1), nonfinite="skip")
    for weight in gan.discriminator.parameters():
        weight.data.mul_(10)
    before = snapshot(gan.discriminator)
    with pytest.warns(UserWarning, match=r"the term gradient_penalty is inf"):
        fit(gan, points(3))
    assert same(snapshot(gan.discriminator), before)


@pytest.mark.parametrize("dynamics", [Simultaneous, lambda: Consensus(1.0), Extragradient, Optimistic])
def test_simultaneous_players_stand_still_too(dynamics) -> None:
    gan = NSGAN(*networks(), dynamics=dynamics(), nonfinite="skip")
    with pytest.warns(UserWarning, match=r"the move of d at 0 kimg"):
        fit(gan, poisoned(0, 3))
    assert all(torch.isfinite(v).all() for v in gan.state_dict().values())


@pytest.mark.parametrize("make", [
    lambda p: torch.optim.RMSprop(p, lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1),
    lambda p: Adam(p, lr=0.1, fused=False), lambda p: torch.optim.SGD(p, lr=0.1, fused=True),
])  # fmt: skip
def test_any_optimizer_leaves_a_first_step_out(make) -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = make([weight])
    for skipped, moved in ((1.0, False), (0.0, True)):
        weight.grad = torch.tensor([1.0, 2.0, 3.0 if moved else NAN])
        with masked(optimizer, torch.tensor(skipped)):
            optimizer.step()
        assert torch.equal(weight.detach(), torch.ones(3)) != moved
    assert not hasattr(optimizer, "found_inf")


def test_a_norm_that_overflows_is_not_finite() -> None:
    """√(2 · (3e19)²) = 4.2e19 is a float32, but the sum of squares under the root, 1.8e39, is not."""
    guard, weight = Monitor(), nn.Parameter(torch.zeros(2))
    for value, expected in ((3e19, 1.0), (1e15, 0.0)):
        weight.grad = torch.full((2,), value)
        assert guard.check("g", 0, {"adversarial": torch.zeros(())}, [weight]) == expected
    assert guard.read({weight: "w"}) == (1, "the move of g at 0 kimg: the gradient of w is not finite")
    assert guard.read({}) == (0, "")


def test_began_keeps_its_k() -> None:
    gan = BEGAN.__new__(BEGAN)
    nn.Module.__init__(gan)
    gan.gamma, gan.lambda_k = 0.5, 1e-3
    gan.register_buffer("k", torch.tensor(0.25))
    gan.update_k(torch.tensor(NAN), torch.tensor(1.0))
    assert gan.k == 0.25
    gan.update_k(torch.tensor(4.0), torch.tensor(1.0))
    assert gan.k.item() == pytest.approx(0.251)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match=r"NSGAN: unknown nonfinite 'ignore'; choose from stop, skip"):
        NSGAN(*networks(), nonfinite="ignore")


@pytest.mark.parametrize("make", [
    lambda base: base(WGANGP)(*networks(), clip_norm=1.0, ema_decay=0.9, stabilizers=[InstanceNoise(1.0)]),
    lambda base: base(UnrolledGAN)(*networks(), dynamics=Unrolled(2)),
    lambda base: base(NSGAN)(*networks(), dynamics=Consensus(1.0)),
    lambda base: base(MinimaxGAN)(*networks(), dynamics=GradientRegularized(1.0)),
    lambda base: base(NSGAN)(*networks(), dynamics=Lookahead(Extragradient(), k=2)),
    lambda base: base(NSGAN)(*networks(), dynamics=Optimistic()),
    lambda base: base(NSGAN)(
        *networks(norm="batch", d_norm="batch"), stabilizers=[HistoricalAveraging(), SpectralNorm()]
    ),
], ids=["wgan_gp", "unrolled", "consensus", "regularized", "lookahead", "optimistic", "stabilizers"])  # fmt: skip
def test_nothing_in_a_step_waits_for_the_device(make) -> None:
    """A number that is read is `_local_scalar_dense`; printing and `.item()` do it, and so does `if tensor`."""

    class Reads(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.count += function is torch.ops.aten._local_scalar_dense.default
            return function(*args, **(kwargs or {}))

    def looked(objective: type[GAN]) -> type[GAN]:
        def training_step(self, batch, batch_idx: int = 0) -> None:
            with reads:
                objective.training_step(self, batch, batch_idx)

        return type("Looked", (objective,), {"training_step": training_step})

    reads = Reads()
    gan = make(looked)
    fit(gan, points(EVERY - 1))
    assert gan.steps == EVERY - 1
    assert reads.count == 0


def test_clipping_works_where_the_penalty_is_differentiated_twice() -> None:
    """Of one step of SGD at rate 1 the length is the gradient's, at most the clip."""
    for clip_norm, at_most in ((None, math.inf), (0.5, 0.5)):
        made = MLPGenerator((2,), latent_dim=3, width=4), MLPDiscriminator((2,), width=4)
        sgd = lambda p: torch.optim.SGD(p, lr=1.0)  # noqa: E731
        gan = WGANGP(*made, dynamics=Alternating(2), g_optimizer=sgd, d_optimizer=sgd, clip_norm=clip_norm)
        before = nn.utils.parameters_to_vector(gan.discriminator.parameters()).detach().clone()
        fit(gan, [(9 * x,) for (x,) in points(1)])
        length = (nn.utils.parameters_to_vector(gan.discriminator.parameters()) - before).norm().item()
        assert length == pytest.approx(0.5, rel=1e-4) if at_most == 0.5 else length > 0.5


def test_a_loss_scaler_finds_its_scale_where_the_penalty_is_differentiated_twice() -> None:
    """A scale of 2^30 overflows half precision; skipped steps halve it until it does not, without an alarm."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30, growth_interval=10_000)
    gan = WGANGP(*networks(), dynamics=Alternating(1), clip_norm=None)
    before = snapshot(gan)
    fit(gan, points(30), plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    assert scaler.get_scale() < 2.0**30
    after = snapshot(gan)
    assert all(torch.isfinite(value).all() for value in after.values())
    assert not any(torch.equal(before[name], after[name]) for name in before if name.endswith("weight"))


def test_the_command_ends_with_one_line_and_a_checkpoint_to_go_on_from(tmp_path: Path, capsys) -> None:
    arguments = [
        "fit", "-c", str(ROOT / "configs/wgan_gp.yaml"), "-c", str(ROOT / "configs/data/ring.yaml"),
        "--model.gp_weight=1e38", "--budget.kimg=20", "--trainer.logger=false", "--trainer.accelerator=cpu",
        f"--trainer.default_root_dir={tmp_path}", "--trainer.callbacks=[zoo.callbacks.Checkpoints]",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: WGANGP: the move of d at 0")
    (folder,) = tmp_path.iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "failed"
    assert record["error"].startswith("FloatingPointError: WGANGP: the move of d at 0")
    weights = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.isfinite(value).all() for value in weights.values())


@pytest.mark.parametrize("value", [NAN, math.inf, 1e30, 1.0])
@pytest.mark.parametrize("layout", ["contiguous", "channels-last", "gaps", "small"])
def test_no_number_of_a_gradient_is_overlooked(layout: str, value: float) -> None:
    """The square of 1e30 is more than a float32 holds, and so is the norm that torch makes of it."""
    shape = (2, 3) if layout == "small" else (64, 128, 4, 4)
    parameters = [nn.Parameter(torch.zeros(5)), nn.Parameter(torch.zeros(shape))]
    gradient = torch.ones(shape)
    if layout == "channels-last":
        gradient = gradient.to(memory_format=torch.channels_last)
    if layout == "gaps":
        gradient = torch.ones(64, 128, 4, 8)[..., ::2]
    parameters[0].grad, parameters[1].grad = torch.ones(5), gradient
    for place in (0, -1, gradient.numel() // 2):
        gradient.fill_(1.0)
        index = torch.unravel_index(torch.tensor(place % gradient.numel()), shape)
        gradient[index] = value
        guard = Monitor()
        skipped = guard.check("d", 0, {"adversarial": torch.tensor(1.0)}, parameters)
        assert skipped.item() == (value != 1.0)
        assert guard.read({p: f"p{i}" for i, p in enumerate(parameters)})[0] == (value != 1.0)
