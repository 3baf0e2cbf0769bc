"""Guards nerves and vessels: thin, inside the brain mask, in CSF, each with its own signal, labelled where they are."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from cairn.cohort.anatomy import CSF
from cairn.cohort.cistern import tube_share
from cairn.cohort.plan import visits
from cairn.cohort.shard import label_map, make_shard
from cairn.cohort.signal import signal
from cairn.cohort.subject import make_anatomy
from cairn.config.cohort import CohortSet
from cairn.io.nifti import read_label_map, read_scan
from cairn.io.tables import read_table

FINE_MM = 1.5
SET = CohortSet(role="neurovascular", split="finetune", subjects=2, sites=("A1",))


@pytest.fixture(scope="module")
def visit(config):
    return visits(config, "nv", SET)[0]


@pytest.fixture(scope="module")
def anatomy(ball, visit):
    return make_anatomy(ball, visit, FINE_MM)


def test_a_tube_fills_its_share_of_the_voxels_that_it_crosses():
    """Summed over a plane across the tube the shares give its cross-section, whatever the voxel and the offset."""
    for radius, voxel in ((2.0, 1.0), (2.0, 2.0), (1.0, 1.5), (0.8, 2.0)):
        areas = []
        for offset in np.linspace(0, voxel / 2, 4):
            x, y = np.meshgrid(np.arange(-8, 8, voxel) + offset, np.arange(-8, 8, voxel) + offset)
            areas.append(tube_share(np.hypot(x, y), radius, voxel).sum() * voxel**2)
        assert np.mean(areas) == pytest.approx(np.pi * radius**2, rel=0.35)
        assert tube_share(np.zeros(1), radius, voxel)[0] <= min(1, np.pi * radius**2 / voxel**2)


def test_tubes_are_thin_long_on_both_sides_and_inside_the_mask(anatomy):
    nerve, vessel = anatomy.overlays["nerve"], anatomy.overlays["vessel"]
    assert 0.2 < anatomy.ml(nerve) < 1.2
    assert 0.2 < anatomy.ml(vessel) < 1.5
    for share in (nerve, vessel):
        left = float((share * (anatomy.box[0] < 0.5)).sum() / share.sum())
        assert 0.3 < left < 0.7
        assert float((share * (anatomy.depth_mm > 0.5)).sum() / share.sum()) > 0.95
    parts, count = ndimage.label((nerve > 0.3).numpy(), np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    assert count == 2
    for part in range(1, count + 1):
        length = np.ptp(np.argwhere(parts == part), axis=0) * FINE_MM
        assert 6 < np.linalg.norm(length) < 40
        assert sizes[part - 1] * FINE_MM**3 < np.linalg.norm(length) * 30  # mm³ a mm of length: thin


def test_nothing_is_there_twice(anatomy):
    filled = anatomy.fractions.sum(0) + anatomy.overlays["nerve"] + anatomy.overlays["vessel"]
    assert float(filled.max()) < 1.02
    assert float(anatomy.fractions.min()) >= -1e-6


def test_each_structure_lies_in_bright_fluid_and_looks_its_own(anatomy, visit, config):
    image = signal(anatomy, visit, config.sites["A1"], "T2w")
    nerve, vessel = anatomy.overlays["nerve"], anatomy.overlays["vessel"]
    both = nerve + vessel
    around = torch.from_numpy(ndimage.binary_dilation((both > 0.3).numpy(), iterations=2)) & (both < 0.05)
    fluid = around & (anatomy.fractions[CSF] > 0.7)
    assert int(fluid.sum()) > 0.3 * int((both > 0.5).sum())
    assert float(image[nerve > 0.8].median()) < 0.6 * float(image[fluid].median())
    assert float(image[vessel > 0.8].median()) < 0.5 * float(image[nerve > 0.8].median())


def test_a_simple_reader_finds_the_tubes_in_the_fluid(anatomy, visit, config):
    """Dark within a closing of bright: no knowledge of where the structures are."""
    image = signal(anatomy, visit, config.sites["A1"], "T2w").numpy()
    holes = ndimage.grey_closing(image, size=(5, 5, 5)) - image
    low = (anatomy.box[2] < 0.4).numpy() & (anatomy.depth_mm > 1).numpy()
    truth = ((anatomy.overlays["nerve"] + anatomy.overlays["vessel"]) > 0.5).numpy()
    hit = holes[truth & low]
    other = np.random.default_rng(0).choice(holes[low & ~truth], 4000)
    assert np.mean(hit[:, None] > other[None]) > 0.9


def test_other_roles_have_none(ball, visit):
    plain = make_anatomy(ball, replace(visit, finding="none"), 3.0)
    assert not {"nerve", "vessel"} & set(plain.overlays)


def test_labels_on_disk_lie_on_a_finer_t2w_where_the_signal_is(config, donors, tmp_path):
    fine = config.model_copy(update={"voxel_mm": FINE_MM, "coarsen": 2.0})
    spec = SET.model_copy(update={"subjects": 1})
    make_shard(fine, "nv", spec, 0, 1, sorted(donors.glob("*")), tmp_path / "raw", tmp_path / "truth")
    (row,) = read_table(tmp_path / "truth/labels/0000.tsv")
    (scan,) = read_table(tmp_path / "raw/index/0000.tsv")
    assert (row["value"], row["mask_sequence"], scan["zooms"]) == ("n/a", "T2w", "1.4x1.4x1.4")
    label, image = read_label_map(tmp_path / "truth" / row["mask"]), read_scan(tmp_path / "raw" / scan["path"])
    np.testing.assert_allclose(nib.load(tmp_path / "truth" / row["mask"]).affine, image.affine, atol=1e-4)
    assert set(np.unique(label)) == {0, 1, 2}
    shell = ndimage.binary_dilation(label > 0, iterations=2) & (label == 0)
    assert np.median(image.data[label == 2]) < np.median(image.data[label == 1]) < np.percentile(image.data[shell], 75)


def test_a_mask_of_one_label_is_the_plain_mask_and_the_larger_share_wins():
    share = np.random.default_rng(0).random((4, 5, 6), np.float32)
    np.testing.assert_array_equal(label_map(share[None]), share >= 0.5)
    np.testing.assert_array_equal(label_map(0.3 * share[None]), 0.3 * share >= 0.15 * share.max())
    both = np.stack([np.full((2, 2, 2), 0.6), np.full((2, 2, 2), 0.7)]).astype(np.float32)
    assert (label_map(both) == 2).all()
