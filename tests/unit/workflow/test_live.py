"""Guards that a killed run's lock files do not stop the next run, and a living run's do."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cairn.workflow import live

RUN = """
import sys, time
from pathlib import Path
from cairn.workflow.live import hold_run
hold_run(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(30)
"""


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """Locks that end with the test."""
    monkeypatch.setattr(live, "_held", {})
    yield
    for file in live._held.values():
        file.close()


@pytest.fixture
def folder(tmp_path):
    """Snakemake's folder as a killed run leaves it."""
    (tmp_path / "locks").mkdir()
    for name in ("0.input.lock", "0.output.lock", "11.output.lock"):
        (tmp_path / "locks" / name).write_text("results/a\n")
    (tmp_path / "locks/other").write_text("not Snakemake's")
    return tmp_path


def left(folder):
    return sorted(p.name for p in (folder / "locks").iterdir())


ALL = ["0.input.lock", "0.output.lock", "11.output.lock", "other"]


def start(folder):
    source = Path(__file__).resolve().parents[3] / "src"
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(source)},
    )  # fmt: skip
    assert child.stdout.readline() == b"held\n"
    return child


def stop(child):
    child.send_signal(signal.SIGKILL)
    child.wait()
    return child.stderr.read().decode()


def test_a_dead_runs_locks_are_removed_and_one_line_says_so(folder, capsys):
    live.hold_run(folder)
    assert left(folder) == ["other"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "killed" in said


def test_nothing_is_said_where_nothing_is_left(tmp_path, capsys):
    live.hold_run(tmp_path / ".snakemake")
    live.hold_run(tmp_path / ".snakemake")
    assert capsys.readouterr().err == ""


def test_a_living_runs_locks_stay_and_its_death_frees_them(folder, capsys):
    for path in (folder / "locks").iterdir():
        path.unlink()
    child = start(folder)
    (folder / "locks/0.output.lock").write_text("results/a\n")
    live.hold_run(folder)
    assert left(folder) == ["0.output.lock"]
    stop(child)
    live.hold_run(folder)
    assert left(folder) == []
    assert "killed" in capsys.readouterr().err


def test_two_living_runs_protect_each_others_locks(folder):
    """Snakemake lets two runs with other files go on side by side; the end of one must not unprotect the other."""
    one, two = start(folder), start(folder)
    (folder / "locks/0.output.lock").write_text("results/a\n")
    stop(one)
    live.hold_run(folder)
    assert left(folder) == ["0.output.lock", "other"]
    stop(two)


def test_jobs_do_not_hold_their_run_when_it_is_dead(folder):
    """A job lives on as an orphan; it must not look like its run."""
    code = RUN.replace("time.sleep(30)", "import subprocess; subprocess.run(['sleep', '5'], close_fds=False)")
    source = Path(__file__).resolve().parents[3] / "src"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(source)},
    )  # fmt: skip
    child.stdout.readline()
    time.sleep(0.3)
    (folder / "locks/0.output.lock").write_text("results/a\n")
    child.kill()
    child.wait()
    live.hold_run(folder)
    assert left(folder) == ["other"]
    os.killpg(child.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("before", "removed"),
    [({"machine": "elsewhere", "boot": "another"}, False), ({"machine": "elsewhere", "boot": live._boot()}, True),
     ({"machine": live.platform.node(), "boot": "before the power failed"}, True), ({}, True)],
)  # fmt: skip
def test_another_machines_locks_are_left_to_its_user(folder, capsys, before, removed):
    """Locks may not reach across machines: there a run might live. A container's or a reboot's other name is known."""
    (folder / "cairn.lock").write_text(json.dumps(before))
    live.hold_run(folder)
    assert left(folder) == (["other"] if removed else ALL)
    assert ("snakemake --unlock" in capsys.readouterr().err) is not removed
    assert (json.loads((folder / "cairn.lock").read_text()).get("pid") == os.getpid()) is removed


def test_without_locks_nothing_is_touched(folder, capsys, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    live.hold_run(folder)
    assert left(folder) == ALL
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written_is_left_to_snakemake(tmp_path):
    (tmp_path / "file").write_text("")
    live.hold_run(tmp_path / "file")
