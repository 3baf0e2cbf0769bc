"""Guards: nothing but the pinned archive gets in, and being offline is said plainly. No network is used."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

import cairn.cohort.fetch as module
from cairn.config.cohort import CohortConfig
from cairn.config.packages import Package
from cairn.errors import CairnError

CONTENT = b"an archive"


def package(content: bytes = CONTENT) -> Package:
    pin = hashlib.sha256(content).hexdigest()
    return Package(version="1.0", sha256=pin, archive="whl", role="test", licence="none")


def pip(monkeypatch, content: bytes = CONTENT, status: int = 0, stderr: str = "") -> list[list[str]]:
    """Stand in for pip: put ``content`` where asked; return the commands that were run."""
    calls: list[list[str]] = []

    def run(command, **_):
        calls.append(command)
        if not status:
            folder = Path(command[command.index("--dest") + 1])
            folder.mkdir()
            (folder / "x-1.0.whl").write_bytes(content)
        return subprocess.CompletedProcess(command, status, "", stderr)

    monkeypatch.setattr(module.subprocess, "run", run)
    return calls


def test_a_right_archive_is_fetched_once(monkeypatch, tmp_path):
    calls, out = pip(monkeypatch), tmp_path / "x.whl"
    assert module.fetch("x", package(), out)
    assert out.read_bytes() == CONTENT
    assert not module.fetch("x", package(), out)
    assert len(calls) == 1
    assert {"--no-deps", "--require-hashes"} <= set(calls[0])


def test_a_wrong_archive_is_refused_and_leaves_nothing(monkeypatch, tmp_path):
    pip(monkeypatch, content=b"another archive")
    with pytest.raises(CairnError, match="not the pinned archive") as caught:
        module.fetch("x", package(), tmp_path / "x.whl")
    assert caught.value.code == "checksum"
    assert not (tmp_path / "x.whl").exists()


def test_a_damaged_archive_is_fetched_again(monkeypatch, tmp_path):
    pip(monkeypatch)
    (tmp_path / "x.whl").write_bytes(b"half")
    assert module.fetch("x", package(), tmp_path / "x.whl")


@pytest.mark.parametrize(
    ("stderr", "code"),
    [
        ("ERROR: No matching distribution found for x==1.0", "offline"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "checksum"),
    ],
)
def test_pips_failure_becomes_one_clear_sentence(monkeypatch, tmp_path, stderr, code):
    pip(monkeypatch, status=1, stderr=stderr)
    with pytest.raises(CairnError, match=r"x 1\.0") as caught:
        module.fetch("x", package(), tmp_path / "x.whl")
    assert caught.value.code == code


def test_every_default_donor_has_a_pinned_package():
    config = CohortConfig()
    assert {d.package for d in config.donors.values()} <= set(config.packages)
