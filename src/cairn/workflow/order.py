"""An input that is ``ancient`` orders two jobs and does nothing else: Snakemake 9.27 does more, which is mended here.

Where the maker of an ancient input reruns, Snakemake passes over all jobs below it, as if they reran for it anyway.
They do not; but then nobody has looked whether they rerun for a reason of their own (outputs that are missing,
parameters that changed), and the run ends well without them: https://github.com/snakemake/snakemake/issues/4166
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from functools import wraps
from typing import Any


def mend_ancient(dag: Any) -> None:
    """Let ``dag``, Snakemake's class of that name, pass over no job that is below another by ancient files alone."""
    original = dag.update_needrun
    if getattr(original, "mended", False):
        return

    @wraps(original)
    async def update_needrun(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.bfs = _reached  # this method asks for nothing else than who is passed over
        try:
            return await original(self, *args, **kwargs)
        finally:
            del self.bfs

    update_needrun.mended = True  # type: ignore[attr-defined]
    dag.update_needrun = update_needrun


def _reached(direction: Mapping[Any, Mapping[Any, Any]], *jobs: Any) -> Iterator[Any]:
    """Jobs that are reached from ``jobs`` by a file that is not ancient, and they themselves."""
    queue, seen = deque(jobs), set(jobs)
    while queue:
        job = queue.popleft()
        yield job
        for other, files in direction[job].items():
            if other not in seen and not all(f.is_ancient for f in files):
                queue.append(other)
                seen.add(other)
