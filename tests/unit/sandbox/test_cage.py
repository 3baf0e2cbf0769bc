"""Guards control groups: made where they were given, with the policy's limits, and gone afterwards."""

import pytest

from cairn.sandbox import cage as module
from cairn.sandbox.cage import Cage, cage
from cairn.sandbox.policy import Policy

POLICY = Policy(memory_mb=64, processes=8)


@pytest.fixture
def hierarchy(tmp_path, monkeypatch):
    """A make-believe /sys/fs/cgroup of version 2, in which new groups have no files: as where nothing was delegated."""
    root = tmp_path / "cgroup"
    (root / "work/organiser").mkdir(parents=True)
    (root / "cgroup.controllers").touch()
    (tmp_path / "own").write_text("0::/work/organiser\n")
    monkeypatch.setattr(module, "ROOT", root)
    monkeypatch.setattr(module, "GROUPS", tmp_path / "own")
    return root


def test_a_group_that_nobody_delegated_is_left_alone(hierarchy):
    with cage(POLICY) as made:
        assert made is None
    assert sorted(p.name for p in hierarchy.rglob("*")) == ["cgroup.controllers", "organiser", "work"]


def test_a_folder_without_the_controller_is_no_cage(hierarchy, monkeypatch):
    monkeypatch.setattr(module, "_is_delegated", lambda place: True)
    with cage(POLICY) as made:
        assert made is None
    assert (hierarchy / "work/cgroup.subtree_control").read_text() == "+memory +pids"
    assert not list(hierarchy.rglob("cairn-*"))


def test_version_1_is_used_where_the_own_group_is_the_root(hierarchy, tmp_path, monkeypatch):
    (hierarchy / "cgroup.controllers").unlink()
    (tmp_path / "own").write_text("9:name=systemd:/\n8:pids:/\n4:memory:/batch/job\n0::/\n")
    asked = []
    monkeypatch.setattr(module, "_try", lambda plans: asked.append(plans))
    with cage(POLICY):
        pass
    (plans,) = asked
    assert [(p.parent, limits) for p, limits in plans.items()] == [(hierarchy / "pids", {"pids.max": "8"})]


def test_what_the_kernel_says_is_read(tmp_path):
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    (tmp_path / "pids.events").write_text("max 0\n")
    (tmp_path / "memory.peak").write_text("64000000\n")
    made = Cage((tmp_path,))
    assert made.out_of_memory()
    assert not made.out_of_processes()
    assert made.peak_mb() == 64
