"""Predict one case: `python /app/predict.py --flair … --output …` (see docs/how-to/enter-a-challenge.md)."""

import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "lib"))
sys.dont_write_bytecode = True  # the root is read-only
# One thread, as in the pipeline: sums in another order end in other digits. Before NumPy and ITK are imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ[name] = "1"
os.environ["MPLCONFIGDIR"] = tempfile.gettempdir()  # ANTs imports matplotlib, which wants a place for its fonts

from cairn.challenge.command import main  # noqa: E402

sys.exit(main(HERE / "bundle"))
