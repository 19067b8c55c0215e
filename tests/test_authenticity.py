"""Scores that extrapolate, that tell copies from new samples, and clean resizing: against reference implementations."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import linalg
from torch import Tensor

from zoo.metrics import authpct, frechet_distance, frechet_infinity, memorises
from zoo.metrics.features.resizing import clean_resize


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_authpct_by_hand() -> None:
    """Training points 0, 1, 5 on a line: their nearest others are at 1, 1 and 4."""
    train = torch.tensor([[0.0], [1.0], [5.0]])
    x = torch.tensor([[0.0], [-0.5], [-1.5], [8.0], [10.0]])  # 0 and 0.5 from 0; 1.5 from 0; 3 and 5 from 5
    assert authpct(train, x).item() == pytest.approx(100 * 2 / 5)
    assert authpct(train, train).item() == 0
    twins = torch.tensor([[0.0], [0.0], [3.0]])  # a copy beside it is nearer than any sample
    assert authpct(twins, torch.tensor([[0.1], [2.9]])).item() == 50


def test_authpct_is_the_reference_implementation_s() -> None:
    """That of marcojira/fls and dgm-eval, written out."""
    train, x = drawn(300, 5), torch.cat([drawn(40, 5, seed=1), drawn(300, 5)[:20] + 0.01])
    between, gaps = torch.cdist(train, train), torch.cdist(train, x)
    between.fill_diagonal_(torch.inf)
    least = gaps.min(0)
    expected = 100 * (between.min(0).values[least.indices] < least.values).double().mean()
    assert 0 < expected < 100
    assert authpct(train, x).item() == pytest.approx(expected.item(), abs=1e-12)
    assert authpct(train.float(), x.float().flip(0)).item() == pytest.approx(expected.item(), abs=1e-12)


def test_copies_are_told_from_new_samples_of_the_same_law() -> None:
    train, held_out, new = drawn(2000, 6), drawn(500, 6, seed=1), drawn(500, 6, seed=2)
    copies = train[:500] + 0.05 * drawn(500, 6, seed=3)
    fresh, real, copied = (authpct(train, x).item() for x in (new, held_out, copies))
    assert copied < 5 < 30 < real
    assert not memorises(fresh, real, 500, 500)
    assert memorises(copied, real, 500, 500)
    # standard error of the difference of 50 % and 40 %: √(0.25/100 + 0.24/100) = 7 %, of which three are 21 %
    assert not memorises(40, 60, 100, 100)
    assert memorises(37, 60, 100, 100)


def reference_infinity(x: np.ndarray, y: np.ndarray, sizes: list[int], parts: list[np.ndarray]) -> float:
    """dgm-eval's: scipy's matrix root, numpy's line."""
    found = []
    for part in parts:
        root = linalg.sqrtm(np.cov(part, rowvar=False) @ np.cov(y, rowvar=False)).real
        spread = np.trace(np.cov(part, rowvar=False) + np.cov(y, rowvar=False) - 2 * root)
        found.append(((part.mean(0) - y.mean(0)) ** 2).sum() + spread)
    return np.polyfit(1 / np.array(sizes), found, 1)[1]


def test_frechet_infinity_is_the_reference_implementation_s_on_the_same_parts(monkeypatch) -> None:
    """Parts are the first rows here, so that both take the same."""
    x, y = drawn(400, 4), 1.2 * drawn(500, 4, seed=1) + 0.3
    monkeypatch.setattr("zoo.metrics.frechet.in_order", lambda rows: rows)
    monkeypatch.setattr("torch.randperm", lambda n, generator: torch.arange(n))
    sizes = np.linspace(40, 400, 15).astype(int).tolist()
    expected = reference_infinity(x.numpy(), y.numpy(), sizes, [x.numpy()[:n] for n in sizes])
    assert frechet_infinity(x, y).item() == pytest.approx(expected, rel=1e-8)


def test_extrapolation_removes_the_bias_of_few_samples() -> None:
    """Of one law the distance is 0, of 1,000 of its samples more."""
    y = drawn(20_000, 8, seed=99)
    plain, extrapolated = [], []
    for seed in range(20):
        x = drawn(1000, 8, seed=seed)
        plain.append(frechet_distance(x, y).item())
        extrapolated.append(frechet_infinity(x, y).item())
    assert np.mean(plain) > 0.02
    assert abs(np.mean(extrapolated)) < np.mean(plain) / 4
    assert frechet_infinity(x, y).item() == pytest.approx(frechet_infinity(x.flip(0), y).item(), abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_infinity(drawn(2, 3), drawn(9, 3)), "at least 3 samples"),
        (lambda: frechet_infinity(drawn(9, 3), drawn(9, 3), sizes=1), "sizes must be at least 2"),
        (lambda: authpct(drawn(1, 3), drawn(9, 3)), "at least 2 training images"),
        (lambda: authpct(drawn(9, 3), drawn(9, 4)), r"\(N, D\) and \(M, D\)"),
    ],
)
def test_impossible_sets_are_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 299), (400, 320, 224), (28, 28, 32)])
def test_clean_resizing_is_pillow_s_bicubic_on_floats(height: int, width: int, size: int) -> None:
    """As clean-fid calls it: one channel at a time, mode F, clipped; the sharp edges overshoot."""
    pixels = (drawn(2, 3, height, width) > 0).float() * 255
    ours = clean_resize(pixels, size)
    for i in range(2):
        for c in range(3):
            theirs = Image.fromarray(pixels[i, c].numpy(), mode="F").resize((size, size), resample=Image.BICUBIC)
            np.testing.assert_allclose(ours[i, c].numpy(), np.asarray(theirs).clip(0, 255), atol=2e-2)
    assert ours.max() == 255
    assert (ours == 255).sum() > 1
