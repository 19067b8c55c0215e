"""The loss table, row by row: numbers worked by hand, gradients from formulas of their own."""

import math

import pytest
import torch
from torch import nn

from tests.games import make
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.gan import GAN
from zoo.stabilizers import GradientPenalty
from zoo.types import Batch, Output
from zoo.variants import variants
from zoo.variants.ali import ALI
from zoo.variants.began import BEGAN
from zoo.variants.dragan import DRAGAN
from zoo.variants.ebgan import EBGAN
from zoo.variants.hinge_gan import HingeGAN
from zoo.variants.infogan import InfoGAN
from zoo.variants.lsgan import LSGAN
from zoo.variants.mdgan import MDGAN
from zoo.variants.minimax import MinimaxGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.regularized_gan import RegularizedGAN
from zoo.variants.relativistic_gan import RelativisticGAN
from zoo.variants.unrolled_gan import UnrolledGAN
from zoo.variants.vae_gan import VAEGAN
from zoo.variants.veegan import VEEGAN
from zoo.variants.wgan import WGAN
from zoo.variants.wgan_gp import WGANGP

LN2, LN3 = math.log(2), math.log(3)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def g_loss(gan: GAN, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """L_G, of these scores of fakes; where it needs D's scores of real images, those are asked for as `real`."""
    if type(gan).g_loss is not GAN.g_loss:
        return gan.g_loss(fake)
    critic = {(id(real), "real"): Output(real, {})}
    batch = Batch(real, None, real, fake, gan.noise)
    return gan.g_terms(lambda x, role: critic[id(x), role], batch, Output(fake, {}))["adversarial"]


# Scores whose sigmoids are simple: σ(0) = 1/2, σ(ln 3) = 3/4, σ(-ln 3) = 1/4.
REAL, FAKE = [0.0, LN3], [-LN3, LN3]

# d_loss, g_loss, ∂L_D/∂D(x), ∂L_D/∂D(G(z)), ∂L_G/∂D(G(z)); the last three at REAL and FAKE, batch means of 2.
TABLE = {
    # -½(ln ½ + ln ¾) - ½(ln ¾ + ln ¼);  ½(ln ¾ + ln ¼);  -(1-σ)/2;  σ/2;  -σ/2
    MinimaxGAN: (
        (LN2 + math.log(4 / 3)) / 2 + (math.log(4 / 3) + 2 * LN2) / 2,
        -(math.log(4 / 3) + 2 * LN2) / 2,
        [-1 / 4, -1 / 8],
        [1 / 8, 3 / 8],
        [-1 / 8, -3 / 8],
    ),
    # the same D;  -½(ln ¼ + ln ¾);  -(1-σ)/2
    NSGAN: (
        (LN2 + math.log(4 / 3)) / 2 + (math.log(4 / 3) + 2 * LN2) / 2,
        (2 * LN2 + math.log(4 / 3)) / 2,
        [-1 / 4, -1 / 8],
        [1 / 8, 3 / 8],
        [-3 / 8, -1 / 8],
    ),
    # ½·½(1 + (ln3-1)²) + ½·½(2 ln²3);  ½·½((ln3+1)² + (ln3-1)²);  (D(x)-1)/2;  D(G)/2;  (D(G)-1)/2
    LSGAN: (
        (1 + (LN3 - 1) ** 2) / 4 + 2 * LN3**2 / 4,
        ((LN3 + 1) ** 2 + (LN3 - 1) ** 2) / 4,
        [-1 / 2, (LN3 - 1) / 2],
        [-LN3 / 2, LN3 / 2],
        [(-LN3 - 1) / 2, (LN3 - 1) / 2],
    ),
    # 0 - ln3/2;  0
    WGAN: (-LN3 / 2, 0.0, [-0.5, -0.5], [0.5, 0.5], [-0.5, -0.5]),
    WGANGP: (-LN3 / 2, 0.0, [-0.5, -0.5], [0.5, 0.5], [-0.5, -0.5]),
    DRAGAN: (
        (LN2 + math.log(4 / 3)) / 2 + (math.log(4 / 3) + 2 * LN2) / 2,
        (2 * LN2 + math.log(4 / 3)) / 2,
        [-1 / 4, -1 / 8],
        [1 / 8, 3 / 8],
        [-3 / 8, -1 / 8],
    ),
    # minimax, by default
    UnrolledGAN: (
        (LN2 + math.log(4 / 3)) / 2 + (math.log(4 / 3) + 2 * LN2) / 2,
        -(math.log(4 / 3) + 2 * LN2) / 2,
        [-1 / 4, -1 / 8],
        [1 / 8, 3 / 8],
        [-1 / 8, -3 / 8],
    ),
    # k = 0: the fakes don't enter L_D
    BEGAN: (LN3 / 2, 0.0, [0.5, 0.5], [0.0, 0.0], [0.5, 0.5]),
    # m = ½: ln3/2 + ½(½ + ln3), the fake at ln 3 is beyond the margin;  0
    EBGAN: (LN3 / 2 + (1 / 2 + LN3) / 2, 0.0, [0.5, 0.5], [-0.5, 0.0], [0.5, 0.5]),
    # ½(1 + 0) + ½(0 + 1 + ln3): the real at ln 3 and the fake at -ln 3 are beyond theirs;  0
    HingeGAN: (1 / 2 + (1 + LN3) / 2, 0.0, [-0.5, 0.0], [0.0, 0.5], [-0.5, -0.5]),
    # margins ln 3 and 0: ½(ln 4/3 + ln 2);  ½(ln 4 + ln 2);  σ(-ln 3) = ¼, σ(0) = ½, σ(ln 3) = ¾
    RelativisticGAN: (
        (math.log(4 / 3) + LN2) / 2,
        3 * LN2 / 2,
        [-1 / 8, -1 / 4],
        [1 / 8, 1 / 4],
        [-3 / 8, -1 / 4],
    ),
    # the log loss; what the code says comes on top
    InfoGAN: (
        (LN2 + math.log(4 / 3)) / 2 + (math.log(4 / 3) + 2 * LN2) / 2,
        (2 * LN2 + math.log(4 / 3)) / 2,
        [-1 / 4, -1 / 8],
        [1 / 8, 3 / 8],
        [-3 / 8, -1 / 8],
    ),
}
# these play the same losses on other scores
TABLE[VEEGAN] = (*TABLE[NSGAN][:1], 0.0, *TABLE[NSGAN][2:4], [-1 / 2, -1 / 2])  # -½(-ln 3 + ln 3)
TABLE |= dict.fromkeys((RegularizedGAN, MDGAN, ALI), TABLE[NSGAN]) | {VAEGAN: TABLE[MinimaxGAN]}


def test_every_objective_has_a_row() -> None:
    assert set(variants().values()) == set(TABLE)


@pytest.mark.parametrize("cls", TABLE, ids=lambda c: c.__name__)
def test_losses_and_gradients(cls: type[GAN]) -> None:
    check(make(cls), *TABLE[cls])


def check(gan: GAN, d_value, g_value, d_real_grad, d_fake_grad, g_fake_grad) -> None:
    """Its losses and their gradients at REAL and FAKE."""
    real = torch.tensor(REAL, dtype=torch.float64, requires_grad=True)
    fake = torch.tensor(FAKE, dtype=torch.float64, requires_grad=True)

    loss = gan.d_loss(real, fake)
    assert loss.item() == pytest.approx(d_value, abs=1e-12)
    grads = torch.autograd.grad(loss, (real, fake), materialize_grads=True)
    assert grads[0].tolist() == pytest.approx(d_real_grad, abs=1e-12)
    assert grads[1].tolist() == pytest.approx(d_fake_grad, abs=1e-12)

    loss = g_loss(gan, real, fake)
    assert loss.item() == pytest.approx(g_value, abs=1e-12)
    assert torch.autograd.grad(loss, fake)[0].tolist() == pytest.approx(g_fake_grad, abs=1e-12)


@pytest.mark.parametrize("cls", TABLE, ids=lambda c: c.__name__)
def test_gradients_are_the_slope_of_the_loss(cls: type[GAN]) -> None:
    gan = make(cls)
    torch.manual_seed(0)
    scores = torch.randn(2, 3, dtype=torch.float64).abs().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda s: gan.d_loss(s[0], s[1]), (scores,))
    assert torch.autograd.gradcheck(lambda s: g_loss(gan, s[0], s[1]), (scores,))


