"""Guards that figures of many runs and classes can be read: nothing is cut at the edge, no number lies on another."""

import itertools

import numpy as np
import pytest

from cairn.config.evaluate import EvaluateConfig, ReportJob
from cairn.config.runs import Run
from cairn.evaluate.tables import RunCases
from cairn.report import plots, stability
from cairn.report.sources import Sources

LABELS = [
    "CNN of volumes, MAE, fine-tuned", "Random start, as Curia-2 sees", "Curia, anatomy-guided masks", "Pixels",
    "Curia, low resolution first",
]  # fmt: skip
STRUCTURES = [
    "ventricles", "outer_csf", "deep_grey", "cerebral_white", "cerebral_grey", "cerebellum", "brainstem", "skull",
    "scalp_fat", "muscle", "air_cells", "eyes",
]  # fmt: skip


def sources(classes, runs=5):
    """Runs that tell ``classes`` almost by chance, so that matrices are full; two metrics, all pairs tested."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(len(classes)), 150).astype(float)
    names = [f"run{n}" for n in range(runs)]
    cases = {}
    for n, run in enumerate(names):
        told = np.where(rng.random(label.size) < 0.1, label, rng.integers(0, len(classes), label.size))
        told = label if n == 0 else told  # one that is always right: its numbers have three digits
        empty = np.full((1, label.size), np.nan)
        parts = {f"p_{name}": empty for name in classes}
        keys = tuple((f"{i:04d}", "1") for i in range(label.size))
        cases[run, "t"] = RunCases("c", (0,), keys, label, told[None], empty, empty, (("ok",) * label.size,), parts)
    metrics = [{"name": "accuracy", "title": "Accuracy"}, {"name": "auroc_ovr", "title": "AUROC (OvR)"}]
    pairs = [
        {"task": "t", "metric": m["name"], "a": a, "b": b, "p_holm": 0.01, "difference": 0.1}
        for m in metrics
        for a, b in itertools.combinations(names, 2)
    ]
    board = {
        "rows": [{"run": r, "label": label, "track": "x"} for r, label in zip(names, LABELS, strict=False)],
        "tasks": [{"name": "t", "kind": "probe", "title": "Structures, CT to MRI", "metrics": metrics}],
        "pairs": pairs, "evaluate": EvaluateConfig().model_dump(),
    }  # fmt: skip
    rows = [Run(run=r, label=r, method="scratch", network="n") for r in names]
    return Sources(ReportJob(runs=rows, tasks={}, seeds=(0,)), board, cases)


def drawn(monkeypatch, module, draw):
    """Boxes of a figure's texts: of the numbers and titles in it, and of all; and the figure's own."""
    found = {}

    def keep(figure, *_):
        renderer = figure.canvas.get_renderer()
        figure.draw(renderer)
        found["figure"] = figure.bbox
        axes = [a for a in figure.axes if a.get_visible()]
        found["numbers"] = [[t.get_window_extent(renderer) for t in a.texts] for a in axes]
        titles = [t for a in axes for t in (a._left_title, a.title) if t.get_text()]
        ticks = [t for a in axes for axis in (a.xaxis, a.yaxis) for t in axis.get_ticklabels() if t.get_visible()]
        ticks = [t for t in ticks if t.get_text()]
        names = [t for a in axes for t in a.get_yticklabels() if t.get_visible() and t.get_text()]
        found["names"] = [t.get_window_extent(renderer) for t in names]
        found["titles"] = [t.get_window_extent(renderer) for t in titles]
        found["all"] = found["titles"] + [t.get_window_extent(renderer) for t in ticks]
        found["sides"] = [a.get_window_extent(renderer).width for a in axes]
        return "data:,"

    monkeypatch.setattr(module, "embed", keep)
    draw()
    return found


def within(found):
    edge = found["figure"]
    for box in found["all"]:
        assert box.x0 >= -1
        assert box.x1 <= edge.x1 + 1
        assert box.y0 >= -1
        assert box.y1 <= edge.y1 + 1


def apart(boxes):
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)


@pytest.mark.parametrize(("classes", "runs"), [(STRUCTURES, 5), (STRUCTURES, 1), (STRUCTURES[:4], 5), ("ab", 2)])
def test_confusion_matrices_can_be_read(monkeypatch, classes, runs):
    made = sources(classes, runs)
    found = drawn(monkeypatch, plots, lambda: plots.task_plot(made, made.tasks[0]))
    within(found)
    apart(found["titles"])
    assert max(map(len, found["numbers"])) == (len(classes) if runs == 1 else len(classes) ** 2)
    for numbers in found["numbers"]:
        apart(numbers)


def test_of_fifty_classes_names_can_be_read_and_numbers_have_no_room(monkeypatch):
    """As CuriaBench's organs have them."""
    made = sources([f"organ_number_{n}" for n in range(54)], 2)
    found = drawn(monkeypatch, plots, lambda: plots.task_plot(made, made.tasks[0]))
    within(found)
    apart(found["titles"] + found["names"])
    assert not any(found["numbers"])


@pytest.mark.parametrize("runs", [2, 5])
def test_the_map_of_differences_can_be_read(monkeypatch, runs):
    made = sources("ab", runs)
    track = {"runs": [r["run"] for r in made.rows], "panels": [{"name": "t"}]}
    found = drawn(monkeypatch, stability, lambda: stability._tests(made, track))
    within(found)
    apart(found["titles"])
    assert min(found["sides"]) > 80
    labels = {stability._label(made, r["run"]).replace("\n", " ") for r in made.rows}
    assert labels == set(LABELS[:runs])  # none is cut
