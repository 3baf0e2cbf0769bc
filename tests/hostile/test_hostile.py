"""Guards the organiser: whatever an entry does, it gets its verdict, the host is unharmed, and the next case runs."""

import os
import shutil
import socket
import stat
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from cairn.challenge.contract import arguments, suffix_of
from cairn.challenge.outputs import check_output
from cairn.cli import app
from cairn.config.tasks import TaskInputs
from cairn.io.nifti import write_scan
from cairn.sandbox import watch
from cairn.sandbox.image import open_image
from cairn.sandbox.policy import Policy
from cairn.sandbox.run import run_case
from cairn.sandbox.take import take
from hostile import CHANGING, ENTRIES, base, make

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bubblewrap (Debian: apt install bubblewrap)")
LIMITS = Policy(
    seconds=20, memory_mb=256, processes=24, scratch_mb=8, output_mb=16, output_files=100, log_kb=16, cpus=1
)
TASKS = {
    "classification": TaskInputs(kind="classification", required=("FLAIR",)),
    "segmentation": TaskInputs(kind="segmentation", required=("FLAIR",), mask_sequence="FLAIR"),
}
QUICK = LIMITS.model_copy(update={"seconds": 1.5})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("input") / "in"
    (folder / "ses_1").mkdir(parents=True)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    for name in ("flair", "adc", "dwi_b1000", "swi"):
        write_scan(folder / f"ses_1/{name}.nii.gz", np.arange(8000, dtype=np.int16).reshape(20, 20, 20), affine)
    return folder


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A secret, a listening port and a process of the host, and what they are called."""
    secret = tmp_path_factory.mktemp("host") / "labels.tsv"
    secret.write_text("SECRET")
    server, nameless = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    name = f"cairn-hostile-{os.getpid()}"
    nameless.bind(f"\0{name}")
    nameless.listen()
    yield {"SECRET": str(secret), "PORT": server.getsockname()[1], "HOST_PID": os.getpid(), "NAMELESS": name}
    server.close()
    nameless.close()


def call(kind):
    return arguments("fomo25", kind, ["FLAIR", "ADC", "DWI", "SWI"], f"case{suffix_of(kind)}")


def run(root, hostile, inputs, output, policy, groups=True):
    output.mkdir()
    command = [*(hostile.command or (sys.executable, "/app/predict.py")), *call(hostile.kind)]
    return run_case(open_image(root, base()), command, inputs, output, policy, groups=groups)


def judged(hostile, inputs, folder):
    """What the check says of the output, once it is out of the entry's reach."""
    name, copy = f"case{suffix_of(hostile.kind)}", folder / f"taken{suffix_of(hostile.kind)}"
    taken = take(folder / "out", name, copy, LIMITS.output_mb << 20)
    if taken != "taken":
        return taken
    return check_output(TASKS[hostile.kind], copy, inputs / "ses_1/flair.nii.gz").verdict


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_gets_its_verdict_and_harms_nothing(name, inputs, host, tmp_path, monkeypatch):
    monkeypatch.setenv("A_KEY_OF_THE_ORGANISER", "SECRET")
    hostile = ENTRIES[name]
    root = make(tmp_path / "image", hostile.code, **host)
    before = {p: p.stat().st_mtime_ns for top in (root, inputs) for p in top.rglob("*")}
    began = time.monotonic()
    outcome = run(root, hostile, inputs, tmp_path / "out", QUICK if hostile.verdict == "time" else LIMITS)
    assert outcome.verdict == hostile.verdict, outcome
    assert outcome.sentence
    assert time.monotonic() - began < LIMITS.seconds + 5
    assert before == {p: p.stat().st_mtime_ns for top in (root, inputs) for p in top.rglob("*")}
    assert len(outcome.log) <= (LIMITS.log_kb << 10) + 10
    assert all(c.isprintable() or c in "\n\t" for c in outcome.log)
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".sandbox-")]
    left = [p.lstat() for p in (tmp_path / "out").rglob("*")]
    assert not [at for at in left if at.st_mode & 0o6022 and not stat.S_ISLNK(at.st_mode)]  # setuid, open to others
    assert {at.st_uid for at in left} <= {os.getuid()}
    if outcome.verdict == "ok":
        assert judged(hostile, inputs, tmp_path) == (hostile.found or "ok")
    ours = [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
    assert not ours, ours
    ticks = tmp_path / "out/ticks"
    if ticks.exists():  # the daemon's
        then = ticks.read_text()
        time.sleep(0.3)
        assert ticks.read_text() == then


@pytest.mark.parametrize("name", ["eats-memory", "eats-memory-in-children", "thread-bomb", "honest"])
def test_without_control_groups_it_is_watched(name, inputs, host, tmp_path):
    root = make(tmp_path / "image", ENTRIES[name].code, **host)
    outcome = run(root, ENTRIES[name], inputs, tmp_path / "out", LIMITS, groups=False)
    assert outcome.verdict == ENTRIES[name].verdict, outcome


def test_the_kernel_refuses_a_fork_too_many_before_anyone_looks(inputs, host, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "POLL_S", 60)
    code = """
made = 0
try:
    while made < 100:
        if os.fork() == 0: time.sleep(60)
        made += 1
except OSError: print("MADE", made)
"""
    root = make(tmp_path / "image", code, **host)
    outcome = run(root, ENTRIES["honest"], inputs, tmp_path / "out", LIMITS, groups=False)
    assert outcome.verdict == "ok", outcome
    made = int(outcome.log.split()[-1])
    assert LIMITS.processes - 4 <= made < LIMITS.processes


def test_no_group_is_left_behind():
    assert not [p for p in Path("/sys/fs/cgroup").glob("**/cairn-*") if f"-{os.getpid()}-" in p.name]


@pytest.mark.parametrize(
    ("code", "status", "said"), [(ENTRIES["honest"].code, 0, "VALID."), (CHANGING, 1, "two runs disagree")]
)
def test_the_command_validate_finds_the_changing_entry(code, status, said, host, tmp_path):
    root, config = make(tmp_path / "image", code, **host), tmp_path / "config.yaml"
    config.write_text("tasks: {infarct: {kind: classification, required: [FLAIR]}}\nchallenge: {contract: fomo26}\n")
    lent = [part for place in base() for part in ("--base", place)]
    line = ["validate", str(root), "--task", "infarct", "--cases", "1", "--configfile", str(config), *lent]
    told = CliRunner().invoke(app, line)
    assert (told.exit_code, told.exception is None or isinstance(told.exception, SystemExit)) == (status, True)
    assert said in told.output
    assert "called as fomo26 asks" in told.output


def test_the_changing_entry_changes(inputs, host, tmp_path):
    root = make(tmp_path / "image", CHANGING)
    honest = ENTRIES["honest"]
    for number in (1, 2):
        assert run(root, honest, inputs, tmp_path / str(number), LIMITS).verdict == "ok"
    assert (tmp_path / "1/case.txt").read_text() != (tmp_path / "2/case.txt").read_text()
