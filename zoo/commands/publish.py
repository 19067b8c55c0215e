"""Send a published checkpoint to the Hugging Face Hub or to W&B.

Without credentials, and with --dry-run, nothing is sent: the command says what would be.
"""

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """What, and where to."""
    parser.add_argument("folder", type=Path, help="what `python -m zoo export` made")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--hf", metavar="OWNER/REPO", help="a model repository of the Hugging Face Hub")
    place.add_argument("--wandb", metavar="ENTITY/PROJECT/NAME", help="a model artifact of W&B")
    parser.add_argument(
        "--dry-run", action=argparse.BooleanOptionalAction, default=None,
        help="send nothing (default: only where there are no credentials)",
    )  # fmt: skip


def run(chosen: argparse.Namespace) -> None:
    """Say what is sent, or how to load what was."""
    from zoo.hub.publish import Plan, publish

    done = publish(chosen.folder, hf=chosen.hf, wandb=chosen.wandb, dry_run=chosen.dry_run)
    if isinstance(done, Plan):
        print(f"dry run ({done.why}): nothing is sent of\n{done}\nwhich zoo.from_pretrained({done.ref!r}) would load")
    else:
        print(f"published; zoo.from_pretrained({done!r}) loads it")
