"""From run folders to groups of seeds and their numbers."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compare_runs import write_run
from zoo.compare import compare
from zoo.compare.charts import pool, spread_out
from zoo.compare.numbers import as_json
from zoo.compare.runs import find_runs, flatten, read_run
from zoo.compare.scores import kind_of, scores

NAN = math.nan
ROOT = Path(__file__).parent.parent
RECORD = {"variant": "nsgan", "dataset": "digits", "status": "finished"}


def test_runs_are_found_once_wherever_they_are(tmp_path: Path) -> None:
    a = write_run(tmp_path / "runs" / "a", fd=[1.0])
    b = write_run(tmp_path / "runs" / "deep" / "b", fd=[1.0])
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "c").symlink_to(a)
    assert find_runs([tmp_path / "runs", tmp_path / "links", b, a]) == [a, b]
    assert find_runs([tmp_path / "links"]) == [a]


def test_what_is_no_run_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "file").touch()
    run = write_run(tmp_path / "run", fd=[1.0])
    with pytest.raises(ValueError, match="photos is no run and holds none"):
        compare([run, tmp_path / "photos"])
    with pytest.raises(ValueError, match="file is no folder"):
        compare([tmp_path / "file"])
    with pytest.raises(ValueError, match="no runs to compare"):
        compare([])


def test_configurations_go_by_the_names_of_the_command_line() -> None:
    callbacks = [
        {"class_path": "zoo.callbacks.Quality", "init_args": {"n": 6}},
        {"class_path": "zoo.callbacks.Samples"},
    ]
    model = {"class_path": "zoo.variants.NSGAN", "init_args": {"g_optimizer": {"lr": 0.1}, "betas": [0, 1]}}
    assert flatten({"model": model, "trainer": {"callbacks": callbacks}}) == {
        "model": "zoo.variants.NSGAN",
        "model.g_optimizer.lr": 0.1,
        "model.betas": [0, 1],
        "trainer.callbacks.Quality": "zoo.callbacks.Quality",
        "trainer.callbacks.Quality.n": 6,
        "trainer.callbacks.Samples": "zoo.callbacks.Samples",
    }


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("fd/digits-cnn", "fd"), ("full/kd/a", "kd"), ("fid", "fid"), ("modes/kl", "modes/kl"),
        ("full/modes/kl", "modes/kl"), ("fd/digits-cnn_real", ""), ("full/is/a/std", ""), ("best/fd/a", ""),
        ("loss/d", ""), ("lr/g", ""),
    ],
)  # fmt: skip
def test_what_is_a_score(key: str, kind: str) -> None:
    assert kind_of(key) == kind


def test_best_and_final_over_seeds(tmp_path: Path) -> None:
    for seed, fd in enumerate([[9.0, 4.0, 5.0], [8.0, NAN, 6.0], [7.0, 3.0, NAN], [NAN, NAN]]):
        write_run(tmp_path / str(seed), seed=seed, fd=fd)
    [section] = compare([tmp_path]).sections
    [variant], [measure] = section.variants, section.headlines
    best, final = variant.summary(measure, "best"), variant.summary(measure, "final")
    assert (best.n, best.lost, best.mean, best.sd) == (3, 1, pytest.approx(13 / 3), pytest.approx(math.sqrt(7 / 3)))
    assert (final.n, final.lost, final.mean) == (2, 2, 5.5)


def test_different_configurations_of_one_name_are_not_seeds_of_each_other(tmp_path: Path) -> None:
    model = {"class_path": "zoo.variants.nsgan", "init_args": {"g_optimizer": {"lr": 5e-4}, "ema_decay": 0.999}}
    for seed in range(2):
        write_run(tmp_path / f"a{seed}", seed=seed, fd=[4.0])
        write_run(tmp_path / f"b{seed}", seed=seed, fd=[3.0], config={"model": model})
    [section] = compare([tmp_path]).sections
    assert {v.label: len(v.runs) for v in section.variants} == {"nsgan · G lr=0.0001": 2, "nsgan · G lr=0.0005": 2}
    assert section.differing == {"model.g_optimizer.lr": {"nsgan · G lr=0.0001": 1e-4, "nsgan · G lr=0.0005": 5e-4}}
    assert section.common["data.batch_size"] == 64
    assert not any("seed" in key for key in section.common)


def test_configurations_are_named_by_as_little_as_tells_them_apart(tmp_path: Path) -> None:
    for i, (a, b, c) in enumerate([(1, 1, 0), (1, 2, 0), (2, 2, 9)]):
        settings = {"model": {"class_path": "M", "init_args": {"a": a, "b": b, "c": c}}}
        write_run(tmp_path / str(i), fd=[float(i)], config=settings)
    [section] = compare([tmp_path]).sections
    assert [v.label for v in section.variants] == ["nsgan · a=1, b=1", "nsgan · a=1, b=2", "nsgan · a=2"]


def own(**changes: Any) -> dict[str, Any]:
    """The configuration of NSGAN's own file on the digits, with changes by dotted name."""
    tree: dict[str, Any] = {}
    for path in ("configs/nsgan.yaml", "configs/data/digits.yaml"):
        tree |= yaml.safe_load((ROOT / path).read_text())
    for key, value in changes.items():
        *path, last = key.split("__")
        part = tree
        for name in path:
            part = part.setdefault(name, {})
            part = part.get("init_args", part)
        part[last] = value
    return tree


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"model__generator__width": 8, "model__discriminator__width": 8}, "nsgan · width=8"),
        ({"model__generator__width": 8}, "nsgan · G width=8"),
        ({"model__g_optimizer__lr": 5e-4, "data__batch_size": 32}, "nsgan · G lr=0.0005, batch_size=32"),
        ({"model__stabilizers": [{"class_path": "zoo.stabilizers.SpectralNorm"}]}, "nsgan · SpectralNorm"),
        ({"model__generator": {"class_path": "zoo.backbones.ResNetGenerator", "init_args": {"width": 3}}},
         "nsgan · ResNetGenerator"),
        ({"model__stabilizers": [{"class_path": "zoo.stabilizers.InstanceNoise", "init_args": {"until_kimg": 9}}]},
         "nsgan · InstanceNoise"),
        ({"quality": {"every_kimg": 2}, "samples": {"every_kimg": 2}, "model__generator__width": 8},
         "nsgan · G width=8"),
        ({"trainer": {"precision": "16-mixed"}}, "nsgan · precision=16-mixed"),
        ({"model__dynamics": {"class_path": "mynets.dynamics.Mine"}}, "nsgan · Mine"),
    ],
)  # fmt: skip
def test_a_label_tells_what_is_not_as_in_the_variants_own_file(
    tmp_path: Path, changes: dict[str, Any], label: str
) -> None:
    write_run(tmp_path / "a", fd=[1.0], config=own())
    write_run(tmp_path / "b", fd=[2.0], config=own(**changes))
    assert [v.label for v in compare([tmp_path]).sections[0].variants] == ["nsgan", label]


