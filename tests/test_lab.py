"""The lab's frame: experiments are found by name, run alone on one thread, and written down."""

import json
from pathlib import Path

import pytest
import torch

from zoo import lab
from zoo.__main__ import main


@pytest.mark.parametrize("name", lab.experiments())
def test_every_experiment_says_what_is_claimed_by_whom_and_what_is_drawn(name: str) -> None:
    first, claim, paper, figure = lab._paragraphs(name)
    assert first.endswith(".")
    assert len(first) <= 120
    assert claim.startswith("Claim: ")
    assert paper.startswith("Paper: ")
    assert any(str(year) in paper for year in range(1999, 2020))
    assert figure.startswith("Figure: ")


def test_without_a_name_it_lists_them(capsys) -> None:
    assert main(["lab"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == lab.experiments() == sorted(lab.experiments())
    assert "_games" not in lab.experiments()
    assert "two-gaussians" in lab.experiments()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["oscilation"], ("oscillation",)),
        (["two_gaussians"], ("two-gaussians",)),
        (["zzz"], ("divergences", "oscillation")),
        (["noise", "--all"], ("noise", "--all")),
    ],
)
def test_what_it_does_not_know_is_refused_with_what_is_near(args, words, capsys, tmp_path) -> None:
    assert main(["lab", *args, "-o", str(tmp_path / "lab")]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert all(word in error for word in words)
    assert not (tmp_path / "lab").exists()


def test_an_experiment_leaves_numbers_a_figure_and_what_they_depend_on(tmp_path, capsys) -> None:
    before = torch.get_rng_state(), torch.get_num_threads()
    assert main(["lab", "divergences", "--quick", "--seed", "3", "-o", str(tmp_path)]) == 0
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
    saved = json.loads((tmp_path / "divergences.json").read_text())
    assert (saved["experiment"], saved["seed"], saved["quick"]) == ("divergences", 3, True)
    assert saved["versions"]["torch"] == torch.__version__
    assert saved["numbers"]["W₁"] == pytest.approx(saved["numbers"]["mu"], rel=1e-6)
    assert (tmp_path / "divergences.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert printed.splitlines()[1] == lab.ROUGH
    assert saved["finding"] in printed
    assert str(tmp_path / "divergences.png") in printed


def test_all_writes_a_page_of_what_was_saved_beside_the_folder(tmp_path, monkeypatch) -> None:
    result = lab.Result({"a": 1.0}, "It is 1.", lambda figure: None)
    monkeypatch.setattr(lab, "experiments", lambda: ["divergences", "noise"])
    monkeypatch.setattr(lab, "perform", lambda name, seed, quick: lab.Report(name, seed, quick, 2.0, result))
    assert main(["lab", "--all", "--seed", "4", "--quick", "-o", str(tmp_path / "docs")]) == 0
    page = (tmp_path / "docs.md").read_text()
    assert page == lab.page(tmp_path / "docs")
    for name in ("divergences", "noise"):
        assert (tmp_path / "docs" / f"{name}.png").is_file()
        for part in (f"## {name}\n", f"](docs/{name}.png)", f"lab {name} --seed 4 --quick`", lab._paragraphs(name)[1]):
            assert part in page
    assert page.count("(seed 4): It is 1.") == 2


def test_a_number_that_json_does_not_have_is_an_error(tmp_path: Path) -> None:
    report = lab.Report("divergences", 0, True, 1.0, lab.Result({"a": float("nan")}, "", lambda figure: None))
    with pytest.raises(ValueError, match="JSON"):
        report.as_json()


def test_the_seed_decides() -> None:
    draws = []
    for seed in (0, 0, 1):
        with lab._alone(seed):
            draws.append(torch.rand(()).item())
            assert torch.get_num_threads() == 1
    assert draws[0] == draws[1] != draws[2]


def test_only_a_quick_run_is_said_to_be_rough() -> None:
    full = lab.Report("divergences", 0, False, 1.0, lab.Result({"a": 1.0}, "It is 1.", lambda figure: None))
    assert lab.ROUGH not in str(full)
