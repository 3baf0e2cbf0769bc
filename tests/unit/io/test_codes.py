"""Guards the reference of quarantine codes: every code that the source raises on a scan stands in it, and none else."""

import ast
import inspect
from pathlib import Path

from cairn.io import codes
from cairn.io.codes import REFUSED, REPAIRED, page
from cairn.preprocess.ledger import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ("io/guard.py", "io/placement.py", "io/opening.py", "io/members.py", "io/nifti.py", "preprocess", "strip")
NEVER_IN_A_QUARANTINE = {*ENVIRONMENT, "no-usable-scan", "shard-bad", "shard"}


def raised():
    """Codes of refusals and repairs in the source of the stages that quarantine scans, by reading it."""
    refusals, repairs = set(), set()
    files = [f for s in SOURCES for p in [ROOT / "src/cairn" / s] for f in ([p] if p.is_file() else p.glob("*.py"))]
    for call in (c for f in files for c in ast.walk(ast.parse(f.read_text())) if isinstance(c, ast.Call)):
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        at = {"refuse": 1, "CairnError": 2, "Repair": 0, "Rejection": 2, "_quarantined": 2}.get(name)
        named = [k.value for k in call.keywords if k.arg == "code"]
        found = named or ([call.args[at]] if at is not None and len(call.args) > at else [])
        for value in found if at is not None else []:
            if isinstance(value, ast.Constant):
                (repairs if name == "Repair" else refusals).add(value.value)
    return refusals - NEVER_IN_A_QUARANTINE, repairs


def test_every_code_that_is_raised_is_listed_and_every_listed_one_is_raised():
    refusals, repairs = raised()
    assert refusals | {"member", "encrypted", "method"} == set(REFUSED)  # these are judged of a list: tests of members
    assert repairs == set(REPAIRED)


def test_the_page_is_in_step():
    written = (ROOT / "docs/reference/quarantine.md").read_text(encoding="utf-8")
    assert written == page(), "run `python -m cairn.io.codes --fix`"
    assert inspect.getdoc(codes).startswith("What can be wrong")


def test_every_code_has_a_sentence_and_a_remedy():
    for code in (*REFUSED.values(), *REPAIRED.values()):
        assert code.meaning.endswith((".", ")."))
        assert code.remedy.endswith(".")
        assert "|" not in code.meaning + code.remedy
