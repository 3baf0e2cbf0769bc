"""MONAI is imported without what it would only offer, and nothing stays hidden afterwards. Guards: nets/lean.py."""

import subprocess
import sys

PROBE = """
import sys
from cairn.nets.lean import OPTIONAL
from cairn.nets.blocks import residual
before = {name for name in OPTIONAL if name in sys.modules}
block = residual(2, 4)
after = {name for name in OPTIONAL if name in sys.modules}
assert after == before, after - before
assert block(__import__("torch").zeros(1, 2, 4, 4, 4)).shape == (1, 4, 4, 4, 4)
import jsonschema, matplotlib
"""


def test_nothing_optional_is_taken_in_or_stays_hidden():
    """In a process of its own: here, another test may have imported any of them."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
