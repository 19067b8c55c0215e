"""A new user's terminal: a folder of her own, her environment, and one fresh process after the other."""

import json
import os
import subprocess
import sys
from pathlib import Path

KIMG = "0.5"  # how far every training goes
SECONDS = 600


class Session:
    """Commands typed one after the other in a folder."""

    def __init__(self, folder: Path, python: Path, path: Path | None = None) -> None:
        """`python` is the interpreter that commands find; `path` what is importable beside its own."""
        self.folder, self.python = folder, python
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "GAN_ZOO_", "PYTEST_", "COV_", "HF_"))
        }
        kept.pop("PYTHONPATH", None)
        self.environment = kept | {
            "PATH": os.pathsep.join([str(python.parent), kept["PATH"]]),
            "HOME": str(folder / "home"),
            "GAN_ZOO_MAX_KIMG": KIMG,
            **({"PYTHONPATH": str(path)} if path else {}),
        }
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            self.environment.pop(name, None)
        (folder / "home").mkdir(exist_ok=True)

    def latest(self) -> Path:
        """The run that began last, for `<run>`."""
        records = self.folder.glob("runs/*/run.json")
        return max(records, key=lambda path: json.loads(path.read_text("utf-8"))["started"]).parent

    def type(self, command: str) -> str:
        """Run one command; what it printed. AssertionError, with that, where it does not end with 0."""
        if "<run>" in command:
            command = command.replace("<run>", str(self.latest().relative_to(self.folder)))
        return self._run(["bash", "-c", command], command)

    def python_block(self, text: str, name: str = "block.py") -> str:
        """Save a script by this name and run it; see :meth:`type`."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return self._run([str(self.python), name], text)

    def _run(self, words: list[str], shown: str) -> str:
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace", timeout=SECONDS,
        )  # fmt: skip
        print(f"$ {shown.rstrip()}\n{done.stdout[-3000:]}", file=sys.stdout if done.returncode == 0 else sys.stderr)
        assert done.returncode == 0, f"{shown.rstrip()}\nended with {done.returncode}:\n{done.stdout[-2000:]}"
        return done.stdout
