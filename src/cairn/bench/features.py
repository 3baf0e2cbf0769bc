"""Features of a data set's items by one frozen encoder: computed once, read by every head of every task on them.

One safetensors file. For each form of items it holds ``{form}/class`` ``[T, D]``, ``{form}/patches`` ``[T, h, w, D]``
(float16) and, with masks, ``{form}/coverage`` ``[T, h, w]`` (bytes), where T counts the slices of all items in turn;
keys and numbers of slices stand in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from cairn.bench.items import Item
from cairn.errors import CairnError
from cairn.io.atomic import disk_errors, scratch_folder
from cairn.io.shard import PIECE, read_safetensors_header
from cairn.io.tensors import Part, write_parts

if TYPE_CHECKING:  # torch takes seconds, and what reads features does without
    import torch
    from torch import Tensor

FORMAT = 1
LARGEST = 65504.0  # of float16
Floats = npt.NDArray[np.float32]
Tokens = Callable[["Tensor"], tuple["Tensor", "Tensor"]]
"""Network input ``[S, H, W]`` to class tokens ``[S, D]`` and patch tokens ``[S, h, w, D]``: ``tokens_of_volume``."""
Prepare = Callable[[npt.NDArray[np.float32]], "Tensor"]
"""Raw stack ``[S, H, W]`` to network input."""


def coverage_of(mask_SHW: npt.NDArray[np.bool_], side: tuple[int, int], grid: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Which patches a mask covers, ``[S, h, w]``, as Curia's released head has it (modeling_dinov2.py).

    The mask is resized to the network input (bilinear), cut at one half, or, where it would vanish, at half of its
    largest value, and max-pooled to the patches. Antialiased, which at the released 512 pixels changes nothing, and
    keeps a speck from being stepped over where the input is smaller than the image.

    Args:
        mask_SHW: on the grid of the raw image.
        side: height and width of the network input.
        grid: h and w.
    """
    import torch
    from torch.nn import functional

    mask = torch.from_numpy(mask_SHW.astype(np.float32))[:, None]
    resized = functional.interpolate(mask, side, mode="bilinear", antialias=True)
    inside = resized > 0.5
    if not bool(inside.any()):
        inside = resized > 0.5 * resized.max()
    return np.asarray(functional.adaptive_max_pool2d(inside.float(), grid)[:, 0].numpy(), np.uint8)


@dataclass(frozen=True)
class Embedded:
    """Features of one item: class ``tokens`` ``[S, D]``, ``patches`` ``[S, h, w, D]``, ``coverage`` ``[S, h, w]``."""

    key: str
    tokens: Floats
    patches: Floats
    coverage: npt.NDArray[np.bool_] | None


def embed(
    items: Iterable[Item], tokens: Tokens, prepare: Prepare, device: torch.device, together: int = 1
) -> Iterator[Embedded]:  # fmt: skip
    """Features of items.

    Args:
        items: in turn.
        tokens: the encoder.
        prepare: makes its input of an item's stack.
        device: where it computes.
        together: items share a call up to so many slices, for an encoder that looks at each slice by itself; with 1,
            each item has its own.

    Raises:
        CairnError: where features are not finite, or too large for float16 (code ``features``).
    """
    import torch

    from cairn.train.devices import precision

    for group in _groups(items, together):
        inputs = [prepare(item.stack) for item in group]
        with torch.inference_mode(), precision(device):
            found = [t.float().cpu().numpy() for t in tokens(torch.cat(inputs).to(device))]
        ends = np.cumsum([len(x) for x in inputs])[:-1]
        for item, x_SHW, *features in zip(group, inputs, *(np.split(f, ends) for f in found), strict=True):
            yield _embedded(item, tuple(x_SHW.shape[1:]), *features)


def _groups(items: Iterable[Item], slices: int) -> Iterator[list[Item]]:
    """Items in turn, in groups of at most so many slices; one of more is alone."""
    group: list[Item] = []
    for item in items:
        if group and sum(len(i.stack) for i in group) + len(item.stack) > slices:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _embedded(item: Item, side: tuple[int, int], class_SD: Floats, patches_ShwD: Floats) -> Embedded:
    for found in (class_SD, patches_ShwD):
        if not np.isfinite(found).all() or np.abs(found).max() > LARGEST:
            reason = f"item {item.key}: the encoder gave features that are not finite, or beyond float16."
            raise CairnError(reason, "The encoder has diverged: see its history, or its weights.", "features")
    mask = item.mask_stack
    coverage = None if mask is None else coverage_of(mask, side, patches_ShwD.shape[1:3]) > 0
    return Embedded(item.key, class_SD, patches_ShwD, coverage)


