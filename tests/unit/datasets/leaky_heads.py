"""Heads as formulas of world mm, alike as people's are, and every way in which a scan of one comes in again."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from cairn.io.nifti import write_scan

RADII = np.array([60.0, 75.0, 55.0])
STEP = 4.0
SHAPE = (40, 48, 40)
PEOPLE = {"big": ("A", "B", "C"), "few": ("D", "E"), "exam": ("F", "G", "H")}
"""Data set -> its subjects."""


def _waves(seed: int, points: np.ndarray) -> np.ndarray:
    """A smooth random field, of waves of 25 to 60 mm, with unit standard deviation."""
    draw = np.random.default_rng(seed)
    total = np.zeros(points.shape[:-1])
    for _ in range(40):
        direction = draw.normal(size=3)
        direction *= 2 * np.pi / draw.uniform(25, 60) / np.linalg.norm(direction)
        total += np.cos(points @ direction + draw.uniform(0, 2 * np.pi))
    return total / np.sqrt(20)


def head(person: str, affine: np.ndarray, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Values at a grid's voxels: what all heads share, and as much of a person's own; 0 outside the head."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    inside = ((points / RADII) ** 2).sum(-1) <= 1
    values = 400 + 60 * (_waves(0, points) + _waves(ord(person), points))
    return np.where(inside, np.clip(values, 60, None), 0).astype(np.float32)


def grid(step: float = STEP, shape: tuple[int, ...] = SHAPE, turn: float = 0.0) -> np.ndarray:
    """4x4 of a grid centred on the head."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [turn, turn / 2, -turn], degrees=True).as_matrix() * step
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def place(root: Path, subject: str, session: str = "1", sequence: str = "T1w") -> Path:
    """Path of a scan, its folder made."""
    path = root / f"sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}_{sequence}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_people(root: Path) -> None:
    """The data sets of ``PEOPLE``, clean."""
    for dataset, people in PEOPLE.items():
        for person in people:
            write_scan(place(root / dataset, person), head(person, grid()), grid())


def _rescaled(source: Path, target: Path) -> None:
    image = nib.load(source)
    write_scan(target, np.asarray(image.dataobj) * 0.013 + 0.5 * (np.asarray(image.dataobj) > 0), image.affine)


def _recompressed(source: Path, target: Path) -> None:
    target.write_bytes(gzip.compress(gzip.decompress(source.read_bytes()), compresslevel=1, mtime=7))


def _header_edited(source: Path, target: Path) -> None:
    image = nib.load(source)
    moved = image.affine.copy()
    moved[:3, 3] += (31.0, -12.0, 5.0)
    copy = nib.Nifti1Image(np.asarray(image.dataobj), moved)
    copy.header["descrip"] = b"another site"
    copy.set_qform(None, 0)
    nib.save(copy, target)


def _shifted(source: Path, target: Path) -> None:
    image = nib.load(source)
    write_scan(target, np.roll(np.asarray(image.dataobj), (1, 1, 1), (0, 1, 2)), image.affine)


def _noisy(source: Path, target: Path) -> None:
    image = nib.load(source)
    data = np.asarray(image.dataobj)
    noise = np.random.default_rng(1).normal(0, 15, data.shape)
    write_scan(target, np.where(data > 0, np.maximum(data + noise, 1), 0), image.affine)


def _resampled(source: Path, target: Path) -> None:
    affine = grid(3.3, (52, 62, 52), turn=2.0)
    write_scan(target, head("A", affine, (52, 62, 52)), affine)


def _mirrored(source: Path, target: Path) -> None:
    image = nib.load(source)
    write_scan(target, np.asarray(image.dataobj)[::-1], image.affine)


def _flipped_storage(source: Path, target: Path) -> None:
    image = nib.load(source)
    turn = np.diag([-1.0, 1, 1, 1])
    turn[0, 3] = image.shape[0] - 1
    write_scan(target, np.asarray(image.dataobj)[::-1], image.affine @ turn)


def _eight_bits(source: Path, target: Path) -> None:
    image = nib.load(source)
    data = np.asarray(image.dataobj)
    write_scan(target, np.round(data / data.max() * 255).astype(np.uint8), image.affine)


def _cropped(source: Path, target: Path) -> None:
    image = nib.load(source)
    moved = image.affine.copy()
    moved[:3, 3] += moved[:3, :3] @ (0, 0, 10)
    write_scan(target, np.asarray(image.dataobj)[:, :, 10:], moved)


def _other_contrast(source: Path, target: Path) -> None:
    image = nib.load(source)
    data = np.asarray(image.dataobj)
    write_scan(target, np.where(data > 0, 900 - data, 0), image.affine)


LEAKS: dict[str, Callable[[Path, Path], object]] = {
    "copied": shutil.copyfile, "recompressed": _recompressed, "rescaled": _rescaled, "header": _header_edited,
    "shifted": _shifted, "noisy": _noisy, "resampled": _resampled, "mirrored": _mirrored,
    "stored-flipped": _flipped_storage, "eight-bits": _eight_bits, "cropped": _cropped, "contrast": _other_contrast,
}  # fmt: skip
"""How the scan of person A comes in again, under another name."""


def write_leaks(root: Path) -> None:
    """One more data set, ``leaky``: a subject for each way."""
    source = place(root / "big", "A")
    for name, copy in LEAKS.items():
        copy(source, place(root / "leaky", name.replace("-", ""), sequence="T2w" if name == "contrast" else "T1w"))
