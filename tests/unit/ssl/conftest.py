"""Makes ``made`` and ``placed`` (made-up preprocessed sessions) and ``learning`` importable, and ``backbones``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "train"), str(HERE.parent / "nets")]
