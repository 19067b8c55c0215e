"""What libraries say while a run begins, without what nobody can act on."""

import logging
import sys
import warnings


class _News(logging.Filter):
    """Lets through what a user can act on."""

    _OLD = (
        "Tip:",
        "`weights_only` was not set",
        "Detected KeyboardInterrupt",
        "GPU available: False",
        "TPU available: False",
    )

    def filter(self, record: logging.LogRecord) -> bool:
        return not any(words in record.getMessage() for words in self._OLD)


def hush() -> None:
    """Silence what Lightning and jsonargparse say of things that are so by design, or that only they can mend."""
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector", "trainer.call", "trainer.setup"):
        logging.getLogger(f"lightning.pytorch.{name}").addFilter(_News())
    for message in (
        r".*isinstance\(treespec, LeafSpec\)",
        r"(?s).*was deprecated in v4\.49",
        r".*smaller than the logging interval",
    ):
        warnings.filterwarnings("ignore", message=message)


def print_anything() -> None:
    """Let letters that a terminal or pipe cannot encode, as "√" in Windows's cp1252, become "?" instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
