"""Guards the shard file: what goes in comes out, a patch is the cut of the whole, equal sessions give equal bytes."""

import json

import numpy as np
import pytest

from cairn.errors import CairnError
from cairn.io.shard import PreprocessedSession, SequenceGeometry, SessionGeometry, Shard, merge_shards, write_shard
from cairn.io.tensors import Part, write_parts


def session(subject="a", seed=0, shape=(8, 9, 10)):
    random = np.random.default_rng(seed)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    geometry = SessionGeometry(shape, affine, {"T1w": SequenceGeometry((5, 6, 7), np.eye(4), np.eye(4))})
    volumes = {"T1w": random.random(shape).astype(np.float32), "FLAIR": random.random(shape).astype(np.float32)}
    return PreprocessedSession(subject, "1", volumes, random.random(shape) > 0.5, geometry)


def test_round_trip(tmp_path):
    item = session()
    write_shard(tmp_path / "s.safetensors", [item, session("b", 1)])
    shard = Shard(tmp_path / "s.safetensors")
    assert shard.sessions == ["a/1", "b/1"]
    assert shard.sequences("a/1") == ["FLAIR", "T1w"]
    np.testing.assert_allclose(shard.volume("a/1", "T1w"), item.volumes["T1w"], atol=1e-3)
    np.testing.assert_array_equal(shard.mask("a/1"), item.mask)
    assert shard.geometry("a/1").sequences["T1w"].native_shape == (5, 6, 7)


@pytest.mark.parametrize("origin", [(0, 0, 0), (3, 2, 5), (-2, 4, 6), (6, 7, 8), (-20, 0, 0)])
def test_patch_is_the_cut_of_the_zero_padded_whole(tmp_path, origin):
    write_shard(tmp_path / "s.safetensors", [session()])
    shard = Shard(tmp_path / "s.safetensors")
    padded = np.pad(shard.volume("a/1", "T1w"), 32)
    cut = tuple(slice(o + 32, o + 36) for o in origin)
    np.testing.assert_array_equal(shard.patch("a/1", "T1w", origin, (4, 4, 4)), padded[cut])


def test_bytes_do_not_depend_on_order(tmp_path):
    write_shard(tmp_path / "x.safetensors", [session("a"), session("b", 1)])
    write_shard(tmp_path / "y.safetensors", [session("b", 1), session("a")])
    assert (tmp_path / "x.safetensors").read_bytes() == (tmp_path / "y.safetensors").read_bytes()


@pytest.mark.parametrize("content", [b"", b"\x01", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}"])
def test_what_is_no_shard_is_refused_with_a_remedy(tmp_path, content):
    (tmp_path / "s.safetensors").write_bytes(content)
    with pytest.raises(CairnError, match=r"s\.safetensors.*(Delete|Run)"):
        Shard(tmp_path / "s.safetensors")


def test_missing_shard_is_named(tmp_path):
    with pytest.raises(CairnError, match="no such file"):
        Shard(tmp_path / "s.safetensors")


@pytest.mark.parametrize("names", [[], ["a"], ["b", "a-1", "a", "a1", "é", 'q"q']])
def test_one_by_one_or_all_at_once_the_bytes_are_those_of_the_library(tmp_path, names):
    from safetensors.numpy import save_file

    items = [session(name, seed) for seed, name in enumerate(names)]
    tensors, geometry = {}, {}
    for item in items:
        for name, volume in item.volumes.items():
            tensors[f"{item.key}/{name}"] = volume.astype(np.float16)
        tensors[f"{item.key}/mask"] = item.mask.astype(np.uint8)
        geometry[item.key] = item.geometry.to_json()
    meta = json.dumps({"format": 1, "sessions": geometry}, sort_keys=True)
    save_file(tensors, tmp_path / "library", metadata={"cairn": meta})
    write_shard(tmp_path / "all", items)
    for number, item in enumerate(items):
        write_shard(tmp_path / f"{number}", [item])
    merge_shards(tmp_path / "merged", [tmp_path / f"{number}" for number in reversed(range(len(items)))])
    library = (tmp_path / "library").read_bytes()
    assert (tmp_path / "all").read_bytes() == library
    assert (tmp_path / "merged").read_bytes() == library


def test_a_part_whose_bytes_do_not_fit_its_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match="tensor 'a' is -1 bytes off"):
        write_parts(tmp_path / "x", [Part("a", "U8", (3,), lambda: [b"12"])], "{}")
    assert not list(tmp_path.iterdir())
