"""The lab's experiments at full size: what they claim, on seeds other than those that the tolerances are from.

Minutes long. The tolerances are from seeds 0, 1 and 3, and wider than what these spread over.
"""

import json
import math
from functools import cache
from statistics import median

import pytest

from zoo import lab

SEED = 4
pytestmark = pytest.mark.slow


@cache
def numbers(name: str, seed: int = SEED) -> dict:
    report = lab.perform(name, seed=seed)
    print(f"\n{report}")
    json.loads(report.as_json())
    return report.result.numbers


def test_divergences() -> None:
    seen = numbers("divergences")
    assert seen["KL"] == pytest.approx([m * m / 2 for m in seen["mu"]])
    assert seen["JS"][-1] == pytest.approx(0.693147, abs=1e-6)
    assert max(seen["d JS / d mu"]) == pytest.approx(0.225, abs=0.001)
    assert seen["d JS / d mu"][-1] < 1e-48
    mean, std, left = seen["fit by JS: mean, std, divergence"]
    assert (mean, std**2, left) == pytest.approx((0, 9.73, 0.1284), abs=0.01)


def test_oscillation() -> None:
    seen = numbers("oscillation")
    for name in lab.experiment("oscillation").predicted():
        assert seen[f"{name}: factor per step"] == pytest.approx(seen[f"{name}: spectral radius"], abs=2e-4)
    assert seen["simultaneous: distance at the end"] == pytest.approx(4.448, abs=0.01)
    assert seen["alternating: spread of x² + y² + hxy"] < 1e-12
    assert seen["average of alternating: distance at the end"] < 0.1
    assert seen["historical averaging: distance at the end"] < 0.4
    assert seen["unrolled: distance at the end"] == pytest.approx(seen["gradient-regularised: distance at the end"])
    assert seen["consensus: distance at the end"] < seen["unrolled: distance at the end"] < 1e-5
    assert seen["extragradient: distance at the end"] == pytest.approx((1 - 0.1**2 + 0.1**4) ** 150)
    assert seen["lookahead: distance at the end"] == pytest.approx(abs(0.5 + 0.5 * (1 - 0.1j) ** 5) ** 60)
    assert seen["optimistic: distance at the end"] < seen["extragradient: distance at the end"] < 0.25


def test_rock_paper_scissors() -> None:
    seen = numbers("rock-paper-scissors")
    assert seen["best reply to the lecture's mix wins"] == pytest.approx(0.04)
    start, end = {}, {}
    for name in lab.experiment("rock-paper-scissors").COLOURS:
        start[name], end[name] = seen[f"{name}: distance, start and end"]
    for name in ("simultaneous", "hedge"):
        assert end[name] > 2 * start[name]
    assert 0.5 < end["alternating"] / start["alternating"] < 2
    assert end["average of hedge"] < 0.06
    for name in ("consensus", "gradient-regularised", "unrolled", "optimistic hedge"):
        assert end[name] < 0.02 * start[name]


def test_noise() -> None:
    seen = numbers("noise")
    assert seen["their JS (nats)"] == sorted(seen["their JS (nats)"], reverse=True)
    assert seen["pull"][0] < 1e-40
    assert max(seen["pull"]) == seen["pull"][3]
    assert seen["pull on a noisy sample / (2 dJS/dθ)"] == pytest.approx(1, abs=1e-6)
    assert seen["bound of theorem 3.3 / W₁, least"] > 1
    assert seen["distance without noise"] > 2.5
    assert seen["distance with noise"] < 0.2


def test_two_gaussians() -> None:
    """At -8, -4, -2, 0, 2, 4, 8."""
    seen = numbers("two-gaussians")
    discriminator = [abs(slope) for slope in seen["slope of the discriminator"]]
    assert discriminator[3] > 1
    assert max(discriminator[2], discriminator[4]) < 1e-3
    assert max(discriminator[0], discriminator[6]) < 1e-10
    assert seen["slope of the critic, gradient penalty"][2:5] == pytest.approx([-1.2] * 3, abs=0.15)
    assert seen["W₁ by the penalised critic"] == pytest.approx(4.8, abs=0.2)
    clipped = [abs(slope) for slope in seen["slope of the critic, clipping"]]
    assert 1e-4 < min(clipped) < max(clipped) < 1e-2


