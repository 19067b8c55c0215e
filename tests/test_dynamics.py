"""Dynamics against closed forms on small games, finite differences, and what they reduce to."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from tests.games import fit, networks, points, same, score, snapshot
from zoo.dynamics import (
    Alternating,
    Balanced,
    Consensus,
    CriticWarmup,
    Extragradient,
    GradientRegularized,
    Lookahead,
    Optimistic,
    Simultaneous,
    Unrolled,
)
from zoo.dynamics.simultaneous import scored_once
from zoo.gan import GAN
from zoo.types import total
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.unrolled_gan import UnrolledGAN

H = 0.1


class Scalar(nn.Module):
    """One number, as a generator (its value for any z) or as a critic: x·v on fakes, x²/2·`curvature` taken off."""

    latent_dim, num_classes = 1, None

    def __init__(self, value: float, curvature: float = 0.0, *, critic: bool = False) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))
        self.curvature, self.critic = curvature, critic

    def forward(self, v: Tensor) -> Tensor:
        if not self.critic:
            return self.value.expand(len(v), 1)
        return (self.value * v - self.curvature * self.value**2 / 2).sum(1)


class Game(GAN):
    """f(x, y) = xy - c x²/2: D's number x climbs, G's number y descends. Real data play no part."""

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        return -d_fake.mean()

    def g_loss(self, d_fake: Tensor) -> Tensor:
        return d_fake.mean()


def play(dynamics, steps: int = 1, *, x: float = 0.3, y: float = 0.8, curvature: float = 0.0, **kwargs):
    sgd = lambda p: torch.optim.SGD(p, lr=H)  # noqa: E731
    gan = Game(
        Scalar(y), Scalar(x, curvature, critic=True), dynamics=dynamics, g_optimizer=sgd, d_optimizer=sgd, **kwargs
    )
    fit(gan, [(torch.zeros(2, 1, dtype=torch.float64),)] * steps)
    return gan.discriminator.value.item(), gan.generator.value.item()


def radius(point: tuple[float, float]) -> float:
    return math.hypot(*point)


def test_simultaneous_descent_on_xy_spirals_out() -> None:
    assert play(Simultaneous()) == pytest.approx((0.3 + H * 0.8, 0.8 - H * 0.3))
    growth = radius(play(Simultaneous(), 20)) / radius((0.3, 0.8))
    assert growth == pytest.approx((1 + H**2) ** 10)


def test_alternating_descent_on_xy_stays_on_its_orbit() -> None:
    """x first: x² + y² + h·xy does not change."""
    orbit = [x * x + y * y + H * x * y for x, y in ((0.3, 0.8), play(Alternating(), 1), play(Alternating(), 50))]
    assert orbit[1:] == pytest.approx([orbit[0]] * 2)


# With c = x + iy both gradients together are -ic: a simultaneous step is c ← (1 - ih)c.


def turned(factor: complex) -> tuple[float, float]:
    point = factor * (0.3 + 0.8j)
    return point.real, point.imag


@pytest.mark.parametrize("steps", [1, 2, 30])
def test_extragradient_on_xy_goes_in(steps: int) -> None:
    """c' = (1 - ih)c, then c ← c - ihc' = (1 - ih - h²)c, of size √(1 - h² + h⁴)."""
    point = play(Extragradient(), steps)
    assert point == pytest.approx(turned((1 - 1j * H - H**2) ** steps), abs=1e-12)
    assert radius(point) == pytest.approx((1 - H**2 + H**4) ** (steps / 2) * radius((0.3, 0.8)))


@pytest.mark.parametrize("steps", [1, 2, 3, 40])
def test_optimistic_descent_on_xy_has_its_closed_form(steps: int) -> None:
    """cₜ₊₁ = (1 - 2ih)cₜ + ih cₜ₋₁: λ = ½(1 - 2ih ± √(1 - 4h²)), cₜ = (λ₊ᵗ⁺¹ - λ₋ᵗ⁺¹)/(λ₊ - λ₋) c₀."""
    root = math.sqrt(1 - 4 * H**2)
    high, low = (1 - 2j * H + root) / 2, (1 - 2j * H - root) / 2
    power = (high ** (steps + 1) - low ** (steps + 1)) / (high - low)
    assert play(Optimistic(), steps) == pytest.approx(turned(power), abs=1e-12)
    assert abs(high) == pytest.approx(math.sqrt((1 + root) / 2))


def test_optimistic_descent_is_extrapolation_from_the_past() -> None:
    """Gidel et al. 2019, section 3.3, by two sequences of points: where one stands, and where one looks."""
    here = there = (0.3, 0.8)
    for _ in range(7):
        field = there[1], -there[0]
        here = here[0] + H * field[0], here[1] + H * field[1]
        there = here[0] + H * field[0], here[1] + H * field[1]
    assert play(Optimistic(), 7) == pytest.approx(there, abs=1e-12)


@pytest.mark.parametrize(("k", "alpha"), [(5, 0.5), (3, 0.8), (1, 0.3)])
def test_lookahead_on_xy_has_its_closed_form(k: int, alpha: float) -> None:
    """(1 - α + α(1 - ih)ᵏ)ⁿ(1 - ih)ʳ after nk + r steps."""
    inner = 1 - 1j * H
    returned = 1 - alpha + alpha * inner**k
    for n, rest in ((1, 0), (4, 0), (2, k - 1)):
        point = play(Lookahead(Simultaneous(), k, alpha), n * k + rest)
        assert point == pytest.approx(turned(returned**n * inner**rest), abs=1e-12)
    assert (abs(returned) < 1) == (k * (1 - alpha) > 1)


def test_lookahead_goes_back_to_where_it_was_in_all_players_and_in_any_dynamics() -> None:
    """Alternating steps: x + hy, then y - hx at that x. In the nested one the outer return is the second step's."""
    x = [0.3, 0.3 + H * 0.8]
    y = [0.8, 0.8 - H * x[1]]
    assert play(Lookahead(Alternating(), 1, 0.25), 1) == pytest.approx((0.3 + H * 0.8 / 4, 0.8 - H * x[1] / 4))
    x.append(x[1] + H * y[1])
    y.append(y[1] - H * x[2])
    middle = (x[0] + x[2]) / 2, (y[0] + y[2]) / 2
    assert play(Lookahead(Alternating(), 2), 2) == pytest.approx(middle)
    nested = (x[0] + middle[0]) / 2, (y[0] + middle[1]) / 2
    assert play(Lookahead(Lookahead(Alternating(), 2), 2), 2) == pytest.approx(nested)


