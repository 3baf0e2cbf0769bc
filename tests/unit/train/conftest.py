"""Makes ``made`` (made-up preprocessed sessions) importable; uninterrupted runs to compare with."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """Eight labelled subjects."""
    from made import make_set

    return make_set(tmp_path_factory.mktemp("labelled"), "classification", 8)


@pytest.fixture(scope="session")
def uninterrupted(labelled, tmp_path_factory):
    """Folder of an uninterrupted run, by stage and changes of its configuration; each is trained once."""
    from killing import train

    done = {}

    def folder(stage, **changes):
        key = (stage, *sorted(changes.items()))
        if key not in done:
            done[key] = tmp_path_factory.mktemp("uninterrupted")
            train(stage, done[key], labelled, **changes)
        return done[key]

    return folder
