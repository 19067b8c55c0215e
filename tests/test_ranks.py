"""Two processes with half a batch each take the steps of one process with all of it, whatever they play."""

import warnings
from collections.abc import Callable
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from tests.games import make, trainer
from tests.processes import together
from zoo import distributed, dynamics, stabilizers
from zoo.backbones import (
    DCGANDiscriminator,
    DCGANGenerator,
    GrowingDiscriminator,
    GrowingGenerator,
    MLPDiscriminator,
    MLPGenerator,
)
from zoo.callbacks import Diagnostics
from zoo.callbacks.evaluation import Evaluation
from zoo.datamodules.loader import TensorLoader
from zoo.dynamics import (
    Alternating,
    Balanced,
    Consensus,
    CriticWarmup,
    Extragradient,
    GradientRegularized,
    Lookahead,
    Optimistic,
    Simultaneous,
    Unrolled,
)
from zoo.gan import GAN
from zoo.metrics.features import Points
from zoo.noise import Noise
from zoo.penalties import WHERE
from zoo.schedules import Cosine, Linear
from zoo.stabilizers import (
    R1,
    AdaptiveAugment,
    AuxiliaryClassifier,
    ConsistencyRegularization,
    DiffAugment,
    Dropout,
    FeatureMatching,
    GradientPenalty,
    HistoricalAveraging,
    InstanceNoise,
    LabelSmoothing,
    LayerNoise,
    LeCam,
    MinibatchDiscrimination,
    Packed,
    ProgressiveGrowing,
    ScoreDrift,
    SpectralNorm,
    TopK,
    VirtualBatchNorm,
    WeightClip,
    WeightPenalty,
)
from zoo.variants import variants
from zoo.variants.ebgan import EBGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.relativistic_gan import RelativisticGAN
from zoo.variants.vae_gan import VAEGAN

GLOBAL_BATCH, BATCHES = 8, 5
SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.5)
ADAM = partial(torch.optim.Adam, lr=0.01, eps=1e-3)  # what its root makes of a rounding error stays one


def nets(*, g_norm: str = "none", d_norm: str = "none", classes: int | None = None) -> tuple[nn.Module, nn.Module]:
    return (
        MLPGenerator((2,), latent_dim=5, width=6, depth=2, norm=g_norm, num_classes=classes),
        MLPDiscriminator((2,), width=7, depth=2, norm=d_norm, num_classes=classes),
    )


def ns(*own: stabilizers.Stabilizer, norms: str = "none", **kwargs: Any) -> GAN:
    return NSGAN(*nets(g_norm=norms, d_norm=norms), stabilizers=own, **kwargs)


def pictures(*own: stabilizers.Stabilizer, **kwargs: Any) -> GAN:
    shape = (3, 8, 16)
    return NSGAN(
        MLPGenerator(shape, latent_dim=5, width=6), MLPDiscriminator(shape, width=7), stabilizers=own, **kwargs
    )


def growing(**kwargs: Any) -> GAN:
    shape = (1, 16, 16)
    generator, discriminator = GrowingGenerator(shape, latent_dim=5, width=2), GrowingDiscriminator(shape, width=2)
    own = [ScoreDrift(), ProgressiveGrowing(stable_kimg=0.008, fade_kimg=0.016), GradientPenalty(1.0)]
    return NSGAN(generator, discriminator, stabilizers=own, **kwargs)


def classified(**kwargs: Any) -> GAN:
    nets = MLPGenerator((2,), 5, 6, num_classes=3), MLPDiscriminator((2,), 7, num_classes=3, label="classifier")
    return NSGAN(*nets, stabilizers=[AuxiliaryClassifier()], **kwargs)


def burned_in(**kwargs: Any) -> GAN:
    fall = Linear(0.03, end_factor=0.1)
    own = GradientPenalty(1.0, where="real", target="zero", scheduler=fall)
    given = {"g_optimizer": ADAM, "d_optimizer": ADAM, "beta2_scheduler": fall, "ema_decay": None}
    return ns(own, **kwargs | given, ema_half_life_kimg=0.02, ema_scheduler=fall)


