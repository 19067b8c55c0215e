"""Which files of a folder are held out."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path


def splits_of(
    root: Path, find: Callable[[Path], list[Path]], kind: str, what: str
) -> dict[str, tuple[Path, list[Path]]]:
    """The files of the splits "train", "val" and, where there is one, "test", each with the folder of its paths.

    Splits are root/train, with root/val or root/test or both, where these folders exist. Otherwise a tenth of the
    files, at least one, is "val": those whose path under root has the smallest SHA-256.

    Args:
        root: the folder.
        find: the files at any depth under a folder.
        kind: of the data, for errors.
        what: a file is.

    Raises ValueError if none can be held out.
    """
    folders = {name: root / name for name in ("train", "val", "test")}
    folders = {name: folder for name, folder in folders.items() if folder.is_dir()}
    if "train" in folders and len(folders) > 1:
        if "val" not in folders:
            folders["val"] = folders.pop("test")
        return {split: (folder, find(folder)) for split, folder in folders.items()}
    paths = find(root)
    if len(paths) < 2:
        raise ValueError(f"{kind}: {str(root)!r} has one {what}; at least 2 are needed, as one is held out")
    by_hash = sorted(paths, key=lambda path: sha256(os.fsencode(path.relative_to(root).as_posix())).digest())
    held_out = set(by_hash[: max(1, len(paths) // 10)])
    return {
        "train": (root, [path for path in paths if path not in held_out]),
        "val": (root, [path for path in paths if path in held_out]),
    }
