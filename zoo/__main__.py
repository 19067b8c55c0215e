"""`python -m zoo <command>`, installed also as `gan-zoo <command>`: train GANs and work with trained ones."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import NoReturn

from zoo import __version__, commands
from zoo.cli.choices import hint
from zoo.cli.errors import first_line, no_memory
from zoo.cli.quiet import print_anything


class Parser(argparse.ArgumentParser):
    """Reports an error in one line and exits with status 2."""

    def error(self, message: str) -> NoReturn:
        """Print one line to stderr and exit with 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 2 for the user's mistakes, 130 after Ctrl-C."""
    try:
        return _main(args)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _main(args: Sequence[str] | None) -> int:
    print_anything()
    words = list(sys.argv[1:] if args is None else args)
    name = "gan-zoo" if Path(sys.argv[0]).stem == "gan-zoo" else "python -m zoo"
    if words[:1] == ["train"]:
        from zoo.commands.train import train

        return train(words[1:], f"{name} train")
    parser = Parser(prog=name, description=__doc__)
    parser.add_argument("--version", action="version", version=f"gan-zoo {__version__}")
    parsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    modules = {found.name: import_module(f"zoo.commands.{found.name}") for found in iter_modules(commands.__path__)}
    for name, module in modules.items():
        summary, _, more = (module.__doc__ or "").partition("\n")
        module.arguments(parsers.add_parser(name, help=summary, description=summary, epilog=more.strip() or None))
    if not words:
        parser.print_help()
        return 0
    if not words[0].startswith("-") and words[0] not in modules:
        near = hint(words[0], [*modules]) or f" (choose from {', '.join(modules)})"
        parser.error(f"no command {words[0]!r}{near}")
    chosen, rest = parser.parse_known_args(words)
    module = modules[chosen.command]
    if rest and not getattr(module, "TAKES_MORE", False):
        own = parsers.choices[chosen.command]
        own.error(f"unrecognized arguments: {' '.join(rest)}{hint(rest[0], [*own._option_string_actions])}")
    chosen.rest = rest
    try:
        return module.run(chosen) or 0
    except (ValueError, OSError) as error:
        line = first_line(error)
    except (RuntimeError, TypeError, MemoryError) as error:
        reason = no_memory(error)
        if reason is None:
            raise
        line = reason
    print(f"error: {line}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
