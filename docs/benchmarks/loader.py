"""How fast random patches come out of shards, beside NumPy memory maps and one NIfTI file a scan. See loader.md.

python docs/benchmarks/loader.py [--scans 8] [--patches 200] [--side 96]

Makes volumes of the size of heads at 1 mm in a temporary folder, reads patches at random places in one process on one
thread, and prints a table. Cold: the files' pages are dropped from memory before each patch; warm: they stay.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cairn.io.nifti import read_scan, write_scan
from cairn.io.shard import PreprocessedSession, SequenceGeometry, SessionGeometry, Shard, write_shard

SHAPE = (192, 224, 192)
AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])
Read = Callable[[int, tuple[int, ...]], np.ndarray]


def made(folder: Path, scans: int) -> tuple[Path, list[Path], list[Path]]:
    """One shard, and the same volumes as .npy (float16) and .nii.gz (float32)."""
    geometry = SessionGeometry(SHAPE, AFFINE, {"T1w": SequenceGeometry(SHAPE, AFFINE, np.eye(4))})
    sessions, arrays, files = [], [], []
    for n in range(scans):
        rng = np.random.default_rng(n)
        coarse = rng.random([side // 8 for side in SHAPE], np.float32)
        volume = np.kron(coarse, np.ones((8, 8, 8), np.float32)) + rng.normal(0, 0.05, SHAPE).astype(np.float32)
        volume = volume.astype(np.float16).astype(np.float32)
        sessions.append(PreprocessedSession(f"{n:02d}", "1", {"T1w": volume}, np.ones(SHAPE, bool), geometry))
        arrays.append(folder / f"{n}.npy")
        np.save(arrays[-1], volume.astype(np.float16))
        files.append(folder / f"{n}.nii.gz")
        write_scan(files[-1], volume, AFFINE)
    write_shard(folder / "0000.safetensors", sessions)
    return folder / "0000.safetensors", arrays, files


def drop(paths: list[Path]) -> None:
    """Drop the files' pages from memory; what was not written yet is written first."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rate(read: Read, paths: list[Path], places: list[tuple[int, tuple[int, ...]]], cold: bool) -> float:
    """Patches a second; time that dropping pages takes does not count."""
    if not cold:
        for scan, corner in places[:20]:
            read(scan, corner)
    spent, total = 0.0, 0.0
    for scan, corner in places:
        if cold:
            drop(paths)
        began = time.perf_counter()
        total += float(read(scan, corner).sum())
        spent += time.perf_counter() - began
    assert np.isfinite(total)
    return len(places) / spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=8)
    parser.add_argument("--patches", type=int, default=200)
    parser.add_argument("--side", type=int, default=96)
    args = parser.parse_args()
    side, rng = args.side, np.random.default_rng(0)
    places = [
        (int(rng.integers(args.scans)), tuple(int(rng.integers(n - side + 1)) for n in SHAPE))
        for _ in range(args.patches)
    ]
    with tempfile.TemporaryDirectory() as name:
        path, arrays, files = made(Path(name), args.scans)

        def box(corner: tuple[int, ...]) -> tuple[slice, ...]:
            return tuple(slice(c, c + side) for c in corner)

        def from_shard(scan: int, corner: tuple[int, ...]) -> np.ndarray:
            return (kept or Shard(path)).patch(f"{scan:02d}/1", "T1w", corner, (side, side, side))

        def from_map(scan: int, corner: tuple[int, ...]) -> np.ndarray:
            return np.load(arrays[scan], mmap_mode="r")[box(corner)].astype(np.float32)

        def from_nifti(scan: int, corner: tuple[int, ...]) -> np.ndarray:
            return read_scan(files[scan]).data[box(corner)]

        kept: Shard | None = None  # cold: a shard that is open keeps its pages
        few = places[: max(4, args.patches // 25)]  # a whole volume is unpacked for each: some suffice
        rows = [
            ("shard (`Shard.patch`)", from_shard, [path], places, path.stat().st_size),
            ("NumPy memory map, one .npy a scan", from_map, arrays, places, sum(a.stat().st_size for a in arrays)),
            ("NIfTI, one .nii.gz a scan", from_nifti, files, few, sum(f.stat().st_size for f in files)),
        ]
        print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores.")
        print(f"{args.scans} scans of {'x'.join(map(str, SHAPE))}, patches of {side}^3 float32.\n")
        print("| from | MB on disk | patches/s, cold | patches/s, warm | warm, of the shard's |")
        print("|---|--:|--:|--:|--:|")
        base = 0.0
        for title, read, paths, where, size in rows:
            kept = None
            cold = rate(read, paths, where[: max(4, len(where) // 4)], cold=True)
            kept = Shard(path)
            warm = rate(read, paths, where, cold=False)
            base = base or warm
            print(f"| {title} | {size / 1e6:.0f} | {cold:.1f} | {warm:.1f} | {warm / base:.2f} |")


if __name__ == "__main__":
    main()
