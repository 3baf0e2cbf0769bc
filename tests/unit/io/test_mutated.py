"""Guards the reader against headers that nobody thought of: whatever the bytes, a scan or a refusal by name."""

import gzip
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hostile_files import small_files

from cairn.errors import CairnError
from cairn.io.codes import REFUSED, REPAIRED
from cairn.io.members import content_hash, list_members
from cairn.io.nifti import Scan, labels_from, read_scan, scan_from

HERE = Path(__file__).parent
PATH = Path("t1.nii.gz")
EXTREMES = [0, 1, 0x7F, 0x80, 0xFF]


def mutated(content, rng):
    """``content`` with 1 to 8 spans of its header overwritten, by noise or by one extreme byte."""
    out = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        at, size = rng.integers(0, 548), rng.choice([1, 2, 4, 8])
        noise = rng.bytes(size) if rng.random() < 0.5 else bytes([rng.choice(EXTREMES)]) * size
        out[at : at + size] = noise
    return bytes(out)


def fate(read, content):
    """What ``read`` gives for a file of this content, or the code by which it refuses it."""
    try:
        return read(PATH, io.BytesIO(content), len(content))
    except CairnError as error:
        return error.code


def fates_of_members(path):
    """Codes, and "read", of what becomes of an archive and its members; a hash raises for none of them."""
    try:
        names = {member.name for member in list_members(path)}
    except CairnError as error:
        return {error.code}
    found = set()
    for member in sorted({*names, "t1.nii", "t2.nii.gz"}):
        content_hash(Path(f"{path}!/{member}"))
        try:
            read_scan(Path(f"{path}!/{member}"))
            found.add("read")
        except CairnError as error:
            found.add(error.code)
    return found


def test_whatever_a_header_says_it_is_read_or_refused_by_name():
    rng, fates = np.random.default_rng(20), set()
    kinds = small_files()
    for i in range(2000):
        content = mutated(kinds[i % len(kinds)], rng)
        scan = fate(scan_from, gzip.compress(content, 1) if i % 5 == 0 else content)
        if isinstance(scan, Scan):
            assert scan.data.dtype == np.float32
            assert np.isfinite(scan.data).all()
            assert np.isfinite(scan.affine).all()
            assert {r.code for r in scan.repairs} <= set(REPAIRED)
        fates.add("read" if isinstance(scan, Scan) else scan)
    assert fates - {"read"} <= set(REFUSED)
    assert len(fates) >= 12
    assert "read" in fates


def test_whatever_a_packed_stream_holds_it_is_read_or_refused_by_name():
    rng = np.random.default_rng(21)
    content = gzip.compress(small_files()[0], 1, mtime=0)
    for _ in range(500):
        out = bytearray(content)
        for at in rng.integers(0, len(out), 3):
            out[at] = rng.integers(0, 256)
        end = rng.integers(1, len(out) + 1) if rng.random() < 0.5 else len(out)
        found = [fate(read, bytes(out[:end])) for read in (scan_from, labels_from)]
        assert {code for code in found if isinstance(code, str)} <= set(REFUSED)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_whatever_an_archive_holds_its_members_are_read_or_refused_by_name(tmp_path, method):
    rng, path = np.random.default_rng(22), tmp_path / "ses-1.zip"
    with zipfile.ZipFile(path, "w", method) as out:
        out.writestr("t1.nii", small_files()[0])
        out.writestr("t2.nii.gz", gzip.compress(small_files()[1], 1, mtime=0))
    content, fates = path.read_bytes(), set()
    for _ in range(300):
        damaged = bytearray(content)
        start = 0 if rng.random() < 0.5 else len(content) - 200  # the list and its end are few of the bytes
        for at in rng.integers(start, len(content), 3):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged[: rng.integers(1, len(content)) if rng.random() < 0.2 else len(content)]))
        fates |= fates_of_members(path)
    assert fates - {"read"} <= set(REFUSED)
    assert len(fates) >= 3


@pytest.mark.slow
def test_a_fuzzer_that_sees_the_branches_finds_nothing_either(tmp_path):
    pytest.importorskip("atheris")
    (tmp_path / "corpus").mkdir()
    command = [sys.executable, str(HERE / "fuzz_nifti.py"), str(tmp_path / "corpus"), "-max_total_time=60"]
    command += ["-max_len=20000", "-rss_limit_mb=1024", "-timeout=10", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr  # it ran to the end of its time
