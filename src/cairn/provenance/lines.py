"""Lines for a terminal of 100 columns: words with a style, which only a terminal shows."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

WIDTH = 100
VALUE_WIDTH = 60
Words = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Line:
    """One line: style (as rich names it) and text of each part."""

    words: Words

    def __str__(self) -> str:
        return "".join(text for _, text in self.words)


def show(lines: Iterable[Line]) -> None:
    """Print lines, in colour on a terminal alone."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(Text.assemble(*((text, style) for style, text in line.words)))


def plain(text: str) -> Line:
    """A line without a style."""
    return Line((("", text),))


def heading(text: str, note: str = "") -> Line:
    """A rule across the terminal with a title, and a note at its end."""
    end = f" {note}" if note else ""
    return Line((("bold", f"{text} "), ("dim", "─" * max(3, WIDTH - len(text) - 1 - len(end)) + end)))


def field(name: str, value: str) -> Line:
    """A name and its value."""
    return Line((("dim", f"  {name:<9} "), ("", value)))


def columns(left: str, right: str) -> Line:
    """Text at the left, and text that ends at the right margin."""
    return Line((("bold", left), ("dim", right.rjust(max(len(right) + 2, WIDTH - len(left))))))


def filled(text: str, indent: str = "", style: str = "") -> Iterator[Line]:
    """A paragraph."""
    broken = textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    for line in broken:
        yield Line(((style, line),))


def settings(config: Mapping[str, Any], most: int | None, name: str = "settings") -> Iterator[Line]:
    """Settings, ``key value``, on as many lines as are allowed; None: all of them, whole."""
    lead = f"  {name:<9} " if name == "settings" else f"      {name:<5} "
    words = [f"{key} {_value(value, most is None)}" for key, value in config.items()]
    lines, room = list[str](), WIDTH - len(lead)
    for i, word in enumerate(words):
        joined = f"{lines[-1]} · {word}" if lines else word
        rest = f" · … {len(words) - i} more (--all)"
        if lines and len(joined) <= room - (len(rest) if most == len(lines) else 0):
            lines[-1] = joined
        elif most is not None and len(lines) == most:
            lines[-1] += rest
            break
        else:
            lines.append(word)
    for i, line in enumerate(lines):
        yield Line((("dim", " " * len(lead) if i else lead), ("", line)))


def _value(value: Any, whole: bool) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if whole or len(text) <= VALUE_WIDTH else f"{text[: VALUE_WIDTH - 1]}…"


def folder_lists(files: Mapping[str, str]) -> Iterator[Line]:
    """Files with their SHA-256, whole, under their folders."""
    folder = None
    for path, digest in files.items():
        parent = PurePosixPath(path).parent.as_posix()
        if parent != folder:
            folder = parent
            yield plain(f"  {folder}/")
        yield Line((("dim", f"    {digest}  "), ("", PurePosixPath(path).name)))
