"""Silence messages of libraries that a user can do nothing about."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

_MESSAGES = (
    "Tip:", "`weights_only` was not set", "Detected KeyboardInterrupt", "GPU available: False", "TPU available: False",
)  # fmt: skip
_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\)", r"(?s).*was deprecated in v4\.49", r".*smaller than the logging interval",
    r".*callbacks used to create the checkpoint need to be provided",
)  # fmt: skip


def _is_news(record: logging.LogRecord) -> bool:
    return not any(words in record.getMessage() for words in _MESSAGES)


_USUAL_FORMAT = warnings.formatwarning


def _format(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    if issubclass(category, UserWarning):
        return f"warning: {message}\n"
    return _USUAL_FORMAT(message, category, filename, lineno, line)


def hush() -> None:
    """Silence messages of Lightning and jsonargparse on intended behaviour, or on their own deprecations.

    A UserWarning becomes a line without the file and line of the program.
    """
    warnings.formatwarning = _format
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector", "trainer.call", "trainer.setup"):
        logging.getLogger(f"lightning.pytorch.{name}").addFilter(_is_news)  # the same function is added once
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def print_anything() -> None:
    """Print "?" for letters that a terminal or pipe cannot encode, as "√" in Windows's cp1252, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


@contextmanager
def silence() -> Iterator[StringIO]:
    """Keep stdout and stderr off the terminal, in the text that is yielded; drop warnings and logged messages."""
    output, before = StringIO(), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(output), redirect_stdout(output), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield output
    finally:
        logging.disable(before)
