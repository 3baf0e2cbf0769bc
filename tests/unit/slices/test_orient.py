"""Guards the published orientations: voxels that hold their own coordinates say which way rows and columns go."""

import numpy as np
import pytest

from cairn.io.sessions import Session
from cairn.io.shard import PreprocessedSession, SequenceGeometry, SessionGeometry, Shard, write_shard
from cairn.slices.orient import TURNS, read_slice, slice_count, stack_of, volume_of

SHAPE = (5, 6, 7)
COORDINATES = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1)  # towards R, A, S
TOWARDS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


@pytest.mark.parametrize(
    ("plane", "letters", "size"),
    [("axial", "SPL", (7, 6, 5)), ("coronal", "AIL", (6, 7, 5)), ("sagittal", "RIP", (5, 7, 6))],
)
def test_slices_rows_and_columns_go_where_the_letters_say(plane, letters, size):
    stack = np.stack([stack_of(COORDINATES[..., i], plane) for i in range(3)], -1)
    assert stack.shape == (*size, 3)
    for axis, letter in enumerate(letters):
        steps = np.diff(stack, axis=axis)
        assert (steps == TOWARDS[letter]).all(), letter


@pytest.mark.parametrize("plane", list(TURNS))
def test_the_way_back_is_exact_and_nothing_is_copied(plane):
    volume = np.random.default_rng(0).normal(size=SHAPE)
    stack = stack_of(volume, plane)
    assert np.array_equal(volume_of(stack, plane), volume)
    assert np.shares_memory(stack, volume)


def test_a_slice_comes_from_the_shard_as_from_the_whole_volume(tmp_path):
    volume = np.random.default_rng(1).normal(size=SHAPE).astype(np.float16).astype(np.float32)
    geometry = SessionGeometry(SHAPE, np.eye(4), {"CT": SequenceGeometry(SHAPE, np.eye(4), np.eye(4))})
    write_shard(tmp_path / "a", [PreprocessedSession("1", "1", {"CT": volume}, np.ones(SHAPE, bool), geometry)])
    session = Session("1", "1", Shard(tmp_path / "a"))
    for plane in TURNS:
        stack = stack_of(volume, plane)
        assert slice_count(session, plane) == len(stack)
        for number, image in enumerate(stack):
            assert np.array_equal(read_slice(session, "CT", plane, number), image)
    with pytest.raises(IndexError, match="axial slice 7 of 7"):
        read_slice(session, "CT", "axial", 7)
    with pytest.raises(IndexError):
        read_slice(session, "CT", "axial", -1)
