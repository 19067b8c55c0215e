"""The plain loops of benchmarks/step.py are the zoo's games: same FLOPs, and the same step from the same draws."""

import ast
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.step import Pairs, Plain, game
from tests.games import fit
from zoo.benchmark.flops import FlopCount

ROOT = Path(__file__).parent.parent
SHAPE = (3, 8, 8)


@pytest.mark.parametrize("config", ["nsgan", "wgan_gp", "mdgan"])
def test_a_plain_loop_does_the_arithmetic_of_the_zoo(config: str) -> None:
    gan = game(config, SHAPE)
    plain = Plain(gan)
    rounds = getattr(gan.dynamics, "d_steps", 1)
    data = [(torch.rand(4, *SHAPE) * 2 - 1,) for _ in range(rounds)]
    with FlopCount() as zoo:
        fit(gan, data)
    with FlopCount() as bare:
        for (real,) in data:
            getattr(plain, config)(real)
    assert zoo.flops == bare.flops > 0


def test_nsgans_plain_loop_moves_as_the_zoo_does(monkeypatch: pytest.MonkeyPatch) -> None:
    gan = game("nsgan", SHAPE).double()
    plain = Plain(gan)
    z = torch.randn(8, gan.latent_dim, dtype=torch.float64)
    monkeypatch.setattr(gan, "sample_latent", lambda n, noise: z[:n])
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: z[: shape[0]])
    real: Tensor = torch.rand(8, *SHAPE, dtype=torch.float64) * 2 - 1
    for _ in range(2):
        plain.nsgan(real)
    fit(gan, [(real,)] * 2)
    for name, parameter in plain.g.named_parameters():
        torch.testing.assert_close(parameter, gan.generator.get_parameter(name), rtol=0, atol=1e-10)


def test_rounds_of_both_sides_take_turns() -> None:
    seen: list[str] = []
    pairs = Pairs(torch.zeros(1), lambda real: seen.append("plain"), per_round=2, pairs=1)
    for _ in pairs:
        seen.append("zoo")
    assert seen == ["zoo", "zoo", "plain", "plain"] * 3
    assert len(pairs) == 6
    assert len(pairs.zoo) == len(pairs.bare) == 3


def test_nothing_imports_the_benchmarks() -> None:
    for path in [*ROOT.glob("zoo/**/*.py"), *ROOT.glob("datamodules/**/*.py"), ROOT / "train.py"]:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
        assert "benchmarks" not in {name.split(".")[0] for name in names}, path
