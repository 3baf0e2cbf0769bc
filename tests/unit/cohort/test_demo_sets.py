"""Guards: the data sets documented for the demo and the small run are valid, of FOMO25's sizes, and leak no head."""

from __future__ import annotations

import pytest
import yaml

from cairn.cohort.plan import donors_of, sessions, visits
from cairn.config import parse
from cairn.config.cohort import CohortConfig, CohortSet

DEMO = """
pretrain:        {role: pretrain,   split: pretrain, subjects: 24, sites: [A1, A2, P1]}
infarct_ft:      {role: infarct,    split: finetune, positives: 13, negatives: 8, sites: [A1, A2]}
meningioma_ft:   {role: meningioma, split: finetune, subjects: 23, sites: [A1, A2]}
age_ft:          {role: age,        split: finetune, subjects: 24, sites: [A1, A2]}
infarct_id:      {role: infarct,    split: indomain, positives: 10, negatives: 8, sites: [B, C]}
meningioma_id:   {role: meningioma, split: indomain, subjects: 16, sites: [B, C]}
age_id:          {role: age,        split: indomain, subjects: 20, sites: [B, C]}
infarct_test:    {role: infarct,    split: test, positives: 14, negatives: 14, sites: [B, C]}
meningioma_test: {role: meningioma, split: test, subjects: 20, sites: [B, C]}
age_test:        {role: age,        split: test, subjects: 24, sites: [B, C]}
"""
CI = """
pretrain:        {role: pretrain,   split: pretrain, subjects: 4, sites: [A1, P1]}
infarct_ft:      {role: infarct,    split: finetune, positives: 3, negatives: 3, sites: [A1]}
infarct_test:    {role: infarct,    split: test, positives: 2, negatives: 2, sites: [B]}
meningioma_ft:   {role: meningioma, split: finetune, subjects: 4, sites: [A1]}
meningioma_test: {role: meningioma, split: test, subjects: 3, sites: [C]}
age_ft:          {role: age,        split: finetune, subjects: 6, sites: [A1]}
age_test:        {role: age,        split: test, subjects: 4, sites: [B]}
"""


@pytest.mark.parametrize("text", [DEMO, CI])
def test_no_head_and_no_scanner_is_in_training_and_test(text):
    config = parse(CohortConfig, {"voxel_mm": 2, "donor_mm": 1.5, "coarsen": 2})
    sets = {name: parse(CohortSet, row, name) for name, row in yaml.safe_load(text).items()}
    heads: dict[str, set[str]] = {"train": set(), "test": set(), "indomain": set()}
    scanners: dict[str, set[str]] = {"train": set(), "test": set()}
    for name, spec in sets.items():
        assert len(visits(config, name, spec)) == len(sessions(spec, name)) == spec.size
        group = {"pretrain": "train", "finetune": "train"}.get(spec.split, spec.split)
        heads[group] |= set(donors_of(config, spec))
        scanners.setdefault(group, set()).update(spec.sites)
    assert not heads["train"] & heads["test"]
    assert not heads["indomain"] & (heads["train"] | heads["test"])
    assert not scanners["train"] & scanners["test"]


def test_the_demo_has_fomo25s_few_shot_sizes():
    sets = {name: parse(CohortSet, row, name) for name, row in yaml.safe_load(DEMO).items()}
    assert (sets["infarct_ft"].positives, sets["infarct_ft"].negatives) == (13, 8)
    assert sets["meningioma_ft"].size == 23
