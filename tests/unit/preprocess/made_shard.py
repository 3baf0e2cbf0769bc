"""A shard's job over sessions that take milliseconds, in this process or in one that can be killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from phantom_head import RESOURCES

from cairn.config.preprocess import PreprocessConfig
from cairn.io.atomic import sha256
from cairn.io.shard import PreprocessedSession, SequenceGeometry, SessionGeometry
from cairn.io.tables import INDEX_COLUMNS, write_table
from cairn.preprocess import shard
from cairn.preprocess.ledger import Rejection, SessionFailed
from cairn.preprocess.session import SessionResult
from cairn.preprocess.shard import ShardPaths, preprocess_shard

CONFIG = PreprocessConfig.model_validate({"grid": {"spacing_mm": 4.0, "align": "none"}})
OUTPUTS = ("a.safetensors", "a.index.tsv", "a.quarantine.tsv", "a.qc.json", "a.qc", "a.hashes.tsv")
SHAPE = (16, 18, 16)


def make_raw(root: Path, subjects: int = 5) -> Path:
    """Scans (their bytes seed what becomes of them) and their index; one session has none that can be used."""
    rows = []
    for subject in ["bad", *(f"{n:02d}" for n in range(subjects))]:
        for sequence in ("T1w", "FLAIR"):
            path = root / f"{subject}_{sequence}.nii.gz"
            path.write_text(path.name)
            rows.append({
                "dataset": "made", "subject": subject, "session": "1", "sequence": sequence, "path": path.name,
                "sha256": sha256(path),
            })  # fmt: skip
    write_table(root / "index.tsv", rows, INDEX_COLUMNS)
    return root


def quick_session(files, config, resources, subject, session, given):
    """Stands in for `preprocess_session`: another result for every byte of the scans and of the configuration."""
    if subject == "bad":
        rejected = [Rejection(s, p, "blank", f"{p}: nothing in it.", "Remove it.") for s, p in sorted(files.items())]
        raise SessionFailed(rejected)
    digest = "".join(sha256(path) for path in files.values()) + config.model_dump_json(exclude={"max_bad_share"})
    rng = np.random.default_rng(list(digest.encode()))
    volumes = {s: rng.normal(size=SHAPE).astype(np.float16).astype(np.float32) for s in sorted(files)}
    affine = rng.normal(size=(4, 4)) + 3 * np.eye(4)
    sequences = {s: SequenceGeometry(SHAPE, affine, rng.normal(size=(4, 4))) for s in volumes}
    mask = np.ones(SHAPE, bool)
    mask[:3] = False
    return SessionResult(
        PreprocessedSession(subject, session, volumes, mask, SessionGeometry(SHAPE, affine, sequences)),
        "T1w", mask, affine, {"fit": float(rng.normal()), "list": [1, 2.5]}, [], volumes, {"read": 0.25},
    )  # fmt: skip


@dataclass(frozen=True)
class ShardJob:
    """The job, with the subjects that were begun in a file, whichever process began them."""

    raw: Path
    out: Path
    config: PreprocessConfig = CONFIG
    code: str = "code"
    resources: object = RESOURCES

    @property
    def state(self) -> Path:
        return self.out / "state"

    @property
    def paths(self) -> ShardPaths:
        return ShardPaths(*(self.out / name for name in OUTPUTS))

    @property
    def begun(self) -> list[str]:
        """Subjects of the sessions begun so far, in all processes."""
        log = self.out / "begun"
        return log.read_text().split() if log.is_file() else []

    def run(self, each: Callable[[str], None] = lambda subject: None) -> dict:
        """Do the job here; ``each`` is called as a session begins."""
        self.out.mkdir(parents=True, exist_ok=True)

        def session(files, config, resources, subject, session, given):
            with (self.out / "begun").open("a") as log:
                log.write(f"{subject}\n")
            each(subject)
            return quick_session(files, config, resources, subject, session, given)

        real, shard.preprocess_session = shard.preprocess_session, session
        try:
            index = self.raw / "index.tsv"
            return preprocess_shard(index, self.raw, self.config, self.resources, self.paths, self.state, self.code)
        finally:
            shard.preprocess_session = real

    def start(self, before: Callable[[], None] = lambda: None, **arguments) -> int:
        """Begin the job in a forked process; its pid. Status 0 done, 7 failed with a `CairnError`, 8 otherwise."""
        self.out.mkdir(parents=True, exist_ok=True)
        child = os.fork()
        if child:
            return child
        status = 8
        try:
            before()
            self.run(**arguments)
            status = 0
        except BaseException as error:
            code = getattr(error, "code", "")
            (self.out / "error").write_text(f"{code}: {error!r}")
            status = 7 if code else 8
        finally:
            os._exit(status)

    def kill(self, after_s: float) -> bool:
        """Begin the job in a process of its own and SIGKILL it; whether it had ended before."""
        child = self.start()
        time.sleep(after_s)
        ended = os.waitpid(child, os.WNOHANG) != (0, 0)
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return ended

    def bytes(self) -> dict[str, bytes]:
        """Every output by its name."""
        files = [p for name in OUTPUTS for p in [self.out / name, *sorted((self.out / name).glob("*"))] if p.is_file()]
        return {p.relative_to(self.out).as_posix(): p.read_bytes() for p in files}


def die(*_) -> None:
    """SIGKILL this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def ended(child: int) -> int:
    """Wait for a process; its status, negative for a signal."""
    status = os.waitpid(child, 0)[1]
    with suppress(ValueError):
        return os.waitstatus_to_exitcode(status)
    return status
