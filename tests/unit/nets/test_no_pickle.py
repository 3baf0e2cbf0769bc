"""Guards the house rule: weights and states are safetensors and JSON; no module can read or write a pickle."""

import ast
from pathlib import Path

import cairn

SOURCES = sorted(Path(cairn.__file__).parent.rglob("*.py"))
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def offences(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN:
            yield str(node.module)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.save", "torch.load"):
            yield ast.unparse(node)
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield "allow_pickle"


def test_no_pickle_in_the_library():
    found = {p.name: list(offences(ast.parse(p.read_text()))) for p in SOURCES}
    assert len(found) > 30
    assert {name: o for name, o in found.items() if o} == {}


def test_the_check_sees_one():
    refused = "np.save(f, x, allow_pickle=False)"
    assert list(offences(ast.parse(f"import pickle\ntorch.load(f)\nnp.load(f, allow_pickle=True)\n{refused}"))) == [
        "pickle", "torch.load", "allow_pickle",
    ]  # fmt: skip
