"""Scans that are one scan, whatever their files are: by the perceptual hash of their preprocessed volumes.

What makes the hash, and how far apart copies and people are: `cairn.preprocess.scan_hash`, docs/reference/leakage.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.config.leakage import LeakageConfig
from cairn.datasets.sides import PAIRS, SIDES, refused, sides_of
from cairn.errors import CairnError
from cairn.io.tables import HASH_COLUMNS, read_table

Words = npt.NDArray[np.uint64]
Found = tuple[int, str, int, int]  # differing bits, how the second is looked at, and the two scans
BLOCK = (2048, 512)  # hashes of two sides that meet at once: 16 MB
MOST_WITHIN = 100_000  # hashes of a side up to which copies within it, which stop nothing, are looked for
BINS = 50  # of the histogram of distances, over 0 to 1
NEAREST = 10
MOST_LEAKS = 10_000  # kept, the nearest
SHOWN = 5
LOOKS = {"": "", "mirrored": ", one of them mirrored", "inverted": ", dark for bright: two contrasts of one head"}


@dataclass(frozen=True)
class Hashes:
    """All scans: their rows, and their hashes ``[N, W]`` as words of 64 bits."""

    rows: list[dict[str, str]]
    words: Words

    @property
    def bits(self) -> int:
        """Length of a hash."""
        return 64 * int(self.words.shape[1])

    def name(self, scan: int) -> str:
        """``dataset/sub-X/ses-Y/sequence``."""
        row = self.rows[scan]
        return f"{row['dataset']}/sub-{row['subject']}/ses-{row['session']}/{row['sequence']}"


def read_hashes(tables: Iterable[Path]) -> Hashes:
    """Read the hashes of all shards.

    Raises:
        CairnError: when a table is missing, or its hashes are not of one length.
    """
    rows = [row for table in sorted(tables) for row in read_table(table, HASH_COLUMNS)]
    lengths = {len(row["hash"]) for row in rows} or {16}
    if len(lengths) > 1 or lengths.pop() % 16:
        raise CairnError("The hashes of the scans are not of one length.", "Preprocess again.", "table")
    packed = bytes.fromhex("".join(row["hash"] for row in rows))
    return Hashes(rows, np.frombuffer(packed, np.uint64).reshape(len(rows), -1) if rows else np.zeros((0, 1), "u8"))


def find_near_duplicates(
    tables: Iterable[Path], roles: Mapping[str, Sequence[str]], mirror: npt.NDArray[np.uint8], config: LeakageConfig
) -> dict[str, Any]:
    """Compare every scan of a side of the split with every scan of the others: as it is, in a mirror, and inverted.

    T1w and T2w of one head are nearly each other's negatives, which no two people's are: an inverted near-duplicate is
    another contrast of the same head, most often of the same session.

    Args:
        tables: hashes of all shards.
        roles: data set -> its uses.
        mirror: bits that a mirrored head flips, packed.
        config: rules of the split.

    Returns:
        ``leaks``: pairs of two sides within the distance, nearest first, each with ``look`` (empty, ``mirrored`` or
        ``inverted``) and ``refused``, at most ``MOST_LEAKS`` a pair of sides; ``sides``: for each pair of sides the
        nearest scans and a histogram of all distances; ``copies``: groups of scans of one side that are one scan, which
        stop nothing.
    """
    hashes = read_hashes(tables)
    places = {side: _of_side(hashes, roles, side) for side in SIDES}
    flip = mirror.view(np.uint64)
    leaks, sides = [], {}
    for one, other in PAIRS:
        found, summary = _between(hashes, places[one], places[other], flip, config.near_duplicate_distance)
        stops = refused(one, other, config.pretrain_finetune)
        leaks += [pair | {"sides": [one, other], "refused": stops} for pair in found]
        sides[f"{one} and {other}"] = summary
    within = {s: _within(hashes, p, config.near_duplicate_distance) for s, p in places.items() if len(p) <= MOST_WITHIN}
    return {
        "distance": config.near_duplicate_distance, "bits": hashes.bits,
        "scans": {side: len(p) for side, p in places.items()},
        "leaks": sorted(leaks, key=lambda pair: (pair["distance"], pair["scans"])),
        "sides": sides, "copies": within, "copies_not_sought": sorted(set(places) - set(within)),
    }  # fmt: skip


def require_disjoint(report: Mapping[str, Any]) -> None:
    """Stop at a leak that the rules of the split refuse.

    Raises:
        CairnError: code ``leak``, naming the first pairs.
    """
    bad = [pair for pair in report["leaks"] if pair["refused"]]
    if bad:
        words = [
            f"{p['scans'][0]} ({p['sides'][0]}) and {p['scans'][1]} ({p['sides'][1]}) differ in {p['distance']:.1%} of "
            f"their bits{LOOKS[p['look']]}"
            for p in bad[:SHOWN]
        ]
        more = f"; and {len(bad) - SHOWN} more pairs" if len(bad) > SHOWN else ""
        raise CairnError(
            f"Near-duplicate scans on two sides of the split: {'; '.join(words)}{more}.",
            "Look at both on the quality page. Take the copy out of one side; where they are different people, lower "
            "leakage.near_duplicate_distance.", "leak",
        )  # fmt: skip


def distances(one: Words, other: Words) -> npt.NDArray[np.uint16]:
    """Bits in which hashes ``[A, W]`` and ``[B, W]`` differ, ``[A, B]``."""
    found = np.zeros((len(one), len(other)), np.uint16)
    for word in range(one.shape[1]):
        found += np.bitwise_count(one[:, None, word] ^ other[None, :, word])
    return found


def _of_side(hashes: Hashes, roles: Mapping[str, Sequence[str]], side: str) -> npt.NDArray[np.int64]:
    members = {name for name, uses in roles.items() if side in sides_of(uses)}
    return np.array([i for i, row in enumerate(hashes.rows) if row["dataset"] in members], np.int64)


def _blocks(one: int, other: int) -> Iterator[tuple[slice, slice]]:
    for a in range(0, one, BLOCK[0]):
        for b in range(0, other, BLOCK[1]):
            yield slice(a, a + BLOCK[0]), slice(b, b + BLOCK[1])


def _between(
    hashes: Hashes, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], flip: Words, limit: float
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Pairs of two sides within ``limit``; the nearest pairs, and how many pairs there are at each distance."""
    counts = np.zeros(hashes.bits + 1, np.int64)
    most = int(limit * hashes.bits)
    leaks: list[Found] = []
    near: list[Found] = []
    for a, b in _blocks(len(one), len(other)):
        left, right = hashes.words[one[a]], hashes.words[other[b]]
        for mirrored in (False, True):
            found = distances(left, right ^ flip if mirrored else right)
            if not mirrored:
                counts += np.bincount(found.ravel(), minlength=hashes.bits + 1)
            for look, bits in (("mirrored" if mirrored else "", found), ("inverted", hashes.bits - found)):
                if look == "inverted" and mirrored:
                    continue
                count = min(NEAREST, bits.size)
                bound = max(most, int(np.partition(bits.ravel(), count - 1)[count - 1]))
                x, y = np.nonzero(bits <= bound)
                met = zip(bits[x, y].tolist(), one[a][x].tolist(), other[b][y].tolist(), strict=True)
                pairs = [(d, look, i, j) for d, i, j in met]
                leaks = sorted(leaks + [pair for pair in pairs if pair[0] <= most])[:MOST_LEAKS]
                near = sorted(near + pairs)[:NEAREST]
    histogram = np.add.reduceat(counts, np.linspace(0, hashes.bits, BINS + 1)[:-1].astype(int))
    summary = {
        "nearest": [_pair(hashes, *n) for n in near],
        "histogram": histogram.tolist(),
        "pairs": int(counts.sum()),
    }
    return [_pair(hashes, *leak) for leak in _once(leaks)], summary


