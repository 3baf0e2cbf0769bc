"""Whether a data set's shards are good enough to go on with: the configured share of unusable scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.io.tables import INDEX_COLUMNS, QUARANTINE_COLUMNS, read_table

REASONS_SHOWN = 20


def accept_dataset(indexes: Sequence[Path], quarantines: Sequence[Path], max_bad_share: float) -> dict[str, Any]:
    """Count the unusable scans of each shard of a data set.

    Args:
        indexes: the shards' indexes of scans.
        quarantines: their quarantine tables, in the same order.
        max_bad_share: of a shard's scans, how many may be unusable.

    Returns:
        The share, and for each shard (named by its index) the scans and how many are quarantined.

    Raises:
        CairnError: code ``shard-bad`` when a shard has more; it names the table, the counts and the first reasons.
    """
    counts, refused = {}, []
    for index, table in zip(indexes, quarantines, strict=True):
        scans, bad = len(read_table(index, INDEX_COLUMNS)), read_table(table, QUARANTINE_COLUMNS)
        counts[index.stem] = {"scans": scans, "quarantined": len(bad)}
        if len(bad) > max_bad_share * scans:
            refused.append((table, scans, [row["reason"] for row in bad]))
    if refused:
        table, scans, reasons = refused[0]
        more = f" The same goes for {len(refused) - 1} more of its {len(counts)} shards." if refused[1:] else ""
        raise CairnError(
            f"{table}: {len(reasons)} of {scans} scans are unusable, more than {max_bad_share:.0%}; "
            f"the first {min(len(reasons), REASONS_SHOWN)}: {'; '.join(reasons[:REASONS_SHOWN])}{more}",
            "Mend or remove these scans, or raise preprocess.max_bad_share.", "shard-bad",
        )  # fmt: skip
    return {"max_bad_share": max_bad_share, "shards": counts}