def adam_step(moments: list[float], gradient: float, t: int, lr: float) -> float:
    """The t-th step of Adam(β = 0.5, 0.9), ε = 1e-8; changes its moments."""
    moments[:] = [0.5 * moments[0] + 0.5 * gradient, 0.9 * moments[1] + 0.1 * gradient**2]
    return -lr * moments[0] / (1 - 0.5**t) / (math.sqrt(moments[1] / (1 - 0.9**t)) + 1e-8)


@pytest.mark.parametrize("fused", [False, True])
def test_extragradient_and_optimism_with_adam_are_the_authors_algorithms(fused: bool) -> None:
    """ExtraAdam updates the moments twice a batch; optimistic Adam takes 2uₜ - uₜ₋₁ of Adam's own steps u."""

    def adam(parameters):
        return torch.optim.Adam(parameters, lr=0.02, betas=(0.5, 0.9), fused=fused)

    def game(dynamics, steps: int) -> tuple[float, float]:
        gan = Game(Scalar(0.8), Scalar(0.3, critic=True), dynamics=dynamics, g_optimizer=adam, d_optimizer=adam)
        fit(gan, [(torch.zeros(2, 1, dtype=torch.float64),)] * steps)
        return gan.discriminator.value.item(), gan.generator.value.item()

    x, y = 0.3, 0.8
    moments = [[0.0, 0.0], [0.0, 0.0]]
    for t in (1, 3, 5):
        ahead = x + adam_step(moments[0], -y, t, 0.02), y + adam_step(moments[1], x, t, 0.02)
        x, y = x + adam_step(moments[0], -ahead[1], t + 1, 0.02), y + adam_step(moments[1], ahead[0], t + 1, 0.02)
    assert game(Extragradient(), 3) == pytest.approx((x, y), abs=1e-9)

    x, y, last = 0.3, 0.8, (0.0, 0.0)
    moments = [[0.0, 0.0], [0.0, 0.0]]
    for t in (1, 2, 3):
        step = adam_step(moments[0], -y, t, 0.02), adam_step(moments[1], x, t, 0.02)
        x, y, last = x + 2 * step[0] - last[0], y + 2 * step[1] - last[1], step
    assert game(Optimistic(), 3) == pytest.approx((x, y), abs=1e-9)