# Of the two images: margins D(x) - D(G(z)) are (ln 3, 0); D(x) - mean D(G(z)) are (0, ln 3), and mean D(x) - D(G(z))
# are (1.5 ln 3, -0.5 ln 3). σ(-1.5 ln 3) = 1/(1 + √27), σ(0.5 ln 3) = 1/(1 + 1/√3).
S1, S2 = 1 / (1 + math.sqrt(27)), 1 / (1 + 1 / math.sqrt(3))
RELATIVISTIC = {
    ("pairing", "least_squares"): (
        ((LN3 - 1) ** 2 + 1) / 2,
        ((LN3 + 1) ** 2 + 1) / 2,
        [LN3 - 1, -1.0],
        [1 - LN3, 1.0],
        [-LN3 - 1, -1.0],
    ),
    # the first pair is beyond the margin of 1
    ("pairing", "hinge"): (1 / 2, (2 + LN3) / 2, [0.0, -1 / 2], [0.0, 1 / 2], [-1 / 2, -1 / 2]),
    ("average", "logistic"): (
        (LN2 + math.log(4 / 3) + math.log(1 + 1 / math.sqrt(27)) + math.log(1 + math.sqrt(3))) / 2,
        (LN2 + math.log(4) + math.log(1 + math.sqrt(27)) + math.log(1 + 1 / math.sqrt(3))) / 2,
        [-1 / 4 - (S1 + S2) / 4, -1 / 8 - (S1 + S2) / 4],
        [S1 / 2 + 3 / 16, S2 / 2 + 3 / 16],
        [-(1 - S1) / 2 - 5 / 16, -(1 - S2) / 2 - 5 / 16],
    ),
    ("average", "least_squares"): (
        (1 + (LN3 - 1) ** 2 + (1.5 * LN3 - 1) ** 2 + (0.5 * LN3 + 1) ** 2) / 2,
        (1 + (LN3 + 1) ** 2 + (1.5 * LN3 + 1) ** 2 + (0.5 * LN3 - 1) ** 2) / 2,
        [-1 + (LN3 - 2) / 2, LN3 - 1 + (LN3 - 2) / 2],
        [1 - 1.5 * LN3 - (LN3 - 2) / 2, 1 + 0.5 * LN3 - (LN3 - 2) / 2],
        [-1.5 * LN3 - 1 - (LN3 + 2) / 2, 0.5 * LN3 - 1 - (LN3 + 2) / 2],
    ),
    # L_D: 1 - 0 for x₁ and 1 + ½ ln 3 for G(z₂), the others are beyond the margin; L_G: all four count
    ("average", "hinge"): (1 + LN3 / 4, 2 + LN3, [-3 / 4, -1 / 4], [1 / 4, 3 / 4], [-1.0, -1.0]),
}


