"""Makes ``made`` (made-up preprocessed sessions) and ``radiology`` (with truth) importable."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "train"), str(Path(__file__).parent)]