@pytest.mark.parametrize("dynamics", [Extragradient(), Optimistic(), Lookahead(Simultaneous(), k=2)], ids=repr)
def test_an_average_follows_what_is_kept_and_a_move_is_one_move(dynamics) -> None:
    gan = Game(
        Scalar(0.8), Scalar(0.3, critic=True), dynamics=copy.deepcopy(dynamics), ema_decay=0.0,
        g_optimizer=torch.optim.SGD, d_optimizer=torch.optim.SGD,
    )  # fmt: skip
    fit(gan, [(torch.zeros(2, 1, dtype=torch.float64),)] * 3)
    assert gan.g_moves == 3
    assert torch.equal(gan.generator_ema.value, gan.generator.value)
    assert gan.generator.value.item() != 0.8


@pytest.mark.parametrize("gamma", [0.05, 1.0])
def test_consensus_on_xy_scales_by_its_closed_form(gamma: float) -> None:
    x, y = play(Consensus(gamma))
    assert (x, y) == pytest.approx((0.3 + H * 0.8 - H * gamma * 0.3, 0.8 - H * 0.3 - H * gamma * 0.8))
    factor = math.sqrt((1 - H * gamma) ** 2 + H**2)
    assert radius(play(Consensus(gamma), 10)) / radius((0.3, 0.8)) == pytest.approx(factor**10)
    assert (factor < 1) == (2 * gamma / (1 + gamma**2) > H)


@pytest.mark.parametrize("eta", [0.05, 0.5])
def test_gradient_regularization_on_xy(eta: float) -> None:
    """D: x + hy. Then G, at that x: y - h(x + 2ηy)."""
    x = 0.3 + H * 0.8
    assert play(GradientRegularized(eta)) == pytest.approx((x, 0.8 - H * (x + 2 * eta * 0.8)))


@pytest.mark.parametrize("k", [1, 2, 5])
def test_unrolling_on_xy_has_its_closed_form(k: int) -> None:
    """df_K/dy = x + 2Kηy; half of the second part goes through D's steps."""
    x = 0.3 + H * 0.8
    assert play(Unrolled(k, lr=0.2)) == pytest.approx((x, 0.8 - H * (x + 2 * k * 0.2 * 0.8)))


def test_unrolling_and_gradient_regularization_agree_on_xy() -> None:
    assert play(Unrolled(3, lr=0.2), 7) == pytest.approx(play(GradientRegularized(0.6), 7), abs=1e-12)


@pytest.mark.parametrize("k", [1, 4, 60])
def test_unrolling_on_a_concave_game(k: int) -> None:
    """f = xy - x²/2: x_K = y + (1-η)^K (x - y), df_K/dy = x_K + (y - x_K)(1 - (1-η)^K), which tends to y."""
    eta, x = 0.3, 0.3 + H * (0.8 - 0.3)
    left = (1 - eta) ** k
    x_k = 0.8 + left * (x - 0.8)
    slope = x_k + (0.8 - x_k) * (1 - left)
    assert play(Unrolled(k, lr=eta), curvature=1.0) == pytest.approx((x, 0.8 - H * slope))
    assert k < 60 or slope == pytest.approx(0.8)


