"""The game: who moves, what it costs, how it is counted, what a checkpoint brings back."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from tests.games import fit, networks, points, refuses, same, snapshot
from zoo.backbones import Autoencoder, DCGANDiscriminator, MLPGenerator
from zoo.dynamics import Alternating, Consensus, GradientRegularized, Unrolled
from zoo.gan import GAN
from zoo.stabilizers import GradientPenalty, InstanceNoise, SpectralNorm, WeightClip
from zoo.types import Batch, Critic, Output, Terms, Turn
from zoo.variants.began import BEGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.wgan import WGAN
from zoo.variants.wgan_gp import WGANGP


class Watched(NSGAN):
    """Notes who moves and what each move changed."""

    def play(self, turn: Turn, data) -> None:
        nets = {"g": self.generator, "d": self.discriminator}
        before = {name: snapshot(net) for name, net in nets.items()}
        super().play(turn, data)
        changed = {name for name, net in nets.items() if not same(before[name], snapshot(net))}
        self.__dict__.setdefault("moves", []).append((self.steps, turn.name, changed))


@pytest.mark.parametrize(
    ("d_steps", "g_steps", "order"), [(1, 1, "dgdgdgdg"), (2, 1, "ddgddg"), (1, 2, "dggdggdggdgg"), (3, 2, "dddggd")]
)
def test_alternating_order(d_steps: int, g_steps: int, order: str) -> None:
    gan = Watched(*networks(), dynamics=Alternating(d_steps, g_steps))
    fit(gan, points(4))
    assert "".join(name for _, name, _ in gan.moves) == order


def test_only_the_mover_moves_parameters_and_buffers() -> None:
    gan = Watched(*networks(norm="batch", d_norm="batch"), stabilizers=[SpectralNorm()])
    fit(gan, points(4))
    assert [changed for _, _, changed in gan.moves] == [{"d"}, {"g"}] * 4
    assert any("running_mean" in name for name in gan.generator.state_dict())
    assert any("_u" in name for name in gan.discriminator.state_dict())


def test_batch_norm_statistics_follow_their_owners_turn() -> None:
    gan = NSGAN(*networks(norm="batch", d_norm="batch"), dynamics=Alternating(d_steps=4))
    fit(gan, points(4))
    g_counts = [b for k, b in gan.generator.state_dict().items() if "num_batches" in k]
    d_counts = [b for k, b in gan.discriminator.state_dict().items() if "num_batches" in k]
    assert {int(c) for c in g_counts} == {1}  # one generator turn
    assert {int(c) for c in d_counts} == {8}  # four turns, real and fake


def test_frozen_layers_stay_frozen() -> None:
    gan = NSGAN(*networks())
    first = next(gan.discriminator.parameters())
    first.requires_grad_(False)
    before = first.clone()
    fit(gan, points(4))
    assert torch.equal(first, before)
    assert not first.requires_grad
    assert all(p.requires_grad for p in list(gan.discriminator.parameters())[1:])


# Forward FLOPs (2·n·in·out) of each layer on 8 points, first to last: G is 6-5-5-2, D is 2-7-7-1.
G, D = [480, 400, 160], [224, 784, 112]


class Flops(TorchDispatchMode):
    """Counts by torch's own table; its FlopCounterMode does not live with autograd.grad."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def counted(gan: GAN) -> int:
    with Flops() as flops:
        fit(gan, points(1))
    return flops.total


def test_one_iteration_costs_the_minimal_schedule() -> None:
    """D's turn: G forward only; D forward twice, weight gradients twice, input gradients of all but its first layer.
    G's turn: G and D forward; D's input gradients only; G's weight gradients, input gradients but for its first layer.
    """
    gan = NSGAN(*networks())
    d_turn = sum(G) + 2 * (sum(D) + sum(D) + sum(D[1:]))
    g_turn = sum(G) + sum(D) + sum(D) + sum(G) + sum(G[1:])
    assert counted(gan) == d_turn + g_turn


