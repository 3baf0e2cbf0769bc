"""Guards a shard's job against its end at any moment: the next one goes on and ends with the same bytes.

The sessions are stand-ins that take milliseconds; one test at the end goes through real ones.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_shard import ShardJob, die, ended, make_raw
from phantom_head import RESOURCES, write_head

from cairn.config.preprocess import PreprocessConfig
from cairn.errors import CairnError
from cairn.io.atomic import write_json
from cairn.io.shard import Shard
from cairn.io.tables import INDEX_COLUMNS, QUARANTINE_COLUMNS, read_table, write_table
from cairn.preprocess import kept
from cairn.preprocess.kept import forget
from cairn.preprocess.resources import Resources
from cairn.preprocess.shard import ShardPaths, preprocess_shard

SESSIONS = 6  # of `make_raw`, the unusable one included
SUBJECTS = ["00", "01", "02", "03", "04", "bad"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return make_raw(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def whole(raw, tmp_path_factory):
    """The outputs of a job that nothing stopped."""
    job = ShardJob(raw, tmp_path_factory.mktemp("whole"))
    job.run()
    assert job.begun == SUBJECTS
    assert len(read_table(job.paths.quarantine, QUARANTINE_COLUMNS)) == 2
    assert len(Shard(job.paths.shard).sessions) == SESSIONS - 1
    return job.bytes()


def litter(job):
    """Files that a killed process left half-written, anywhere."""
    return list(job.out.rglob(".tmp-*"))


def test_what_is_whole_takes_no_room_twice_and_is_forgotten_when_taken(raw, tmp_path):
    job = ShardJob(raw, tmp_path)
    job.run()
    kept_files = [p for p in (job.state / "made").rglob("*") if p.is_file() and p.name != "made.json"]
    assert kept_files
    assert all(p.stat().st_nlink == 2 for p in kept_files)
    assert sorted(p.name for p in job.state.iterdir()) == ["lock", "made"]  # the sessions are gone
    forget([job.state])
    assert not job.state.exists()
    assert job.paths.shard.is_file()


@pytest.mark.parametrize("done", [0, 1, 3, 5])
def test_killed_in_a_session_it_loses_that_session_only(raw, whole, tmp_path, capsys, done):
    job = ShardJob(raw, tmp_path)
    assert ended(job.start(each=lambda subject: die() if subject == SUBJECTS[done] else None)) == -signal.SIGKILL
    assert not job.paths.shard.exists()
    job.run()
    assert job.bytes() == whole
    assert job.begun == [*SUBJECTS[: done + 1], *SUBJECTS[done:]]
    said = capsys.readouterr().err
    assert (f"goes on: {done} of {SESSIONS} sessions are there already" in said) is (done > 0)
    assert not litter(job)


def kill_at_write(number, moment):
    """Arrange that this process dies at its ``number``-th atomic write, before or after the file takes its place."""
    real, count = os.replace, iter(range(10_000))

    def replace(source, target):
        last = next(count) == number
        if last and moment == "half":
            os.truncate(source, os.path.getsize(source) // 2)
        if not last or moment == "after":
            real(source, target)
        if last:
            die()

    os.replace = replace


def check_killed_at_write(raw, whole, out, number, moment):
    """Kill, go on, compare; False when the job makes fewer writes."""
    job = ShardJob(raw, out)
    status = ended(job.start(before=lambda: kill_at_write(number, moment)))
    if status == 0:
        return False
    assert status == -signal.SIGKILL
    job.run()
    assert job.bytes() == whole
    assert len(job.begun) <= SESSIONS + 1
    assert not litter(job)
    return True


@pytest.mark.parametrize("moment", ["before", "half", "after"])
@pytest.mark.parametrize("number", [0, 2, 3, 9, 21, 22, 23, 24, 25])
def test_killed_in_a_write_it_ends_with_the_same_bytes(raw, whole, tmp_path, number, moment):
    assert check_killed_at_write(raw, whole, tmp_path, number, moment)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "half", "after"])
def test_killed_in_any_write_it_ends_with_the_same_bytes(raw, whole, tmp_path, moment):
    number = 0
    while check_killed_at_write(raw, whole, tmp_path / str(number), number, moment):
        number += 1
    assert number > 4 * (SESSIONS - 1)


def check_killed_at_random(raw, whole, out, seed):
    job, rng = ShardJob(raw, out), np.random.default_rng(seed)
    kills = sum(not job.kill(after_s=rng.uniform(0.0, 0.25)) for _ in range(4))
    job.run()
    assert job.bytes() == whole
    assert len(job.begun) <= SESSIONS + kills
    assert not litter(job)


def test_killed_at_random_moments_it_ends_with_the_same_bytes(raw, whole, tmp_path):
    for seed in range(3):
        check_killed_at_random(raw, whole, tmp_path / str(seed), seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_killed_at_more_random_moments_it_ends_with_the_same_bytes(raw, whole, tmp_path, seed):
    check_killed_at_random(raw, whole, tmp_path, seed)


def test_a_shard_that_was_made_but_not_taken_is_there_at_once(raw, whole, tmp_path, capsys):
    """As when Snakemake dies while the job's process lives on and ends: the next run deletes the outputs first."""
    job = ShardJob(raw, tmp_path)
    facts = job.run()
    for name in ("a.safetensors", "a.index.tsv", "a.quarantine.tsv", "a.qc.json"):
        (job.out / name).unlink()
    shutil.rmtree(job.paths.figures)
    assert job.run() == facts
    assert job.bytes() == whole
    assert len(job.begun) == SESSIONS
    assert f"all of {SESSIONS} sessions are there already" in capsys.readouterr().err


