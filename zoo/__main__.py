"""`python -m zoo <command>`: what one does with trained GANs."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

from zoo import commands


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status, 2 for the user's mistakes."""
    parser = argparse.ArgumentParser(prog="python -m zoo", description=__doc__)
    parsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    modules = {found.name: import_module(f"zoo.commands.{found.name}") for found in iter_modules(commands.__path__)}
    for name, module in modules.items():
        summary, _, more = (module.__doc__ or "").partition("\n")
        module.arguments(parsers.add_parser(name, help=summary, description=summary, epilog=more.strip() or None))
    chosen, rest = parser.parse_known_args(args)
    module = modules[chosen.command]
    if rest and not getattr(module, "TAKES_MORE", False):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    chosen.rest = rest
    try:
        return module.run(chosen) or 0
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