@pytest.mark.parametrize(("mode", "f"), RELATIVISTIC)
def test_relativistic_losses_and_gradients(mode: str, f: str) -> None:
    check(make(RelativisticGAN, mode=mode, f=f), *RELATIVISTIC[mode, f])


@pytest.mark.parametrize(("mode", "f"), [("pairing", "logistic"), *RELATIVISTIC])
def test_only_differences_of_scores_count_in_a_relativistic_game(mode: str, f: str) -> None:
    gan = make(RelativisticGAN, mode=mode, f=f)
    real, fake = torch.randn(2, 6, dtype=torch.float64)
    for loss in (gan.d_loss, lambda x, y: g_loss(gan, x, y)):
        assert loss(real + 50, fake + 50).item() == pytest.approx(loss(real, fake).item())
        assert loss(real + 50, fake).item() != pytest.approx(loss(real, fake).item())
    for shift in (-1000.0, 1000.0):
        assert gan.d_loss(real + shift, fake).isfinite()
    assert torch.equal(g_loss(gan, real, fake), gan.d_loss(fake, real))


def test_a_relativistic_generator_moves_without_gradients_of_d() -> None:
    """The scores of real images have no graph in G's turn, since D is frozen; in D's turn they have."""
    gan = make(RelativisticGAN, mode="average")
    seen = []

    def spy(turn) -> dict:
        batch = gan.deal((torch.randn(4, 2, dtype=torch.float64),), graph=turn.side == "g")
        critic = gan.bind(batch)

        def look(x, role):
            out = critic(x, role)
            seen.append((turn.name, role, out.score.requires_grad))
            return out

        return turn.loss(look, batch)

    for turn in gan.turns():
        gan.gradients(turn, lambda turn=turn: spy(turn))
    assert seen == [("d", "real", True), ("d", "fake", True), ("g", "fake", True), ("g", "real", False)]
    d = [p.grad.clone() for p in gan.discriminator.parameters()]
    gan.gradients(gan.turns()[1], lambda: spy(gan.turns()[1]))
    assert all(torch.equal(p.grad, before) for p, before in zip(gan.discriminator.parameters(), d, strict=True))