def spoil(path, how):
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes(b"" if how == "empty" else data[: len(data) // 2] if how == "cut" else data)


@pytest.mark.parametrize("how", ["flipped", "cut", "empty"])
@pytest.mark.parametrize("name", ["session.safetensors", "sub-01_ses-1.jpg", "sub-01_ses-1_mask.nii.gz", "result.json"])
def test_a_damaged_session_is_done_again_and_said(raw, whole, tmp_path, capsys, name, how):
    job = ShardJob(raw, tmp_path)
    ended(job.start(each=lambda subject: die() if subject == "03" else None))
    (folder,) = [p.parent for p in job.state.glob("*/sub-01_ses-1.jpg")]
    spoil(folder / name, how)
    job.run()
    assert job.bytes() == whole
    assert job.begun[4:] == ["01", "03", "04", "bad"]
    said = capsys.readouterr().err
    assert said.count("is damaged") == 1
    assert f"goes on: 2 of {SESSIONS}" in said


def test_a_damaged_whole_is_made_again_and_said(raw, whole, tmp_path, capsys):
    job = ShardJob(raw, tmp_path)
    job.run()
    job.paths.shard.unlink()  # the state's own name for the file is left
    spoil(job.state / "made/shard", "flipped")
    job.run()
    assert job.bytes() == whole
    assert capsys.readouterr().err.count("it is made again") == 1


def other_row(job):
    rows = read_table(job.raw / "index.tsv", INDEX_COLUMNS)
    write_table(job.raw / "index.tsv", [r | {"site": "B"} for r in rows], INDEX_COLUMNS)
    return job


def other_scan(job):
    for path in job.raw.glob("*_T1w.nii.gz"):
        os.utime(path, ns=(1, 1))
    return job


def other_archive(job):
    (job.raw / "nimare.whl").write_text("another")
    return replace(job, resources=Resources(job.raw))


CHANGES = {
    "configuration": lambda job: replace(job, config=job.config.model_copy(update={"figure_rim_mm": 1.0})),
    "code": lambda job: replace(job, code="other code"),
    "index": other_row,
    "scan": other_scan,
    "archive": other_archive,
}


@pytest.mark.parametrize("what", CHANGES)
def test_sessions_of_something_else_are_removed_and_done_again(tmp_path, capsys, what):
    job = ShardJob(make_raw(tmp_path), tmp_path / "out")
    ended(job.start(each=lambda subject: die() if subject == "03" else None))
    before = {p.name for p in job.state.iterdir() if p.is_dir()}
    job = CHANGES[what](job)

    def stop(subject):
        if subject == "01":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.run(stop)
    assert capsys.readouterr().err.count("sessions of another configuration, code or data") == 1
    assert not before & {p.name for p in job.state.iterdir() if p.is_dir() and p.name != "made"}
    job.run()
    said = capsys.readouterr().err
    assert f"goes on: 1 of {SESSIONS}" in said
    assert job.begun[4:] == ["00", "01", "01", "02", "03", "04", "bad"]


def test_a_share_of_bad_scans_is_no_reason_to_begin_again(raw, whole, tmp_path):
    job = ShardJob(raw, tmp_path)
    ended(job.start(each=lambda subject: die() if subject == "03" else None))
    replace(job, config=job.config.model_copy(update={"max_bad_share": 0.0})).run()
    assert len(job.begun) == SESSIONS + 1
    assert job.bytes() == whole


def test_a_second_process_waits_says_for_whom_and_takes_what_is_there(raw, whole, tmp_path, capsys):
    job = ShardJob(raw, tmp_path)
    child = job.start(each=lambda subject: time.sleep(0.15))
    while len(job.begun) < 2:
        time.sleep(0.01)
    job.run()
    assert ended(child) == 0
    assert job.begun == SUBJECTS  # neither did a session of the other's
    assert job.bytes() == whole
    assert f"waiting for process {child}" in capsys.readouterr().err


def error_of(job):
    return (job.out / "error").read_text()


def test_a_full_disk_is_said_and_the_next_run_goes_on(raw, whole, tmp_path, capsys):
    job = ShardJob(raw, tmp_path)

    def full(subject):
        if subject == "03":
            resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))  # stops a write half-way, as a full disk does

    assert ended(job.start(each=full)) == 7, error_of(job)
    assert error_of(job).startswith("disk:")
    job.run()
    assert job.bytes() == whole
    assert job.begun == [*SUBJECTS[:4], *SUBJECTS[3:]]
    assert f"goes on: 3 of {SESSIONS}" in capsys.readouterr().err
    assert not litter(job)


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for about three sessions."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=140k", "none", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full_is_said_and_room_lets_it_go_on(raw, whole, small_disk, capsys):
    job = ShardJob(raw, small_disk / "out")
    assert job.out.mkdir() is None
    with pytest.raises(CairnError) as full:
        job.run()
    assert full.value.code == "disk"
    assert "Free space" in full.value.remedy
    done = len(job.begun) - 1
    assert 0 < done < SESSIONS - 1
    assert not litter(job)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    job.run()
    assert job.bytes() == whole
    assert f"goes on: {done} of {SESSIONS}" in capsys.readouterr().err


