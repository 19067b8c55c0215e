"""List the published numbers that a configuration aims at, and what it came to here.

The configurations are in configs/papers/, and so is the record of this table; docs/papers.md has the protocols.
"""

import argparse
import json

from zoo.cli.configs import CONFIGS

RECORD = CONFIGS / "papers" / "index.json"
COLUMNS = ("paper", "table", "published", "kimg", "here", "command")


def arguments(parser: argparse.ArgumentParser) -> None:
    """In which form."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all that is known of each, as JSON")
    form.add_argument("--markdown", action="store_true", help="a table of Markdown")


def run(chosen: argparse.Namespace) -> None:
    """Print the table."""
    if chosen.json:
        print(json.dumps(entries(), indent=1, ensure_ascii=False))
    elif chosen.markdown:
        print(markdown())
    else:
        for entry in entries():
            print("\n".join(f"{key:>9}  {entry[key]}" for key in COLUMNS), end="\n\n")


def entries() -> list[dict[str, str]]:
    """The rows: config, paper, table, published, protocol, kimg of real images, here, and the command of its run."""
    rows = json.loads(RECORD.read_text(encoding="utf-8"))
    train = "python train.py fit -c configs/papers/{config}.yaml"
    return [{"command": train.format(**row), **row, "kimg": f"{row['kimg']:,}"} for row in rows]


def markdown() -> str:
    """The rows as a table of Markdown."""
    head = [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)]
    body = [[f"`{entry[key]}`" if key == "command" else entry[key] for key in COLUMNS] for entry in entries()]
    return "\n".join(head + [f"| {' | '.join(row)} |" for row in body])