def test_a_gradient_penalty_costs_one_double_backward() -> None:
    """On top: D forward on x̂, its input gradients, then their gradients for each weight and, but for the last layer,
    whose incoming gradient is the constant 1, for each incoming gradient. Nothing goes back through the forward pass:
    the rectifiers' second derivative is zero.
    """
    gan = WGANGP(*networks(), dynamics=Alternating(1, 1))
    d_turn = sum(G) + 2 * (sum(D) + sum(D) + sum(D[1:]))
    penalty = sum(D) + sum(D) + sum(D) + sum(D[:-1])
    g_turn = sum(G) + sum(D) + sum(D) + sum(G) + sum(G[1:])
    assert counted(gan) == d_turn + penalty + g_turn


def test_d_steps_without_a_generator_move_cost_no_generator_gradients() -> None:
    gan = NSGAN(*networks(), dynamics=Alternating(d_steps=2))
    assert counted(gan) == sum(G) + 2 * (2 * sum(D) + sum(D[1:]))


@pytest.mark.parametrize(("d_steps", "g_steps"), [(1, 1), (5, 1), (1, 3)])
def test_one_batch_is_one_step_whoever_moves(d_steps: int, g_steps: int) -> None:
    gan = NSGAN(*networks(), dynamics=Alternating(d_steps, g_steps))
    trainer = fit(gan, points(7))
    assert trainer.global_step == gan.steps == 7
    assert gan.kimg == 0.056
    gan = NSGAN(*networks(), dynamics=Alternating(d_steps, g_steps))
    assert fit(gan, points(7), max_steps=3).global_step == gan.steps == 3


