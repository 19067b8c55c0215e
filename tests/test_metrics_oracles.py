"""The numbers of torch-fidelity and torchmetrics, from the same features."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from zoo.metrics import frechet_distance, inception_score, kernel_distance, precision_recall

N, D = 300, 24


@pytest.fixture(scope="module")
def features() -> tuple[Tensor, Tensor]:
    """Rectified and correlated, as a network's are; in float32."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(D, D, generator=generator) / D**0.5
    real, fake = torch.randn(2, N, D, generator=generator)
    return (real @ mix).relu(), (1.1 * fake @ mix + 0.1).relu()


def quiet(kind: type, **kwargs: object):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features
        return kind(feature=Identity(), **kwargs)


class Identity(nn.Identity):
    num_features = D


def test_frechet_distance(features):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torchmetrics.image.fid import FrechetInceptionDistance

    real, fake = features
    theirs = fid_statistics_to_metric(*map(fid_features_to_statistics, features), verbose=False)
    assert frechet_distance(real, fake).item() == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)
    metric = quiet(FrechetInceptionDistance)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert frechet_distance(real, fake).item() == pytest.approx(metric.compute().item(), rel=1e-5)


def test_kernel_distance(features):
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torchmetrics.image.kid import KernelInceptionDistance

    real, fake = features
    ours = kernel_distance(real, fake)
    theirs = kid_features_to_metric(real, fake, kid_subsets=1, kid_subset_size=N, verbose=False)
    assert ours.mean.item() == pytest.approx(theirs["kernel_inception_distance_mean"], abs=1e-6)
    metric = quiet(KernelInceptionDistance, subsets=1, subset_size=N)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert ours.mean.item() == pytest.approx(metric.compute()[0].item(), abs=1e-6)


def test_kernel_distance_over_subsets(features):
    """Other subsets are drawn, so the means agree as far as both know them."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    real, fake = features
    ours = kernel_distance(real, fake, subsets=100, subset_size=100)
    theirs = kid_features_to_metric(real, fake, kid_subsets=100, kid_subset_size=100, verbose=False)
    mean, std = theirs["kernel_inception_distance_mean"], theirs["kernel_inception_distance_std"]
    assert ours.mean.item() == pytest.approx(mean, abs=4 * std / 50**0.5)
    assert ours.std.item() == pytest.approx(std, rel=0.3)


def test_inception_score(features):
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torchmetrics.image.inception import InceptionScore

    logits = features[0]
    p = logits.double().softmax(1)
    theirs = isc_features_to_metric(logits, splits=1)
    assert float(inception_score(p, splits=1)) == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    metric = quiet(InceptionScore, splits=1)
    metric.update(logits)
    assert float(inception_score(p, splits=1)) == pytest.approx(metric.compute()[0].item(), rel=1e-5)
    ours, theirs = inception_score(p, splits=10), isc_features_to_metric(logits, splits=10)
    assert float(ours) == pytest.approx(theirs["inception_score_mean"], rel=0.02)
    assert ours.std.item() == pytest.approx(theirs["inception_score_std"], abs=0.05)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_recall(features, k):
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, fake = features
    theirs = prc_features_to_metric(
        fake, real, prc_neighborhood=k, prc_batch_size=100, save_cpu_ram=False, verbose=False
    )
    precision, recall = precision_recall(real, fake, k)
    assert 0.1 < precision < 0.99
    assert precision.item() == pytest.approx(theirs["precision"], abs=1e-6)
    assert recall.item() == pytest.approx(theirs["recall"], abs=1e-6)
