"""Guards the pins: a script depends on the locked versions of what it imports, wherever it runs, and on no others."""

import importlib.metadata
import shutil
from pathlib import Path

import pytest

from cairn.errors import CairnError
from cairn.provenance.code import closure
from cairn.provenance.environment import DISTRIBUTIONS, LOCK, NEUTRAL, installed, pins, pins_hash

REPO = Path(__file__).resolve().parents[3]
SCRIPTS = sorted((REPO / "workflow/scripts").glob("*.py"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one script that imports numpy at the top and scikit-learn in a function of a module."""
    (tmp_path / "src/pkg").mkdir(parents=True)
    (tmp_path / "src/pkg/__init__.py").write_text("")
    (tmp_path / "src/pkg/fit.py").write_text("def fit():\n    from sklearn.svm import SVC\n    return SVC\n")
    (tmp_path / "script.py").write_text("import json\nimport numpy as np\nfrom pkg.fit import fit\n")
    (tmp_path / "envs").mkdir()
    (tmp_path / LOCK).write_text("numpy==2.0 \\\n    --hash=sha256:00\nscikit-learn==1.0\npytest==9.0\n")
    (tmp_path / "envs/requirements.in").write_text("torch==2.1\nnumpy==2.0\n")
    return tmp_path


def of(tree: Path) -> dict[str, str]:
    return pins(tree / "script.py", tree / "src")


def test_pins_are_those_of_the_imports_under_their_own_names(tree):
    assert of(tree) == {"numpy": "2.0", "scikit-learn": "1.0"}


@pytest.mark.parametrize(("package", "moves"), [("numpy", True), ("scikit-learn", True), ("pytest", False)])
def test_a_new_pin_moves_the_hash_of_what_imports_it(tree, package, moves):
    before = pins_hash(tree / "script.py", tree / "src")
    lock = tree / LOCK
    lock.write_text(lock.read_text().replace(f"{package}==", f"{package}==1"))
    assert (pins_hash(tree / "script.py", tree / "src") != before) is moves


def test_torch_is_pinned_beside_the_lock(tree):
    (tree / "script.py").write_text("import torch\n")
    assert of(tree) == {"torch": "2.1"}


def test_an_import_that_nothing_pins_is_refused_by_name(tree):
    (tree / "script.py").write_text("import monai\n")
    with pytest.raises(CairnError, match=r"script.py: imports monai, which .*lock does not pin.*make lock"):
        of(tree)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_every_script_of_the_workflow_has_its_pins(script):
    """Names under which packages are imported and installed: checked against what is installed."""
    owners = importlib.metadata.packages_distributions()
    imported = closure(script).packages - NEUTRAL
    assert all(DISTRIBUTIONS.get(name, name).lower() in {o.lower() for o in owners[name]} for name in imported)
    assert set(installed(pins(script))) == {"python", *pins(script)}


def test_the_environment_of_these_tests_is_the_locked_one():
    script = REPO / "workflow/scripts/preprocess_shard.py"
    there = installed(pins(script))
    assert {name: there[name] for name in pins(script)} == pins(script)


def test_hash_does_not_depend_on_the_folder(tree, tmp_path_factory):
    copy = tmp_path_factory.mktemp("else where")
    shutil.copytree(tree, copy / "repo")
    assert pins_hash(copy / "repo/script.py", copy / "repo/src") == pins_hash(tree / "script.py", tree / "src")
