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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.io.atomic import write_json
from cairn.provenance.cards import CARD_FORMAT, check_inputs, hashes
from cairn.provenance.code import code_hash
from cairn.provenance.environment import installed, pins, pins_hash


@dataclass
class Job:
    """What one job knows of itself; `card` writes it down."""

    stage: str
    script: Path
    config: Any = None
    started: float = field(default_factory=time.time)

    def card(
        self, path: Path, inputs: Iterable[Path] = (), outputs: Iterable[Path] = (),
        known: Mapping[str, str] | None = None, **facts: Any,
    ) -> None:  # fmt: skip
        """Write ``run.json``: inputs and outputs by sha256, code hash, configuration, environment, hardware, cost.

        Args:
            path: where it goes.
            inputs: files that were read; of a folder, every file in it.
            outputs: files that were made, declared to the workflow or not; of a folder, every file in it.
            known: inputs whose SHA-256 the stage took itself, by path.
            **facts: what else the stage has to say.

        Raises:
            CairnError: code ``tampered``, when an input is not what the job that made it wrote.
        """
        began = time.perf_counter()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        finished = time.time()
        read = hashes(inputs)
        check_inputs(read)
        write_json(path, {
            "format": CARD_FORMAT,
            "stage": self.stage,
            "code": code_hash(self.script),
            "config": self.config,
            "config_sha256": hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest(),
            "inputs": read | dict(known or {}),
            "outputs": hashes(outputs),
            "environment": {"pins": pins_hash(self.script), "packages": installed(pins(self.script))},
            "hardware": {"machine": platform.machine(), "processor": _processor(), "cores": os.cpu_count(), **_gpu()},
            "started": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            "finished": round(finished, 3),
            "wall_s": round(finished - self.started, 2),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_memory_mb": round(usage.ru_maxrss / 1024, 1),
            "provenance_s": round(time.perf_counter() - began, 3),
            "facts": facts,
        })  # fmt: skip


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
