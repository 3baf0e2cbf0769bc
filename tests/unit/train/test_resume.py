"""Guards resume: interrupted anywhere, a run ends with the bytes of one that was not; what differs never goes on."""

import json
import os
import signal
import time
from contextlib import contextmanager

import numpy as np
import pytest
from learning import finetune_job, run_finetune, run_pretrain
from made import make_set

from cairn.io.atomic import sha256
from cairn.train.finetune import FinetuneProblem
from cairn.train.pretrain import PretrainProblem

OUTPUTS = ("encoder.safetensors", "history.jsonl")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("set"), "classification", 8)


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run_pretrain(folder, made.index)
    return folder


@contextmanager
def interrupted(monkeypatch, problem, step):
    """Interrupt, as by the keyboard, before the update that follows ``step``."""
    original = problem.batch

    def batch(self, number):
        if number == step:
            raise KeyboardInterrupt
        return original(self, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(problem, "batch", batch)
        yield


def same(a, b, names=OUTPUTS):
    return {n: sha256(a / n) for n in names} == {n: sha256(b / n) for n in names}


@pytest.mark.parametrize("step", [1, 2, 5, 8])
def test_interrupted_pretraining_ends_with_the_same_bytes(made, whole, tmp_path, monkeypatch, capsys, step):
    with interrupted(monkeypatch, PretrainProblem, step):
        run_pretrain(tmp_path, made.index)
    assert not (tmp_path / OUTPUTS[0]).exists()
    run_pretrain(tmp_path, made.index)
    assert same(tmp_path, whole)
    if step >= 2:
        assert f"goes on after step {step // 2 * 2}" in capsys.readouterr().err


def test_interrupted_finetuning_keeps_its_best_validation(made, tmp_path, monkeypatch):
    names = ("model.safetensors", "history.jsonl")
    for folder in ("whole", "cut"):
        (tmp_path / folder).mkdir()
    facts = run_finetune(tmp_path / "whole", made, finetune_job("classification"))
    with interrupted(monkeypatch, FinetuneProblem, 7):
        run_finetune(tmp_path / "cut", made, finetune_job("classification"))
    again = run_finetune(tmp_path / "cut", made, finetune_job("classification"))
    assert same(tmp_path / "whole", tmp_path / "cut", names)
    assert again["best"] == facts["best"]


def killed(folder, made, when):
    """Pretrain in a forked process, and SIGKILL it once ``when()`` holds."""
    child = os.fork()
    if child == 0:
        try:
            run_pretrain(folder, made.index)
        finally:
            os._exit(0)
    end = time.monotonic() + 60
    while not when() and time.monotonic() < end and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.002)
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def states(folder):
    return sorted((folder / "state").glob("*/state-*.safetensors"))


def test_killed_outright_it_ends_with_the_same_bytes(made, whole, tmp_path):
    killed(tmp_path, made, when=lambda: states(tmp_path))
    assert states(tmp_path)
    assert not (tmp_path / OUTPUTS[0]).exists()
    run_pretrain(tmp_path, made.index)
    assert same(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(25))
def test_killed_at_any_moment_it_ends_with_the_same_bytes(made, whole, tmp_path, number):
    rng = np.random.default_rng(number)
    for _ in range(3):
        moment = time.monotonic() + rng.uniform(0.02, 0.4)
        killed(tmp_path, made, when=lambda moment=moment: time.monotonic() > moment)
    run_pretrain(tmp_path, made.index)
    assert same(tmp_path, whole)
    assert not list((tmp_path / "state").glob("*/.tmp-*"))


def test_two_states_are_kept_and_an_unreadable_newest_falls_back(made, whole, tmp_path, capsys):
    run_pretrain(tmp_path, made.index)
    older, newest = states(tmp_path)
    assert [older.name, newest.name] == ["state-000000008.safetensors", "state-000000009.safetensors"]
    newest.write_bytes(newest.read_bytes()[:-100])
    run_pretrain(tmp_path, made.index)
    assert same(tmp_path, whole)
    assert "falling back" in capsys.readouterr().err


def test_a_line_of_history_cut_by_a_power_failure_is_mended(made, whole, tmp_path, monkeypatch):
    with interrupted(monkeypatch, PretrainProblem, 7):
        run_pretrain(tmp_path, made.index)
    (history,) = (tmp_path / "state").glob("*/history.jsonl")
    history.write_text(history.read_text() + '{"step": 7, "lo')
    run_pretrain(tmp_path, made.index)
    assert same(tmp_path, whole)


def test_more_steps_go_on_and_the_card_shows_both_legs(made, whole, tmp_path, monkeypatch, capsys):
    run_pretrain(tmp_path, made.index)
    facts = run_pretrain(tmp_path, made.index, steps=13)
    assert facts["schedule"] == [[9, 9], [13, 13]]
    assert facts["steps"] == 13
    assert "goes on after step 9 of 13" in capsys.readouterr().err
    assert not same(tmp_path, whole)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [r["step"] for r in lines if "lr" in r] == [2, 4, 6, 8, 9, 10, 12, 13]


def test_fewer_steps_start_anew_with_their_own_schedule(made, whole, tmp_path):
    run_pretrain(tmp_path, made.index, steps=14)
    facts = run_pretrain(tmp_path, made.index)
    assert facts["schedule"] == [[9, 9]]
    assert same(tmp_path, whole)


@pytest.mark.parametrize("change", [{"code": "other code"}, {"learning_rate": 0.0123}])
def test_a_state_of_other_code_or_configuration_is_not_continued(made, whole, tmp_path, capsys, change):
    run_pretrain(tmp_path, made.index, state=tmp_path / "s")
    capsys.readouterr()
    run_pretrain(tmp_path, made.index, state=tmp_path / "s", **change)
    said = capsys.readouterr().err
    assert "another configuration, code or data" in said
    assert "goes on" not in said
    assert len(list((tmp_path / "s").iterdir())) == 2


def test_a_state_of_other_data_is_not_continued(made, tmp_path, capsys):
    other = make_set(tmp_path / "other", "classification", 8, first=100)
    run_pretrain(tmp_path, made.index, state=tmp_path / "s", steps=2)
    run_pretrain(tmp_path, other.index, state=tmp_path / "s", steps=2)
    assert "goes on" not in capsys.readouterr().err
