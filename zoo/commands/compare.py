"""Put runs side by side on one page.

Runs are grouped by data set and configuration; those that differ only in their seeds are taken together. The page is
one file: it needs no server, no network and no script.
"""

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs, and where the page goes."""
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs, or folders that hold them, as in runs/")
    parser.add_argument("-o", "--output", type=Path, default=Path("compare.html"), help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the page's numbers as JSON, too")


def run(chosen: argparse.Namespace) -> None:
    """Read, compare, write; a last line says where the page is."""
    import json
    import sys

    from zoo.compare import compare, html
    from zoo.compare.numbers import as_json

    comparison = compare(chosen.runs)
    page = html(comparison)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(page, encoding="utf-8", errors="replace")  # a name of a run's may hold a lone surrogate
    if chosen.json:
        print(json.dumps(as_json(comparison), indent=2, allow_nan=False))
    left = {"never began": len(comparison.never_began), "cannot be read": len(comparison.unreadable)}
    left_out = "".join(f"; left out: {count} that {why}" for why, count in left.items() if count)
    runs, variants = (
        f"{n} {what}{'s' * (n != 1)}"
        for n, what in ((len(comparison.runs), "run"), (len(comparison.labels), "variant"))
    )
    where = f"{runs} of {variants}: {chosen.output}{left_out}"
    print(where, file=sys.stderr if chosen.json else sys.stdout)
