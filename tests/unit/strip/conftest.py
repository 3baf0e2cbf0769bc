"""Makes ``phantom_head`` (analytic heads with known poses) importable."""

import sys
from pathlib import Path

FOLDER = str(Path(__file__).resolve().parents[1] / "preprocess")
if FOLDER not in sys.path:
    sys.path.insert(0, FOLDER)
