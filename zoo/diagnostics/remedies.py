"""The lectures' remedies for a pathology, without those that a run has already."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

DIMINISHED, COLLAPSE, DROPPING = "diminished gradient", "mode collapse", "mode dropping"
OSCILLATION, DIVERGENCE = "non-convergence (oscillation)", "non-convergence (divergence)"
OVERFITTING = "overfitting of D"
PATHOLOGIES = (DIMINISHED, COLLAPSE, DROPPING, OSCILLATION, DIVERGENCE, OVERFITTING)
_TOLD = 3  # remedies at a time


class Remedy(NamedTuple):
    """One of them."""

    text: str
    unless: frozenset[str] = frozenset()  # what makes it pointless, by names as `zoo.diagnostics.reader.uses` has them
    where: frozenset[str] = frozenset()  # what it is for, empty for any game


def _remedy(text: str, *, unless: str = "", where: str = "") -> Remedy:
    return Remedy(text, frozenset(unless.split()), frozenset(where.split()))


_PENALISED = "GradientPenalty WGANGP DRAGAN"
_WASSERSTEIN = "WGAN WGANGP"
_ENERGIES = "EBGAN BEGAN"
_FIELD = "Consensus GradientRegularized"

REMEDIES: dict[str, tuple[Remedy, ...]] = {
    DIMINISHED: (
        _remedy("the non-saturating loss (NSGAN)", where="saturates", unless="NSGAN"),
        _remedy("a Wasserstein loss with a penalty (WGANGP)", unless=f"WGANGP {_ENERGIES}"),
        _remedy("instance noise (InstanceNoise)", unless="InstanceNoise"),
        _remedy("a gradient penalty on D (GradientPenalty)", unless=f"{_PENALISED} {_ENERGIES}"),
        _remedy("a lower margin", where="EBGAN"),
        _remedy("a wider box for D's weights (clip)", where="WGAN"),
        _remedy("a discriminator that moves less often or more slowly (Balanced, d_optimizer.lr)", unless="Balanced"),
        _remedy("spectral normalisation (SpectralNorm)", unless="SpectralNorm"),
        _remedy("a lower learning rate of D (d_optimizer.lr)"),
    ),
    COLLAPSE: (
        _remedy("the pulling-away term (pt_weight: 0.1)", where="EBGAN"),
        _remedy("a higher gamma, which asks for more diversity", where="BEGAN"),
        _remedy("unrolling (UnrolledGAN, Unrolled)", unless=f"Unrolled {_ENERGIES}"),
        _remedy("minibatch discrimination (MinibatchDiscrimination)", unless=f"MinibatchDiscrimination {_ENERGIES}"),
        _remedy("a gradient penalty near the data (DRAGAN)", unless=f"{_PENALISED} {_ENERGIES}"),
        _remedy("mode regularisation (MDGAN)", unless="MDGAN RegularizedGAN"),
        _remedy("instance noise (InstanceNoise)", unless="InstanceNoise"),
        _remedy("a Wasserstein loss with a penalty (WGANGP)", unless=f"WGANGP {_ENERGIES}"),
        _remedy("a lower learning rate of G (g_optimizer.lr)"),
    ),
    DROPPING: (
        _remedy("several samples at once for D (Packed)", unless=f"Packed {_ENERGIES}"),
        _remedy("mode regularisation (MDGAN)", unless="MDGAN RegularizedGAN"),
        _remedy("a gradient penalty near the data (DRAGAN)", unless=f"{_PENALISED} {_ENERGIES}"),
        _remedy("unrolling (UnrolledGAN, Unrolled)", unless=f"Unrolled {_ENERGIES}"),
        _remedy("minibatch discrimination (MinibatchDiscrimination)", unless="MinibatchDiscrimination"),
        _remedy("labels, if there are any (conditional: true)"),
    ),
    OSCILLATION: (
        _remedy("consensus optimisation (Consensus)", unless=f"{_FIELD} {_ENERGIES} MDGAN VAEGAN"),
        _remedy("a gradient penalty on D (GradientPenalty)", unless=f"{_PENALISED} {_ENERGIES}"),
        _remedy("unrolling (Unrolled)", where="saturates", unless="Unrolled"),
        _remedy("an average of G's weights (ema_decay)", unless="ema"),
        _remedy("rates that fall to 0 (schedules.Linear)", unless="schedule"),
        _remedy("less momentum (beta1) and lower learning rates"),
        _remedy("historical averaging (HistoricalAveraging)", unless="HistoricalAveraging"),
    ),
    DIVERGENCE: (
        _remedy("a bound on the critic: a gradient penalty (WGANGP) or clipped weights (clip)", where=_WASSERSTEIN),
        _remedy("lower learning rates"),
        _remedy("a limit on gradients (clip_norm)", unless="clip_norm"),
        _remedy("spectral normalisation (SpectralNorm)", unless="SpectralNorm"),
        _remedy("a gradient penalty on D (GradientPenalty)", unless=f"{_PENALISED} {_ENERGIES}"),
        _remedy("a smaller lambda_k", where="BEGAN"),
        _remedy("moves in turn instead of at once (Alternating)", where="Simultaneous"),
    ),
    OVERFITTING: (
        _remedy("augmentation (AdaptiveAugment, DiffAugment)", unless="AdaptiveAugment DiffAugment"),
        _remedy("fine-tuning a trained GAN (python -m zoo finetune)", unless="init_from"),
        _remedy("mirrored images (data.flip)"),
        _remedy("a penalty on D at real images (R1)", unless=f"{_PENALISED} {_ENERGIES}"),
        _remedy("fewer kimg: the best checkpoint (best.ckpt)"),
    ),
}


def advice(pathology: str, uses: Collection[str]) -> str:
    """At most three remedies in a sentence, none that the run has; `uses` is from `zoo.diagnostics.reader.uses`."""
    used = set(uses)
    apt = [r.text for r in REMEDIES[pathology] if not r.unless & used and (not r.where or r.where & used)][:_TOLD]
    return f"try {', '.join(apt[:-1])} or {apt[-1]}" if len(apt) > 1 else f"try {apt[0]}"
