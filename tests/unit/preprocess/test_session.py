"""Guards THE preprocessing function: motion recovered, one geometry for all, same bytes twice, bad scans left out."""

import nibabel as nib
import numpy as np
import pytest
from phantom_head import CENTRE, RESOURCES, brain, dice, pose, write_head

from cairn.config.preprocess import PreprocessConfig
from cairn.io.geometry import grid_to_native_voxels, mask_to_grid, probability_to_native
from cairn.io.nifti import read_mask, write_scan
from cairn.preprocess.ledger import SessionFailed
from cairn.preprocess.movement import movement
from cairn.preprocess.session import preprocess_session, reference_order

CONFIG = PreprocessConfig.model_validate({"strip": {"method": "given"}, "grid": {"spacing_mm": 3.0}})
MOVED = {
    "FLAIR": pose((2.0, -1.5, 3.0), (1.5, -2.0, 1.0)),
    "DWI": pose((-1.0, 2.5, -2.0), (-2.5, 1.0, 2.0)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    write_head(folder, "T1w", flip=(0, 1))
    write_head(folder, "FLAIR", MOVED["FLAIR"], tilt=8, flip=(1,), seed=1)
    write_head(folder, "DWI", MOVED["DWI"], tilt=-5, seed=2)
    return folder


def run(folder, *sequences, config=CONFIG, **extra):
    files = {s: folder / f"{s}.nii.gz" for s in sequences} | extra
    given = {s: folder / f"{s}_mask.nii.gz" for s in files}
    return preprocess_session(files, config, RESOURCES, "0001", "1", given)


@pytest.fixture(scope="module")
def result(folder):
    return run(folder, "T1w", "FLAIR", "DWI")


@pytest.mark.parametrize("sequence", ["FLAIR", "DWI"])
def test_known_motion_is_recovered_to_a_millimetre_and_a_degree(result, sequence):
    found = np.array(result.numbers["sequences"][sequence]["motion"])
    error = (found - MOVED[sequence]) @ [*CENTRE, 1]
    assert np.linalg.norm(error[:3]) <= 1.0
    assert movement(found @ np.linalg.inv(MOVED[sequence]), CENTRE)[1] <= 1.0
    assert result.numbers["sequences"][sequence]["mirror_gain"] < 0


@pytest.mark.parametrize("sequence", ["T1w", "FLAIR", "DWI"])
def test_a_landmark_goes_native_to_grid_and_back(result, folder, sequence):
    """A ball marked in the scan lands where the head has it, on the grid that all sequences share, and returns."""
    geometry = result.session.geometry
    landmark = CENTRE + np.array([20, -15, 12])
    moved = MOVED.get(sequence, np.eye(4))
    native = nib.load(folder / f"{sequence}.nii.gz")
    index = np.stack(np.meshgrid(*[np.arange(n) for n in native.shape], indexing="ij"), -1)
    world = index @ native.affine[:3, :3].T + native.affine[:3, 3]
    ball = np.linalg.norm(world - (moved @ [*landmark, 1])[:3], axis=-1) < 14
    on_grid = mask_to_grid(ball, geometry, sequence)
    middle = geometry.affine @ [*np.argwhere(on_grid).mean(0), 1]
    back = (geometry.sequences["T1w"].grid_to_native @ middle)[:3]
    assert np.linalg.norm(back - landmark) < 1.5
    returned = probability_to_native(on_grid.astype(np.float32), geometry, sequence) >= 0.5
    assert dice(returned, ball) > 0.8


def test_transforms_are_composed_so_that_each_scan_is_interpolated_once(result):
    """Grid to sequence equals motion after grid to reference: nothing was resampled in between."""
    geometry = result.session.geometry
    reference = geometry.sequences["T1w"].grid_to_native
    for name in ("FLAIR", "DWI"):
        motion = np.array(result.numbers["sequences"][name]["motion"])
        np.testing.assert_allclose(geometry.sequences[name].grid_to_native, motion @ reference, atol=1e-9)
        assert geometry.sequences[name].native_shape == nib_shape(result, name)
    rotation = reference[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)  # align: rigid keeps sizes true


def nib_shape(result, name):
    return tuple(result.numbers["sequences"][name]["shape"])


def test_intensities_are_normalised_inside_the_brain_and_zero_outside(result):
    for name, volume in result.session.volumes.items():
        inside = volume[result.session.mask & (volume != 0)]
        assert abs(inside.mean()) < 0.05, name
        assert 0.9 < inside.std() < 1.1, name
        assert not volume[~result.session.mask].any(), name
        assert np.array_equal(volume, volume.astype(np.float16).astype(np.float32)), name
    assert result.session.geometry.shape == (64, 64, 64)


def test_the_grid_mask_is_the_brain(result):
    geometry = result.session.geometry
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), -1)
    to_world = geometry.sequences["T1w"].grid_to_native @ geometry.affine
    truth = brain(index @ to_world[:3, :3].T + to_world[:3, 3])
    assert dice(result.session.mask, truth) > 0.97
    assert result.numbers["outside_grid"] == 0


