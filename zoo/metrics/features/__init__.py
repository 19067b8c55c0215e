"""Feature extractors, which scores are computed in and named after.

`fd/<name>` is a Fréchet distance in the space of the extractor of that name; only with Inception v3 it is an FID.
"""

from zoo.metrics.features.base import Extractor, Features
from zoo.metrics.features.classifier import Classifier
from zoo.metrics.features.fidelity import Fidelity, InceptionV3
from zoo.metrics.features.named import named
from zoo.metrics.features.simple import PixelFeatures, Points, Wrapped, as_extractor

__all__ = [
    "Classifier", "Extractor", "Features", "Fidelity", "InceptionV3", "PixelFeatures", "Points", "Wrapped",
    "as_extractor", "named",
]  # fmt: skip
