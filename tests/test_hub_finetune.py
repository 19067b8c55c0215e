"""Starting from a trained GAN: what is loaded, what is refused, what stays frozen, and what a checkpoint remembers."""

from pathlib import Path

import pytest
import torch
from torch.optim import AdamW

from tests.finetuning import below, refused
from tests.games import fit, networks, points, same, snapshot
from zoo.backbones import Autoencoder, DecoderGenerator
from zoo.dynamics import Consensus, GradientRegularized, Unrolled
from zoo.gan import GAN
from zoo.hub.finetune import begin
from zoo.stabilizers import HistoricalAveraging, SpectralNorm, WeightClip, WeightPenalty
from zoo.support.initial import InitFrom
from zoo.variants.began import BEGAN
from zoo.variants.ebgan import EBGAN
from zoo.variants.infogan import InfoGAN
from zoo.variants.nsgan import NSGAN
from zoo.variants.wgan_gp import WGANGP

FIRST = "discriminator.trunk.1"  # what the MLP's Flatten is followed by


def write(gan: GAN, path: Path) -> str:
    """A checkpoint of the game as it is, which says the objective as those of `train.py` do."""
    gan.save_hyperparameters({"_class_path": f"{type(gan).__module__}.{type(gan).__name__}"}, logger=False)
    trainer = fit(gan, points(1), max_epochs=0)
    trainer.strategy.connect(gan)
    trainer.save_checkpoint(path)
    return str(path)


def trained(path: Path, cls: type[GAN] = NSGAN, *, norm: str = "batch", steps: int = 3, **kwargs) -> GAN:
    """A game of a few steps, and its checkpoint at `path`."""
    gan = cls(*networks(norm=norm), ema_decay=0.9, **kwargs)
    fit(gan, points(steps))
    write(gan, path)
    return gan


# What is loaded.


@pytest.mark.parametrize("cls", [NSGAN, WGANGP])
def test_a_game_starts_where_the_other_stopped(cls: type[GAN], tmp_path: Path, capsys) -> None:
    """Every tensor of both networks and of the average, under the same objective and another; nothing else."""
    old = trained(tmp_path / "old.ckpt")
    gan = cls(*networks(norm="batch", seed=1), ema_decay=0.9, init_from=str(tmp_path / "old.ckpt"))
    rng = torch.get_rng_state()
    begin(gan)
    assert same(snapshot(old), snapshot(gan))
    assert torch.equal(old.sample(9, seed=4), gan.sample(9, seed=4))
    assert not same(snapshot(old.generator), snapshot(old.generator_ema))
    assert (gan.kimg, gan.steps, gan.g_moves) == (0, 0, 0)
    assert torch.equal(rng, torch.get_rng_state())
    assert capsys.readouterr().out == f"Starting from {tmp_path / 'old.ckpt'} (NSGAN): generator, discriminator\n"
    fit(gan, points(5))
    assert gan.kimg == pytest.approx(0.04)
    assert not same(snapshot(old.generator), snapshot(gan.generator))


def test_the_first_step_is_the_one_that_follows_in_the_old_game(tmp_path: Path) -> None:
    """With optimisers that remember nothing."""
    sgd = {f"{side}_optimizer": lambda p: torch.optim.SGD(p, lr=0.1) for side in "gd"}
    old = NSGAN(*networks(), **sgd)
    fit(old, points(3))
    write(old, tmp_path / "old.ckpt")
    gan = NSGAN(*networks(seed=1), init_from=str(tmp_path / "old.ckpt"), **sgd)
    begin(gan)
    old.noise, old.steps = gan.noise, 0
    fit(old, points(1, seed=7))
    fit(gan, points(1, seed=7))
    assert same(snapshot(old), snapshot(gan))