def write_features(
    path: Path, sets: Mapping[str, Iterable[Embedded]], facts: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Write a features file; memory holds one item. Equal features give equal bytes.

    Args:
        path: the file.
        sets: features of the items of each form, in turn.
        facts: who made them; heads go with features of equal facts alone.

    Returns:
        Numbers for the card, by form.

    Raises:
        CairnError: for a form without an item, and where its items differ in masks or tokens.
    """
    with disk_errors(path), scratch_folder(path) as folder:
        spilled = {form: _Spilled(folder / str(n), form, found) for n, (form, found) in enumerate(sets.items())}
        parts = [part for form in spilled.values() for part in form.parts()]
        forms = {form: {"keys": found.keys, "slices": found.slices} for form, found in spilled.items()}
        whole = folder / path.name
        write_parts(whole, parts, json.dumps({"format": FORMAT, "facts": facts, "forms": forms}, sort_keys=True))
        whole.replace(path)
    return {form: found.numbers for form, found in spilled.items()}


class _Spilled:
    """Features of one form, item by item into files of their own: how many there are is known at the end."""

    def __init__(self, folder: Path, form: str, found: Iterable[Embedded]) -> None:
        folder.mkdir()
        self.form, self.keys, self.slices = form, list[str](), list[int]()
        self.files = {name: folder / name for name in ("class", "patches", "coverage")}
        shapes: set[tuple[int, ...]] = set()
        with ExitStack() as stack:
            a, b, c = (stack.enter_context(file.open("wb")) for file in self.files.values())
            for item in found:
                self.keys.append(item.key)
                self.slices.append(len(item.tokens))
                shapes.add((*item.patches.shape[1:], int(item.coverage is not None)))
                a.write(np.ascontiguousarray(item.tokens, np.float16).data)
                b.write(np.ascontiguousarray(item.patches, np.float16).data)
                if item.coverage is not None:
                    c.write(np.ascontiguousarray(item.coverage, np.uint8).data)
        if len(shapes) != 1:
            reason = f"Items '{form}': {len(self.keys)} items of {len(shapes)} shapes of features."
            raise CairnError(reason, "Items of a form have one shape, and there is one or more.", "features")
        *self.grid, self.width, self.masked = shapes.pop()

    @property
    def numbers(self) -> dict[str, Any]:
        """For the card."""
        shape = {"patches": self.grid, "features": self.width, "masks": bool(self.masked)}
        return {"items": len(self.keys), "slices": sum(self.slices), **shape}

    def parts(self) -> list[Part]:
        """Tensors of the form."""
        cells = [sum(self.slices), *self.grid]
        kinds: dict[str, tuple[Literal["F16", "U8"], list[int]]] = {
            "class": ("F16", [cells[0], self.width]), "patches": ("F16", [*cells, self.width]),
            "coverage": ("U8", cells),
        }  # fmt: skip
        return [
            Part(f"{self.form}/{name}", dtype, tuple(shape), partial(_read, self.files[name]))
            for name, (dtype, shape) in kinds.items()
            if name != "coverage" or self.masked
        ]


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


class Features:
    """Features of the items of one form, read an item at a time.

    Args:
        path: the file.
        form: the form.

    Raises:
        CairnError: when it is missing or no features file, or has no such form.
    """

    def __init__(self, path: Path, form: str) -> None:
        self.path, self.form = path, form
        header = read_safetensors_header(path)
        try:
            meta = json.loads(header["__metadata__"]["cairn"])
            forms, self.facts = dict(meta["forms"]), dict(meta["facts"])
        except (KeyError, TypeError):
            raise CairnError(f"{path}: no file of features.", "Embed the items again.", code="features") from None
        if form not in forms:
            raise CairnError(f"{path}: no items '{form}'.", f"It has {', '.join(forms)}.", code="features")
        self.keys: list[str] = forms[form]["keys"]
        self.slices: list[int] = forms[form]["slices"]
        self.shape: tuple[int, int, int] = tuple(header[f"{form}/patches"]["shape"][1:])
        self.masked = f"{form}/coverage" in header
        self._starts = np.concatenate([[0], np.cumsum(self.slices)])
        self._place = {key: n for n, key in enumerate(self.keys)}

    @cached_property
    def _file(self) -> Any:
        from safetensors import safe_open

        return safe_open(self.path, framework="np")

    def item(self, key: str) -> Embedded:
        """Features of one item.

        Raises:
            CairnError: when the file has no such item.
        """
        return Embedded(key, self.read("class", key), self.read("patches", key), self.coverage(key))

    def read(self, name: str, key: str) -> Floats:
        """``class`` or ``patches`` of one item, float32."""
        return np.asarray(self._rows(name, key), np.float32)

    def coverage(self, key: str) -> npt.NDArray[np.bool_] | None:
        """Covered patches of one item."""
        return np.asarray(self._rows("coverage", key)) > 0 if self.masked else None

    def _rows(self, name: str, key: str) -> npt.NDArray[Any]:
        if key not in self._place:
            raise CairnError(f"{self.path}: has no item {key}.", "Embed the items again.", code="features")
        place = self._place[key]
        rows: npt.NDArray[Any] = self._file.get_slice(f"{self.form}/{name}")[
            int(self._starts[place]) : int(self._starts[place + 1])
        ]
        return rows