def test_one_step_equals_the_same_step_by_hand() -> None:
    """An update of plain SGD, from losses and autograd written out here."""
    sgd = lambda parameters: torch.optim.SGD(parameters, lr=0.1)  # noqa: E731
    g, d = networks()
    mine = [p.clone().detach().requires_grad_(True) for p in (*g.parameters(), *d.parameters())]
    gan = NSGAN(g, d, g_optimizer=sgd, d_optimizer=sgd)
    data = points(1)
    gan.noise.begin(0)
    z = [gan.noise.normal(8, 6) for _ in range(2)]
    split = len(list(g.parameters()))
    names_g, names_d = ([k for k, _ in net.named_parameters()] for net in (g, d))

    def run_g(z: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(g, dict(zip(names_g, mine[:split], strict=True)), z)

    def run_d(x: torch.Tensor) -> torch.Tensor:
        state = dict(zip(names_d, mine[split:], strict=True))
        return torch.func.functional_call(d, state, x)[0]

    loss = -run_d(data[0][0]).sigmoid().log().mean() - (1 - run_d(run_g(z[0])).sigmoid()).log().mean()
    for p, grad in zip(mine[split:], torch.autograd.grad(loss, mine[split:]), strict=True):
        p.data -= 0.1 * grad
    loss = -run_d(run_g(z[1])).sigmoid().log().mean()
    for p, grad in zip(mine[:split], torch.autograd.grad(loss, mine[:split]), strict=True):
        p.data -= 0.1 * grad

    fit(gan, data)
    for ours, theirs in zip((*g.parameters(), *d.parameters()), mine, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_clip_norm_bounds_the_update() -> None:
    sgd = lambda parameters: torch.optim.SGD(parameters, lr=1.0)  # noqa: E731
    g, d = networks()
    gan = NSGAN(g, d, g_optimizer=sgd, d_optimizer=sgd, clip_norm=1e-3)
    before = torch.cat([p.detach().flatten().clone() for p in d.parameters()])
    fit(gan, points(1))
    after = torch.cat([p.detach().flatten() for p in d.parameters()])
    assert (after - before).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_ema_is_the_average_its_docstring_promises() -> None:
    gan = NSGAN(*networks(norm="batch"), ema_decay=0.5)
    expected = {k: v.clone() for k, v in gan.generator.named_parameters()}
    for t, batch in enumerate(points(6), start=1):
        fit(gan, [batch])
        decay = min(0.5, (1 + t) / (10 + t))
        for k, v in gan.generator.named_parameters():
            expected[k] = decay * expected[k] + (1 - decay) * v.detach()
    for k, v in gan.generator_ema.named_parameters():
        torch.testing.assert_close(v, expected[k])
    assert same(dict(gan.generator_ema.named_buffers()), dict(gan.generator.named_buffers()))
    assert not any(p.requires_grad for p in gan.generator_ema.parameters())


def test_samples_come_from_the_average_and_touch_nothing() -> None:
    gan = NSGAN(*networks(norm="batch"), ema_decay=0.9)
    fit(gan, points(3))
    state, rng = snapshot(gan), torch.get_rng_state()
    first, again = gan.sample(10, seed=3), gan.sample(10, seed=3)
    assert torch.equal(first, again)
    assert not torch.equal(first, gan.sample(10, seed=4))
    assert same(state, snapshot(gan))
    assert torch.equal(rng, torch.get_rng_state())
    assert all(m.training for m in gan.generator.modules())
    with torch.no_grad():
        z = torch.ones(10, 6)
        assert torch.equal(gan.sample(10, z=z), gan.generator_ema.eval()(z))
    with pytest.raises(ValueError, match="z has 10 rows, n is 11"):
        gan.sample(11, z=z)


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_resume_goes_on_where_it_stopped(cut: int, tmp_path) -> None:
    def game() -> GAN:
        return WGANGP(
            *networks(norm="batch"), ema_decay=0.9, stabilizers=[InstanceNoise(0.03, sigma=0.5)],
            dynamics=Alternating(2),
        )  # fmt: skip

    data = points(6)
    straight = game()
    fit(straight, data)

    first = game()
    trainer = fit(first, data[:cut])
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    second = game()
    torch.manual_seed(99)  # nothing may depend on the global generator
    resumed = fit(second, data[cut:], ckpt_path=str(tmp_path / "half.ckpt"), max_epochs=2)
    assert same(snapshot(straight), snapshot(second))
    assert (second.steps, second.images, second.g_moves) == (6, 48, straight.g_moves)
    assert resumed.global_step == 6


def test_began_keeps_k(tmp_path) -> None:
    def game() -> BEGAN:
        torch.manual_seed(0)
        nets = MLPGenerator((1, 8, 8), latent_dim=4, width=4), Autoencoder((1, 8, 8), width=4)
        return BEGAN(*nets, lambda_k=0.5)

    gan = game()
    trainer = fit(gan, [(torch.randn(4, 1, 8, 8).sign(),) for _ in range(3)])
    assert gan.k > 0
    trainer.save_checkpoint(tmp_path / "k.ckpt")
    loaded = BEGAN.load_from_checkpoint(
        tmp_path / "k.ckpt", generator=game().generator, discriminator=game().discriminator
    )
    assert loaded.k == gan.k


def test_the_learning_rate_follows_kimg() -> None:
    from zoo.schedules import Linear

    gan = NSGAN(*networks(), d_scheduler=Linear(end_kimg=0.032))
    rates = []
    gan.after_turn = lambda turn: rates.append((turn.name, gan.latest[f"lr/{turn.name}"]))
    fit(gan, points(5))
    assert [r for n, r in rates if n == "d"] == pytest.approx([2e-4, 1.5e-4, 1e-4, 0.5e-4, 0])
    assert {r for n, r in rates if n == "g"} == {2e-4}


def test_values_are_logged_on_the_steps_that_are_written() -> None:
    gan = WGANGP(*networks(), dynamics=Alternating(1))
    trainer = fit(gan, points(4), log_every_n_steps=4)
    logged = trainer.callback_metrics
    terms = logged["loss/d/adversarial"] + logged["loss/d/gradient_penalty"]
    assert logged["loss/d"] == pytest.approx(terms.item())
    assert logged["progress/kimg"] == pytest.approx(0.032)
    assert logged["loss/g"] == gan.latest["loss/g"]


def test_wgan_keeps_the_critic_in_its_box() -> None:
    gan = WGAN(*networks(d_norm="layer"), clip=0.02)
    fit(gan, points(3))
    assert max(p.abs().max().item() for p in gan.discriminator.parameters()) == pytest.approx(0.02)
    assert max(p.abs().max().item() for p in gan.generator.parameters()) > 0.02


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: WGANGP(*networks(d_norm="batch")), ["WGANGP", "batch norm", "norm: layer, instance or none"]),
        (lambda: NSGAN(*networks(d_norm="batch"), stabilizers=[GradientPenalty()]), ["NSGAN", "batch norm"]),
        (lambda: BEGAN(*networks()), ["BEGAN", "MLPDiscriminator", "autoencoder"]),
        (lambda: NSGAN(networks()[0], Autoencoder((1, 8, 8), width=4)), ["NSGAN", "Autoencoder", "energies"]),
        (lambda: NSGAN(*networks(), ema_decay=1.0), ["ema_decay", "[0, 1)", "1.0"]),
        (lambda: NSGAN(*networks(), clip_norm=0.0), ["clip_norm", "above 0"]),
        (lambda: Alternating(0), ["d_steps", "at least 1", "0"]),
        (lambda: InstanceNoise(0), ["until_kimg", "above 0"]),
        (lambda: WeightClip(-1), ["c must be above 0", "-1"]),
        (lambda: SpectralNorm(0), ["n_power_iterations", "at least 1"]),
        (lambda: GradientPenalty(where="reel"), ["'reel'", "interpolates", "near_real"]),
        (lambda: GradientPenalty(target="one"), ["'one'", "one_sided"]),
        (lambda: GradientPenalty(-1.0), ["weight", "at least 0"]),
    ],
)  # fmt: skip
def test_refusals_name_the_culprit_and_the_way_out(build, words) -> None:
    refuses(build, words)


