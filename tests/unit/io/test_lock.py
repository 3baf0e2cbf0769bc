"""Guards the lock between processes: one at a time, let go by death, proof against a removed folder and no locks."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cairn.errors import CairnError
from cairn.io import lock
from cairn.io.lock import exclusive

HOLD = """
import sys, time
from pathlib import Path
from cairn.io.lock import exclusive
with exclusive(Path(sys.argv[1]), "other"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lock, "POLL_S", 0.02)


def holder(path, seconds=30.0):
    """A process that holds the lock."""
    source = Path(__file__).resolve().parents[3] / "src"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(seconds)],
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(source)},
    )  # fmt: skip
    assert child.stdout.readline() == b"held\n"
    return child


def test_the_pid_is_in_the_file_and_the_lock_comes_again(tmp_path):
    for _ in range(2):
        with exclusive(tmp_path / "a/lock", "this"):
            assert (tmp_path / "a/lock").read_text() == f"{os.getpid()}\n"


def test_a_second_process_says_who_holds_it_and_waits_until_it_dies(tmp_path, capsys):
    child = holder(tmp_path / "lock")
    begin = time.monotonic()
    subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {child.pid}"])
    with exclusive(tmp_path / "lock", "this"):
        assert time.monotonic() - begin > 0.4
        assert child.wait(5) == -signal.SIGKILL
    assert capsys.readouterr().err == f"this: waiting for process {child.pid}, which holds it\n"


def test_an_error_inside_lets_go(tmp_path):
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "lock", "this"):
        raise ZeroDivisionError
    child = holder(tmp_path / "lock", 0)
    assert child.wait(10) == 0


def test_a_folder_that_goes_while_it_is_waited_for_is_made_again(tmp_path):
    """The lock of a removed file excludes nobody: who waited for it must take that of the file that is there now."""
    child = holder(tmp_path / "a/lock")
    waiting = os.fork()
    if waiting == 0:
        try:
            with exclusive(tmp_path / "a/lock", "this"):
                (tmp_path / "got").write_text((tmp_path / "a/lock").read_text())
                time.sleep(0.3)
        finally:
            os._exit(0)
    time.sleep(0.1)
    shutil.rmtree(tmp_path / "a")
    while not (tmp_path / "got").exists() or not (tmp_path / "got").read_text():
        time.sleep(0.01)
    assert (tmp_path / "got").read_text() == f"{waiting}\n"
    begin = time.monotonic()
    with exclusive(tmp_path / "a/lock", "third"):  # meets the second's lock, not its own
        assert time.monotonic() - begin > 0.1
    os.waitpid(waiting, 0)
    child.kill()
    child.wait()


def test_the_lock_of_a_file_that_has_just_been_removed_is_not_taken(tmp_path, monkeypatch):
    real, opened = lock.try_lock, []

    def remove_first(file, kind):
        if not opened:
            shutil.rmtree(tmp_path / "a")
        opened.append(file)
        return real(file, kind)

    monkeypatch.setattr(lock, "try_lock", remove_first)
    with exclusive(tmp_path / "a/lock", "this"):
        assert (tmp_path / "a/lock").read_text() == f"{os.getpid()}\n"
    assert len(opened) == 2


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said_and_gone_on_with(tmp_path, capsys, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with exclusive(tmp_path / "lock", "this"):
        pass
    assert capsys.readouterr().err == f"this: {tmp_path} takes no locks; going on without\n"


def test_a_lock_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CairnError, match="cannot be written") as failed, exclusive(tmp_path / "file/lock", "this"):
        pass
    assert failed.value.code == "disk"
    assert failed.value.remedy


def test_a_waiting_job_whose_run_has_died_gives_up(tmp_path):
    """Else every killed run leaves a process that does the work once more when its turn has come."""
    child = holder(tmp_path / "lock")
    program = tmp_path / "snakemake"  # what names the process that started a job
    program.write_text(
        "import subprocess, sys, time\n"
        "log = open(sys.argv[2], 'w')\n"
        'line = \'"$0" -c "$1" "$2" 0; true\'\n'
        "subprocess.Popen(['sh', '-c', line, sys.executable, sys.argv[3], sys.argv[1]], stderr=log)\n"
        "time.sleep(60)\n"
    )
    log = tmp_path / "log"
    source = Path(__file__).resolve().parents[3] / "src"
    run = subprocess.Popen(
        [sys.executable, str(program), str(tmp_path / "lock"), str(log), HOLD],
        env=os.environ | {"PYTHONPATH": str(source)},
    )
    wait_for(lambda: log.exists() and "waiting" in log.read_text())
    run.kill()
    run.wait()
    wait_for(lambda: "the run that started this job is gone" in log.read_text())
    assert child.poll() is None  # nobody waited for the lock
    child.kill()
    child.wait()


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
