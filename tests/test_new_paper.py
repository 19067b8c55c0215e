"""A paper that brings a network of its own is one Python file and one YAML, and edits nothing of the zoo."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoo.run.records import read_metrics

ROOT = Path(__file__).parent.parent

PAPER = '''
"""VEEGAN: Srivastava et al. 2017, "VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning"."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.gan import GAN
from zoo.types import Batch, Critic, Output, Role, Terms


class VEEGAN(GAN):
    """A reconstructor F leads from x back to z; D tells (x, F(x)) from (G(z), z)."""

    paired = True

    def __init__(self, generator: nn.Module, discriminator: nn.Module, reconstructor: nn.Module, **kwargs: Any) -> None:
        super().__init__(generator, discriminator, networks={"reconstructor": reconstructor}, **kwargs)

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        return F.softplus(-d_real).mean() + F.softplus(d_fake).mean()

    def given(self, batch: Batch, role: Role) -> tuple[Tensor, ...]:
        return (self.reconstructor(batch.real) if role == "real" else batch.z,)

    def players(self) -> dict[str, nn.Module]:
        return {"d": self.discriminator, "g": nn.ModuleList([self.generator, self.reconstructor])}

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        pairs = critic(batch.real, "real").score.mean() - fake.score.mean()
        return {"adversarial": pairs, "reconstruction": F.mse_loss(self.reconstructor(batch.fake), batch.z)}
'''

CONFIG = """
variant: veegan
model:
  class_path: veegan.VEEGAN
  init_args:
    generator:
      class_path: zoo.backbones.DCGANGenerator
      init_args: {latent_dim: 12, width: 4}
    discriminator:
      class_path: zoo.backbones.PairDiscriminator
      init_args: {width: 4}
    reconstructor:
      class_path: zoo.backbones.Encoder
      init_args: {width: 4}
"""


def test_a_paper_with_a_third_network_is_one_file_and_one_yaml(tmp_path: Path) -> None:
    (tmp_path / "veegan.py").write_text(PAPER, encoding="utf-8")
    (tmp_path / "veegan.yaml").write_text(CONFIG, encoding="utf-8")
    words = [
        "fit", "-c", "veegan.yaml", "--data", "digits", "--data.image_size=8", "--model.g_optimizer.lr=1e-3",
        "--trainer.max_steps=3", "--trainer.log_every_n_steps=1", "--trainer.logger=false",
        "--trainer.accelerator=cpu", "--without=[quality,samples,diagnostics,progress]",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = (tmp_path / "runs").iterdir()
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["loss/g/reconstruction"] > 0 for row in rows] == [True] * 3
    assert (rows[0]["lr/g"], rows[0]["lr/d"]) == pytest.approx((1e-3, 2e-4))
    state = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    heads = [state[f"reconstructor.head.{part}"] for part in ("weight", "bias")]
    assert [len(head) for head in heads] == [12, 12]  # latent_dim is the generator's
