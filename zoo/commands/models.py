"""List the catalogue: the trained GANs that come with the package.

final and best are cheap measurements of n samples, at the end and at the lowest; full is the full one at the end. A row
of several seeds has the mean and the standard deviation of their final scores.
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """In which form."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all that is known of each, as JSON")
    form.add_argument("--markdown", action="store_true", help="a table of Markdown")


def run(chosen: argparse.Namespace) -> None:
    """Print the table."""
    import json

    from zoo.hub import catalogue

    entries = catalogue.entries()
    if chosen.json:
        print(json.dumps([entry.facts() for entry in entries], indent=1))
    else:
        print((catalogue.markdown if chosen.markdown else catalogue.table)(entries))
        if lacking := catalogue.without_weights():
            print(f"\nWithout weights here: {', '.join(lacking)}; {catalogue.MORE}")
