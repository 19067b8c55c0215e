"""Extractors: what goes in, what comes out, what is refused, and what a fingerprint tells apart."""

import json
import pickle
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from benchmarks.evaluation import untrained_inception
from zoo.datamodules import Digits, Stacked
from zoo.metrics import frechet_distance, kernel_distance, precision_recall, stacked_modes
from zoo.metrics.features import (
    Classifier,
    Extractor,
    Features,
    Fidelity,
    InceptionV3,
    PixelFeatures,
    Points,
    Wrapped,
    as_extractor,
)
from zoo.metrics.features.base import with_channels
from zoo.metrics.features.classifier import WEIGHTS, ClassifierName
from zoo.metrics.features.memory import remember
from zoo.metrics.features.named import named
from zoo.metrics.features.resizing import clean_resize

CARRIED = get_args(ClassifierName)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) - 1


class Probe(Extractor):
    """Shows what an extractor is given."""

    name, resize = "probe", "none"

    def extract(self, images: Tensor) -> Features:
        self.seen = images
        return Features(images.flatten(1))


class TestTheDoor:
    def test_bytes_and_floats_are_the_same_images(self):
        pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
        probe = Probe()
        probe(pixels)
        seen = probe.seen
        probe(pixels.float() / 127.5 - 1)
        assert torch.equal(probe.seen, seen)
        assert seen.dtype == torch.float32
        assert (seen.min(), seen.max()) == (-1, 1)

    def test_rounding_beyond_the_range_is_cut(self):
        probe = Probe()
        probe(torch.tensor([-1.0005, 1.0005]).view(1, 1, 1, 2))
        assert probe.seen.flatten().tolist() == [-1, 1]

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            (noise(4, 1, 8, 8) * 255, r"probe: images must be in \[-1, 1\], these are in \[-25"),
            (noise(4, 1, 8, 8).abs() * 255, r"rescale them, or give uint8"),
            (noise(4, 1, 8, 8) - 0.01, r"must be in \[-1, 1\]"),
            (torch.full((1, 1, 8, 8), torch.nan), "NaN"),
            (torch.full((1, 1, 8, 8), torch.inf), "infinite"),
            (noise(4, 2, 8, 8), r"shape \(N, 1, 3 or 4, H, W\), got \(4, 2, 8, 8\)"),
            (noise(4, 64), r"got \(4, 64\)"),
            (noise(0, 1, 8, 8), r"got \(0, 1, 8, 8\)"),
        ],
    )
    def test_what_is_no_image_is_refused(self, images, message):
        with pytest.raises(ValueError, match=message):
            Probe()(images)

    def test_grey_is_repeated_and_colour_becomes_luma(self):
        grey, primaries = noise(2, 1, 4, 4), torch.eye(3).view(3, 3, 1, 1)
        assert torch.equal(with_channels(grey, 3), torch.cat([grey] * 3, 1))
        assert with_channels(primaries, 1).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
        torch.testing.assert_close(with_channels(with_channels(grey, 3), 1), grey)

    def test_nothing_but_the_images_matters(self):
        """No autocast, no gradient, no batch statistics, whoever holds the extractor and calls train()."""
        net = Wrapped(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)))
        images = noise(6, 1, 8, 8)
        plain = net(images).features
        nn.ModuleList([net]).train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = net(images).features
        assert torch.equal(found, plain)
        assert not found.requires_grad
        assert not any(p.requires_grad for p in net.parameters())
        torch.testing.assert_close(net(images[:1]).features, plain[:1])


class TestSimple:
    def test_pixels_are_averaged(self):
        images = torch.zeros(1, 3, 32, 32)
        images[0, 1, :4, 4:8] = 1
        extractor = PixelFeatures()
        found = extractor(images)
        assert found.logits is None
        assert found.features.nonzero().tolist() == [[0, 64 + 1]]
        assert extractor.dim == 192
        assert torch.equal(extractor(images[:, :, :8, :8]).features, images[:, :, :8, :8].flatten(1))

    def test_points_are_themselves(self):
        points = 100 * noise(5, 2)
        assert torch.equal(Points()(points).features, points)
        with pytest.raises(ValueError, match=r"finite points of shape \(N, D\)"):
            Points()(noise(5, 1, 8, 8))

    def test_any_module(self):
        class TwoHeads(nn.Module):
            def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
                return x.mean((2, 3), keepdim=True), x.sum((2, 3))

        found = as_extractor(TwoHeads())
        assert (found.name, as_extractor(found)) == ("two_heads", found)
        features, logits = found(noise(4, 3, 8, 8))
        assert features.shape == logits.shape == (4, 3)
        assert found.dim == 3
        assert Wrapped(TwoHeads(), name="mine").name == "mine"

    def test_fingerprints_tell_apart(self):
        torch.manual_seed(0)
        net = nn.Conv2d(1, 2, 3)
        same = nn.Conv2d(1, 2, 3)
        same.load_state_dict(net.state_dict())
        other = nn.Conv2d(1, 2, 3)
        strided = nn.Conv2d(1, 2, 3, stride=2)
        strided.load_state_dict(net.state_dict())
        assert Wrapped(net).fingerprint == Wrapped(same).fingerprint
        prints = {Wrapped(net).fingerprint, Wrapped(other).fingerprint, Wrapped(strided).fingerprint}
        prints |= {Wrapped(net, name="other").fingerprint, PixelFeatures().fingerprint, Points().fingerprint}
        assert len(prints) == 6
        assert all(len(p) == 16 for p in prints)


