"""LeCam regularisation against numbers worked out by hand."""

import pytest
import torch
from torch import Tensor

from tests.games import fit, networks, points
from tests.test_loss_table import make
from zoo.noise import Noise
from zoo.stabilizers import LeCam
from zoo.types import Output, Terms, Turn
from zoo.variants import variants
from zoo.variants.ebgan import EBGAN
from zoo.variants.mdgan import MDGAN
from zoo.variants.nsgan import NSGAN

REAL, FAKE = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 2.0])


class Scores:
    """What `after_turn` reads of a game whose D said this."""

    def __init__(self, real: Tensor, fake: Tensor) -> None:
        self.outputs = {"d": {"real": Output(real, {}), "fake": Output(fake, {})}}
        self.latest: dict[str, Tensor] = {}


def moved(lecam: LeCam, real: Tensor, fake: Tensor, *, kimg: float = 1.0) -> tuple[float, float]:
    lecam.perturb(real, role="real", kimg=kimg, noise=Noise(0))
    lecam.after_turn(Turn("g", ("g",), None, side="g"), Scores(real, fake))  # G's move changes nothing
    lecam.after_turn(Turn("d", ("d",), None, side="d"), Scores(real, fake))
    return lecam.real.item(), lecam.fake.item()


def term(lecam: LeCam, real: Tensor = REAL, fake: Tensor = FAKE) -> Tensor:
    terms: Terms = lecam.d_terms(None, None, Output(real, {}), Output(fake, {}))
    return terms["lecam"]


def test_the_penalty_and_its_gradient() -> None:
    lecam = LeCam(weight=0.3)
    assert moved(lecam, torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.5])) == (1.5, 0.5)
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    # above 0.5: 0.5, 2.5; below 1.5: 2.5, none. 0.3 · ((0.25 + 6.25) / 2 + 6.25 / 2)
    value = term(lecam, real, fake)
    assert value.item() == pytest.approx(1.9125)
    value.backward()
    assert real.grad.tolist() == pytest.approx([0.15, 0.75])
    assert fake.grad.tolist() == pytest.approx([-0.75, 0.0])


def test_the_averages_begin_with_the_first_means() -> None:
    lecam = LeCam(decay=0.9)
    assert term(lecam).item() == 0  # nothing is known yet
    assert moved(lecam, REAL, FAKE) == pytest.approx((2, 0.5))
    assert moved(lecam, REAL + 2, FAKE - 2) == pytest.approx((2.2, 0.3))  # 0.9 · 2 + 0.1 · 4, 0.9 · 0.5 - 0.1 · 1.5


def test_a_score_that_is_not_finite_is_left_out() -> None:
    lecam = LeCam(decay=0.5)
    broken = torch.tensor([float("nan"), 0.0])
    moved(lecam, broken, FAKE)
    assert not lecam.known
    moved(lecam, REAL, FAKE)
    assert moved(lecam, REAL, broken) == (2, 0.5)


def test_until_the_start_it_follows_the_last_batch_and_adds_nothing() -> None:
    lecam = LeCam(decay=0.9, start_kimg=5)
    moved(lecam, REAL, FAKE, kimg=4)
    assert moved(lecam, REAL + 2, FAKE, kimg=4.9) == (4, 0.5)
    assert term(lecam).item() == 0
    assert moved(lecam, REAL, FAKE, kimg=5) == pytest.approx((3.8, 0.5))
    assert term(lecam).item() > 0


def test_in_a_game() -> None:
    """The averages are those of D's own moves, and the term is in D's loss."""
    means = []

    class Watched(NSGAN):
        def after_turn(self, turn: Turn) -> None:
            if turn.name == "d":
                means.append([float(self.outputs["d"][role].score.mean()) for role in ("real", "fake")])

    gan = Watched(*networks(), stabilizers=[LeCam(weight=2.0, decay=0.8)])
    fit(gan, points(5), log_every_n_steps=1)
    real, fake = means[0]
    for other in means[1:]:
        real, fake = 0.8 * real + 0.2 * other[0], 0.8 * fake + 0.2 * other[1]
    assert (float(gan.stabilizers[0].real), float(gan.stabilizers[0].fake)) == pytest.approx((real, fake), rel=1e-5)
    assert gan.latest["lecam/real"] == gan.stabilizers[0].real
    assert gan.latest["loss/d/lecam"] > 0
    torch.testing.assert_close(gan.latest["loss/d"], gan.latest["loss/d/adversarial"] + gan.latest["loss/d/lecam"])


@pytest.mark.parametrize("name", variants())
def test_every_objective_takes_it_or_refuses(name: str) -> None:
    try:
        gan = make(variants()[name], stabilizers=[LeCam()])
    except ValueError as error:
        assert "LeCam" in str(error)  # noqa: PT017
        return
    fit(gan, points(3, dtype=torch.float64))
    assert all(stabilizer.known for stabilizer in gan.stabilizers if isinstance(stabilizer, LeCam))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="EBGAN: LeCam needs scores that are higher on real images"):
        make(EBGAN, stabilizers=[LeCam()])
    with pytest.raises(ValueError, match="MDGAN: LeCam keeps the averages of one discriminator, and there are 2"):
        make(MDGAN, stabilizers=[LeCam()])
    for wrong in ({"weight": -1.0}, {"decay": 1.0}, {"start_kimg": -1.0}):
        with pytest.raises(ValueError, match=r"LeCam: weight and start_kimg .* decay in \[0, 1\)"):
            LeCam(**wrong)
