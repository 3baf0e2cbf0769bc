"""One look for all figures: colours that colour-blind readers can tell apart, small type, few lines."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

INK, MUTED, RULE, TRUTH, PREDICTION = "#1d2430", "#667080", "#d9dde3", "#00b8a9", "#ff8a3d"
COLOURS = ("#1f6f9f", "#c8571b", "#2f8f6b", "#8656a3", "#a67c00", "#b8436d", "#4d5b6a", "#5a8f29")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")
WIDTH_IN, WIDE_IN = 5.4, 8.2

SETTINGS: Mapping[str, Any] = {
    "font.size": 9.5, "axes.titlesize": 9.5, "axes.labelsize": 9.5, "xtick.labelsize": 8.5, "ytick.labelsize": 9,
    "text.color": INK, "axes.labelcolor": INK, "xtick.color": MUTED, "ytick.color": INK, "axes.edgecolor": RULE,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": False, "axes.titlelocation": "left",
    "xtick.major.size": 3, "ytick.major.size": 0, "axes.linewidth": 0.8, "legend.frameon": False,
    "legend.fontsize": 8.5, "svg.hashsalt": "cairn", "svg.fonttype": "path", "figure.facecolor": "white",
    "savefig.facecolor": "white", "figure.dpi": 100,
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A figure of the page: embedded image, words for who cannot see it, caption."""

    source: str
    alt: str
    caption: str
    wide: bool = False


@contextmanager
def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes ``[rows, columns]`` in the page's look, without a display."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(dict(SETTINGS)):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(rows, columns, squeeze=False, **options)


def embed(figure: Any, kind: str = "svg", dpi: int = 110) -> str:
    """The figure as a data URI, without a date, so that equal figures give equal bytes."""
    media = "svg+xml" if kind == "svg" else kind
    return f"data:image/{media};base64,{base64.b64encode(as_bytes(figure, kind, dpi)).decode()}"


def as_bytes(figure: Any, kind: str, dpi: int) -> bytes:
    """The figure as a file's bytes."""
    out = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    figure.savefig(out, format=kind, dpi=dpi, metadata=metadata)
    return out.getvalue()


def looks(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Colour and marker of every run, the same in all figures; where colours come again, they take another marker.

    Rows of one label in several tracks are one encoder to the reader, and look alike.
    """
    many, found, last = len(COLOURS), dict[str, tuple[str, str]](), dict[str, tuple[str, str]]()
    for row in rows:
        known = last.get(row["label"])
        if known is None or known[0] == row["track"]:
            i = len(set(found.values()))
            found[row["run"]] = (COLOURS[i % many], MARKERS[(i + i // many) % many])
            last[row["label"]] = (row["track"], row["run"])
        else:
            found[row["run"]] = found[known[1]]
    return found


def wrapped(text: str, width: int = 24) -> str:
    """A label broken into lines."""
    import textwrap

    return "\n".join(textwrap.wrap(text, width)) or text


def clean(text: str) -> str:
    """Text for a figure: a dollar sign is no formula there."""
    return text.replace("$", r"\$")