REDUCTIONS = [
    (Consensus(0), Simultaneous()), (GradientRegularized(0), Alternating()), (Unrolled(0), Alternating()),
    (GradientRegularized(0, d_steps=2), Alternating(2)), (CriticWarmup(1, 1, 3), Alternating(1)),
    (Balanced(1.0, 0.0), Alternating()), (Lookahead(Consensus(0.5), 2, 1.0), Consensus(0.5)),
    (Lookahead(Alternating(2), k=6), Alternating(2)),
]  # fmt: skip


@pytest.mark.parametrize(("special", "plain"), REDUCTIONS, ids=lambda d: repr(d))
def test_at_zero_it_is_the_plain_dynamics_bit_for_bit(special, plain) -> None:
    ends = []
    for dynamics in (special, plain):
        gan = NSGAN(*networks(), dynamics=copy.deepcopy(dynamics))
        fit(gan, points(5))
        ends.append(snapshot(gan.generator) | {f"d.{k}": v for k, v in snapshot(gan.discriminator).items()})
    assert same(*ends)


@pytest.mark.parametrize(("objective", "plain"), [("minimax", MinimaxGAN), ("non_saturating", NSGAN)])
def test_unrolled_gan_at_zero_is_the_plain_game(objective: str, plain: type[GAN]) -> None:
    a = UnrolledGAN(*networks(), objective=objective, dynamics=Unrolled(0))
    b = plain(*networks(), g_optimizer=a.make_optimizer["g"], d_optimizer=a.make_optimizer["d"])
    for gan in (a, b):
        fit(gan, points(5))
    assert same(snapshot(a.generator), snapshot(b.generator))
    assert same(snapshot(a.discriminator), snapshot(b.discriminator))


def unrolled_loss(gan: GAN, data) -> Tensor:
    """G's loss in the middle of its turn; the noise is drawn anew, the same each time."""
    gan.noise.begin(0)
    terms = gan.dynamics.g_loss(gan, gan.turns()[1], data)
    return total(terms)


@pytest.mark.parametrize("lr", [0.5, None], ids=["sgd", "adam"])
@pytest.mark.parametrize("objective", ["minimax", "non_saturating"])
def test_gradient_through_the_steps_against_finite_differences(lr: float | None, objective: str) -> None:
    g, d = networks()
    gan = UnrolledGAN(g.double(), smooth(d).double(), objective=objective, dynamics=Unrolled(2, lr=lr))
    data = points(3, dtype=torch.float64)
    trainer = fit(gan, data)
    trainer.strategy.connect(gan)
    parameter = next(gan.generator.parameters())
    (slope,) = torch.autograd.grad(unrolled_loss(gan, data[0]), parameter)
    for index in ((0, 0), (2, 3), (4, 5)):
        ends = []
        for shift in (1e-6, -1e-6):
            with torch.no_grad():
                parameter[index] += shift
            ends.append(unrolled_loss(gan, data[0]).item())
            with torch.no_grad():
                parameter[index] -= shift
        assert slope[index].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-8)


def smooth(net: nn.Module) -> nn.Module:
    """With softplus for ReLU: finite differences should not cross a kink."""
    for module in net.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.Softplus())
    return net


def test_inner_steps_are_those_of_the_optimizer_itself() -> None:
    """Five steps of torch's Adam on a copy of D, with a copy of its moments, on the same batch."""
    gan = UnrolledGAN(*networks(), dynamics=Unrolled(5))
    fit(gan, points(4))
    batch = gan.deal(points(1)[0], graph=True)
    state = gan.dynamics.unroll(gan, batch)
    twin = copy.deepcopy(gan.discriminator)
    adam = torch.optim.Adam(twin.parameters(), lr=1e-4, betas=(0.5, 0.999))
    adam.load_state_dict(gan.optimizer_of("d").state_dict())
    for _ in range(5):
        adam.zero_grad()
        gan.d_loss(twin(batch.real)[0], twin(batch.fake.detach())[0]).backward()
        adam.step()
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(state[name], parameter, rtol=1e-5, atol=1e-7)
        assert not torch.equal(state[name], gan.discriminator.get_parameter(name))