def test_inner_outer() -> None:
    """Of seeds 0 to 6 one, seed 4, leaves the min-max game with 5 modes, and all others with 8: a median of three."""
    runs = [numbers("inner-outer", seed) for seed in (SEED, SEED + 1, SEED + 2)]
    assert median(seen["min over G, max over D: modes at the end, of 8"] for seen in runs) >= 7
    assert median(seen["the same, -log D: modes at the end, of 8"] for seen in runs) <= 7
    for seen in runs:
        assert seen["max over D, min over G: modes, mean of the second half"] <= 2
        assert seen["D held: modes at the end, of 8"] == 1
        assert seen["D held: spread at 25%, 50%, 75%, 100%"][-1] < 0.05


def test_lipschitz() -> None:
    seen = numbers("lipschitz")
    assert seen["c = 0.1: factor per layer, backwards"] > 3
    assert seen["c = 0.01: factor per layer, backwards"] < 0.2
    assert seen["c = 0.001: factor per layer, backwards"] < 0.02
    assert seen["gradient penalty: factor per layer, backwards"] == pytest.approx(1, abs=0.1)
    assert seen["gradient penalty: slope of the critic"] == pytest.approx(1, abs=0.15)
    assert seen["c = 0.01: share of weights at a bound"] > 0.7
    for c in ("0.1", "0.01", "0.001"):
        assert seen[f"c = {c}: slope of the critic"] < seen[f"c = {c}: largest possible slope"]


def test_value_surfaces() -> None:
    seen = numbers("value-surfaces")
    hills, basin = seen["8 Gaussians, penalty: modes above half way and centre (σ)"]
    assert hills > 0.35
    assert basin > 0.4
    flat, top = seen["8 Gaussians, clipping: modes above half way and centre (σ)"]
    assert abs(flat) < 0.25
    assert top < -0.5
    for title in ("8 Gaussians", "25 Gaussians", "Swiss roll"):
        by_penalty, by_clipping = (
            seen[f"{title}, {how}: data above their surroundings"] for how in ("penalty", "clipping")
        )
        assert by_penalty > by_clipping + 0.05
        assert seen[f"{title}, clipping: share of weights at a bound"] > 0.7
        assert seen[f"{title}, clipping: slope"] < 0.05


def test_perfect_discriminator() -> None:
    seen = numbers("perfect-discriminator")
    for steps in (100, 1000, 2500):
        error, loss, slope, between = (
            seen[f"G of {steps} steps: {what}"] for what in ("error", "loss", "slope at samples", "slope half way")
        )
        assert error[0] > 0.3
        assert max(error[5:]) < 0.002  # from step 200 on
        assert loss[-1] < 1e-4
        assert seen[f"G of {steps} steps: least JS"][-1] == pytest.approx(math.log(2), abs=1e-4)
        assert slope[-1] < max(slope) / 100
        assert between[-1] == max(between) > 1


def test_vanishing_gradient() -> None:
    seen = numbers("vanishing-gradient")
    for steps in (100, 1000, 2500):
        assert seen[f"G of {steps} steps: orders of magnitude from the peak"] > 2.7
        assert seen[f"G of {steps} steps: M"] == pytest.approx(8, abs=1)
        assert 0.005 < seen[f"G of {steps} steps: gradient / bound, most"] < 0.2
        assert seen[f"G of {steps} steps: ε"][-1] < 0.2
    assert seen["G of 100 steps: orders of magnitude from the peak"] > 4
    assert max(seen["G of 2500 steps: ε"]) > 1


