"""Guards the cache of hashes: a file is read once, and again when its size or time has moved."""

import os

import pytest

from cairn.io import stat_cache
from cairn.io.atomic import sha256
from cairn.io.stat_cache import StatCache


@pytest.fixture
def read(monkeypatch):
    """Paths that were read in full."""
    paths = []
    monkeypatch.setattr(stat_cache, "sha256", lambda p: (paths.append(p), sha256(p))[1])
    return paths


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    return path


def ask(tmp_path, file, **how):
    with StatCache(tmp_path / "memory.json", **how) as cache:
        return cache.sha256(file)


def test_a_file_is_read_once(tmp_path, file, read):
    assert ask(tmp_path, file) == ask(tmp_path, file) == sha256(file)
    assert read == [file]


def test_a_moved_time_has_it_read_again(tmp_path, file, read):
    ask(tmp_path, file)
    file.write_bytes(b"two")
    os.utime(file, (5, 5))
    assert ask(tmp_path, file) == sha256(file)
    assert len(read) == 2


def test_every_file_is_read_on_demand(tmp_path, file, read):
    ask(tmp_path, file)
    was = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert ask(tmp_path, file) != sha256(file)
    assert ask(tmp_path, file, every=True) == sha256(file)


def test_a_memory_that_was_cut_is_forgotten(tmp_path, file, read):
    ask(tmp_path, file)
    (tmp_path / "memory.json").write_text('{"a')
    assert ask(tmp_path, file) == sha256(file)
    assert len(read) == 2