class Tied(nn.Module):
    """Two layers that share a weight and a buffer, the first of which is used twice, on points."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1)
        self.third = self.first
        self.second.weight = self.first.weight
        self.first.register_buffer("shift", torch.tensor([0.5, -0.25]))
        self.second.register_buffer("shift", self.first.shift)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.first, self.second, self.third):
            x = torch.tanh(layer(x) + layer.shift)
        return self.head(x).squeeze(1)


@pytest.mark.parametrize("freeze", [False, True])
def test_layers_of_d_that_share_a_weight_share_it_in_the_unrolled_steps(freeze: bool) -> None:
    """Two steps of torch's SGD on a copy of D, whose gradient of the shared weight comes from both layers."""
    tied = Tied()
    before = tied.first.weight.requires_grad_(not freeze)
    gan = UnrolledGAN(networks()[0], tied, dynamics=Unrolled(2, lr=0.3))
    fit(gan, points(1))
    batch = gan.deal(points(1)[0], graph=True)
    state = gan.dynamics.unroll(gan, batch)
    twin = copy.deepcopy(tied)
    sgd = torch.optim.SGD([p for p in twin.parameters() if p.requires_grad], lr=0.3)
    for _ in range(2):
        sgd.zero_grad()
        gan.d_loss(twin(batch.real), twin(batch.fake.detach())).backward()
        sgd.step()
    for at in ("first", "second"):
        torch.testing.assert_close(state[f"{at}.weight"], twin.first.weight, rtol=1e-5, atol=1e-7)
        assert state[f"{at}.shift"] is state["first.shift"] is not tied.first.shift
    assert torch.equal(state["first.shift"], tied.first.shift)
    assert tied.second.weight is tied.third.weight is tied.first.weight is before
    assert torch.equal(twin.first.weight, tied.first.weight) == freeze
    torch.testing.assert_close(score(gan, batch.real, state=state).score, twin(batch.real))


@pytest.mark.parametrize("lr", [0.1, None])
def test_the_generators_turn_leaves_d_and_its_optimizer_as_they_were(lr: float | None, monkeypatch) -> None:
    gan = UnrolledGAN(*networks(d_norm="batch"), dynamics=Unrolled(3, lr=lr))
    looked = []

    def look(turn, terms, **kwargs) -> None:
        before = snapshot(gan.discriminator), copy.deepcopy(gan.optimizer_of("d").state_dict())
        GAN.move(gan, turn, terms, **kwargs)
        if turn.side == "g":
            assert same(before[0], snapshot(gan.discriminator))
            after = gan.optimizer_of("d").state_dict()
            for key, values in before[1]["state"].items():
                assert same(values, after["state"][key])
            looked.append(turn.name)

    monkeypatch.setattr(gan, "move", look)
    fit(gan, points(3))
    assert looked == ["g"] * 3


def test_unrolling_cannot_copy_every_optimizer() -> None:
    gan = UnrolledGAN(*networks(), d_optimizer=torch.optim.RMSprop)
    with pytest.raises(ValueError, match=r"copies Adam.*RMSprop.*give an lr"):
        fit(gan, points(1))


