"""Guards that planning imports no pandas, and that what Snakemake records of parameters stays as it was."""

import subprocess
import sys

CODE = """
import sys
from snakemake.persistence import PersistenceBase
from cairn.workflow.records import plain_params

class Records(PersistenceBase):
    pass

Records.__abstractmethods__ = frozenset()
one = object.__new__(Records)
values = ["a b", 3, 2.5, True, None, ["x", 1], {"k": 2}, ("t",), {3}, object()]

def said():
    return list(map(one._serialize_param, values))

if sys.argv[1] == "plain":
    plain_params(PersistenceBase)
print([x if isinstance(x, str) else type(x).__name__ for x in said()])
print("pandas" in sys.modules)
"""


def records(how: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_parameters_are_recorded_as_before_and_pandas_is_not_imported():
    (theirs, imported), (plain, imports) = records("theirs"), records("plain")
    assert theirs == plain
    assert (imported, imports) == ("True", "False"), "where the first is False, Snakemake mended it itself"
