"""Guards the embedded cohort's bytes: a role that is added changes no scan, mask or table of the roles before it."""

import json
from pathlib import Path

HASHES = json.loads(Path(__file__).with_name("cohort_hashes.json").read_text())


def test_bytes_are_those_of_before(computed):
    assert computed("cohort_hashes.py", "cohort") == HASHES
