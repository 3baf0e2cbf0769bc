"""Guards raw mode: Hounsfield units and MR values come through as they are, in and around the head, CT beside MR."""

from dataclasses import replace

import numpy as np
import pytest
from phantom_head import CENTRE, RESOURCES, dice, grid, points_of, pose, tissues, write_head

from cairn.config.base import parse
from cairn.config.preprocess import PreprocessConfig
from cairn.errors import CairnError
from cairn.io.nifti import write_scan
from cairn.io.shard import Shard, write_shard
from cairn.preprocess import session as session_module
from cairn.preprocess.figure import session_picture
from cairn.preprocess.movement import movement
from cairn.preprocess.native import read_native
from cairn.preprocess.normalise import raw
from cairn.preprocess.session import preprocess_session
from cairn.preprocess.stripping import head_region, otsu

RAW = {
    "strip": {"method": "none"}, "normalise": {"method": "none"},
    "grid": {"spacing_mm": 3.0, "align": "none", "box_mm": [192, 240, 180]},
}  # fmt: skip
CONFIG = PreprocessConfig.model_validate(RAW)
HU = np.array([-1000.0, 8.0, 38.0, 28.0, 60.0])  # air, CSF, grey, white, scalp; the phantom's gap is bone here
MOVED = pose((3.0, -2.0, 4.0), (3.0, -2.0, 2.0))


def ct(folder, moved=None, name="CT", field=None):
    """A CT of the phantom: skull between brain and scalp, padding of -3024 outside a round field of view."""
    shape, affine = (88, 104, 44), grid("T1w")[1].copy()
    affine[:3, 2] *= 2  # slices of 4 mm
    points = points_of(shape, affine)
    back = np.linalg.inv(np.eye(4) if moved is None else moved)
    there = points @ back[:3, :3].T + back[:3, 3]
    radius = np.sqrt((((there - CENTRE) / [66.0, 82.0, 60.0]) ** 2).sum(-1))
    data = HU[tissues(there)]
    data[(radius > 1) & (radius < 1.12)] = 900.0
    data += np.random.default_rng(0).normal(0, 8, shape)
    away = np.linalg.norm((points - CENTRE)[..., :2], axis=-1)
    data[away > (field or 102)] = -3024
    write_scan(folder / f"{name}.nii.gz", np.round(data).astype(np.int16), affine)
    return folder / f"{name}.nii.gz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    write_head(folder, "T1w")
    write_head(folder, "FLAIR", pose((1.0, -1.0, 2.0), (1.0, 0.5, -1.0)), tilt=6)
    ct(folder, MOVED)
    return folder


@pytest.fixture(scope="module")
def pair(folder):
    return preprocess_session({s: folder / f"{s}.nii.gz" for s in ("T1w", "CT", "FLAIR")}, CONFIG, RESOURCES)


def on_grid(result, sequence):
    """World mm of the grid's voxels in the phantom's own coordinates, by the truth and not by the estimate."""
    geometry = result.session.geometry
    return points_of(geometry.shape, geometry.affine)


def test_ct_is_brought_onto_the_t1w_by_mutual_information(pair):
    assert pair.reference == "T1w"
    found = np.array(pair.numbers["sequences"]["CT"]["motion"])
    assert np.linalg.norm(((found - MOVED) @ [*CENTRE, 1])[:3]) <= 1.5
    assert movement(found @ np.linalg.inv(MOVED), CENTRE)[1] <= 1.5


def test_hounsfield_units_come_through_in_and_around_the_head(pair):
    volume, mask = pair.session.volumes["CT"], pair.session.mask
    points = on_grid(pair, "CT")
    radius = np.sqrt((((points - CENTRE) / [66.0, 82.0, 60.0]) ** 2).sum(-1))
    assert abs(np.median(volume[radius < 0.6]) - 28) < 3
    assert volume[(radius > 1.02) & (radius < 1.1)].mean() > 500
    air = volume[(radius > 1.5) & (np.linalg.norm((points - CENTRE)[..., :2], axis=-1) < 90)]
    assert abs(np.median(air) + 1000) < 3  # air is air, neither clipped away nor masked to 0
    assert volume[0, 0, 0] == -1000  # nothing was scanned here
    assert np.array_equal(volume, volume.astype(np.float16).astype(np.float32))
    assert dice(mask, radius < 1.25) > 0.9


def test_mr_values_are_raw_and_0_where_nothing_was_scanned(pair):
    volume = pair.session.volumes["T1w"]
    radius = np.sqrt((((on_grid(pair, "T1w") - CENTRE) / [66.0, 82.0, 60.0]) ** 2).sum(-1))
    assert abs(np.median(volume[radius < 0.6]) - 1000) < 60
    assert 0 < volume[(radius > 1.4) & (volume != 0)].mean() < 200  # noise around the head is kept
    assert volume[0, 0, 0] == 0