def test_unstable_gradient() -> None:
    seen = numbers("unstable-gradient")
    assert seen["gradient of -log D"] == pytest.approx(seen["gradient of KL - 2 JS"], abs=1e-6)
    for n in (1, 10, 100):
        median, half = seen[f"noise, mean of {n}: median, half the quartiles' distance"]
        assert median == pytest.approx(0, abs=0.05)
        assert half == pytest.approx(2, abs=0.05)
    assert seen["noise of theorem 2.6: 99 % lie within, in medians"] == pytest.approx(63.7, rel=0.1)
    for steps in (100, 1000, 2500):
        gradient, deviation = (
            seen[f"G of {steps} steps: {what}"] for what in ("gradient", "deviation between batches")
        )
        assert gradient[-1] > 100 * gradient[0]
        assert deviation[-1] > 80 * deviation[0]
        assert 0.05 < deviation[-1] / gradient[-1] < 0.4
        assert 3.3 < seen[f"G of {steps} steps: 99 % lie within, in medians"] < 5


GENERATORS = ("DCGAN", "no batch norm", "MLP")


def test_wasserstein_tracks_quality() -> None:
    """Seeds 0 to 2: correlations of 0.96 to 0.98, 0.46 to 0.75 detrended, 0.86 to 0.95 over the whole run."""
    seen = numbers("wasserstein-tracks-quality")
    assert seen["W₁ of two draws of the data"] < 0.2
    assert seen["-log D: exact W₁"][-1] > 1.5
    assert seen["-log D: rank correlation, loss of G"] < 0.5
    assert seen["WGAN-GP: rank correlation, estimate of W₁"] > 0.85
    assert seen["WGAN-GP: rank correlation, detrended"] > 0.2
    assert seen["WGAN-GP: exact W₁"][-1] < 0.4


def test_mode_collapse() -> None:
    """The tolerances are from the five seeds of docs/ring.md, of which any but one or two cover the ring."""
    seen = numbers("mode-collapse", 5)
    modes = {name.split(":")[0]: value for name, value in seen.items() if "modes at" in name}
    for plain in ("minimax", "-log D"):
        assert max(modes[plain]) <= 2
    assert seen["-log D: different modes over these"] < seen["minimax: different modes over these"] + 1
    ends = {name: each[-1] for name, each in modes.items() if name not in ("minimax", "-log D")}
    assert len(ends) == 7
    assert sum(end >= 6 for end in ends.values()) >= 5


def test_robustness() -> None:
    """The GAN's MLP collapses, the WGAN's does not and is bad; the tolerances are wide."""
    seen = numbers("robustness")
    spread, distance = (
        {case: seen[f"{case}: {what}"] for case in (f"{game}, {net}" for game in ("GAN", "WGAN") for net in GENERATORS)}
        for what in ("spread of samples / of data", "Fréchet distance")
    )
    assert spread["GAN, MLP"] < 0.3
    assert all(each > 0.7 for case, each in spread.items() if case != "GAN, MLP")
    assert distance["GAN, MLP"] > distance["WGAN, MLP"] > distance["WGAN, no batch norm"] > distance["WGAN, DCGAN"] - 3
    assert max(distance[case] for case in ("GAN, DCGAN", "WGAN, DCGAN")) < 20
    assert distance["GAN, no batch norm"] > distance["GAN, DCGAN"]


def test_manifolds() -> None:
    seen = numbers("manifolds")
    assert seen["rank of samples, of 64"] == seen["latents"] == [2, 8, 32]
    assert 5 < seen["intrinsic dimension of the 8x8 digits, of 64"] < 10
    assert seen["crossing: exponent of the share within ε"] == pytest.approx(1, abs=0.01)
    assert seen["touching: exponent of the share within ε"] == pytest.approx(0.5, abs=0.01)
    assert seen["theorem 3.1: total variation from counts"] < 0.01


def test_encoders() -> None:
    """All five learn the digits; those with an encoder rebuild held-out ones: one picture for all is off by 0.46."""
    seen = numbers("encoders")
    assert max(value for name, value in seen.items() if name.endswith(": Fréchet distance")) < 20
    errors = {name: value for name, value in seen.items() if "reconstructions" in name}
    assert len(errors) == 4
    assert max(errors.values()) < 0.4