def test_rpgan_with_r1_and_r2_is_the_loss_of_r3gan() -> None:
    """w = (3, 4), γ = 0.1: E log(1 + exp(-m)) + γ/2 (25 + 25), margins m = w·(x - G(z)) = 3 and -4."""
    penalties = [GradientPenalty(0.05, where=where, target="zero") for where in ("real", "fake")]
    gan = RelativisticGAN(MLPGenerator((2,), width=4).double(), Linear([3.0, 4.0]), stabilizers=penalties)
    real, fake = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).double(), torch.tensor([[0.0, 0.0], [0.0, 1.0]]).double()
    batch = Batch(real, None, real, fake, gan.noise)
    terms = gan.d_turn(gan.bind(batch), batch)
    assert {name: value.item() for name, value in terms.items()} == pytest.approx({
        "adversarial": (math.log(1 + math.exp(-3)) + math.log(1 + math.exp(4))) / 2,
        "gradient_penalty": 1.25,
        "gradient_penalty_2": 1.25,
    })  # fmt: skip
    # each penalty has the slope γ w; that of the rest is -E σ(-m)(x - G(z))
    (slope,) = torch.autograd.grad(sum(terms.values()), gan.discriminator.w)
    assert slope.tolist() == pytest.approx([0.6 - sigmoid(-3) / 2, 0.8 + sigmoid(4) / 2])


def test_a_relativistic_gan_refuses_other_names() -> None:
    with pytest.raises(ValueError, match=r"RelativisticGAN: unknown mode 'mean'; choose from pairing, average"):
        make(RelativisticGAN, mode="mean")
    with pytest.raises(ValueError, match=r"unknown f 'wasserstein'; choose from logistic, least_squares, hinge"):
        make(RelativisticGAN, f="wasserstein")


@pytest.mark.parametrize("cls", [MinimaxGAN, NSGAN, DRAGAN], ids=lambda c: c.__name__)
@pytest.mark.parametrize("logit", [-1000.0, -40.0, 40.0, 1000.0])
def test_log_losses_stay_finite_at_any_logit(cls: type[GAN], logit: float) -> None:
    gan = make(cls)
    score = torch.tensor([logit], requires_grad=True)
    for loss in (gan.d_loss(score, score), gan.g_loss(score)):
        assert loss.isfinite()
        assert torch.autograd.grad(loss, score)[0].isfinite().all()


