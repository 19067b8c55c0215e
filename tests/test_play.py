"""The page to play with: its picture is a function of its controls, and a browser that moves a slider sees another."""

import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.browser import CHROMIUM, Browser
from tests.bundles import publish
from zoo.__main__ import main
from zoo.backbones import MLPDiscriminator, MLPGenerator
from zoo.hub import space
from zoo.hub.pretrained import from_pretrained
from zoo.noise import Noise
from zoo.play import frame
from zoo.run.pictures import picture, to_uint8
from zoo.support.sampling import truncated
from zoo.variants.nsgan import NSGAN

SLIDER = "[...document.querySelectorAll('input[type=range]')].find(e => e.ariaLabel?.includes({!r}))"
PICTURE = "document.querySelector('.image-frame img')?.src"
PIXELS = """(async source => {{
    const image = await createImageBitmap(await (await fetch(source)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d');
    canvas.drawImage(image, 0, 0);
    return [...canvas.getImageData(0, 0, image.width, image.height).data];
}})({!r})"""


def conditional() -> NSGAN:
    torch.manual_seed(0)
    generator = MLPGenerator((1, 8, 8), latent_dim=6, width=8, num_classes=3)
    return NSGAN(generator, MLPDiscriminator((1, 8, 8), width=8, num_classes=3))


def test_the_controls_make_the_picture() -> None:
    gan = conditional()
    assert np.array_equal(frame(gan, 3), picture(gan.sample(16, seed=3)))
    assert np.array_equal(frame(gan, 3, 4, 1.0), frame(gan, 4))
    assert np.array_equal(frame(gan, 3, label=2), picture(gan.sample(16, seed=3, labels=2)))
    z = gan.sample_latent(16, Noise(3))
    z[:, 4:] += torch.tensor([1.0, -2.0])
    assert np.array_equal(frame(gan, 3, shifts=(1.0, -2.0)), picture(gan.sample(16, z=z)))
    small = truncated(gan.sample_latent(16, Noise(3)), 0.5)
    assert np.array_equal(frame(gan, 3, truncation=0.5), picture(gan.sample(16, z=small)))
    assert not np.array_equal(frame(gan, 3, 4, 0.5), frame(gan, 3))


def test_truncation_is_the_normal_distribution_cut_off() -> None:
    """c = 1, z = 1: Φ⁻¹(0.1587 + 0.6827 · 0.8413) = Φ⁻¹(0.7330) = 0.622; variance 1 - 2 φ(1) / 0.6827 = 0.2911."""
    found = truncated(torch.tensor([0.0, 1.0, -1.0, 9.0]), 1.0)
    assert found.tolist() == pytest.approx([0, 0.62196, -0.62196, 1], abs=1e-4)
    many = truncated(torch.randn(200_000, generator=torch.Generator().manual_seed(0)), 1.0)
    assert many.abs().max() <= 1
    assert many.var().item() == pytest.approx(0.29112, abs=0.003)
    with pytest.raises(ValueError, match="truncation must be positive, got 0"):
        truncated(many, 0)


def test_zoo_sample_truncates_normal_latents_alone(tmp_path, capsys) -> None:
    folder, made = publish(tmp_path / "ring"), tmp_path / "x.npy"
    assert main(["sample", str(folder), "--n", "5", "--seed", "2", "--truncation", "0.3", "-o", str(made)]) == 0
    gan = from_pretrained(folder)
    expected = gan.sample(5, z=truncated(gan.sample_latent(5, Noise(2)), 0.3))
    assert np.array_equal(np.load(made), to_uint8(expected).permute(0, 2, 3, 1).numpy())
    assert main(["sample", "began-fashion_mnist", "--truncation", "1", "-o", str(made)]) == 2
    assert capsys.readouterr().err == "error: --truncation: the latents of BEGAN are not normal\n"


def test_without_gradio_one_line_says_what_to_install(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["play", str(publish(tmp_path / "ring"))]) == 2
    assert capsys.readouterr().err == "error: a page needs gradio: pip install 'gan-zoo[play]'\n"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["command", "app.py"])
def test_a_browser_sees_another_picture_where_a_slider_is_moved(tmp_path, how: str) -> None:
    pytest.importorskip("gradio")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    folder = publish(tmp_path / "published")
    (folder / "app.py").write_text(space.APP)
    port = 17860 + ["command", "app.py"].index(how)
    command = ["-m", "zoo", "play", str(folder), "--port", str(port)] if how == "command" else [str(folder / "app.py")]
    variables = {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}
    )
    try:
        assert re.search(rf"http://127\.0\.0\.1:{port}", server.stdout.readline())
        with Browser(f"http://127.0.0.1:{port}", tmp_path / "home") as browser:
            first = browser.wait(PICTURE)
            slider = SLIDER.format("from seed")
            at = f"(r => [r.x + 0.9 * r.width, r.y + r.height / 2])({slider}.getBoundingClientRect())"
            browser.click(*browser.ask(at))
            second = browser.wait(f"(s => s !== {first!r} && s)({PICTURE})")
            where = float(browser.ask(f"{slider}.value"))
            assert 0.8 < where <= 1
            shown = [browser.ask(PIXELS.format(source)) for source in (first, second)]
    finally:
        server.terminate()
        server.wait(30)
    assert shown[0] != shown[1]
    gan, share = from_pretrained(folder), round(where, 2)
    for made, expected in zip(shown, (frame(gan), frame(gan, share=share)), strict=True):
        side = math.isqrt(len(made) // 4)
        pixels = np.array(made, np.uint8).reshape(side, side, 4)[..., :3]
        factor = side // len(expected)
        assert np.array_equal(pixels[::factor, ::factor], expected)
