"""Predict one case: `python /app/predict.py --flair … --output …` (see docs/how-to/enter-a-challenge.md)."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "lib"))
sys.dont_write_bytecode = True  # the root is read-only

from cairn.challenge.command import main  # noqa: E402

sys.exit(main(HERE / "bundle"))
