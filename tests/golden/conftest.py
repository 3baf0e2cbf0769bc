"""Computes golden numbers with the instructions that they were taken with, whatever this CPU could do besides.

AVX-512 rounds sums otherwise than AVX2: the embedded cohort comes out with other bytes, and a hundred updates later a
loss differs in its second digit. Libraries choose at their import, so the numbers come out of a process of their own.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "unit"
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
}


@pytest.fixture(scope="session")
def computed(tmp_path_factory):
    """What a script of this folder writes, as JSON, into the file that it is given with a folder to work in."""

    if platform.machine() != "x86_64":
        pytest.skip("the numbers were taken with AVX2")

    def run(script, *helpers):
        folder = tmp_path_factory.mktemp(Path(script).stem)
        environment = os.environ | AVX2 | {"PYTHONPATH": os.pathsep.join(str(UNIT / name) for name in helpers)}
        call = [sys.executable, "-P", str(Path(__file__).with_name(script)), str(folder), str(folder / "found.json")]
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads((folder / "found.json").read_text())

    return run