GAMES: dict[str, Callable[..., GAN]] = {
    **{name: partial(make, cls) for name, cls in variants().items()},
    "EBGAN-PT": lambda **kw: make(EBGAN, pt_weight=0.3, **kw),
    "VAEGAN of a narrow band": lambda **kw: make(VAEGAN, margin=0.0, reconstructions=True, gamma=0.1, **kw),
    "RelativisticGAN on average": lambda **kw: make(RelativisticGAN, mode="average", **kw),
    "conditional": lambda **kw: NSGAN(*nets(classes=3), **kw),
    "AuxiliaryClassifier": lambda **kw: classified(**kw),
    "Alternating, schedules": lambda **kw: ns(
        dynamics=Alternating(2, 2), g_scheduler=Linear(0.05), d_scheduler=Linear(0.03), clip_norm=0.01, **kw
    ),
    "burn-in": burned_in,
    "CriticWarmup": lambda **kw: ns(dynamics=CriticWarmup(1, 2, 1, 2), **kw),
    "Balanced, InstanceNoise": lambda **kw: ns(InstanceNoise(1.0, sigma=3.0), dynamics=Balanced(0.8, 0.7), **kw),
    "Simultaneous": lambda **kw: ns(dynamics=Simultaneous(), **kw),
    "Consensus, FeatureMatching": lambda **kw: ns(FeatureMatching(), dynamics=Consensus(1.0), **kw),
    "GradientRegularized": lambda **kw: ns(dynamics=GradientRegularized(), **kw),
    "Extragradient": lambda **kw: ns(dynamics=Extragradient(), clip_norm=0.1, **kw),
    "Optimistic": lambda **kw: ns(dynamics=Optimistic(), **kw),
    "Lookahead": lambda **kw: ns(dynamics=Lookahead(Alternating(2), k=3), **kw),
    "Unrolled, MinibatchDiscrimination": lambda **kw: ns(
        MinibatchDiscrimination(kernels=3, dims=2), dynamics=Unrolled(k=2, lr=0.1), **kw
    ),
    "DiffAugment": lambda **kw: pictures(DiffAugment(), **kw),
    "AdaptiveAugment, R1": lambda **kw: pictures(AdaptiveAugment(speed_kimg=0.05, interval=2), R1(), **kw),
    "ConsistencyRegularization": lambda **kw: pictures(ConsistencyRegularization(), **kw),
    "LayerNoise, TopK, LeCam": lambda **kw: ns(
        LayerNoise(), TopK(Linear(0.05, end_factor=0.3)), LeCam(decay=0.5), **kw
    ),
    "LabelSmoothing, FeatureMatching": lambda **kw: ns(LabelSmoothing(), FeatureMatching(alone=False), **kw),
    "Packed, SpectralNorm": lambda **kw: ns(Packed(2), SpectralNorm(), **kw),
    "VirtualBatchNorm, Dropout": lambda **kw: ns(VirtualBatchNorm("both", 6), Dropout(), norms="batch", **kw),
    "WeightClip, WeightPenalty, HistoricalAveraging": lambda **kw: ns(
        WeightClip(0.1), WeightPenalty(0.1), HistoricalAveraging(0.1), **kw
    ),
    "ProgressiveGrowing and ScoreDrift": lambda **kw: growing(**kw),
    "GradientPenalty everywhere": lambda **kw: ns(*(GradientPenalty(1.0, where=where) for where in WHERE), **kw),
}