@pytest.mark.parametrize(
    "changes",
    [
        {"model__generator__width": 64.0}, {"model__stabilizers": "None"}, {"model__stabilizers": []},
        {"trainer": {"max_epochs": 3, "logger": "CSVLogger", "enable_progress_bar": False}},
        {"trainer": {"callbacks": [{"class_path": "zoo.callbacks.Quality", "init_args": {"n": 9}}]}},
        {"patience": {"seconds": 20}, "budget": {"kimg": 9}, "data__num_workers": 4},
        {"quality": {"every_kimg": 2}, "samples": {"n": 9}, "checkpoints": {"every_kimg": 5}, "without": ["samples"]},
        {"model__generator__class_path": "zoo.backbones.DCGANGenerator"},
    ],
)  # fmt: skip
def test_options_that_do_not_change_training_make_no_variant(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_run(tmp_path / "a", fd=[1.0], config=own())
    write_run(tmp_path / "b", fd=[2.0], seed=1, config=own(**changes))
    [variant] = compare([tmp_path]).sections[0].variants
    assert (variant.label, len(variant.runs)) == ("nsgan", 2)


def test_runs_of_other_budgets_are_kept_apart_by_the_length_they_reached(tmp_path: Path) -> None:
    write_run(tmp_path / "a", fd=[1.0, 1.0], kimg=3, config=own(budget={"kimg": 3}))
    write_run(tmp_path / "b", fd=[2.0, 2.0], kimg=3, seed=1, config=own(budget={"kimg": 3.0, "seconds": 20}))
    write_run(tmp_path / "c", fd=[9.0, 9.0], kimg=30, config=own(budget={"kimg": 30}))
    write_run(tmp_path / "d", fd=[9.0, 9.0], kimg=5.064, config=own(budget={"kimg": 5}))  # the last batch went beyond
    write_run(tmp_path / "e", fd=[9.0, 9.0], kimg=4, status="interrupted", config=own(budget={"kimg": 40}))
    found = {v.label: len(v.runs) for v in compare([tmp_path]).sections[0].variants}
    assert found == {"nsgan · kimg=5": 1, "nsgan · kimg=4": 1, "nsgan · kimg=3": 2, "nsgan · kimg=30": 1}


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("run.json", "[]", "is not a JSON object"), ("run.json", "[" * 100_000, "is not JSON"),
        ("run.json", RECORD | {"seed": [1]}, "its seed"), ("run.json", RECORD | {"diagnosis": ["x"]}, "its diagnosis"),
        ("run.json", RECORD | {"git": "x"}, "its git"), ("run.json", RECORD | {"error": {}}, "its error"),
        ("run.json", RECORD | {"result": {"kimg": NAN, "seconds": 1}}, "its result"),
        ("metrics.jsonl", '{"progress/kimg": "x"}\n' * 2, "row 1|is not what a run writes"),
        ("metrics.jsonl", '{"progress/kimg": 1, "loss/d": 1' + "0" * 400 + "}\n", "is not what a run writes"),
        ("metrics.jsonl", "no JSON\n{}\n", "is not a JSON object"), ("metrics.jsonl", b"\xff\n", "is not UTF-8"),
        ("scores.jsonl", '{"kimg": 0}\n', "no kimg and no scores"),
        ("scores.jsonl", '{"kimg": 0, "n_real": [], "scores": {"fd/a": 1}}\n', "how it was measured"),
        ("config.yaml", "a: [", "config.yaml"), ("config.yaml", "&a [*a]", "config.yaml"),
        ("config.yaml", "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{c}: &{c} [{', '.join([f'*{b}'] * 9)}]\n" for b, c in zip("abcdefg", "bcdefgh", strict=True)), "aliases"),
        ("config.yaml", "a: 0x" + "f" * 20_000, "a number of 80000 bits"),
        ("config.yaml", b"#" * 5_000_000, "more than 4 MB"),
    ],
)  # fmt: skip
def test_a_bad_run_is_listed_and_the_others_are_shown(tmp_path: Path, name: str, content: Any, why: str) -> None:
    write_run(tmp_path / "good", fd=[1.0])
    bad = write_run(tmp_path / "bad", fd=[2.0]) / name
    content = json.dumps(content) if isinstance(content, dict) else content
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    comparison = compare([tmp_path])
    assert [run.folder.name for run in comparison.runs] == ["good"]
    [(folder, reason)] = comparison.unreadable.items()
    assert folder.name == "bad"
    assert re.search(why, reason)
    assert as_json(comparison)["left_out"]["unreadable"] == [{"folder": str(folder), "error": reason}]


