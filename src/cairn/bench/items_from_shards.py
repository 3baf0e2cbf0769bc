"""Items from preprocessed shards and the truth of the embedded cohort: slices, volumes, pairs, and their targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.bench.beside import LABELS
from cairn.bench.items import Item, write_items
from cairn.bench.pairs import choose_pairs, write_pair_labels, write_pairs
from cairn.config.bench import ItemForm, ItemsJob
from cairn.errors import CairnError
from cairn.io.atomic import read_json, write_json
from cairn.io.geometry import labels_to_grid, mask_to_grid
from cairn.io.nifti import read_label_map
from cairn.io.sessions import Session, open_sessions
from cairn.slices.orient import stack_of
from cairn.ssl.draws import generator

Array = npt.NDArray[Any]
STRUCTURE = "structure"


@dataclass(frozen=True)
class Truth:
    """The truth of one session: where its masks lie, and its targets."""

    root: Path
    entry: Mapping[str, Any]

    def names(self, mask: str) -> bool:
        """Whether the session has what a mask shows, on whatever grid."""
        return mask in self.entry.get("masks", {})

    @property
    def targets(self) -> dict[str, Any]:
        """Targets by name."""
        return dict(self.entry.get("targets", {}))

    def mask(self, session: Session, name: str, form: ItemForm) -> Array | None:
        """A mask on the session's grid; labels for ``structures``. None where the session has none.

        Raises:
            CairnError: when the mask is not on the grid of its scan (code ``label``).
        """
        sequence = form.mask_sequence or form.sequence
        path = self.entry.get("masks", {}).get(name, {}).get(sequence)
        if path is None or sequence not in session.geometry.sequences:
            return None
        labels = read_label_map(self.root / path, 255)
        if labels.shape != session.geometry.sequences[sequence].native_shape:
            reason = f"{path}: shape {labels.shape} is not that of the {sequence} scan of {session.key}."
            raise CairnError(reason, "A mask lies on the grid of its scan.", code="label")
        if form.structures:
            return labels_to_grid(labels, session.geometry, sequence, len(form.structures))
        return mask_to_grid(labels > 0, session.geometry, sequence)


def read_truth(anatomies: Sequence[Path]) -> dict[str, Truth]:
    """Truth by session key. A file lies in ``{root}/anatomy/``; paths in it start from the root."""
    return {
        key: Truth(path.parent.parent, entry) for path in anatomies for key, entry in read_json(path).items()
    }  # fmt: skip


@dataclass
class Made:
    """What became of the sessions, as it goes."""

    truths: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """Subject, item's session, and the targets of every item."""
    skipped: dict[str, str] = field(default_factory=dict)


def make_items(
    job: ItemsJob, shards: Sequence[Path], anatomies: Sequence[Path], items: Path, truth: Path, pairs: Path
) -> dict[str, Any]:  # fmt: skip
    """Write the items of a data set in one form, and their truth apart from them.

    Args:
        job: the form.
        shards: indexes of the data set's shards, preprocessed raw.
        anatomies: its truth.
        items: the set of items, without any target.
        truth: what is true of every item and pair (`cairn.bench.targets.item_targets`); label maps of pairs lie beside
            it, in ``labels/``.
        pairs: who is moved onto whom; empty without pairs.

    Returns:
        Facts for the card: items, pairs, and sessions that were left out.

    Raises:
        CairnError: when no item comes out, or a session of a pair has no label map.
    """
    sessions, made = [], Made()
    known = read_truth(anatomies)
    for session in open_sessions(shards):
        lacking = job.form.sequence not in session.sequences
        if lacking or session.key not in known:
            made.skipped[session.key] = f"lacks {job.form.sequence}" if lacking else "has no truth"
        else:
            sessions.append(session)
    count = write_items(items, _items(job, sessions, known, made))
    chosen = choose_pairs(sessions, job.form.pairs, job.seed) if job.form.pairs else []
    write_pairs(pairs, chosen)

    def labels(session: Session) -> Array | None:
        found = known[session.key].mask(session, job.form.mask, job.form)
        return None if found is None else cut(session, found, job.form)

    maps = write_pair_labels(truth.parent / LABELS, chosen, labels, len(job.form.structures))
    rows = [{"subject": subject, "session": item, "truth": found} for subject, item, found in made.truths]
    write_json(truth, {"items": rows, "pairs": maps})
    return {"items": count, "pairs": len(chosen), "skipped": made.skipped}


