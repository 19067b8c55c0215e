"""Short fits through the real command line: networks of a few units, five batches of digits."""

from pathlib import Path

import yaml

from zoo.benchmark.resolve import Resolved, resolve
from zoo.cli.main import ROOT, ZooCLI, main

VARIANTS = sorted(p for p in ROOT.glob("configs/*.yaml") if "variant" in yaml.safe_load(p.read_text()))
NSGAN, DIGITS = ROOT / "configs/nsgan.yaml", ROOT / "configs/data/digits.yaml"
SMALL = [
    "--trainer.max_steps=5", "--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.log_every_n_steps=1",
    "--model.init_args.generator.init_args.width=4", "--model.init_args.discriminator.init_args.width=4",
    "--quality.n=150",
]  # fmt: skip
QUICK = ["-c", NSGAN, "-c", DIGITS, "--data.image_size=8", *SMALL]
BARE = "--without=[quality,samples,diagnostics]"


def fit(*args: object) -> ZooCLI:
    """`train.py fit`."""
    return main(["fit", *map(str, args)])


def parsed(*configs: Path) -> Resolved:
    """What the command line would build, untrained."""
    return resolve([word for path in configs for word in ("-c", str(path))])


def train(config: str, root: Path, *more: str) -> Path:
    """The folder of a run of two batches, with scores of its beginning and its end."""
    before = {*root.iterdir()} if root.exists() else set()
    words = ["-c", ROOT / f"configs/{config}.yaml", "-c", DIGITS, *SMALL, "--data.image_size=8", "--quality.n=1000"]
    fit(*words, "--trainer.max_steps=2", f"--trainer.default_root_dir={root}", *more)
    (run,) = {*root.iterdir()} - before
    return run


def only(root: Path) -> Path:
    """The one run below a root."""
    (run,) = root.iterdir()
    return run
