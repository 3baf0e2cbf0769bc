"""Guards the reader against headers that nobody thought of: whatever the bytes, a scan or a refusal by name."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hostile_files import head, nifti, swapped

from cairn.errors import CairnError
from cairn.io.codes import REFUSED, REPAIRED
from cairn.io.nifti import Scan, read_label_map, read_scan

HERE = Path(__file__).parent
SMALL = np.diag([9.0, 9.0, 9.0, 1.0])
EXTREMES = [0, 1, 0x7F, 0x80, 0xFF]


def seeds():
    """Small valid files of every kind that is read."""
    plain = nifti(head(shape=(9, 8, 7)), SMALL)
    return [plain, swapped(plain), nifti(head("f4", (9, 8, 7)), SMALL, two=True), nifti(head("f8", (9, 8, 7)), SMALL)]


def mutated(content, rng):
    """``content`` with 1 to 8 spans of its header overwritten, by noise or by one extreme byte."""
    out = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        at, size = rng.integers(0, 548), rng.choice([1, 2, 4, 8])
        noise = rng.bytes(size) if rng.random() < 0.5 else bytes([rng.choice(EXTREMES)]) * size
        out[at : at + size] = noise
    return bytes(out)


def fate(read, path, content):
    """What ``read`` gives for a file of this content, or the code by which it refuses it."""
    path.unlink(missing_ok=True)  # to write a file anew is slow on some file systems
    path.write_bytes(content)
    try:
        return read(path)
    except CairnError as error:
        return error.code


def test_whatever_a_header_says_it_is_read_or_refused_by_name(tmp_path):
    rng, path, fates = np.random.default_rng(20), tmp_path / "t1.nii", set()
    kinds = seeds()
    for i in range(2000):
        content = mutated(kinds[i % len(kinds)], rng)
        scan = fate(read_scan, path, gzip.compress(content, 1) if i % 5 == 0 else content)
        if isinstance(scan, Scan):
            assert scan.data.dtype == np.float32
            assert np.isfinite(scan.data).all()
            assert np.isfinite(scan.affine).all()
            assert {r.code for r in scan.repairs} <= set(REPAIRED)
        fates.add("read" if isinstance(scan, Scan) else scan)
    assert fates - {"read"} <= set(REFUSED)
    assert len(fates) >= 12
    assert "read" in fates


def test_whatever_a_packed_stream_holds_it_is_read_or_refused_by_name(tmp_path):
    rng, path = np.random.default_rng(21), tmp_path / "t1.nii.gz"
    content = gzip.compress(seeds()[0], 1, mtime=0)
    for _ in range(500):
        out = bytearray(content)
        for at in rng.integers(0, len(out), 3):
            out[at] = rng.integers(0, 256)
        end = rng.integers(1, len(out) + 1) if rng.random() < 0.5 else len(out)
        found = [fate(read, path, bytes(out[:end])) for read in (read_scan, read_label_map)]
        assert {code for code in found if isinstance(code, str)} <= set(REFUSED)


@pytest.mark.slow
def test_a_fuzzer_that_sees_the_branches_finds_nothing_either(tmp_path):
    pytest.importorskip("atheris")
    (tmp_path / "corpus").mkdir()
    command = [sys.executable, str(HERE / "fuzz_nifti.py"), str(tmp_path / "corpus"), "-max_total_time=60"]
    command += ["-max_len=4096", "-rss_limit_mb=1024", "-timeout=5", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr  # it ran to the end of its time