def test_consensus_in_the_weights_against_finite_differences() -> None:
    """∇γR of a small game, in float64."""
    g, d = networks()
    gan = MinimaxGAN(g.double(), smooth(d).double(), dynamics=Consensus(3.0))
    data = points(1, dtype=torch.float64)
    fit(gan, points(1, dtype=torch.float64))
    turns = gan.turns()
    parameters = [gan.parameters_of(t.movers) for t in turns]

    def look() -> tuple[list[dict[str, Tensor]], Tensor]:
        gan.noise.begin(0)
        batch = gan.deal(data[0], graph=True)
        critic = scored_once(gan.bind(batch), batch)
        terms = [t.loss(critic, batch) for t in turns]
        own = [torch.autograd.grad(total(t), p, retain_graph=True) for t, p in zip(terms, parameters, strict=True)]
        return terms, sum(g.square().sum() for side in own for g in side) / 2

    terms, _ = look()
    together = gan.dynamics.gradients(gan, terms, parameters)
    alone = Simultaneous.gradients(gan.dynamics, gan, look()[0], parameters)
    for side in (0, 1):
        parameter, index = parameters[side][0], (0, 1)
        ends = []
        for shift in (1e-6, -1e-6):
            with torch.no_grad():
                parameter[index] += shift
            ends.append(look()[1].item())
            with torch.no_grad():
                parameter[index] -= shift
        pull = (together[side][0] - alone[side][0])[index].item()
        assert pull == pytest.approx(3.0 * (ends[0] - ends[1]) / 2e-6, rel=1e-4)


def test_critic_warmup_is_the_published_rule() -> None:
    """Against a loop that counts: 100 steps if fewer than 25 rounds are over or their number is a multiple of 500."""
    rule = CriticWarmup(d_steps=5, warmup_d_steps=100, warmup_rounds=25, every=500)
    expected, step = set(), 0
    for done in range(1100):
        step += 100 if done < 25 or done % 500 == 0 else 5
        expected.add(step)

    class At:
        steps = 0

    gan = At()
    found = set()
    for gan.steps in range(step):
        if rule.round_ends(gan):
            found.add(gan.steps + 1)
    assert found == expected


class Fixed(NSGAN):
    """Its D ranks a given share of the pairs rightly."""

    share = 0.5

    def after_turn(self, turn) -> None:
        self.__dict__.setdefault("moved", []).append(turn.name)
        real = torch.where(torch.arange(8) < 8 * self.share, 1.0, -1.0)
        kind = "real" if turn.side == "d" else "fake"
        self.outputs[turn.name] = {"real": None, "fake": None} | self.outputs[turn.name]
        score = real if kind == "real" else torch.zeros(8)
        object.__setattr__(self.outputs[turn.name][kind], "score", score)
        if kind == "real":
            object.__setattr__(self.outputs[turn.name]["fake"], "score", torch.zeros(8))


@pytest.mark.parametrize(("share", "moves"), [(0.25, "dg" + "ddd"), (0.75, "dg" + "dgdgdg"), (1.0, "dg" + "ggg")])
def test_balanced_moves_whoever_is_behind(share: float, moves: str) -> None:
    gan = Fixed(*networks(), dynamics=Balanced(d_until=0.9, g_from=0.6))
    gan.share = share
    fit(gan, points(4))
    assert "".join(gan.moved) == moves
    assert gan.dynamics.accuracy.item() == pytest.approx(share)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Alternating(0), "d_steps must be at least 1, got 0"),
        (lambda: CriticWarmup(every=0), "every must be at least 1"),
        (lambda: Balanced(0.5, 0.6), "g_from <= d_until"),
        (lambda: Consensus(-1), "gamma must be at least 0"),
        (lambda: GradientRegularized(-0.1), "eta must be at least 0"),
        (lambda: Lookahead(Alternating(), k=0), "k must be at least 1"),
        (lambda: Lookahead(Alternating(), alpha=0), r"alpha must be in \(0, 1\], got 0"),
        (lambda: Lookahead(Alternating(), alpha=1.5), r"alpha must be in \(0, 1\], got 1.5"),
        (lambda: NSGAN(*networks(), dynamics=Lookahead(Consensus()), compile=True), "compile cannot.*with Consensus"),
        (lambda: Unrolled(-1), "k must be at least 0"),
        (lambda: Unrolled(inner="rmsprop"), "'rmsprop'; choose from sgd, optimizer"),
        (lambda: UnrolledGAN(*networks(), objective="ns"), "'ns'; choose from minimax, non_saturating"),
    ],
)
def test_refusals(build, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()