def test_a_generator_of_another_size_is_refused() -> None:
    gan = NSGAN(MLPGenerator((1, 8, 8), width=4), DCGANDiscriminator((1, 8, 8), width=4))
    with pytest.raises(ValueError, match=r"MLPGenerator makes \(1, 8, 8\), the data are \(3, 8, 8\)"):
        fit(gan, [(torch.zeros(2, 3, 8, 8),)])


def test_a_foreign_checkpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="not written by the zoo"):
        NSGAN(*networks()).on_load_checkpoint({})


def test_two_penalties_are_both_paid() -> None:
    gan = NSGAN(*networks(), stabilizers=[GradientPenalty(1.0), GradientPenalty(2.0, where="real", target="zero")])
    fit(gan, points(1))
    parts = [gan.latest[f"loss/d/{k}"] for k in ("adversarial", "gradient_penalty", "gradient_penalty_2")]
    assert gan.latest["loss/d"].item() == pytest.approx(sum(p.item() for p in parts))
    assert all(part > 0 for part in parts)


def test_who_does_not_move_is_frozen_before_the_forward_pass() -> None:
    """So that no activation is kept for gradients that nobody wants."""
    gan = NSGAN(*networks())
    wanted = []

    def note(module, args) -> None:
        wanted.append([any(p.requires_grad for p in net.parameters()) for net in (gan.discriminator, gan.generator)])

    gan.discriminator.register_forward_pre_hook(note)
    fit(gan, points(1))
    assert wanted == [[True, False], [True, False], [False, True]]


def test_a_wholly_frozen_player_stands_still() -> None:
    gan = NSGAN(*networks())
    gan.discriminator.requires_grad_(False)
    before = snapshot(gan.discriminator)
    fit(gan, points(2))
    assert same(before, snapshot(gan.discriminator))
    assert gan.latest["loss/d"].isfinite()


