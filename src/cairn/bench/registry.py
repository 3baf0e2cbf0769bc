"""CuriaBench's 19 tasks: what they are, which are here, and how to get the others. Nothing is filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from cairn.bench.published import SPLITS, split_files
from cairn.config.base import parse
from cairn.config.bench import CuriaRegistry, CuriaTask
from cairn.errors import CairnError


@dataclass(frozen=True)
class Found:
    """A task and which of its configurations' splits are in a folder."""

    name: str
    task: CuriaTask
    splits: Mapping[str, tuple[str, ...]]
    """Splits that are there, by configuration."""

    @property
    def present(self) -> bool:
        """Whether training and test data of one configuration (of a reused one) are there."""
        if self.task.reuses:
            first, last = self.task.reuses[0], self.task.reuses[-1]
            return "train" in self.splits[first] and "test" in self.splits[last]
        return any({"train", "test"} <= set(s) for s in self.splits.values())

    @property
    def why(self) -> str:
        """Why it is absent, in words; empty where it is present."""
        if self.present:
            return ""
        if not self.splits:
            return "not published as a configuration"
        lacking = [f"{c} lacks {', '.join(s for s in SPLITS if s not in there)}" for c, there in self.splits.items()]
        return "; ".join(lacking)


def read_registry(path: Path) -> CuriaRegistry:
    """The list of tasks.

    Raises:
        CairnError: when the file is missing, no YAML, or has a wrong entry.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CairnError(
            f"{path}: no readable registry ({error}).", "Name config/curiabench.yaml.", "missing"
        ) from None
    return parse(CuriaRegistry, data if isinstance(data, dict) else {}, str(path))


def find_tasks(registry: CuriaRegistry, root: Path) -> list[Found]:
    """Every task in its order, and what a folder in the published layout holds of it."""
    found = []
    for name, task in sorted(registry.tasks.items(), key=lambda pair: pair[1].number):
        splits = {
            config: tuple(s for s in SPLITS if split_files(root, config, s)) for config in (*task.configs, *task.reuses)
        }
        found.append(Found(name, task, splits))
    return found


def absent_rows(registry: CuriaRegistry, root: Path) -> list[dict[str, str]]:
    """Rows ``name``, ``why``, ``how`` of the tasks that are not here, for the page."""
    return [
        {"name": f.task.title, "why": f.why, "how": f.task.get} for f in find_tasks(registry, root) if not f.present
    ]


def listing(registry: CuriaRegistry, root: Path) -> list[str]:
    """Lines for people: every task, present or absent, and how to get what is absent."""
    lines = []
    for f in find_tasks(registry, root):
        t = f.task
        classes = f", {t.classes} classes" if t.classes else ""
        state = "present" if f.present else f"absent ({f.why})"
        lines.append(f"{t.number:>2}  {f.name}: {state}")
        lines.append(f"    {t.title}: {t.modality} {t.anatomy}, {'+'.join(t.input)}, {t.kind}{classes}, {t.metric}")
        marks = ", ".join(f"{field} [{mark}]" for field, mark in sorted(t.marks.items()))
        lines += [f"    not sourced: {marks}"] if marks else []
        lines += [] if f.present else [f"    get: {t.get}"]
    here = sum(f.present for f in find_tasks(registry, root))
    return [*lines, f"{here} of {len(registry.tasks)} tasks are in {root}."]
