"""Makes ``world`` and ``stage`` importable for the tests of the report."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "evaluate")]
