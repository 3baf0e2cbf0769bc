"""Guards that one process at a time trains a job: a second one waits, then goes on from the first one's state."""

import errno
import fcntl
import time

import pytest
from killing import PATIENCE_S, assert_as_if_never_interrupted, exit_code, kill, same, start, train, trained, wait

from cairn.train.pretrain import PretrainProblem


def held(folder, labelled):
    """A child that trains, and after step 5 goes no further until the file ``go`` appears."""

    def work():
        original, end = PretrainProblem.batch, time.monotonic() + PATIENCE_S

        def batch(self, step):
            while step == 5 and not (folder / "go").exists() and time.monotonic() < end:
                (folder / "held").touch()
                time.sleep(0.005)
            return original(self, step)

        PretrainProblem.batch = batch
        train("pretrain", folder, labelled)

    child = start(work)
    assert wait((folder / "held").exists, child)
    return child


@pytest.mark.parametrize("end", ["killed", "finished"])
def test_a_second_process_says_who_trains_waits_and_goes_on(labelled, uninterrupted, tmp_path, end):
    whole = uninterrupted("pretrain")
    first = held(tmp_path, labelled)
    said = tmp_path / "said"
    second = start(lambda: train("pretrain", tmp_path, labelled), said)
    assert wait(lambda: said.exists() and "\n" in said.read_text(), second)
    assert f"waiting for process {first}" in said.read_text()
    time.sleep(0.2)
    assert trained(tmp_path) == [[1, 2, 3, 4, 5]]
    if end == "killed":
        kill(first)
    else:
        (tmp_path / "go").touch()
        assert exit_code(first) == 0
    assert exit_code(second) == 0
    assert trained(tmp_path) == [[1, 2, 3, 4, 5], [5, 6, 7, 8, 9] if end == "killed" else [6, 7, 8, 9]]
    assert f"goes on after step {4 if end == 'killed' else 9} of 9" in said.read_text()
    assert_as_if_never_interrupted("pretrain", tmp_path, whole)


def test_a_file_system_without_locks_is_named_and_training_goes_on(
    labelled, uninterrupted, tmp_path, monkeypatch, capsys
):
    def flock(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    train("pretrain", tmp_path, labelled)
    assert capsys.readouterr().err.count("takes no locks; going on without") == 1
    assert same(tmp_path, uninterrupted("pretrain"))
