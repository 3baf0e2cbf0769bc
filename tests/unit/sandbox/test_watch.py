"""Guards the watcher: what it counts, what hides from it, and that no folder keeps it for ever."""

import os
import subprocess
import sys
import tempfile

import psutil
import pytest

from cairn.sandbox.watch import OUT_OF_SIGHT, Log, measure, nameless, tree, use


def test_measure_counts_what_a_file_claims_or_takes_and_follows_nothing(tmp_path):
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere").write_bytes(bytes(1 << 20))
    (out / "sub/data").write_bytes(b"x" * 5000)
    with (out / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    (out / "link").symlink_to(tmp_path / "elsewhere")
    (out / "loop").symlink_to(out)
    size, count = measure(out, 100)
    assert count == 5
    assert 1 << 30 <= size < (1 << 30) + (1 << 16)


def test_measure_ends_above_the_most(tmp_path):
    for number in range(50):
        (tmp_path / str(number)).touch()
    assert measure(tmp_path, 10)[1] == 11


def test_what_is_out_of_sight_is_too_much(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=here)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert measure(tmp_path, 100)[0] == OUT_OF_SIGHT
    subprocess.run(["rm", "-rf", str(tmp_path / ("x" * 250))], check=True)


def test_files_without_a_name_are_counted_once(tmp_path):
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        file.write(bytes(1 << 20))
        file.flush()
        again = os.dup(file.fileno())
        assert nameless([psutil.Process()], tmp_path) == 1 << 20
        os.close(again)
    assert nameless([psutil.Process()], tmp_path) == 0


@pytest.mark.parametrize("kind", ["MAP_PRIVATE", "MAP_SHARED"])
def test_memory_of_children_is_counted(kind):
    code = f"""
import mmap, os
m = mmap.mmap(-1, 64 << 20, mmap.{kind})
m.write(b"x" * (64 << 20))
os.fork()
m[::4096]
print("ready", flush=True)
input()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        child.stdout.readline(), child.stdout.readline()
        below = [psutil.Process(child.pid), *tree(child.pid)]
        try:
            apart, tasks = use(below, 1e9)
            shared, _ = use(below, 1)
        finally:
            for process in below:
                process.kill()
    assert tasks == 2
    assert apart > 125  # each has the pages
    assert 64 < shared < 100  # both share them


def test_a_log_is_cut_and_cannot_steer_a_terminal():
    said = "\x1b]0;owned\x07" + "é" * 10 + "\u202egnp.exe\r\n" + "x" * 100
    with subprocess.Popen(["printf", "%s", said], stdout=subprocess.PIPE) as child:
        log = Log(child.stdout, 50)
        text = log.text()
    assert log.seen == len(said.encode())
    assert text.endswith("… cut")
    assert not set(text) & {"\x1b", "\x07", "\u202e", "\r"}
    assert len(text) < 60


def test_a_tree_of_nobody_is_empty():
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert tree(child.pid) == []