def test_a_file_system_without_second_names_gets_copies(raw, whole, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(kept.os, "link", refuse)
    job = ShardJob(raw, tmp_path)
    job.run()
    assert job.bytes() == whole


def test_memory_does_not_grow_with_the_sessions(tmp_path):
    """What a shard holds in memory is one session, however many there are."""
    import tracemalloc

    def peak(subjects):
        job = ShardJob(make_raw(tmp_path / str(subjects), subjects), tmp_path / f"out{subjects}")
        tracemalloc.start()
        job.run()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    for subjects in (3, 30):
        (tmp_path / str(subjects)).mkdir()
    peak(3)  # what is loaded once
    assert peak(30) < peak(3) + 30 * 20_000  # the tensors of a session have 23 kB, as float32 37 kB


def test_real_sessions_that_were_interrupted_end_with_the_same_bytes(tmp_path, monkeypatch, capsys):
    raw = tmp_path / "raw"
    raw.mkdir()
    write_head(raw, "T1w")
    write_head(raw, "FLAIR", seed=1)
    rows = [
        {"dataset": "made", "subject": name, "session": "1", "sequence": name, "path": f"{name}.nii.gz"}
        for name in ("T1w", "FLAIR")
    ]
    write_table(raw / "index.tsv", rows, INDEX_COLUMNS)
    config = PreprocessConfig.model_validate({
        "strip": {"method": "given", "given_pattern": "{sequence}_mask.nii.gz"}, "grid": {"spacing_mm": 4.0},
    })  # fmt: skip

    def run(out: Path) -> dict[str, bytes]:
        paths = ShardPaths.within(out)
        preprocess_shard(raw / "index.tsv", raw, config, RESOURCES, paths, out / "state", "code")
        return {p.name: p.read_bytes() for p in out.glob("*") if p.is_file()}

    def stop_at_the_second(path, data):
        if list((tmp_path / "cut/state").glob("*/result.json")):
            raise KeyboardInterrupt
        write_json(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(kept, "write_json", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut")
    assert run(tmp_path / "cut") == run(tmp_path / "whole")
    assert "goes on: 1 of 2" in capsys.readouterr().err