@pytest.mark.parametrize("sequences", [["CT"], ["CT", "CT_2"]])
def test_ct_alone_is_its_own_reference_and_no_template_is_asked_for(folder, monkeypatch, sequences):
    ct(folder, pose((2.0, 0.0, 1.0), (1.0, 1.0, 0.0)), "CT_2")
    monkeypatch.setattr(type(RESOURCES), "brain", property(lambda _: pytest.fail("the template was read")))
    monkeypatch.setattr(session_module, "affine_to_template", lambda *_: pytest.fail("the template's affine was run"))
    result = preprocess_session({s: folder / f"{s}.nii.gz" for s in sequences}, CONFIG, RESOURCES)
    assert (result.reference, sorted(result.session.volumes)) == ("CT", sequences)
    assert result.numbers["strip"] == "none"
    assert result.numbers["outside_grid"] == 0
    assert all(v[0, 0, 0] == -1000 for v in result.session.volumes.values())
    picture = session_picture(result.pictures, result.session.mask, result.session.geometry, None)
    assert picture[:2] == b"\xff\xd8"


def test_a_picture_of_a_whole_head_shows_no_face(pair):
    """In front and below, from the brow down, nothing: the picture is that of a volume without it."""
    session, where = pair.session, np.argwhere(pair.session.mask)
    low, high = where.min(0), where.max(0)
    bright = {"T1w": np.where(session.mask, np.float32(500), np.float32(0))}
    front, brow = (round(low[k] + share * (high[k] - low[k])) for k, share in ((1, 0.6), (2, 0.7)))
    without = {"T1w": bright["T1w"].copy()}
    without["T1w"][:, front:, : brow + 1] = 0
    shown = [session_picture(v, session.mask, session.geometry, None, True) for v in (bright, without)]
    assert shown[0] == shown[1]
    assert session_picture(bright, session.mask, session.geometry, None) != shown[0]


def test_every_whole_hounsfield_unit_to_2048_survives_the_shard(tmp_path, pair):
    values = np.resize(np.arange(-1024, 2049, dtype=np.float32), pair.session.geometry.shape)
    kept = raw(values, np.ones(values.shape, bool), -1000)
    assert np.array_equal(kept, values)
    write_shard(tmp_path / "a", [replace(pair.session, volumes={"CT": kept})])
    assert np.array_equal(Shard(tmp_path / "a").volume("subject/1", "CT"), values)
    beyond = np.resize(np.arange(2049, 4096, dtype=np.float32), (20, 20, 20))
    assert 0 < np.abs(raw(beyond, np.ones(beyond.shape, bool), 0) - beyond).max() <= 1


def test_what_float16_does_not_hold_is_refused_and_what_lies_beside_the_grid_too():
    values = np.full((10, 10, 10), 70_000, np.float32)
    with pytest.raises(CairnError, match=r"values to 70000.*ends at 65504"):
        raw(values, np.ones(values.shape, bool), 0)
    with pytest.raises(CairnError, match="does not reach the grid"):
        raw(values, np.zeros(values.shape, bool), 0)


def test_the_head_is_what_is_not_air_whatever_else_is_bright_or_padded(folder):
    for name in ("T1w", "FLAIR", "CT"):
        scan = read_native(folder / f"{name}.nii.gz")
        moved = MOVED if name == "CT" else pose((1.0, -1.0, 2.0), (1.0, 0.5, -1.0)) if name == "FLAIR" else np.eye(4)
        back = np.linalg.inv(moved)
        there = points_of(scan.data.shape, scan.affine) @ back[:3, :3].T + back[:3, 3]
        truth = (((there - CENTRE) / [66.0, 82.0, 60.0]) ** 2).sum(-1) < 1.25**2
        assert dice(head_region(scan), truth) > 0.93, name


def test_nothing_but_air_is_refused(tmp_path):
    data = np.where(np.arange(729).reshape(9, 9, 9) % 2, -1000, -3024).astype(np.int16)
    write_scan(tmp_path / "a.nii.gz", data, np.diag([9.0, 9.0, 9.0, 1.0]))
    with pytest.raises(CairnError, match="the scan is blank"):
        head_region(read_native(tmp_path / "a.nii.gz"))


def test_otsu_parts_two_classes_where_their_variance_within_is_least():
    values = np.concatenate([np.random.default_rng(0).normal(m, 1, n) for m, n in ((0, 3000), (10, 1000))])
    found = otsu(values)
    candidates = np.linspace(values.min(), values.max(), 257)[1:-1]
    within = [sum(p.var() * p.size for p in (values[values <= c], values[values > c])) for c in candidates]
    assert abs(found - candidates[int(np.argmin(within))]) < 0.5


def test_raw_with_a_template_or_a_bias_field_is_refused():
    with pytest.raises(CairnError, match=r"set grid\.align to none"):
        parse(PreprocessConfig, {"strip": {"method": "none"}})
    with pytest.raises(CairnError, match=r"set n4\.enabled to false"):
        parse(PreprocessConfig, RAW | {"n4": {"enabled": True}})
