"""Write what follows from the code: README's tables, and a page for each member. `python docs/build.py`.

A member's paper and equations are those of its module's docstring: the first line, "Name: authors year, ...", and the
indented lines below it. Its configurations are the files of `configs/` that name its class. A page's arguments, logged
numbers and deviations are those of the class's docstring; only "Results" is written by hand, and kept.
"""

import inspect
import re
from pathlib import Path

from zoo.gan import GAN
from zoo.hub import catalogue
from zoo.hub.card import equations, paper
from zoo.variants import variants

ROOT = Path(__file__).parent.parent
TABLES = ("members", "catalogue")  # README has each between two marks


def configurations(member: type[GAN]) -> list[str]:
    """Names of the configurations of this class."""
    path = f"{member.__module__}.{member.__name__}"
    return [p.stem for p in sorted(ROOT.glob("configs/*.yaml")) if f"class_path: {path}\n" in p.read_text()]


def table() -> str:
    """The members, a row each."""
    rows = ["| | losses, both minimised | paper | configurations |", "| --- | --- | --- | --- |"]
    for name, member in variants().items():
        losses = "<br>".join(f"`{equation.replace('|', '∣')}`" for equation in equations(member))
        files = ", ".join(f"[`{c}`](configs/{c}.yaml)" for c in configurations(member))
        rows.append(f"| [`{name}`]({_path(member).relative_to(ROOT)}) | {losses} | {paper(member)} | {files} |")
    return "\n".join(rows) + "\n"


def readme() -> str:
    """README.md with fresh tables."""
    text = (ROOT / "README.md").read_text()
    for name, rows in zip(TABLES, (table(), catalogue.markdown(catalogue.entries()) + "\n"), strict=True):
        begin, end = f"<!-- {name}: written by docs/build.py -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = before + begin + rows + end + rest.split(end)[1]
    return text


COMMON_LOGS = {
    "progress/kimg": "thousands of real images dealt so far, over all ranks",
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


def pages() -> dict[Path, str]:
    """Every page, by where it belongs."""
    return {_path(member): page(name, member) for name, member in variants().items()}


def _path(member: type[GAN]) -> Path:
    return ROOT / "docs/variants" / f"{member.__module__.rpartition('.')[2]}.md"


def _source(member: type[GAN]) -> str:
    return f"zoo/variants/{member.__module__.rpartition('.')[2]}.py"


def _command(file: str) -> str:
    return f"python train.py fit -c configs/{file}.yaml -c configs/data/fashion_mnist.yaml"


def _results(name: str, member: type[GAN]) -> str:
    """What is already there, by hand."""
    path = _path(member)
    if path.is_file() and (kept := path.read_text().partition("## Results\n\n")[2]):
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
    """Write README.md and the pages."""
    for path, text in {ROOT / "README.md": readme(), **pages()}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
