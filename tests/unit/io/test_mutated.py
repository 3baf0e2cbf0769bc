"""Guards the reader against headers that nobody thought of: whatever the bytes, a scan or a refusal by name."""

import gzip
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hostile_files import small_files

from cairn.errors import CairnError
from cairn.io.codes import REFUSED, REPAIRED
from cairn.io.nifti import Scan, labels_from, scan_from

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


@pytest.mark.slow
def test_a_fuzzer_that_sees_the_branches_finds_nothing_either(tmp_path):
    pytest.importorskip("atheris")
    (tmp_path / "corpus").mkdir()
    command = [sys.executable, str(HERE / "fuzz_nifti.py"), str(tmp_path / "corpus"), "-max_total_time=60"]
    command += ["-max_len=20000", "-rss_limit_mb=1024", "-timeout=10", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr  # it ran to the end of its time