def test_an_average_begins_at_the_generator_where_there_was_none(tmp_path: Path) -> None:
    old = NSGAN(*networks(norm="batch"))
    fit(old, points(2))
    gan = NSGAN(*networks(norm="batch", seed=1), ema_decay=0.9, init_from=write(old, tmp_path / "old.ckpt"))
    begin(gan)
    assert same(snapshot(gan.generator_ema), snapshot(old.generator))
    assert not any(p.requires_grad for p in gan.generator_ema.parameters())


def test_parts_are_all_that_is_loaded(tmp_path: Path, capsys) -> None:
    old = trained(tmp_path / "old.ckpt")
    told = InitFrom(str(tmp_path / "old.ckpt"), parts=["discriminator", "discriminator"])
    gan = NSGAN(*networks(norm="batch", seed=1), ema_decay=0.9, init_from=told)
    before = snapshot(gan)
    begin(gan)
    assert same(snapshot(gan.discriminator), snapshot(old.discriminator))
    assert same(below(gan, "generator"), {k: v for k, v in before.items() if k.startswith("generator.")})
    assert same(below(gan, "generator_ema"), {k: v for k, v in before.items() if k.startswith("generator_ema.")})
    assert capsys.readouterr().out.endswith("(NSGAN): discriminator; new: generator\n")


def test_what_only_one_game_has_stays_new(tmp_path: Path, capsys) -> None:
    """InfoGAN's Q."""
    old = NSGAN(*networks(seed=3))
    codes = {"categorical": 2, "continuous": 1}
    gan = InfoGAN(*networks(seed=1), init_from=write(old, tmp_path / "old.ckpt"), **codes)
    begin(gan)
    said = capsys.readouterr().out
    assert "generator, discriminator; new: q; z is drawn as InfoGAN does, not as NSGAN did" in said
    again = InfoGAN(*networks(seed=2), init_from=write(gan, tmp_path / "info.ckpt"), **codes)
    begin(again)
    assert same(snapshot(gan.q), snapshot(again.q))
    assert capsys.readouterr().out.endswith("(InfoGAN): generator, discriminator, q\n")


def energies(cls: type[GAN], **kwargs) -> GAN:
    image = (1, 8, 8)
    return cls(DecoderGenerator(image, latent_dim=4, width=4), Autoencoder(image, width=4), **kwargs)


class Other(BEGAN):
    """Another objective, with a k of its own."""


def test_the_objectives_own_state_goes_with_the_whole_game(tmp_path: Path, capsys) -> None:
    old = energies(BEGAN)
    old.k.fill_(0.25)
    ref = write(old, tmp_path / "old.ckpt")
    whole, half = energies(BEGAN, init_from=ref), energies(BEGAN, init_from=InitFrom(ref, ["generator"]))
    other, further = energies(Other, init_from=ref), energies(EBGAN, init_from=ref)
    for gan in (whole, half, other, further):
        begin(gan)
    assert (whole.k.item(), half.k.item(), other.k.item()) == (0.25, 0, 0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("): ")[2] for line in lines] == [
        "generator, discriminator, k",
        "generator; new: discriminator",
        "generator, discriminator",
        "generator, discriminator; z is drawn as EBGAN does, not as BEGAN did",
    ]


# What is refused.


MISTAKES = [
    ({"parts": ["genrator"]}, ["'genrator'", "did you mean 'generator'", "choose from generator, discriminator"]),
    ({"parts": ["generator", "generator_ema"]}, ["'generator_ema'", "choose from generator, discriminator"]),
    ({"freeze": ["discriminator.net.1"]}, ["NSGAN", "'discriminator.net.1'", "did you mean discriminator.trunk.1"]),
    ({"freeze": ["discriminator.trunk.0"]}, ["'discriminator.trunk.0'", "discriminator.trunk.1"]),
    ({"freeze": ["discriminator.trunk.1.wieght"]}, ["did you mean discriminator.trunk.1.weight"]),
    ({"freeze": ["nothing"]}, ["'nothing'", "names begin with discriminator or generator"]),
    ({"freeze": ["generator_ema"]}, ["'generator_ema'"]),
    ({"freeze": ["discriminator"]}, ["player d", "freeze less"]),
    ({"freeze": ["discriminator.trunk", "discriminator.head"]}, ["player d", "freeze less"]),
]


