"""How far apart copies of a scan and scans of different people are, by perceptual hash. See docs/reference/leakage.md.

python docs/benchmarks/leakage.py results/demo [--sessions 40]

Copies are made of preprocessed volumes: what another registration, grid, scanner export or field of view would leave.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from cairn.datasets.near_duplicates import read_hashes
from cairn.io.geometry import resample
from cairn.io.sessions import Session, open_sessions
from cairn.preprocess.scan_hash import BITS, mirror_mask, scan_hash

Change = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def moved(volume: np.ndarray, mask: np.ndarray, mm: float, degrees: float, step: float) -> tuple[np.ndarray, ...]:
    """Both registered again, a little off."""
    turn = np.eye(4)
    a = np.deg2rad(degrees)
    turn[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    centre = (np.array(volume.shape) - 1) / 2
    turn[:3, 3] = centre - turn[:3, :3] @ centre + mm / step
    return resample(volume, turn, volume.shape), resample(mask.astype(np.float32), turn, mask.shape) >= 0.5


def copies(step: float) -> dict[str, Change]:
    """Ways in which a scan comes in again."""
    return {
        "gain and offset": lambda v, m, r: (v * 3.1 + 40, m),
        "8 bits": lambda v, m, r: (np.round((v - v.min()) / np.ptp(v) * 255), m),
        "noise, a tenth of the brain's spread": lambda v, m, r: (v + r.normal(0, 0.1 * v[m].std(), v.shape), m),
        "smoothed, 4 mm": lambda v, m, r: (ndimage.gaussian_filter(v, 4 / 2.355 / step), m),
        "moved by 1 mm along each axis": lambda v, m, r: moved(v, m, 1.0, 0.0, step),
        "turned by 2 degrees": lambda v, m, r: moved(v, m, 0.0, 2.0, step),
        "mask wider by a voxel": lambda v, m, r: (v, ndimage.binary_dilation(m)),
    }


def bits(hashed: np.ndarray, other: np.ndarray) -> float:
    """Share of bits that differ, as it is or mirrored, whichever is less."""
    return min(float(np.unpackbits(hashed ^ o).mean()) for o in (other, other ^ mirror_mask()))


def of_copies(sessions: list[Session]) -> Iterator[tuple[str, float]]:
    """Distance of each copy of each session's first sequence."""
    for number, session in enumerate(sessions):
        name, mask, affine = session.sequences[0], session.mask(), session.geometry.affine
        volume = session.volume(name)
        hashed, rng = scan_hash(volume, mask, affine), np.random.default_rng(number)
        for title, change in copies(float(affine[0, 0])).items():
            changed, inside = change(volume, mask, rng)
            yield title, bits(hashed, scan_hash(changed, inside, affine))


def of_people(results: Path) -> np.ndarray:
    """Least distance of each scan to one of the same sequence of another subject."""
    found = read_hashes(sorted((results / "preprocess").glob("*/*.hashes.tsv")))
    packed = np.frombuffer(found.words.tobytes(), np.uint8).reshape(len(found.rows), -1)
    who = np.array([f"{r['dataset']}/{r['subject']}" for r in found.rows])
    kind = np.array([r["sequence"] for r in found.rows])
    least = []
    for n, row in enumerate(packed):
        others = packed[(who != who[n]) & (kind == kind[n])]
        as_is, mirrored = (np.bitwise_count(row ^ o).sum(axis=1).min() for o in (others, others ^ mirror_mask()))
        least.append(min(as_is, mirrored) / BITS)
    return np.array(least)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--sessions", type=int, default=40)
    args = parser.parse_args()
    sessions = open_sessions(sorted((args.results / "preprocess").glob("*/*.index.tsv")))
    distances: dict[str, list[float]] = {}
    for title, distance in of_copies(sessions[:: max(1, len(sessions) // args.sessions)]):
        distances.setdefault(title, []).append(distance)
    print("| | scans | median | most, of copies; least, of people |\n|---|--:|--:|--:|")
    for title, values in distances.items():
        print(f"| copy: {title} | {len(values)} | {np.median(values):.3f} | {max(values):.3f} |")
    people = of_people(args.results)
    print(f"| nearest scan of another subject | {len(people)} | {np.median(people):.3f} | {people.min():.3f} |")


if __name__ == "__main__":
    main()
