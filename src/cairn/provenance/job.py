"""The frame of every workflow script: arguments in, a clear error or a card out."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.io.atomic import sha256, write_json
from cairn.provenance.code import code_hash

PACKAGES = ("antspyx", "monai", "nibabel", "numpy", "pandas", "scikit-learn", "scipy", "snakemake", "torch")


@dataclass
class Job:
    """What one job knows of itself; `card` writes it down."""

    stage: str
    script: Path
    config: Any = None
    started: float = field(default_factory=time.time)

    def card(self, path: Path, inputs: Iterable[Path] = (), outputs: Iterable[Path] = (), **facts: Any) -> None:
        """Write ``run.json``: inputs and outputs by sha256, code hash, configuration, versions, hardware, cost."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        write_json(path, {
            "stage": self.stage,
            "code": code_hash(self.script),
            "config": self.config,
            "config_sha256": hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest(),
            "inputs": {p.as_posix(): sha256(p) for p in inputs},
            "outputs": {p.as_posix(): sha256(p) for p in outputs},
            "versions": {"python": platform.python_version(), **_versions()},
            "hardware": {"machine": platform.machine(), "processor": _processor(), "cores": os.cpu_count(), **_gpu()},
            "wall_s": round(time.time() - self.started, 2),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_memory_mb": round(usage.ru_maxrss / 1024, 1),
            "facts": facts,
        })  # fmt: skip


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _gpu() -> dict[str, str]:
    """The GPU's name, where this process has used one; torch is not imported for it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    return {"gpu": torch.cuda.get_device_name(0)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def script(doc: str | None, main: Callable[..., None], **arguments: Any) -> None:
    """Run ``main(job, **parsed)`` as a command line.

    Each keyword is an option: ``Path``, ``int``, ``str``, ``json.loads`` (parsed once), or a one-element list of
    these for a repeated option (``nargs='*'``). A `CairnError` ends the process with its message and status 1,
    without a traceback. ``config`` (the job's configuration as JSON) is kept for the card.
    """
    parser = argparse.ArgumentParser(description=doc)
    for name, kind in arguments.items():
        many = isinstance(kind, list)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind[0] if many else kind, nargs="*" if many else None,
            required=not many, default=[] if many else None,
        )  # fmt: skip
    parsed = vars(parser.parse_args())
    file = Path(sys.argv[0])
    job = Job(stage=file.stem, script=file, config=parsed.get("config"))
    try:
        main(job, **parsed)
    except CairnError as error:
        sys.exit(f"cairn {file.stem}: {error}")