@pytest.mark.parametrize(("told", "words"), MISTAKES, ids=lambda v: str(v.values()) if isinstance(v, dict) else "")
def test_a_mistake_loads_and_freezes_nothing(told: dict, words: list[str], tmp_path: Path) -> None:
    trained(tmp_path / "old.ckpt")
    told = InitFrom(str(tmp_path / "old.ckpt"), **told)
    refused(NSGAN(*networks(norm="batch", seed=1), ema_decay=0.9, init_from=told), *words)


def test_networks_that_do_not_fit_are_compared_by_tensor(tmp_path: Path) -> None:
    """D with batch norm into D without: its second layer has no bias there, and its norm is not here."""
    old = NSGAN(*networks(d_norm="batch"))
    ref = write(old, tmp_path / "old.ckpt")
    refused(
        WGANGP(*networks(seed=1), init_from=InitFrom(ref, freeze=[FIRST])),
        "discriminator.trunk.1.bias is not there",
        "discriminator.trunk.2.weight is not here and 9 more",  # two biases are here only, two norms of five there
        f"--model.init_from.ref {ref} --model.init_from.parts '[\"generator\"]'",
    )
    gan = WGANGP(*networks(seed=1), init_from=InitFrom(ref, ["generator"]))
    begin(gan)
    assert same(snapshot(gan.generator), snapshot(old.generator))


def test_other_sizes_are_named_with_both(tmp_path: Path) -> None:
    ref = write(NSGAN(*networks()), tmp_path / "old.ckpt")
    generator, discriminator = networks()
    wider = type(generator)((2,), latent_dim=9, width=5, depth=2)
    said = refused(NSGAN(wider, discriminator, init_from=ref), "generator.net.0.weight is (5, 6) there and (5, 9) here")
    assert "more" not in said


def test_a_network_that_is_not_there_is_refused(tmp_path: Path) -> None:
    ref = write(NSGAN(*networks()), tmp_path / "old.ckpt")
    gan = InfoGAN(*networks(), categorical=2, continuous=1, init_from=InitFrom(ref, ["q"]))
    refused(gan, "has no q", "choose parts from generator, discriminator")


