"""Which files a released model consists of. Free of torch, for the plan asks too."""

from __future__ import annotations

from pathlib import Path

from cairn.errors import CairnError

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def weights_file(path: Path) -> Path:
    """The file of tensors of a ``weights`` entry of the runs table, which may be a folder as released.

    Raises:
        CairnError: when the folder holds none (code ``missing``).
    """
    if path.is_dir() and not (path / WEIGHTS).is_file():
        remedy = "Name the folder of a whole download, or the file of the weights itself."
        raise CairnError(f"{path}: no {WEIGHTS} in this folder.", remedy, "missing")
    return path / WEIGHTS if path.is_dir() else path


def files_of(path: Path) -> list[Path]:
    """All files of a ``weights`` entry that its import reads, the weights first: what the job depends on."""
    file = weights_file(path)
    return [file, *(p for p in (file.with_name(CONFIG), download_note(file)) if file.name == WEIGHTS and p.is_file())]


def download_note(file: Path) -> Path:
    """Where the hub's client leaves a note of a file that it downloaded: commit, checksum, time; a line each."""
    return file.parent / f".cache/huggingface/download/{file.name}.metadata"