def test_runs_that_never_began_are_counted(tmp_path: Path) -> None:
    write_run(tmp_path / "typo", status="failed", error="no data")
    with pytest.raises(ValueError, match="typo never began: no data"):
        compare([tmp_path])
    write_run(tmp_path / "good", fd=[1.0])
    comparison = compare([tmp_path])
    assert ([run.folder.name for run in comparison.never_began], len(comparison.runs)) == (["typo"], 1)


def test_of_the_runs_of_one_seed_the_newest_that_finished_counts(tmp_path: Path) -> None:
    write_run(tmp_path / "first", fd=[1.0], started="2026-01-01")
    write_run(tmp_path / "second", fd=[2.0], started="2026-01-02")
    write_run(tmp_path / "third", fd=[3.0], started="2026-01-03", status="failed", error="OSError: disk")
    write_run(tmp_path / "unseeded", fd=[4.0], seed=None, config={"data": None})
    write_run(tmp_path / "unseeded too", fd=[5.0], seed=None, config={"data": None})
    comparison = compare([tmp_path])
    [seeded, unseeded] = sorted(comparison.sections[0].variants, key=lambda v: len(v.others), reverse=True)
    assert [run.folder.name for run in seeded.runs] == ["second"]
    assert [run.folder.name for run in seeded.others] == ["first", "third"]
    assert len(unseeded.runs) == 2
    assert len(comparison.runs) == 5