class TestClassifiers:
    @pytest.mark.parametrize("name", CARRIED)
    def test_takes_any_image(self, name):
        extractor = Classifier(name)
        for channels, size in ((1, 8), (3, 8), (1, 64), (3, 28)):
            features, logits = extractor(noise(2, channels, size, size))
            assert (features.shape, logits.shape) == ((2, extractor.dim), (2, 10))
            assert features.dtype == logits.dtype == torch.float32
        assert extractor.name == name

    @pytest.mark.parametrize("name", CARRIED)
    def test_says_how_it_was_trained_and_is_small(self, name):
        about = json.loads((WEIGHTS / f"{name}.json").read_text())
        assert (WEIGHTS / f"{name}.pt").stat().st_size < 1e6
        assert about["parameters"] == sum(p.numel() for p in Classifier(name).parameters())
        assert about["command"].startswith("python -m benchmarks.train_classifier ")
        assert 0.5 < about["test_accuracy"]["16px"] <= about["test_accuracy"]["32px"] < 1

    def test_digits_are_told_as_often_as_is_said(self):
        """At the size it was measured, and at others within a few images of 364."""
        said = json.loads((WEIGHTS / "digits-cnn.json").read_text())["test_accuracy"]["32px"]
        for size, channels, slack in ((32, 1, 0.001), (16, 1, 0.02), (8, 3, 0.02), (64, 1, 0.02)):
            data = Digits(image_size=size, channels=channels)
            data.setup()
            images, labels = data.splits["val"]
            right = Classifier("digits-cnn")(images).logits.argmax(1) == labels
            assert right.double().mean().item() == pytest.approx(said, abs=slack)

    def test_an_unknown_name_is_refused(self):
        with pytest.raises(ValueError, match="unknown name 'letters-cnn', choose one of"):
            Classifier("letters-cnn")

    def test_modes_of_stacked_digits(self):
        data = Stacked(image_size=16, samples=2000)
        data.setup()
        images, labels = data.splits["val"]
        modes = stacked_modes(images, Classifier("digits-cnn"))
        said = json.loads((WEIGHTS / "digits-cnn.json").read_text())["test_accuracy"]["16px"]
        assert (modes == labels).double().mean().item() == pytest.approx(said**3, abs=0.05)

    @pytest.mark.parametrize(
        ("images", "classifier", "message"),
        [
            (noise(2, 1, 8, 8), Classifier("digits-cnn"), r"shape \(N, 3, H, W\), got \(2, 1, 8, 8\)"),
            (noise(2, 3, 8, 8), PixelFeatures(), "PixelFeatures has no logits of 10 classes"),
        ],
    )
    def test_modes_of_others_are_refused(self, images, classifier, message):
        with pytest.raises(ValueError, match=message):
            stacked_modes(images, classifier)


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('ran')",)


class TestInception:
    @pytest.fixture(autouse=True)
    def nowhere(self, tmp_path, monkeypatch):
        """No weights, and no network."""

        def offline(*args, **kwargs):
            raise OSError("no route to host")

        monkeypatch.delenv("GAN_ZOO_INCEPTION", raising=False)
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
        monkeypatch.setattr(torch.hub, "download_url_to_file", offline)

    def test_without_weights_says_all_ways_out(self, tmp_path):
        with pytest.raises(ValueError, match="no route to host") as caught:
            InceptionV3()
        message = str(caught.value)
        assert message.startswith("inception-v3-compat: ")
        for way in ("https://", str(tmp_path / "hub"), "GAN_ZOO_INCEPTION", "weights=", "fashion-cnn"):
            assert way in message
        assert "\n" not in message

    def test_a_path_that_is_none_is_refused_not_replaced(self, tmp_path, monkeypatch):
        with pytest.raises(ValueError, match=r"weights='.*missing.pth' is no file"):
            InceptionV3(weights=tmp_path / "missing.pth")
        monkeypatch.setenv("GAN_ZOO_INCEPTION", str(tmp_path / "gone.pth"))
        with pytest.raises(ValueError, match=r"GAN_ZOO_INCEPTION='.*gone.pth' is no file"):
            InceptionV3()

    def test_code_in_a_file_is_not_run(self, tmp_path):
        (tmp_path / "evil.pth").write_bytes(pickle.dumps({"fc.weight": Evil()}, protocol=2))
        with pytest.raises(ValueError, match=r"cannot be made with weights='.*evil.pth'"):
            InceptionV3(weights=tmp_path / "evil.pth")

    def test_weights_of_something_else_are_refused(self, tmp_path):
        torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=r"inception-v3-compat: cannot be made with .*Missing key"):
            InceptionV3(weights=tmp_path / "other.pth")

    def test_what_torch_fidelity_has_not_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"unknown extractor 'resnet', choose one of .*'vgg16'"):
            Fidelity("resnet")
        torch.save({}, tmp_path / "weights.pth")
        with pytest.raises(ValueError, match=r"has no layer '65', choose one of .*'64'"):
            InceptionV3(tmp_path / "weights.pth", layer="65")


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    return untrained_inception(tmp_path_factory.mktemp("weights"), "64")


