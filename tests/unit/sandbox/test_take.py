"""Guards the door out of a sandbox: a plain file by its name, copied once, and nothing that points elsewhere."""

import os

import pytest

from cairn.sandbox.take import take


@pytest.fixture
def out(tmp_path):
    (tmp_path / "secret").write_text("label")
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_a_file_is_copied(out, tmp_path):
    (out / "a").write_text("0.5")
    assert take(out, "a", tmp_path / "to/copy", 3) == "taken"
    assert (tmp_path / "to/copy").read_text() == "0.5"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "missing"),
        (lambda p: p.symlink_to("../secret"), "not-a-file"),
        (lambda p: p.symlink_to("nowhere"), "not-a-file"),
        (lambda p: os.link(p.parent.parent / "secret", p), "not-a-file"),
        (lambda p: os.mkfifo(p), "not-a-file"),
        (lambda p: p.mkdir(), "not-a-file"),
        (lambda p: p.write_text("0.55"), "too-large"),
    ],
)
def test_everything_else_is_refused_and_leaves_nothing(out, tmp_path, make, said):
    make(out / "a")
    assert take(out, "a", tmp_path / "copy", 3) == said
    assert not (tmp_path / "copy").exists()