@pytest.mark.parametrize("wrong", [{"parts": "generator"}, {"freeze": "generator"}, {"parts": []}])
def test_a_list_is_asked_for(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        InitFrom("x.ckpt", **wrong)


def test_a_game_begins_once_and_before_it_is_played(tmp_path: Path) -> None:
    old = trained(tmp_path / "old.ckpt", norm="none")
    gan = NSGAN(*networks(), ema_decay=0.9, init_from=str(tmp_path / "old.ckpt"))
    before = snapshot(gan)
    with pytest.raises(
        ValueError, match=r"NSGAN: nothing was loaded from .*old.ckpt.*zoo\.hub\.finetune\.begin\(gan\)"
    ):
        fit(gan, points(1))
    assert same(before, snapshot(gan))
    begin(gan)
    fit(gan, points(1))
    refused(gan, "has begun")
    refused(old, "init_from")


# What is frozen.

WAYS = {
    "plain": (NSGAN, {}),
    "wgan_gp": (WGANGP, {"d_optimizer": lambda p: AdamW(p, lr=0.01, weight_decay=0.5)}),
    "clip": (NSGAN, {"stabilizers": [WeightClip(0.05)]}),  # some of the frozen weights lie outside the box
    "unrolled": (NSGAN, {"dynamics": Unrolled(k=2)}),
    "unrolled_sgd": (NSGAN, {"dynamics": Unrolled(k=2, lr=0.1)}),
    "regularized": (NSGAN, {"dynamics": GradientRegularized()}),
    "consensus": (NSGAN, {"dynamics": Consensus()}),
    "clip_norm": (NSGAN, {"clip_norm": 1e-2}),
    "spectral": (NSGAN, {"stabilizers": [SpectralNorm()]}),
    "penalised": (NSGAN, {"stabilizers": [WeightPenalty(), HistoricalAveraging()]}),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_frozen_stays_bit_for_bit_and_the_rest_moves(way: str, tmp_path: Path) -> None:
    cls, options = WAYS[way]
    trained(tmp_path / "old.ckpt", norm="none", **(options if way == "spectral" else {}))
    told = InitFrom(str(tmp_path / "old.ckpt"), freeze=[FIRST, "generator.net.3.bias"])
    gan = cls(*networks(seed=1), init_from=told, **options)
    begin(gan)
    before = {k: p.clone() for k, p in gan.named_parameters()}
    fit(gan, points(10))
    still = {k for k, p in gan.named_parameters() if torch.equal(p, before[k])}
    frozen = {k for k in before if k.startswith(f"{FIRST}.") or k == "generator.net.3.bias"}
    assert len(frozen) == 3
    assert still == frozen
    for key, parameter in gan.named_parameters():
        assert parameter.requires_grad == (key not in frozen)
        assert (parameter.grad is None) == (key in frozen)


def test_frozen_batch_norms_keep_their_statistics_and_use_the_batch(tmp_path: Path) -> None:
    old = NSGAN(*networks(norm="batch", d_norm="batch"))
    fit(old, points(3))
    names = ["discriminator.trunk.1", "discriminator.trunk.2", "generator.net.1"]
    told = InitFrom(write(old, tmp_path / "old.ckpt"), freeze=names)
    gan = NSGAN(*networks(norm="batch", d_norm="batch", seed=1), ema_decay=0.9, init_from=told)
    begin(gan)
    x = torch.randn(50, 2)
    first = gan.discriminator.trunk[:3](x)
    torch.testing.assert_close(first.mean(0), gan.discriminator.trunk[2].bias)
    before = snapshot(gan)
    fit(gan, points(5))
    after = snapshot(gan)
    assert all(torch.equal(after[k], before[k]) for n in names for k in before if k.startswith(f"{n}."))
    assert after["generator.net.4.num_batches_tracked"] == before["generator.net.4.num_batches_tracked"] + 5
    assert (
        after["discriminator.trunk.5.num_batches_tracked"] == before["discriminator.trunk.5.num_batches_tracked"] + 10
    )
    assert torch.equal(gan.discriminator.trunk[:3](x), first)
    assert same(dict(gan.generator_ema.named_buffers()), dict(gan.generator.named_buffers()))


# What follows from a checkpoint.


def test_a_resumed_run_equals_a_straight_one_and_needs_no_source(tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    trained(path)
    data = points(6, seed=5)

    def game(*, freeze: tuple[str, ...] = (FIRST,), told: bool = True) -> GAN:
        init_from = InitFrom(str(path), freeze=freeze) if told else None
        return WGANGP(*networks(norm="batch", seed=1), ema_decay=0.9, init_from=init_from)

    straight, first = game(), game()
    for gan in (straight, first):
        begin(gan)
    fit(straight, data)
    fit(first, data[:3]).save_checkpoint(tmp_path / "half.ckpt")
    path.unlink()
    layer = below(first, FIRST)
    for told in (True, False):  # what was frozen stays so even where nobody says it again
        second = game(told=told)
        fit(second, data[3:], ckpt_path=str(tmp_path / "half.ckpt"), max_epochs=2)
        assert same(snapshot(straight), snapshot(second))
        assert same(layer, below(second, FIRST))
        assert second.steps == 6
    freed = game(freeze=())
    fit(freed, data[3:], ckpt_path=str(tmp_path / "half.ckpt"), max_epochs=2)
    assert not same(layer, below(freed, FIRST))