class Diary(Callback):
    """Everything that a run showed on its way: the logged values of each step, and at the end uneven scores."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_batch_start(self, trainer: Any, gan: GAN, *args: Any) -> None:
        self._write(trainer)

    def on_train_end(self, trainer: Any, gan: GAN) -> None:
        self._write(trainer)

    def _write(self, trainer: Any) -> None:
        self.rows.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def played(name: str) -> dict[str, Any]:
    """What comes of a game, in this process."""
    torch.manual_seed(0)
    optimizer = ADAM if name == "UnrolledGAN" else SGD
    gan = GAMES[name](g_optimizer=optimizer, d_optimizer=optimizer, ema_decay=0.5).double()
    shape = getattr(gan.generator, "image_shape", (2,))
    noise = torch.Generator().manual_seed(1)
    data = torch.randn(GLOBAL_BATCH * BATCHES, *shape, dtype=torch.float64, generator=noise)
    labels = torch.arange(len(data)) % 3 if gan.num_classes else None
    diary, processes = Diary(), distributed.world_size()
    diagnostics = Diagnostics(every_kimg=0.016, n=GLOBAL_BATCH)  # every second batch
    run = trainer(
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        callbacks=[diary, diagnostics],
        log_every_n_steps=1,
    )
    rank = run.global_rank
    loader = TensorLoader(
        data, labels, batch_size=GLOBAL_BATCH // processes, shuffle=True, rank=rank, world_size=processes
    )
    run.fit(gan, loader)
    told = {"state": gan.state_dict(), "rows": diary.rows, "steps": gan.steps, "images": gan.images, "scores": {}}
    told["readings"] = [reading.as_row() for reading in diagnostics.history.readings]
    if data.ndim == 2:
        real = torch.randn(40, 2, dtype=torch.float64, generator=noise)
        told["scores"] = Evaluation(Points(), real, "val", n=31, scores=("fd", "kd", "prdc"))(gan).scores
    return told


@cache
def outcomes(processes: int) -> list[dict[str, dict[str, Any]]]:
    """What comes of every game, on each of so many ranks."""
    return together(lambda: {name: played(name) for name in GAMES}, processes)


@pytest.mark.parametrize("name", GAMES)
def test_two_ranks_equal_one(name: str) -> None:
    (alone,) = (told[name] for told in outcomes(1))
    first, second = (told[name] for told in outcomes(2))
    assert (alone["steps"], alone["images"]) == (first["steps"], first["images"]) == (BATCHES, 40)
    for key, value in alone["state"].items():
        assert torch.equal(first["state"][key], second["state"][key]), key
        torch.testing.assert_close(first["state"][key], value, rtol=0, atol=1e-10, msg=key)
    assert first["rows"] == second["rows"]
    assert len(first["rows"]) == len(alone["rows"]) == BATCHES + 1
    for ours, theirs in zip(first["rows"], alone["rows"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)
    assert first["scores"] == second["scores"] == pytest.approx(alone["scores"], rel=1e-6)
    for here, there, whole in zip(first["readings"], second["readings"], alone["readings"], strict=True):
        assert str(here) == str(there)  # NaN too
        apart = {"diversity", "movement", "direction_change"}  # of the rows that a rank was dealt, as many as it has
        told = [{k: v for k, v in row.items() if k not in apart} for row in (here, whole)]
        assert told[0] == pytest.approx(told[1], rel=1e-5, abs=1e-6, nan_ok=True)


def test_every_member_of_the_zoo_plays() -> None:
    members = {*variants(), *dynamics.__all__, *stabilizers.__all__} - {"Dynamics", "Stabilizer"}
    assert {name for name in members if not any(name in game for game in GAMES)} == set()
    readings = [len(told["readings"]) for told in outcomes(1)[0].values()]
    assert readings.count(BATCHES // 2) > 0.9 * len(GAMES)  # the others' G moves but once


def averaged() -> list[torch.Tensor]:
    """Numbers that tell their place, ten times as large on rank 1, as they are after an exchange."""
    size = 10 ** torch.distributed.get_rank()
    plain = torch.arange(6.0).view(2, 3) * size
    last = (torch.arange(120.0).view(2, 3, 4, 5) * size).to(memory_format=torch.channels_last)
    gaps = (torch.arange(240.0).view(2, 3, 4, 10) * size)[..., ::2]
    scalar = torch.tensor(7.0 * size)
    distributed.average([plain, last, gaps, scalar])
    return [plain, last, gaps, scalar]


def test_the_mean_over_ranks_comes_back_to_its_place_however_a_tensor_lies_in_memory() -> None:
    expected = [torch.arange(6.0).view(2, 3), torch.arange(120.0).view(2, 3, 4, 5)]
    expected += [torch.arange(240.0).view(2, 3, 4, 10)[..., ::2], torch.tensor(7.0)]
    for found in together(averaged):
        for mine, other in zip(found, expected, strict=True):
            assert torch.equal(mine, 5.5 * other)


def skipped() -> dict[str, bool]:
    """Which of G's tensors are the same after a batch whose move of G was not finite."""

    class Poisoned(NSGAN):
        def g_loss(self, d_fake: torch.Tensor) -> torch.Tensor:
            return super().g_loss(d_fake) * float("nan")

    torch.manual_seed(0)
    gan = Poisoned(*nets(g_norm="batch"), nonfinite="skip")
    before = {name: value.clone() for name, value in gan.generator.state_dict().items()}
    run = trainer(devices=2, strategy="ddp")
    loader = TensorLoader(torch.randn(8, 2), None, batch_size=4, rank=run.global_rank, world_size=2, shuffle=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says so
        run.fit(gan, loader)
    after = gan.generator.state_dict()
    return {name: torch.equal(value, after[name]) for name, value in before.items()}


def test_a_move_that_is_skipped_changes_nothing() -> None:
    for same in together(skipped):
        assert all(same.values())
        assert any("running_mean" in name for name in same)


# Ranks stay one run for long, and a checkpoint of theirs resumes on every one of them.


SHAPE = (1, 8, 8)


def digest(value: Any) -> str:
    """Of tensors in a tree, to the bit; of all else, its text."""
    if isinstance(value, torch.Tensor):
        value = value.detach().contiguous().numpy().tobytes()
    elif isinstance(value, dict):
        value = repr([(key, digest(part)) for key, part in value.items()]).encode()
    elif isinstance(value, list | tuple):
        value = repr([digest(part) for part in value]).encode()
    else:
        value = repr(value).encode()
    return blake2b(value, digest_size=8).hexdigest()


class Comparison(Callback):
    """Counts how often all ranks had the same of everything, every so many steps."""

    def __init__(self, every: int) -> None:
        self.every, self.same = every, 0

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *args: Any) -> None:
        if gan.steps % self.every:
            return
        mine = {name: digest(value) for name, value in gan.state_dict().items()}
        for i, optimizer in enumerate(trainer.optimizers):
            mine[f"optimizer {i}"] = digest(optimizer.state_dict())
        mine["latest"] = digest(gan.latest)
        mine["samples"] = digest(gan.sample(4, seed=0))
        mine["counters"] = digest([gan.steps, gan.images, gan.g_moves, gan.skipped])
        first, *others = distributed.collect(mine)
        for other in others:
            assert [name for name in first if first[name] != other[name]] == [], f"after {gan.steps} steps"
        self.same += 1


