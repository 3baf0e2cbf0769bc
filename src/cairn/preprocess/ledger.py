"""What went wrong with which scan, and what each step cost."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cairn.errors import CairnError

T = TypeVar("T")
ENVIRONMENT = ("resource", "config", "disk")  # codes of errors that no scan can be blamed for


@dataclass(frozen=True)
class Rejection:
    """A scan that could not be used: why, and what to do."""

    sequence: str
    path: Path
    code: str
    reason: str
    remedy: str


class SessionFailed(CairnError):  # noqa: N818
    """No scan of a session could be used; ``rejected`` says why, scan by scan."""

    def __init__(self, rejected: list[Rejection]) -> None:
        reasons = " ".join(r.reason for r in rejected) or "There is no scan."
        super().__init__(reasons, rejected[0].remedy if rejected else "", "no-usable-scan")
        self.rejected = rejected


@dataclass
class Ledger:
    """Keeps a session's rejections and times."""

    rejected: list[Rejection] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def clock(self, step: str) -> Iterator[None]:
        """Add the wall time of a block to ``step``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start

    def guarded(self, sequence: str, path: Path, work: Callable[[], T]) -> T | None:
        """Run ``work``; an error rejects this scan by name, and the session goes on. None when it did."""
        try:
            return work()
        except CairnError as error:
            if error.code in ENVIRONMENT:
                raise
            reason = error.reason if str(path) in error.reason else f"{path}: {error.reason}"
            self.rejected.append(Rejection(sequence, path, error.code, reason, error.remedy))
        except (MemoryError, OSError):
            raise  # the machine's fault, not the scan's: a rerun may succeed
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            reason = f"{path}: unexpected {type(error).__name__} at {where}: {error}"
            self.rejected.append(Rejection(sequence, path, "internal", reason, "Report this with the scan's header."))
        return None
