"""Guards malformed cortex: thick and fused where it should be, one-sided, and not to be read off the whole head."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from cairn.cohort.anatomy import CSF, GM, WM
from cairn.cohort.plan import HEAD_BY_SEX, visits
from cairn.cohort.shard import make_shard
from cairn.cohort.signal import signal
from cairn.cohort.subject import make_anatomy
from cairn.config.cohort import CohortConfig, CohortSet
from cairn.io.tables import read_table

VOXEL_MM = 3.0
SET = CohortSet(role="malformation", split="finetune", positives=5, negatives=5, sites=("A1", "A2"), mimics=1.0)


@pytest.fixture(scope="module")
def people(config):
    return visits(config, "mf", SET)


@pytest.fixture(scope="module")
def pairs(ball, people):
    """Every subject healthy and with the malformation."""
    return [[make_anatomy(ball, replace(v, finding=f), VOXEL_MM) for f in ("none", "malformation")] for v in people]


def test_labels_and_findings_go_together_whatever_site_and_donor():
    every = visits(CohortConfig(), "mf", SET.model_copy(update={"positives": 8, "negatives": 8, "mimics": 0.5}))
    assert Counter(v.label for v in every) == {1: 8, 0: 8}
    assert {v.finding for v in every if v.label} == {"malformation"}
    assert {v.finding for v in every if not v.label} == {"none", "heterotopia"}
    for label in (0, 1):
        assert set(Counter((v.donor, v.site) for v in every if v.label == label).values()) == {2}


def test_cortex_grows_into_white_matter_and_sulci_on_one_side(pairs):
    for healthy, sick in pairs:
        changed = sick.overlays["malformation"]
        assert torch.allclose((sick.fractions[GM] - healthy.fractions[GM]), changed, atol=1e-5)
        assert float((healthy.fractions[WM] - sick.fractions[WM]).min()) >= 0
        assert float((healthy.fractions[CSF] - sick.fractions[CSF]).min()) >= 0
        assert 0.3 < sick.ml(changed) < 40.0  # the ball has little cortex in reach of a patch
        left = float((changed * (sick.box[0] < 0.5)).sum() / changed.sum())
        assert max(left, 1 - left) > 0.95
        near = torch.nn.functional.max_pool3d(healthy.fractions[GM][None, None], 5, 1, 2)[0, 0] > 0.5
        assert float((changed * near).sum() / changed.sum()) > 0.9  # of the cortex, not anywhere
        assert torch.equal(sick.depth_mm, healthy.depth_mm)  # the head's shape tells nothing


def test_a_reader_of_the_patch_sees_it_on_t1w(pairs, people, config):
    """Against the same place of the healthy twin: as dark as cortex where there was white matter."""
    for (healthy, sick), visit in zip(pairs, people, strict=True):
        core = sick.overlays["malformation"] > 0.5
        core = core & (healthy.fractions[WM] > 0.5)
        if core.sum() < 5:
            continue
        site = config.sites[visit.site]
        now, before = (signal(a, visit, site, "T1w")[core].median() for a in (sick, healthy))
        assert now < 0.88 * before


def statistics(image, brain):
    inside = image[brain].numpy()
    return np.array([inside.mean(), inside.std(), *np.percentile(inside, [1, 10, 25, 50, 75, 90, 99])])


def test_statistics_of_the_whole_brain_hardly_tell_the_label(pairs, people, config):
    """What the finding adds to each statistic is small against how people and scanners differ."""
    well, sick = (
        np.array([
            statistics(signal(pair[i], v, config.sites[v.site], "T1w"), pair[0].depth_mm > 0)
            for pair, v in zip(pairs, people, strict=True)
        ])
        for i in (0, 1)
    )  # fmt: skip
    effect = np.abs((sick - well).mean(axis=0)) / (well.std(axis=0) + 1e-9)
    assert np.median(effect) < 0.35
    assert effect.max() < 0.8


def test_a_negative_with_a_mimic_has_normal_cortex_and_grey_matter_inside(ball, people):
    found = 0
    for visit in people:
        if visit.finding != "heterotopia":
            continue
        healthy, odd = (make_anatomy(ball, replace(visit, finding=f), VOXEL_MM) for f in ("none", "heterotopia"))
        changed = odd.overlays["heterotopia"]
        assert float((changed * (odd.depth_mm < 5)).sum()) < 0.1 * float(changed.sum())
        found += odd.ml(changed) > 0.5
        assert torch.allclose(odd.fractions[GM] - healthy.fractions[GM], changed, atol=1e-5)
    assert found >= 3


def test_sex_changes_the_size_of_the_head_a_little_and_only_where_documented(ball, config):
    def brain_ml(visit):
        a = make_anatomy(ball, visit, VOXEL_MM)
        return a.ml((a.depth_mm > 0).float())

    some = visits(config, "pop", CohortSet(role="population", split="finetune", subjects=4, sites=("A1",)))
    she, he = (np.mean([brain_ml(replace(v, head_scale=HEAD_BY_SEX[s])) for v in some]) for s in "FM")
    assert he / she == pytest.approx((1.018 / 0.982) ** 3, rel=0.04)  # another size is another random shape too
    many = visits(config, "pop", CohortSet(role="population", split="finetune", subjects=40, sites=("A1",)))
    assert {v.head_scale for v in many} == set(HEAD_BY_SEX.values())
    assert all(v.head_scale == HEAD_BY_SEX[v.sex] for v in many)
    old = visits(config, "age", CohortSet(role="age", split="finetune", subjects=10, sites=("A1",)))
    assert {v.head_scale for v in old} == {1.0}


def test_labels_on_disk(config, donors, tmp_path):
    spec = CohortSet(role="malformation", split="finetune", positives=1, negatives=1, sites=("A1",))
    make_shard(config, "mf", spec, 0, 1, sorted(donors.glob("*")), tmp_path / "raw", tmp_path / "truth")
    rows = read_table(tmp_path / "truth/labels/0000.tsv")
    assert sorted((r["value"], r["mask"]) for r in rows) == [("0", "n/a"), ("1", "n/a")]
    assert {r["sequence"] for r in read_table(tmp_path / "raw/index/0000.tsv")} == {"T1w"}
    people = CohortSet(role="population", split="finetune", subjects=1, sites=("A1",))
    make_shard(config, "pop", people, 0, 1, sorted(donors.glob("*")), tmp_path / "p/raw", tmp_path / "p/truth")
    (row,) = read_table(tmp_path / "p/truth/labels/0000.tsv")
    assert 20 <= float(row["value"]) <= 90