def test_scores_reach_the_losses_in_full_precision() -> None:
    """In bfloat16 scores near 10 are 1/16 apart."""
    gan = WGAN(*networks())
    fit(gan, points(1), precision="bf16-mixed")
    assert gan.outputs["d"]["real"].score.dtype == gan.latest["loss/d"].dtype == torch.float32
    gan = WGANGP(*networks(), dynamics=Alternating())
    fit(gan, points(1), precision="bf16-mixed")
    assert gan.latest["loss/d/gradient_penalty"].dtype == torch.float32


@pytest.mark.slow
def test_a_compiled_game_is_the_same_game() -> None:
    """In float32, with the operations fused and so rounded otherwise; the compiled graph is really used."""
    torch.compiler.reset()
    seen = []
    for compiled in (False, True):
        torch.manual_seed(0)
        gan = NSGAN(*networks(), compile=compiled)
        fit(gan, points(4))
        seen.append(parameters_to_vector(gan.parameters()).detach())
    assert torch.allclose(*seen, atol=1e-6)
    assert gan.generator._compiled_call_impl is not None


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"stabilizers": [GradientPenalty(1.0)]}, "GradientPenalty"),
        ({"dynamics": Unrolled(1)}, "Unrolled"),
        ({"dynamics": Consensus(1.0)}, "Consensus"),
        ({"dynamics": GradientRegularized(0.5)}, "GradientRegularized"),
    ],
)
def test_a_double_backward_pass_is_not_compiled(changes, culprit: str) -> None:
    with pytest.raises(ValueError, match=f"NSGAN: compile cannot be used with {culprit}"):
        NSGAN(*networks(), compile=True, **changes)


class Relativistic(GAN):
    """Both scores in each loss (Jolicoeur-Martineau 2019, equation 6)."""

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        return F.softplus(d_fake - d_real).mean()

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        return {"adversarial": F.softplus(critic(batch.real, "real").score - fake.score).mean()}


def test_a_loss_of_both_scores_needs_no_g_loss_and_no_gradient_of_d() -> None:
    """G's gradient is that of its loss worked out by hand; D's parameters have none."""
    gan = Relativistic(*networks())
    gan.noise.begin(0)
    turn, data = gan.turns()[1], points(1)[0]
    gan.gradients(turn, lambda: gan.loss(turn, data))
    found = [p.grad.clone() for p in gan.generator.parameters()]
    assert all(p.grad is None for p in gan.discriminator.parameters())
    gan.noise.begin(0)
    fake = gan.generator(gan.noise.normal(8, 6))
    loss = -F.logsigmoid(gan.discriminator(fake)[0] - gan.discriminator(data[0])[0]).mean()
    torch.testing.assert_close(found, list(torch.autograd.grad(loss, [*gan.generator.parameters()])))
    fit(gan, points(2))
    assert gan.steps == 2


def test_a_missing_loss_is_named() -> None:
    class Half(GAN):
        def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
            return (d_fake - d_real).mean()

    with pytest.raises(TypeError, match="Half: define g_loss, or override g_terms"):
        Half(*networks())


def test_settings_follow_the_side_of_the_turn_and_not_the_name_of_the_player() -> None:
    class Decoder(NSGAN):
        def turns(self) -> tuple[Turn, ...]:
            return super().turns()[0], Turn("g", ("decoder",), self.g_turn, side="g")

        def players(self) -> dict[str, nn.Module]:
            return {"d": self.discriminator, "decoder": self.generator}

    gan = Decoder(*networks(), g_optimizer=lambda p: torch.optim.SGD(p, lr=0.125))
    fit(gan, points(1))
    assert gan.optimizer_of("decoder").param_groups[0]["lr"] == 0.125
    assert gan.latest["lr/d"] == 2e-4