def test_scores_of_different_protocols_are_different_measures(tmp_path: Path) -> None:
    write_run(tmp_path / "a", variant="a", fd=[4.0, 2.0])
    write_run(tmp_path / "b", variant="b", fd=[1.0], facts={"n_fake": 50})
    (write_run(tmp_path / "c", variant="c", fd=[3.0]) / "scores.jsonl").unlink()
    [section] = compare([tmp_path]).sections
    told = {
        m.protocol.n_fake: [v.label for v in section.variants if v.summary(m, "best").values] for m in section.headlines
    }
    assert told == {1000: ["a"], 50: ["b"], None: ["c"]}
    assert {m.protocol.extractor for m in section.headlines} == {"digits-cnn"}
    assert section.matrix(section.headlines[0], "best") == {}
    assert any("3 ways" in note for note in section.notes())


def test_a_run_that_changes_its_protocol_on_the_way_has_two_measures(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", fd=[4.0, 2.0])
    first, second = map(json.loads, (run / "scores.jsonl").read_text().splitlines())
    (run / "scores.jsonl").write_text(f"{json.dumps(first)}\n{json.dumps({**second, 'n_fake': 10})}\n")
    assert {m.protocol.n_fake: [p.value for p in ps] for m, ps in scores(read_run(run)).items()} == {
        1000: [4.0],
        10: [2.0],
    }


def test_the_matrix_is_antisymmetric_and_knows_which_way_is_better(tmp_path: Path) -> None:
    values = {"a": [1.0, 4.0, 2.0], "b": [3.0, 3.0, NAN], "c": [9.0, 8.0], "d": []}
    for variant, seeds in values.items():
        for seed, value in enumerate(seeds or [None]):
            fd = [] if value is None else [value]
            write_run(tmp_path / f"{variant}{seed}", variant=variant, seed=seed, fd=fd, precision=[-v for v in fd])
    [section] = compare([tmp_path]).sections
    for measure in section.measures:
        matrix = section.matrix(measure, "final")
        assert {label for pair in matrix for label in pair} == {"a", "b", "c"}
        for (a, b), duel in matrix.items():
            other = matrix[b, a]
            assert duel.wins + other.wins == duel.pairs == len(values[a]) * len(values[b])
            assert (duel.p, duel.p_holm) == (other.p, other.p_holm)
            assert duel.p <= duel.p_holm <= 1
    lower = section.matrix(section.headlines[0], "final")
    assert lower["a", "b"].wins == 2 + 2 + 3  # a's 4.0 loses to both 3.0
    assert lower["a", "c"].wins == 6
    higher = next(m for m in section.measures if m.name == "precision")
    assert section.matrix(higher, "final")["a", "c"].wins == 6


def test_the_two_best_and_their_difference(tmp_path: Path) -> None:
    for variant, seeds in {"good": [1.0, 2.0], "bad": [5.0, 7.0], "worse": [50.0]}.items():
        for seed, value in enumerate(seeds):
            write_run(tmp_path / f"{variant}{seed}", variant=variant, seed=seed, fd=[value])
    [section] = compare([tmp_path]).sections
    top = section.difference(section.headlines[0])
    assert top is not None
    assert (top.first, top.second, top.difference, top.seeds) == ("good", "bad", -4.5, (2, 2))
    assert top.interval == (1.0 - 7.0, 2.0 - 5.0)  # the extremes of 16 resamples have 1/16 each
    assert (top.pairwise.p, top.comparisons, top.pairwise.p_holm) == (pytest.approx(1 / 3), 3, 1.0)


def test_what_is_wrong_with_a_run_is_said(tmp_path: Path) -> None:
    write_run(tmp_path / "a", variant="a", fd=[3.0, NAN])
    write_run(tmp_path / "b", variant="b", fd=[3.0], status="failed", error="RuntimeError: no luck")
    write_run(tmp_path / "c", variant="c", status="running", losses=[1.0])
    (write_run(tmp_path / "d", variant="d", fd=[2.0]) / "config.yaml").unlink()
    write_run(tmp_path / "e", variant="e", fd=[2.0], facts={"fewer_samples_than_features": True})
    told = {v["label"]: v["runs"][0]["problems"] for v in as_json(compare([tmp_path]))["sections"][0]["variants"]}
    assert told["a"] == ["fd/digits-cnn is NaN or infinite in 1 of 2 measurements, the last too"]
    assert told["b"] == ["failed at 0 kimg: RuntimeError: no luck"]
    assert told["c"] == ["still running, or killed, at 5 kimg", "no scores"]
    assert told["d"] == ["no config.yaml: its configuration cannot be compared with the others'"]
    assert told["e"] == ["fd/digits-cnn was taken of fewer samples than features, and means little"]


def test_seeds_are_pooled_where_all_have_values() -> None:
    a: list[Any] = [(0, 0.0), (2, 4.0), (4, 8.0)]
    b: list[Any] = [(1, 6.0), (3, 6.0), (5, NAN), (6, 0.0)]
    *known, unknown = pool([a, b]).T.tolist()
    assert known == [[1, 4.0, 2.0, 6.0], [2, 5.0, 4.0, 6.0], [3, 6.0, 6.0, 6.0]]
    assert unknown[0] == 4
    assert all(map(math.isnan, unknown[1:]))
    assert pool([[(0.0, 1.0)], [(1.0, 1.0)]]).shape == (4, 0)


def test_labels_do_not_overlap() -> None:
    assert spread_out([50, 51, 10, 52], 10, 0, 60) == [40, 50, 10, 60]


def test_on_points_with_modes_these_order_the_variants(tmp_path: Path) -> None:
    for name, fd, modes in (("a", 1.0, 0.1), ("b", 9.0, 0.7)):
        folder = write_run(tmp_path / name, variant=name, dataset="ring", fd=[fd])
        for file in ("metrics.jsonl", "scores.jsonl"):
            row = json.loads((folder / file).read_text())
            row.get("scores", row)["modes/score"] = modes
            (folder / file).write_text(json.dumps(row) + "\n")
    [section] = compare([tmp_path]).sections
    assert [measure.key for measure in section.headlines] == ["modes/score"]
    assert [variant.label for variant in section.variants] == ["b", "a"]
    write_run(tmp_path / "c", variant="c", dataset="ring", fd=[5.0])  # of a run before there was such a score
    [section] = compare([tmp_path]).sections
    assert [variant.label for variant in section.variants] == ["a", "c", "b"]
