"""Scores by name, and the computation of several at once."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.metrics._checks import Estimate
from zoo.metrics.authenticity import authpct
from zoo.metrics.features.base import Features
from zoo.metrics.frechet import frechet_distance, frechet_infinity
from zoo.metrics.inception import inception_score
from zoo.metrics.kernel import kernel_distance
from zoo.metrics.prdc import neighbourhoods

INCEPTION = "inception-v3-compat"
SCORES = ("fd", "fd_inf", "kd", "is", "prdc", "authpct")
USUAL = ("fd", "kd", "is", "prdc")  # without those that take long
_PUBLISHED = {"fd": "fid", "fd_inf": "fid_inf", "kd": "kid", "is": "is"}  # only in the features that papers use
_SUBSET = 1000  # rows of a subset of the kernel distance, as in published KIDs
_SUBSETS, _SPLITS, _SPLIT_ROWS = 100, 10, 100


def score_name(score: str, extractor: str) -> str:
    """`fid`, `kid` and `is` in the features of Inception v3, else `fd/<extractor>` and so on."""
    if extractor == INCEPTION:
        return _PUBLISHED.get(score, score)
    return f"{score}/{extractor}"


def check_scores(requested: Iterable[str], extractor: str) -> tuple[str, ...]:
    """The wanted scores, `fid`, `fid_inf` and `kid` under their general names fd, fd_inf and kd.

    Raises ValueError for an unknown one, and for these three in other features than Inception v3's.
    """
    general = {published: score for score, published in _PUBLISHED.items()}
    chosen = []
    for name in requested:
        score = general.get(name, name)
        if score not in SCORES:
            raise ValueError(f"unknown score {name!r}, choose from {', '.join(SCORES)}, fid, fid_inf and kid")
        if name != score and extractor != INCEPTION:
            raise ValueError(f"{name} is a score in the features of {INCEPTION}; in those of {extractor} it is {score}")
        chosen.append(score)
    return tuple(chosen)


def compare(
    real: Features, fake: Features, requested: Iterable[str], extractor: str, train: Features | None = None
) -> dict[str, float]:
    """The wanted scores of generated against real images, by name.

    - `fd`: :func:`frechet_distance`.
    - `fd_inf`: :func:`frechet_infinity`.
    - `kd`: :func:`kernel_distance` over 100 subsets of 1,000 rows, or of all rows once if there are fewer than that;
      `.../std` is its standard deviation over subsets.
    - `is`: :func:`inception_score` of the fakes in 10 parts, of at least 100 rows each, with its `.../std`; left out
      where the extractor does not classify.
    - `prdc`: `precision`, `recall` (k = 3), `density`, `coverage` (k = 5).
    - `authpct`: :func:`authpct` of the fakes against `train`, and `authpct/..._real`, the same of the real images.

    Args:
        real: features of real images.
        fake: features of generated ones.
        requested: of `SCORES`.
        extractor: the name of what made the features.
        train: features of all training images, for authpct; the real images are then held-out ones.
    """
    values: dict[str, float] = {}
    x, y = real.features, fake.features
    for score in requested:
        name = score_name(score, extractor)
        if score == "fd":
            values[name] = frechet_distance(y, x).item()
        elif score == "fd_inf":
            values[name] = frechet_infinity(y, x).item()
        elif score == "authpct" and train is not None:
            values |= {name: authpct(train.features, y).item(), f"{name}_real": authpct(train.features, x).item()}
        elif score == "kd":
            if min(len(x), len(y)) > _SUBSET:
                values |= _with_std(name, kernel_distance(x, y, subsets=_SUBSETS, subset_size=_SUBSET))
            else:
                values[name] = float(kernel_distance(x, y))
        elif score == "is" and fake.logits is not None:
            p, splits = fake.logits.double().softmax(1), min(_SPLITS, len(y) // _SPLIT_ROWS)
            if splits > 1:
                values |= _with_std(name, inception_score(p, splits))
            else:
                values[name] = float(inception_score(p, 1))
        elif score == "prdc":
            values |= {score_name(n, extractor): float(v) for n, v in neighbourhoods(x, y)._asdict().items()}
    return values


def _with_std(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: float(estimate.mean), f"{name}/std": float(estimate.std)}