def test_same_bytes_twice(folder, result):
    """Also when a sequence is missing: what becomes of a scan depends on the reference and itself alone."""
    again = run(folder, "T1w", "DWI")
    others = {k: v for k, v in result.numbers.items() if k != "sequences"}
    assert {k: v for k, v in again.numbers.items() if k != "sequences"} == others
    for name, volume in again.session.volumes.items():
        assert volume.tobytes() == result.session.volumes[name].tobytes()
        assert again.numbers["sequences"][name] == result.numbers["sequences"][name]


def test_a_bad_reference_gives_way_to_the_next_sequence(folder, tmp_path):
    bad = tmp_path / "T1w.nii.gz"
    bad.write_bytes((folder / "T1w.nii.gz").read_bytes()[:4000])
    result = run(folder, "FLAIR", "DWI", T1w=bad)
    assert result.reference == "FLAIR"
    assert sorted(result.session.volumes) == ["DWI", "FLAIR"]
    (rejected,) = result.rejected
    assert (rejected.sequence, rejected.code) == ("T1w", "truncated")
    assert str(bad) in rejected.reason
    assert rejected.remedy


def test_a_scan_with_nothing_in_the_brain_is_rejected_and_the_rest_stays(folder, tmp_path):
    image = nib.load(folder / "FLAIR.nii.gz")
    away = image.affine.copy()
    away[:3, 3] += 900
    speck = np.ones(image.shape, np.int16)  # a bright corner and nothing else: there is no head to register
    speck[0, 0, 0] = 2
    write_scan(tmp_path / "FLAIR.nii.gz", speck, away)
    result = run(folder, "T1w", FLAIR=tmp_path / "FLAIR.nii.gz")
    assert sorted(result.session.volumes) == ["T1w"]
    (rejected,) = result.rejected
    assert rejected.sequence == "FLAIR"
    assert str(tmp_path / "FLAIR.nii.gz") in rejected.reason
    assert rejected.remedy


def test_no_usable_scan_names_every_one(folder, tmp_path):
    with pytest.raises(SessionFailed) as failed:
        run(tmp_path, "T1w", "FLAIR")
    assert [r.code for r in failed.value.rejected] == ["missing", "missing"]


def test_an_unexpected_error_is_a_rejection_that_names_type_and_line(folder, monkeypatch):
    from cairn.preprocess import session

    real = session.rigid_to_reference

    def broken(reference, scan, *rest):
        if "DWI" in scan.path.name:
            raise ZeroDivisionError("by hand")
        return real(reference, scan, *rest)

    monkeypatch.setattr(session, "rigid_to_reference", broken)
    result = run(folder, "T1w", "DWI")
    (rejected,) = result.rejected
    assert rejected.code == "internal"
    assert "ZeroDivisionError at test_session.py:" in rejected.reason
    assert "DWI.nii.gz" in rejected.reason


@pytest.mark.parametrize("align", ["affine", "none"])
def test_other_alignments_hold_the_whole_brain(folder, align):
    result = run(
        folder, "T1w", config=CONFIG.model_copy(update={"grid": CONFIG.grid.model_copy(update={"align": align})})
    )
    truth = read_mask(folder / "T1w_mask.nii.gz")
    back = probability_to_native(result.session.mask.astype(np.float32), result.session.geometry, "T1w") >= 0.5
    assert dice(back, truth) > 0.95
    step = grid_to_native_voxels(result.session.geometry, "T1w")
    if align == "none":
        np.testing.assert_allclose(np.abs(step[:3, :3]), np.diag([1.5] * 3), atol=1e-9)


def test_reference_order_is_configured_and_repeats_rank_after_firsts():
    files = dict.fromkeys(("DWI", "T1w_2", "unknown", "FLAIR", "T1w"))
    assert reference_order(files, CONFIG) == ["T1w", "T1w_2", "FLAIR", "DWI", "unknown"]
    swapped = CONFIG.model_copy(update={"reference_order": ("DWI",)})
    assert reference_order(files, swapped)[0] == "DWI"


def test_n4_takes_a_bias_field_away(result, folder, tmp_path):
    image = nib.load(folder / "T1w.nii.gz")
    shading = np.linspace(0.6, 1.5, image.shape[1])[None, :, None]
    write_scan(tmp_path / "T1w.nii.gz", np.round(np.asarray(image.dataobj) * shading).astype(np.int16), image.affine)
    (tmp_path / "T1w_mask.nii.gz").write_bytes((folder / "T1w_mask.nii.gz").read_bytes())
    corrected = CONFIG.model_copy(update={"n4": CONFIG.n4.model_copy(update={"enabled": True, "iterations": (20, 20)})})
    clean = result.session.volumes["T1w"]
    shaded = run(tmp_path, "T1w").session.volumes["T1w"]
    mended = run(tmp_path, "T1w", config=corrected).session.volumes["T1w"]
    inside = clean != 0
    before, after = (np.corrcoef(clean[inside], v[inside])[0, 1] for v in (shaded, mended))
    assert before < 0.9
    assert after > before + 0.03