@pytest.mark.slow
class TestInceptionWithRandomWeights:
    def test_scores_are_torch_fidelitys(self, random_weights):
        """In the 64-dimensional layer, of grey images that go in as floats here and as three-channel bytes there."""
        import torch_fidelity

        n = 80
        pixels = [(noise(n, 1, 16, 16, seed=s) * (100 + 20 * s) + 128).byte() for s in (0, 1)]
        sets = [Subset(p.expand(-1, 3, -1, -1), range(n)) for p in pixels]
        theirs = torch_fidelity.calculate_metrics(
            input1=sets[0], input2=sets[1], feature_extractor="inception-v3-compat", fid=True, kid=True, prc=True,
            kid_subsets=1, kid_subset_size=n, feature_layer_fid="64", feature_layer_kid="64", feature_layer_prc="64",
            cuda=False, feature_extractor_weights_path=str(random_weights), cache=False, verbose=False, batch_size=16,
        )  # fmt: skip
        extractor = InceptionV3(random_weights, layer="64")
        assert (extractor.name, extractor.resize[:16]) == ("inception-v3-compat-64", "rounded to uint8")
        x, y = (torch.cat([extractor(c / 127.5 - 1).features for c in p.split(10)]) for p in pixels)
        assert frechet_distance(x, y).item() == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3)
        assert float(kernel_distance(x, y)) == pytest.approx(theirs["kernel_inception_distance_mean"], abs=1e-6)
        precision, recall = precision_recall(y, x)  # their first is the generated
        assert precision.item() == pytest.approx(theirs["precision"], abs=1 / n)
        assert recall.item() == pytest.approx(theirs["recall"], abs=1 / n)

    def test_one_pass_gives_features_and_logits(self, random_weights, monkeypatch):
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        monkeypatch.setenv("GAN_ZOO_INCEPTION", str(random_weights))
        extractor = InceptionV3()
        theirs = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(random_weights)
        )
        pixels = (noise(2, 3, 20, 20) * 127 + 128).byte()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = extractor(pixels)
        for ours, expected in zip(found, theirs(pixels), strict=True):
            assert torch.equal(ours, expected)
        assert extractor.name == "inception-v3-compat"
        assert extractor.fingerprint == InceptionV3(random_weights).fingerprint
        clean = named("inception-v3-compat-clean")
        resized = clean_resize(pixels, 299).round().byte()
        assert torch.equal(clean(pixels).features, theirs(resized)[0])
        assert (clean.name, clean.resize[:34]) == (
            "inception-v3-compat-clean",
            "three channels, antialiased bicubi",
        )
        assert clean.fingerprint != extractor.fingerprint


class Counting(PixelFeatures):
    """Counts the images that it looks at."""

    seen = 0

    def extract(self, images):
        self.seen += len(images)
        return super().extract(images)


def test_features_of_the_same_images_are_computed_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path))
    images = torch.rand(300, 1, 16, 16)
    first = remember(Counting(), images)
    again, other = Counting(), Counting()
    assert torch.equal(remember(again, images).features, first.features)
    assert first.features.shape == (300, 64)
    remember(other, images + 0.001)
    assert (again.seen, other.seen) == (0, 300)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:20],
        lambda content: b"",
        lambda content: bytes(len(content)),
        lambda content: content[:400] + bytes([content[400] ^ 1]) + content[401:],  # in a feature
        pickle.dumps,
    ],
)
def test_damaged_and_unwritable_caches_are_no_obstacle(tmp_path, monkeypatch, damage) -> None:
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path))
    images = torch.rand(10, 1, 16, 16)
    expected = remember(PixelFeatures(), images).features
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert torch.equal(remember(PixelFeatures(), images).features, expected)
    assert file.stat().st_size == len(whole)
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "file"))
    assert torch.equal(remember(PixelFeatures(), images).features, expected)