@pytest.mark.parametrize("logit", [-10.0, -20.0, -40.0])
def test_minimax_gradient_vanishes_where_the_other_does_not(logit: float) -> None:
    slopes = []
    for cls in (MinimaxGAN, NSGAN):
        score = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
        slopes.append(torch.autograd.grad(make(cls).g_loss(score), score)[0].item())
    assert slopes[0] == pytest.approx(-sigmoid(logit), rel=1e-9)
    assert abs(slopes[0]) < 5e-5
    assert slopes[1] == pytest.approx(-1, abs=5e-5)


def test_losses_at_equilibrium() -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    assert make(MinimaxGAN).d_loss(zero, zero).item() == pytest.approx(2 * LN2)
    assert make(MinimaxGAN).g_loss(zero).item() == pytest.approx(-LN2)
    assert make(HingeGAN).d_loss(zero, zero).item() == 2
    assert make(HingeGAN).g_loss(zero).item() == 0
    half = zero + 0.5
    assert make(LSGAN).d_loss(half, half).item() == pytest.approx(1 / 4)
    assert make(LSGAN).g_loss(half).item() == pytest.approx(1 / 8)


def test_lsgan_at_its_optimal_discriminator_is_half_the_pearson_divergence() -> None:
    """Mao et al. 2017, equation 8, for N(0, 1) and N(1.5, 1), by quadrature: 2 C(G) = χ² = 0.7614659."""
    x = torch.linspace(-12, 14, 40001, dtype=torch.float64)
    real, fake = (torch.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0, 1.5))
    optimal = (real - fake) / (real + fake)  # a = -1, b = 1
    gan = make(LSGAN, a=-1.0, b=1.0, c=0.0)
    each = torch.stack([gan.g_loss(d[None]) for d in optimal])
    cost = torch.trapezoid(each * (real + fake), x)
    assert 2 * cost.item() == pytest.approx(0.7614659, abs=1e-6)