class Forgetful(nn.Module):
    """A discriminator with a dropout of torch's, which draws from this rank's global generator."""

    image_shape = SHAPE

    def __init__(self) -> None:
        super().__init__()
        self.net = DCGANDiscriminator(SHAPE, width=4)

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(nn.functional.dropout(x, 0.3))


def fit(gan: GAN, steps: int, *callbacks: Callback, **kwargs: Any) -> None:
    data = torch.randn(100, *SHAPE, generator=torch.Generator().manual_seed(1)).tanh()
    run = trainer(
        devices=2, strategy="ddp", callbacks=list(callbacks), max_epochs=-1, max_steps=steps, log_every_n_steps=1
    )
    loader = TensorLoader(data, batch_size=8, shuffle=True, rank=run.global_rank, world_size=2)
    run.fit(gan, loader, **kwargs)


def long(steps: int, every: int) -> int:
    """How often the ranks of a game with all that moves by itself were found to agree."""
    torch.manual_seed(0)
    kimg = steps * 16 / 1000
    gan = NSGAN(
        DCGANGenerator(SHAPE, latent_dim=8, width=4), DCGANDiscriminator(SHAPE, width=4), ema_decay=0.9, clip_norm=1.0,
        dynamics=Balanced(0.8, 0.5), g_scheduler=Linear(kimg), d_scheduler=Cosine(kimg),
        stabilizers=[InstanceNoise(kimg / 2), SpectralNorm(), HistoricalAveraging(0.01)],
    )  # fmt: skip
    comparison = Comparison(every)
    fit(gan, steps, comparison)
    return comparison.same


@pytest.mark.parametrize(("steps", "every"), [(20, 2), pytest.param(1000, 10, marks=pytest.mark.slow)])
def test_ranks_never_drift(steps: int, every: int) -> None:
    """Weights, running statistics, power iterations, averages, optimisers, rates, accuracy, what is logged, samples."""
    assert together(lambda: long(steps, every)) == [steps // every] * 2


class SaveAt(Callback):
    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, gan: GAN, *args: Any) -> None:
        if gan.steps == self.step:
            trainer.save_checkpoint(self.path)


def resumed(path: Path) -> list[str]:
    """What differs between a straight and a resumed run on this rank, whose D waits when it is cut."""

    def game() -> GAN:
        torch.manual_seed(0)
        generator = DCGANGenerator(SHAPE, latent_dim=8, width=4)
        gan = NSGAN(generator, Forgetful(), dynamics=Balanced(0.0, 0.0), ema_decay=0.9)
        gan.noise = Noise(1)
        return gan

    def told(gan: GAN) -> dict[str, Any]:
        return {**gan.state_dict(), **gan.latest, "drawn": torch.rand(3), "numpy": np.random.rand(3)}

    straight, rank = game(), torch.distributed.get_rank()
    torch.manual_seed(rank)
    np.random.seed(rank)
    fit(straight, 9, SaveAt(5, path))
    before, again = told(straight), game()
    fit(again, 9, ckpt_path=str(path))
    after = told(again)
    return [name for name in before if digest(before[name]) != digest(after[name])]


def test_every_rank_goes_on_where_it_was(tmp_path: Path) -> None:
    assert together(lambda: resumed(tmp_path / "a.ckpt")) == [[], []]
