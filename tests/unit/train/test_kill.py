"""Guards against kill -9: at any moment, also inside a checkpoint write; the next run ends with the same bytes."""

import os
import time

import numpy as np
import pytest
import safetensors.torch
import torch
from killing import STAGES, assert_as_if_never_interrupted, kill, start, states, train, wait

from cairn.io import atomic
from cairn.train.schedule import Course
from cairn.train.state import State, StateFolder

MOMENTS = ("half the temporary file", "before the move", "after the move")
WRITES = {"pretrain": 7, "finetune": 4}  # safetensors files that a run writes: its states and its weights
SOME = [
    ("pretrain", MOMENTS[0], 3),
    ("pretrain", MOMENTS[1], 7),
    ("finetune", MOMENTS[0], 2),
    ("finetune", MOMENTS[1], 4),
]
ALL = [(s, m, n + 1) for s in STAGES for m in MOMENTS for n in range(WRITES[s])]


def stop_in_write(moment, number, marker):
    """Let write ``number`` of this process reach a moment, say so by a file, and go no further."""
    save_file, replace, count = safetensors.torch.save_file, os.replace, [0]

    def hang():
        marker.touch()
        time.sleep(120)

    def half(tensors, path, metadata=None):
        save_file(tensors, path, metadata)
        count[0] += 1
        if moment == MOMENTS[0] and count[0] == number:
            os.truncate(path, path.stat().st_size // 2)
            path.with_name(".tmpAbCdEf").write_bytes(path.read_bytes())  # safetensors has one more of its own
            hang()

    def move(source, target):
        stop = count[0] == number and str(target).endswith(".safetensors")
        if stop and moment == MOMENTS[1]:
            hang()
        replace(source, target)
        if stop and moment == MOMENTS[2]:
            hang()

    safetensors.torch.save_file, atomic.os.replace = half, move


def killed_in_write(stage, moment, number, folder, labelled):
    """Train in a child, and kill it inside that write."""
    marker = folder / "marker"

    def work():
        stop_in_write(moment, number, marker)
        train(stage, folder, labelled)

    child = start(work)
    assert wait(marker.is_file, child)
    kill(child)
    marker.unlink()


def killed_after(seconds, stage, folder, labelled):
    """Train in a child, and kill it after some time; whether it was still at work."""
    child = start(lambda: train(stage, folder, labelled))
    moment = time.monotonic() + seconds
    alive = wait(lambda: time.monotonic() > moment, child)
    kill(child)
    return alive


@pytest.mark.parametrize(
    ("stage", "moment", "number"),
    [*SOME, *(pytest.param(*each, marks=pytest.mark.slow) for each in ALL if each not in SOME)],
)
def test_killed_inside_a_checkpoint_write(labelled, uninterrupted, tmp_path, capsys, stage, moment, number):
    whole = uninterrupted(stage)
    killed_in_write(stage, moment, number, tmp_path, labelled)
    assert moment == MOMENTS[2] or list(tmp_path.rglob(".tmp*"))
    before = states(tmp_path)
    train(stage, tmp_path, labelled)
    assert_as_if_never_interrupted(stage, tmp_path, whole)
    said = capsys.readouterr().err
    assert "unreadable" not in said
    assert ("goes on after step" in said) == bool(before)


def test_killed_inside_a_real_write_of_a_large_state(tmp_path):
    big = {"x": torch.zeros(30_000_000)}
    folder = StateFolder(tmp_path, "k")
    folder.save(State(1, Course(9, 7), {"x": torch.ones(2)}, {}))
    child = start(lambda: folder.save(State(2, Course(9, 7), big, {})))
    assert wait(lambda: any(p.stat().st_size > 10_000_000 for p in folder.folder.glob(".tmp*")), child)
    kill(child)
    assert list(folder.folder.glob(".tmp*"))
    again = StateFolder(tmp_path, "k")
    assert [p.name for p in again.folder.iterdir()] == ["state-000000001-of-000000009.safetensors"]
    assert again.load(Course(9, 7)).step == 1


@pytest.mark.parametrize("stage", STAGES)
def test_killed_three_times_at_random(labelled, uninterrupted, tmp_path, stage):
    kill_at_random(stage, 0, labelled, uninterrupted(stage), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 16))
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_any_moment(labelled, uninterrupted, tmp_path, stage, number):
    kill_at_random(stage, number, labelled, uninterrupted(stage), tmp_path)


def kill_at_random(stage, number, labelled, whole, folder):
    rng = np.random.default_rng([number, STAGES.index(stage)])
    for _ in range(3):
        killed_after(rng.uniform(0.02, 0.4), stage, folder, labelled)
    train(stage, folder, labelled)
    assert_as_if_never_interrupted(stage, folder, whole)