class Linear(nn.Module):
    """score = ⟨w, x⟩ + 7."""

    num_classes = None

    def __init__(self, w: list[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w + 7


def penalty_of(gan: GAN, *, generator_shift: float = 0.0) -> torch.Tensor:
    torch.manual_seed(0)
    real = torch.randn(5, 2, dtype=torch.float64)
    batch = gan.deal((real, torch.zeros(5)), graph=False)
    object.__setattr__(batch, "fake", batch.fake + generator_shift)
    critic = gan.bind(batch)
    outputs = critic(batch.real, "real"), critic(batch.fake, "fake")
    return gan.d_terms(critic, batch, *outputs)["gradient_penalty"]


@pytest.mark.parametrize(
    ("cls", "kwargs", "value", "slope"),
    [
        # w = (3, 4), ‖w‖ = 5, λ = 10: 10·(5-1)² = 160, 2·10·(5-1)·w/5 = (48, 64)
        (WGANGP, {}, 160.0, [48.0, 64.0]),
        (WGANGP, {"one_sided": True}, 160.0, [48.0, 64.0]),
        (WGANGP, {"gp_weight": 0.1}, 1.6, [0.48, 0.64]),
        (DRAGAN, {}, 160.0, [48.0, 64.0]),
        (DRAGAN, {"k": 2.0}, 90.0, [36.0, 48.0]),
        (DRAGAN, {"neighbourhood": "near_real_gaussian"}, 160.0, [48.0, 64.0]),
        # max(0, 25 - 1)·10 = 240, slope 2·10·w
        (DRAGAN, {"one_sided": True}, 240.0, [60.0, 80.0]),
    ],
)
def test_penalty_is_exact_on_a_linear_critic(cls, kwargs, value, slope) -> None:
    gan = cls(MLPGenerator((2,), width=4).double(), Linear([3.0, 4.0]), **kwargs)
    penalty = penalty_of(gan)
    assert penalty.item() == pytest.approx(value, rel=1e-12)
    (gradient,) = torch.autograd.grad(penalty, gan.discriminator.w)
    assert gradient.tolist() == pytest.approx(slope, rel=1e-12)


def test_one_sided_penalties_leave_gentle_critics_alone() -> None:
    for cls in (WGANGP, DRAGAN):
        gan = cls(MLPGenerator((2,), width=4).double(), Linear([0.3, 0.4]), one_sided=True)
        assert penalty_of(gan).item() == 0
        two_sided = cls(MLPGenerator((2,), width=4).double(), Linear([0.3, 0.4]))
        assert penalty_of(two_sided).item() == pytest.approx(10 * 0.25)


def test_dragan_looks_near_the_data_only() -> None:
    generator, critic = MLPGenerator((2,), width=8), MLPDiscriminator((2,), width=8)
    dragan = DRAGAN(generator, critic).double()
    wgan_gp = WGANGP(generator, critic).double()
    assert penalty_of(dragan) == penalty_of(dragan, generator_shift=3.0)
    assert penalty_of(wgan_gp) != penalty_of(wgan_gp, generator_shift=3.0)


def test_wgan_gp_on_a_linear_critic_finds_the_closed_form_optimum() -> None:
    """‖w*‖ = 1 + ‖Δμ‖/(2λ), L_D = -‖Δμ‖ - ‖Δμ‖²/(4λ), for Δμ = (3, 4), λ = 10: 1.25 and -5.625."""
    gan = WGANGP(MLPGenerator((2,), width=4).double(), Linear([0.1, 0.2]))
    delta = torch.tensor([3.0, 4.0], dtype=torch.float64)
    real, fake = torch.zeros(4, 2, dtype=torch.float64) + delta, torch.zeros(4, 2, dtype=torch.float64)
    optimizer = torch.optim.SGD(gan.discriminator.parameters(), lr=0.04)
    for _ in range(300):
        batch = gan.deal((real,), graph=False)
        object.__setattr__(batch, "fake", fake)
        terms = gan.d_turn(gan.bind(batch), batch)
        loss = sum(terms.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert gan.discriminator.w.norm().item() == pytest.approx(1.25, abs=1e-9)
    assert loss.item() == pytest.approx(-5.625, abs=1e-9)


def test_began_moves_k_by_its_closed_form() -> None:
    gan = make(BEGAN, gamma=0.5, lambda_k=1e-3)
    two, half = torch.tensor(2.0).double(), torch.tensor(0.5).double()
    # k = 0 + 1e-3·(0.5·2 - 0.5) = 5e-4;  M = 2 + |0.5·2 - 0.5| = 2.5
    assert gan.update_k(two, half).item() == pytest.approx(2.5)
    assert gan.k.item() == pytest.approx(5e-4)
    for _ in range(3):
        gan.update_k(two, half)
    assert gan.k.item() == pytest.approx(2e-3)
    gan.update_k(half, two)  # 0.25 - 2 = -1.75
    assert gan.k.item() == pytest.approx(2e-3 - 1.75e-3)
    gan.update_k(half, two)
    assert gan.k.item() == 0
    gan.lambda_k = 10.0
    gan.update_k(two, half)
    assert gan.k.item() == 1


def test_began_weighs_fakes_by_k_and_is_still_at_the_ratio_gamma() -> None:
    gan = make(BEGAN, gamma=0.25)
    gan.k.fill_(0.5)
    real, fake = torch.tensor([1.0, 3.0]).double(), torch.tensor([2.0, 4.0]).double()
    assert gan.d_loss(real, fake).item() == pytest.approx(2 - 0.5 * 3)
    gan.update_k(torch.tensor(4.0).double(), torch.tensor(1.0).double())
    assert gan.k.item() == 0.5


def test_began_draws_latents_from_the_cube() -> None:
    gan = make(BEGAN)
    z = gan.sample_latent(4000, gan.noise)
    assert -1 <= z.min() < -0.99
    assert 0.99 < z.max() < 1
    assert z.var().item() == pytest.approx(1 / 3, abs=0.005)
