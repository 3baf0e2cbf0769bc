"""Learning curves from the histories of pretraining and fine-tuning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cairn.report.sources import History, Sources
from cairn.report.style import RULE, WIDTH_IN, Picture, canvas, clean, embed, looks

X_KEYS = ("step", "epoch")


def learning_curves(sources: Sources) -> list[Picture]:
    """One picture a training stage and task: training loss and, where recorded, the validation's number."""
    groups: dict[tuple[str, str], list[History]] = {}
    for history in sources.histories:
        if _series(history.records, "loss"):
            groups.setdefault((history.stage, history.task), []).append(history)
    titles = {t["name"]: t["title"] for t in sources.tasks}
    return [
        _curves(sources, histories, "Pretraining" if stage == "pretrain" else f"Fine-tuning: {titles.get(task, task)}")
        for (stage, task), histories in sorted(groups.items(), key=lambda g: g[0][0] == "finetune")
    ]


def validation_key(records: Iterable[Mapping[str, Any]]) -> str | None:
    """Name of the validation's number: the first numeric key that begins with ``val``."""
    for record in records:
        for key, value in record.items():
            if key.startswith("val") and isinstance(value, int | float) and not isinstance(value, bool):
                return key
    return None


def _series(records: Iterable[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    found = []
    for number, record in enumerate(records):
        x = next((record[k] for k in X_KEYS if isinstance(record.get(k), int | float)), number)
        if isinstance(record.get(key), int | float):
            found.append((float(x), float(record[key])))
    return found


def _curves(sources: Sources, histories: Sequence[History], title: str) -> Picture:
    look = looks(sources.rows)
    labels = {r["run"]: r["label"] for r in sources.rows}
    key = validation_key(r for h in histories for r in h.records)
    panels = ["loss", *([key] if key else [])]
    with canvas(WIDTH_IN, 2.9, 1, len(panels)) as (figure, axes):
        for axis, name in zip(axes[0], panels, strict=True):
            seen = set()
            for history in histories:
                points = _series(history.records, name)
                if not points:
                    continue
                colour, _ = look.get(history.run, ("#4d5b6a", "o"))
                label = None if history.run in seen else clean(labels.get(history.run, history.run))
                seen.add(history.run)
                axis.plot(*zip(*points, strict=True), color=colour, lw=1.1, alpha=0.75, label=label)
            axis.set_xlabel("step")
            axis.set_title(
                "training loss" if name == "loss" else f"validation: {name.removeprefix('val_').replace('_', ' ')}"
            )
            axis.grid(axis="y", color=RULE, lw=0.6)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        source = embed(figure)
    return Picture(source, f"Learning curves, {title}", f"{title}: one line a seed.")
