from pathlib import Path

import pytest
import torch

from zoo.__main__ import main
from zoo.backbones import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    R3GANGenerator,
    ResNetGenerator,
)
from zoo.hub import graph
from zoo.hub.graph import export_graph
from zoo.variants.nsgan import NSGAN

IMAGE = (1, 8, 12)
SLOW = pytest.mark.slow
CASES = [
    pytest.param(lambda: ResNetGenerator(IMAGE, latent_dim=4, width=8, num_classes=3), ".onnx", True),
    pytest.param(lambda: MLPGenerator((2,), latent_dim=4, width=8), ".pt2", False),
    pytest.param(lambda: DCGANGenerator(IMAGE, latent_dim=4, width=8), ".onnx", False),
    pytest.param(lambda: R3GANGenerator(IMAGE, latent_dim=4, width=16), ".pt2", True),
    pytest.param(lambda: R3GANGenerator(IMAGE, latent_dim=4, width=16, num_classes=3), ".onnx", False, marks=SLOW),
    pytest.param(lambda: MLPGenerator((2,), latent_dim=4, width=8), ".onnx", False, marks=SLOW),
    pytest.param(lambda: DCGANGenerator(IMAGE, latent_dim=4, width=8, num_classes=3), ".pt2", False, marks=SLOW),
    pytest.param(lambda: ResNetGenerator(IMAGE, latent_dim=4, width=8), ".pt2", False, marks=SLOW),
]


def game(generator: torch.nn.Module) -> NSGAN:
    torch.manual_seed(0)
    shape, classes = generator.image_shape, generator.num_classes
    kind = MLPDiscriminator if len(shape) == 1 else DCGANDiscriminator
    gan = NSGAN(generator, kind(shape, width=8, num_classes=classes)).eval()
    for name, value in gan.generator.named_buffers():
        if name.endswith("running_var"):  # a norm that has seen nothing is no test
            value.fill_(0.3)
    return gan


@pytest.mark.parametrize(("generator", "suffix", "uint8"), CASES)
def test_a_graph_draws_what_the_gan_does(generator, suffix: str, uint8: bool, tmp_path) -> None:
    """In [0, 1] or in 0..255, for a batch of another size than it was traced with; labels in turn."""
    gan = game(generator())
    path = export_graph(gan, tmp_path / f"new/g{suffix}", uint8=uint8)
    z = torch.randn(7, 4)
    inputs = {"z": z} if gan.num_classes is None else {"z": z, "labels": torch.arange(7) % gan.num_classes}
    drawn = graph._output(path, inputs)
    expected = gan.sample(7, z=z)
    if drawn.ndim == 4:
        expected = (expected + 1) / 2 * (255 if uint8 else 1)
    assert drawn.dtype == (torch.uint8 if uint8 else torch.float32)
    assert (drawn.double() - expected.double()).abs().max() <= (0.5 + 1e-3 if uint8 else 1e-5)


def test_a_graph_that_differs_is_refused(tmp_path, monkeypatch) -> None:
    gan = game(MLPGenerator((2,), latent_dim=4, width=8))
    monkeypatch.setattr(graph, "_output", lambda path, inputs: gan.sample(5, seed=3))
    with pytest.raises(ValueError, match=r"g\.pt2: its output differs from torch's by"):
        export_graph(gan, tmp_path / "g.pt2")
    assert not (tmp_path / "g.pt2").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["g.pt2"], "g.pt2 exists; use --overwrite to replace it"),
        (["h.pt2", "--name", "x"], "--name is not of a graph, and h.pt2 is one"),
        (["folder", "--uint8"], "--uint8 is not of a folder, and folder is one"),
    ],
)
def test_the_command_refuses_what_is_not_of_a_graph(words, said, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("g.pt2").touch()
    assert main(["export", "lsgan-fashion_mnist", *words]) == 2
    assert capsys.readouterr().err.strip() == f"error: {said}"
