"""Guards against a full disk: earlier states stay, no litter, a clear error, and the same bytes once there is space."""

import os
import resource
import subprocess

import pytest
from killing import exit_code, lost, same, start, states, train

from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.train.history import History
from cairn.train.pretrain import PretrainProblem


@pytest.fixture
def small_disk(tmp_path):
    """A real file system whose size can be set, as the folder of the training state."""
    folder = tmp_path / "state"
    folder.mkdir()

    def mount(options):
        return subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
        )

    try:
        done = mount("size=64k")
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if done.returncode:
        pytest.skip(f"this user may not mount a file system: {done.stderr.strip()}")
    yield lambda size: mount(f"remount,size={size}")
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("room", [0.5, 1.5, 2.5])
def test_a_full_disk_stops_training_which_then_goes_on(labelled, uninterrupted, tmp_path, small_disk, stage, room):
    size = max(p.stat().st_size for p in states(uninterrupted(stage)))
    small_disk(int(room * size) + 30_000)
    with pytest.raises(CairnError) as caught:
        train(stage, tmp_path, labelled)
    assert caught.value.code == "disk"
    (key,) = (p for p in (tmp_path / "state").iterdir() if p.is_dir())
    assert str(key) in str(caught.value)
    assert "bytes needed" in str(caught.value)
    assert "Free space" in str(caught.value)
    assert "nothing is lost" in str(caught.value)
    assert len(states(tmp_path)) == int(room)
    assert not list(tmp_path.rglob(".tmp*"))
    small_disk("50m")
    train(stage, tmp_path, labelled)
    assert same(tmp_path, uninterrupted(stage), stage)
    assert lost(tmp_path) <= {"pretrain": 2, "finetune": 3}[stage]


def limited(size, work):
    """Do ``work`` in a child whose files may not exceed ``size`` bytes; the `CairnError` it ends with, as text."""
    read, write = os.pipe()

    def child():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            work()
        except CairnError as error:
            os.write(write, f"{error.code}: {error}".encode())

    assert exit_code(start(child)) == 0
    os.close(write)
    with os.fdopen(read) as pipe:
        return pipe.read()


def test_a_state_over_the_limit_of_file_size_leaves_the_earlier_ones(labelled, uninterrupted, tmp_path, monkeypatch):
    original = PretrainProblem.batch

    def batch(self, step):
        if step == 5:
            raise KeyboardInterrupt
        return original(self, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(PretrainProblem, "batch", batch)
        train("pretrain", tmp_path, labelled)
    before = {p: sha256(p) for p in states(tmp_path)}
    said = limited(100_000, lambda: train("pretrain", tmp_path, labelled))
    assert said.startswith("disk: ")
    assert "File too large" in said
    assert {p: sha256(p) for p in states(tmp_path)} == before
    assert not list(tmp_path.rglob(".tmp*"))
    train("pretrain", tmp_path, labelled)
    assert same(tmp_path, uninterrupted("pretrain"))


def test_a_half_line_of_history_is_no_harm(labelled, uninterrupted, tmp_path, monkeypatch):
    original = History.add

    def add(self, record):
        if record["step"] < 6:
            return original(self, record)
        said = limited(self.path.stat().st_size + 20, lambda: original(self, record))
        assert said.startswith("disk: ")
        assert not self.path.read_text().endswith("\n")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(History, "add", add)
        train("pretrain", tmp_path, labelled)
    train("pretrain", tmp_path, labelled)
    assert same(tmp_path, uninterrupted("pretrain"))