def _items(
    job: ItemsJob, sessions: Sequence[Session], truth: Mapping[str, Truth], made: Made
) -> Iterator[Item]:  # fmt: skip
    heights = _heights(job.form, sessions, truth) if job.form.kind == "finding" else []
    for session in sessions:
        known = truth[session.key]
        found = list(_of_session(job, session, known, heights))
        if not found:
            made.skipped[session.key] = f"shows no {job.form.mask or 'volume'}"
        # An item's name may not tell its target, so it is numbered in an order of its own.
        order = generator(job.seed, f"items {session.key}").permutation(len(found))
        for number, place in enumerate(order):
            image, mask, more = found[place]
            name = session.session if len(found) == 1 else f"{session.session}-{number:02d}"
            made.truths.append((session.subject, name, known.targets | more))
            yield Item(
                session.subject, name, image, mask, f"{session.key}/{job.form.sequence}", f"{session.key}/{name}"
            )


Found = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_] | None, dict[str, Any]]


def _of_session(job: ItemsJob, session: Session, truth: Truth, heights: Sequence[float]) -> Iterator[Found]:
    """Image, mask and further truth of each item of one session."""
    form = job.form
    mask = truth.mask(session, form.mask, form) if form.kind != "volume" else None
    if form.kind == "volume":
        yield cut(session, session.volume(form.sequence), form), None, {}
        return
    shown = None if mask is None else cut(session, mask, form)
    if form.kind == "finding":
        image = _finding(job, session, truth, shown, heights)
        if image is not None:
            yield image, None, {}
    elif shown is None:
        return
    elif form.kind == "lesion_volume":
        if _largest(shown > 0, form) is not None:
            yield cut(session, session.volume(form.sequence), form), shown > 0, {}
    else:
        volume = cut(session, session.volume(form.sequence), form)
        names = enumerate(form.structures, start=1) if form.kind == "structures" else [(0, "")]
        for label, name in names:
            part = shown == label if label else shown > 0
            at = _largest(part, form)
            if at is not None:
                yield volume[at], part[at], {STRUCTURE: name} if name else {}


def _finding(
    job: ItemsJob, session: Session, truth: Truth, shown: Array | None, heights: Sequence[float]
) -> npt.NDArray[np.float32] | None:  # fmt: skip
    """The slice where the lesion is largest; without a lesion, one at a height of those who have it.

    None where the truth has a lesion that no slice shows: a slice beside it would be called ill.
    """
    at = None if shown is None else _largest(shown > 0, job.form)
    if at is None and truth.names(job.form.mask):
        return None
    volume = cut(session, session.volume(job.form.sequence), job.form)
    if at is None:
        height = heights[int(generator(job.seed, f"height {session.key}").integers(len(heights)))]
        at = min(len(volume) - 1, int(height * len(volume)))
    return np.asarray(volume[at])


def _heights(form: ItemForm, sessions: Sequence[Session], truth: Mapping[str, Truth]) -> list[float]:
    """Where along the slices the lesions are largest, as shares of the stack.

    Raises:
        CairnError: when no session has the lesion (code ``one-class``).
    """
    found = []
    for session in sessions:
        mask = truth[session.key].mask(session, form.mask, form)
        shown = None if mask is None else cut(session, mask, form)
        at = None if shown is None else _largest(shown > 0, form)
        if at is not None and shown is not None:
            found.append((at + 0.5) / len(shown))
    if not found:
        reason = f"No session shows '{form.mask}' on {form.sequence}."
        raise CairnError(reason, "Make the data set larger, or its findings more likely.", "one-class")
    return found


def _largest(mask_SHW: Array, form: ItemForm) -> int | None:
    """The slice with most pixels of a mask; None where that is too few."""
    pixels = mask_SHW.sum(axis=(1, 2))
    at = int(pixels.argmax())
    return at if pixels[at] >= form.min_pixels else None


def cut(session: Session, volume_XYZ: Array, form: ItemForm) -> Array:
    """The stack ``[S, H, W]`` of a volume or mask on the session's grid that items of a form are cut from.

    Volumes are thinned to every so many slices; slices are taken from the whole stack.
    """
    if form.crop:
        low, high = session.brain_box()
        volume_XYZ = volume_XYZ[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    stack = stack_of(volume_XYZ, form.plane)
    thinned = stack[:: form.slice_step] if form.kind in ("volume", "lesion_volume") else stack
    return np.ascontiguousarray(thinned)
