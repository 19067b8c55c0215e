"""The extractors of torch-fidelity, Inception v3 among them: the ones that published scores are made with."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from zoo.metrics.features.base import Extractor, Features, with_channels
from zoo.metrics.features.resizing import clean_resize

Resize = Literal["tensorflow", "clean"]
VARIABLE = "GAN_ZOO_INCEPTION"
INCEPTION = "inception-v3-compat"
_LOGITS = "logits_unbiased"  # without the last layer's bias, as in all published inception scores


class Fidelity(Extractor):
    """An extractor of torch-fidelity by its name, such as `vgg16`, `clip-vit-b-32` or `dinov2-vit-b-14`.

    Images are rounded to uint8 and given three channels; torch-fidelity resizes them as TensorFlow 1 did. With `resize`
    "clean" they come in the network's size already, by `clean_resize`, and are rounded after it, since torch-fidelity
    takes bytes alone; clean-fid does not round.

    Args:
        name: one of torch-fidelity's.
        layer: one of its; None is the one that torch-fidelity takes for FID. Another becomes part of `name`.
        weights: a file for those that can be given one, read as tensors only. None lets torch-fidelity look in its
            cache or download, which trusts those files as it does.
        resize: "tensorflow" or "clean", which becomes part of `name`: `vgg16-clean`.

    Raises:
        ValueError: the name or layer is none of torch-fidelity's, torch-fidelity is not installed, or the weights
            cannot be had or do not fit.
    """

    def __init__(
        self, name: str, layer: str | None = None, weights: str | Path | None = None, resize: Resize = "tensorflow"
    ) -> None:
        super().__init__()
        known = _registry()
        if name not in known:
            raise ValueError(f"Fidelity: unknown extractor {name!r}, choose one of {sorted(known)}")
        kind = known[name]
        default = kind.get_default_feature_layer_for_metric("fid")
        layers = kind.get_provided_features_list()
        layer = layer or default
        if layer not in layers:
            raise ValueError(f"Fidelity: {name} has no layer {layer!r}, choose one of {list(layers)}")
        self.name = name if layer == default else f"{name}-{layer}"
        requested = [layer, _LOGITS] if layer == default and _LOGITS in layers else [layer]
        self.net: nn.Module = _build(kind, name, requested, weights)
        size = getattr(kind, "INPUT_IMAGE_SIZE", None)
        self.clean_size = size if resize == "clean" else None
        if resize not in get_args(Resize):
            raise ValueError(f"Fidelity: unknown resize {resize!r}, choose one of {get_args(Resize)}")
        if resize == "clean":
            if size is None:
                raise ValueError(f"Fidelity: {name} has no size of its own to resize to; leave resize out")
            self.name += "-clean"
            self.resize = f"three channels, antialiased bicubic to {size}px as in clean-fid, then rounded to uint8"
        else:
            self.resize = f"rounded to uint8, three channels, bilinear to {size or 'its own '}px as in TensorFlow 1"
        self.freeze()

    def extract(self, images: Tensor) -> Features:
        """One pass."""
        pixels = with_channels(((images + 1) * 127.5).round(), 3)
        if self.clean_size is not None:
            pixels = clean_resize(pixels, self.clean_size).round()
        return Features(*self.net(pixels.to(torch.uint8)))


class InceptionV3(Fidelity):
    """Inception v3 with the weights of the original FID: features (N, 2048), logits (N, 1008).

    The weights are those of torch-fidelity, weights-inception-2015-12-05-6726825d.pth, and looked for at `weights`, at
    the path in the environment variable GAN_ZOO_INCEPTION, and in the cache of torch.hub, into which they are
    downloaded (95 MB) if they are nowhere.

    Args:
        weights: a file; None looks for it.
        layer: another than "2048" has no logits and becomes part of `name`: "64", "192" or "768".
        resize: as of `Fidelity`; "clean" is not the FID of most papers, and its scores are called so.

    Raises:
        ValueError: the weights cannot be had or do not fit, or torch-fidelity is not installed.
    """

    def __init__(
        self, weights: str | Path | None = None, layer: str | None = None, resize: Resize = "tensorflow"
    ) -> None:
        _registry()
        super().__init__(INCEPTION, layer, _find_inception(weights), resize)


def _registry() -> dict[str, Any]:
    try:
        from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
    except ImportError:
        raise ValueError("torch-fidelity is not installed: pip install torch-fidelity, or use others") from None
    return FEATURE_EXTRACTORS_REGISTRY


def _find_inception(weights: str | Path | None) -> Path:
    """A file that exists."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    for source, given in (("weights", weights), (VARIABLE, os.environ.get(VARIABLE))):
        if given:
            path = Path(given).expanduser()
            if not path.is_file():
                raise ValueError(f"{INCEPTION}: {source}={str(path)!r} is no file; download {URL_INCEPTION_V3} there")
            return path
    cached = Path(torch.hub.get_dir(), "checkpoints", URL_INCEPTION_V3.rpartition("/")[2])
    if not cached.is_file():
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(URL_INCEPTION_V3, str(cached), hash_prefix="6726825d", progress=False)
        except Exception as error:  # a network has many ways to fail
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"{INCEPTION}: no weights, and no download ({reason}); put {URL_INCEPTION_V3} at {str(cached)!r}, or "
                f"anywhere and set {VARIABLE} or weights= to its path, or choose other features, such as fashion-cnn"
            ) from None
    return cached


def _build(kind: Any, name: str, layers: list[str], weights: str | Path | None) -> nn.Module:
    try:
        return kind(name, layers, feature_extractor_weights_path=None if weights is None else _as_tensors(weights))
    except Exception as error:  # weights that are missing, broken or others raise almost anything
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        source = "torch-fidelity's own weights" if weights is None else f"weights={str(weights)!r}"
        raise ValueError(f"{name}: cannot be made with {source} ({reason})") from None


def _as_tensors(path: str | Path) -> BytesIO:
    """The file's tensors in one of our own, as torch-fidelity would run whatever code a file holds."""
    safe = BytesIO()
    torch.save(torch.load(path, map_location="cpu", weights_only=True), safe)
    safe.seek(0)
    return safe
