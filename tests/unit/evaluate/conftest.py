"""Makes ``world`` importable for the tests of evaluation and report."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
