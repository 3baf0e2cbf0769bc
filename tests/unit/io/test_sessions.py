"""Guards the collection of sessions: all shards, sorted; an index that does not match its shard is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest

from cairn.errors import CairnError
from cairn.io.sessions import open_sessions

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
from made import make_set


def test_sessions_of_all_shards_sorted(tmp_path):
    second = make_set(tmp_path, "classification", 2, first=0, name="0001")
    first = make_set(tmp_path, "classification", 2, first=2, name="0000")
    found = open_sessions([first.index, second.index])
    assert [s.key for s in found] == ["0000/1", "0001/1", "0002/1", "0003/1"]
    assert found[0].sequences == ["DWI", "FLAIR"]
    assert found[0].mask().any()


def test_the_brain_box_holds_the_mask_tightly_and_is_read_once(tmp_path, monkeypatch):
    session = open_sessions([make_set(tmp_path, "classification", 1).index])[0]
    (low, high), inside = session.brain_box(), session.mask()
    assert inside[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].sum() == inside.sum()
    for axis in range(3):
        sides = np.moveaxis(inside, axis, 0)
        assert sides[low[axis]].any()
        assert sides[high[axis] - 1].any()
    monkeypatch.setattr(session.shard, "mask", None)
    assert session.brain_box() == (low, high)


def test_index_and_shard_must_agree(tmp_path):
    made = make_set(tmp_path, "classification", 2)
    made.index.write_text("\n".join(made.index.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(CairnError, match="disagree"):
        open_sessions([made.index])
    with pytest.raises(CairnError, match="not the index"):
        open_sessions([tmp_path / "0000.safetensors"])
