"""Extractors by name, as commands take them."""

from typing import get_args

from zoo.metrics.features.base import Extractor
from zoo.metrics.features.classifier import Classifier, ClassifierName
from zoo.metrics.features.fidelity import INCEPTION, Fidelity, InceptionV3, Resize
from zoo.metrics.features.simple import PixelFeatures, Points


def named(name: str) -> Extractor:
    """The extractor of that name: pixels8, points, a carried classifier, or one of torch-fidelity's, also with -clean.

    Raises ValueError for an unknown name, and where the extractor's weights cannot be had.
    """
    if name in get_args(ClassifierName):
        return Classifier(name)  # type: ignore[arg-type]
    simple = {kind.name: kind for kind in (PixelFeatures, Points)}
    if name in simple:
        return simple[name]()
    plain = name.removesuffix("-clean")
    resize: Resize = "tensorflow" if plain == name else "clean"
    if plain == INCEPTION:
        return InceptionV3(resize=resize)
    try:
        return Fidelity(plain, resize=resize)
    except ValueError as error:
        if "unknown extractor" not in str(error):
            raise
        ours = ", ".join([*simple, *get_args(ClassifierName)])
        raise ValueError(
            f"unknown features {name!r}, choose from {ours}, or {str(error).partition('choose ')[2]}"
        ) from None