def _once(leaks: Sequence[Found]) -> list[Found]:
    """Each pair once, by its least distance: heads are nearly even, so that a copy may be near in the mirror too."""
    best: dict[tuple[int, int], Found] = {}
    for leak in sorted(leaks):
        best.setdefault(leak[2:], leak)
    return list(best.values())


def _pair(hashes: Hashes, bits: int, look: str, one: int, other: int) -> dict[str, Any]:
    return {"distance": round(bits / hashes.bits, 4), "look": look, "scans": [hashes.name(one), hashes.name(other)]}


def _within(hashes: Hashes, side: npt.NDArray[np.int64], limit: float) -> list[list[str]]:
    """Groups of scans of one side, of different sessions, that are one scan."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    words, most = hashes.words[side], int(limit * hashes.bits)
    half = (words.shape[1] + 1) // 2
    left: list[int] = []
    right: list[int] = []
    for a, b in _blocks(len(side), len(side)):
        if b.stop <= a.start:
            continue  # the pair was met the other way round
        x, y = np.nonzero(distances(words[a, :half], words[b, :half]) <= most)  # half a hash rules out nearly all
        x, y = x + a.start, y + b.start
        bits = np.bitwise_count(words[x] ^ words[y]).sum(axis=1, dtype=np.int64)
        kept = (bits <= most) & (x < y)
        for i, j in zip(x[kept], y[kept], strict=True):
            if hashes.name(side[i]).rsplit("/", 1)[0] != hashes.name(side[j]).rsplit("/", 1)[0]:
                left.append(int(i))
                right.append(int(j))
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(len(side), len(side)))
    _, groups = connected_components(graph, directed=False)
    members: dict[int, list[str]] = {}
    for i in sorted({*left, *right}):
        members.setdefault(int(groups[i]), []).append(hashes.name(side[i]))
    return sorted(sorted(group) for group in members.values())
