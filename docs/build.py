"""Write the tables of README.md, the catalogue and the papers, and a page for each variant. `python docs/build.py`.

A member's paper and equations are those of its module's docstring: the first line, "Name: authors year, ...", and the
indented lines below it. Its configurations are the files of `configs/` that name its class. A page's arguments, logged
numbers and deviations are those of the class's docstring; only "Results" is written by hand, and kept.
"""

import inspect
import re
from pathlib import Path

from zoo.commands import papers
from zoo.gan import GAN
from zoo.hub import catalogue
from zoo.hub.card import equations, paper
from zoo.variants import variants

ROOT = Path(__file__).parent.parent
TABLES = {
    "README.md": "members",
    "docs/catalogue.md": "catalogue",
    "docs/papers.md": "papers",
}  # each stands between two marks


def configurations(member: type[GAN]) -> list[str]:
    """Names of the configurations of this class."""
    path = f"{member.__module__}.{member.__name__}"
    return [
        p.stem for p in sorted(ROOT.glob("configs/*.yaml")) if f"class_path: {path}\n" in p.read_text(encoding="utf-8")
    ]


def table() -> str:
    """The members, a row each, with the first equation of each side up to its first condition."""
    rows = ["| | discriminator | generator | paper |", "| --- | --- | --- | --- |"]
    for name, member in variants().items():
        sides = (next(e for e in equations(member) if e.startswith(side)) for side in ("L_D", "L_G"))
        losses = " | ".join(f"`{_loss(equation).replace('|', '∣')}`" for equation in sides)
        cited = paper(member).partition(', "')[0]
        rows.append(f"| [{name}]({_path(member).relative_to(ROOT)}) | {losses} | {cited} |")
    return "\n".join(rows)


def _loss(equation: str) -> str:
    """The right-hand side of an equation without the definitions that follow its first comma outside brackets."""
    depth = 0
    for i, letter in enumerate(equation):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0 and " = " in equation[:i]:
            equation = equation[:i]
            break
    return equation.partition(" = ")[2]


def documents() -> dict[Path, str]:
    """Every generated document, by path: README.md and the catalogue with fresh tables, and a page for each member."""
    tables = {"members": table(), "catalogue": catalogue.markdown(catalogue.entries()), "papers": papers.markdown()}
    made = {}
    for file, name in TABLES.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        begin, end = f"<!-- {name}: written by docs/build.py -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        made[ROOT / file] = f"{before}{begin}{tables[name]}\n{end}{rest.split(end)[1]}"
    return made | {_path(member): page(name, member) for name, member in variants().items()}


COMMON_LOGS = {
    "progress/kimg": "thousands of real images seen so far, over all ranks",
    "loss/<turn>": "the loss of the last move of that turn, the sum of its terms",
    "loss/<turn>/<term>": "one term, where there are several: `adversarial` is the objective's own, the rest is named "
    "by the stabilizer or by the paper",
    "lr/<player>": "the learning rate of the player's last move",
    "fd/..., precision/..., recall/...": "scores against held-out images; the name says in which features",
}


def page(name: str, member: type[GAN]) -> str:
    """A member's page, with the results that are already there."""
    files = configurations(member)
    summary, deviations, sections = _sections(member)
    logs = {**COMMON_LOGS, **_entries(sections.get("Logs", []))}
    equations_block = "\n".join(f"    {equation}" for equation in equations(member))
    parts = [
        f"# {name}",
        f"{paper(member)}. {summary}",
        equations_block,
        "## Usage",
        "```bash\n" + "\n".join(_command(file) for file in files) + "\n```",
        f"From Python: `zoo.variants.{name}(...)`, with these arguments beside those of every `zoo.GAN`:",
        _table(("argument", "what"), _entries(sections.get("Args", []))),
        "## What each logged number means",
        _table(("key", "what"), logs),
        "## Implementation, and every deviation from the paper",
        f"[`{_source(member)}`](../../{_source(member)}). {deviations}",
        "## Results",
    ]
    return "\n\n".join(parts) + "\n\n" + _results(name, member)


def _path(member: type[GAN]) -> Path:
    return ROOT / "docs/variants" / f"{member.__module__.rpartition('.')[2]}.md"


def _source(member: type[GAN]) -> str:
    return f"zoo/variants/{member.__module__.rpartition('.')[2]}.py"


def _command(file: str) -> str:
    return f"python train.py fit -c configs/{file}.yaml -c configs/data/fashion_mnist.yaml"


def _results(name: str, member: type[GAN]) -> str:
    """What is already there, by hand."""
    path = _path(member)
    if path.is_file() and (kept := path.read_text(encoding="utf-8").partition("## Results\n\n")[2]):
        return kept
    return "Not measured yet.\n"


def _sections(member: type[GAN]) -> tuple[str, str, dict[str, list[str]]]:
    """The summary, the deviations, and the lines of each section of the class's docstring."""
    text: list[str] = []
    sections: dict[str, list[str]] = {}
    current = text
    for line in (inspect.getdoc(member) or "").splitlines():
        if re.fullmatch(r"(Args|Logs|Raises|Attributes):", line):
            current = sections[line[:-1]] = []
        else:
            current.append(line)
    before, _, after = "\n".join(text).strip().partition("Deviations: ")
    return before.strip(), f"Deviations: {after.strip()}" if after else "Deviations: none known.", sections


def _entries(lines: list[str]) -> dict[str, str]:
    """`name: text` of a section, continued on deeper lines."""
    found: dict[str, str] = {}
    for line in lines:
        if match := re.match(r"    ([\w/]+): (.*)", line):
            name = match[1]
            found[name] = match[2]
        elif line.strip():
            found[name] += " " + line.strip()
    return {name: text for name, text in found.items() if not text.startswith(("as in `GAN`.", "the rest of `GAN`"))}


def _table(heads: tuple[str, str], rows: dict[str, str]) -> str:
    if not rows:
        return "None."
    body = [f"| `{key}` | {text.replace('|', '∣')} |" for key, text in rows.items()]
    return "\n".join([f"| {heads[0]} | {heads[1]} |", "| --- | --- |", *body])


def main() -> None:
    """Write all documents and print the names of those that changed."""
    for path, text in documents().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
