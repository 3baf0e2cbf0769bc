"""Guards the table of published collections: a test set that is inside the pretraining data stops the plan."""

import re
from pathlib import Path

import pytest

from cairn.datasets.overlaps import TABLE, check_overlaps, holders, shared
from cairn.errors import CairnError
from cairn.io.tables import read_table

ROLES = {"big": ["pretrain"], "few": ["finetune"], "exam": ["test"]}
PAGE = Path(__file__).resolve().parents[3] / "docs/reference/leakage.md"


@pytest.mark.parametrize(
    "inside",
    ["oasis1", "oasis2", "dlbs", "ixi", "brats", "brats_men", "msd_brain", "mgh_wild", "nki", "soop", "nimh", "ideas",
     "arc", "mbsr", "ucla", "qtab", "aomic_id1000"],
)  # fmt: skip
def test_sources_of_fomo60k_cannot_test_what_it_pretrained(inside):
    with pytest.raises(CairnError, match=f"'big'.*'exam'.*'fomo60k' holds '{inside}'"):
        check_overlaps({"big": ("fomo60k",), "exam": (inside,)}, ROLES, "refuse")


def test_isles_can_and_so_can_sisters():
    check_overlaps({"big": ("fomo60k",), "exam": ("isles22",)}, ROLES, "refuse")
    check_overlaps({"big": ("ixi", "nki"), "exam": ("oasis1",)}, ROLES, "refuse")


def test_a_part_overlaps_what_holds_it_through_others_and_itself():
    assert "fomo300k" in holders()["msd_brain"]
    assert shared(["fomo300k"], ["brats_gli"]) == ("fomo300k", "brats_gli")
    assert shared(["oasis1"], ["oasis1"]) == ("oasis1", "oasis1")
    assert shared(["ixi"], ["oasis1"]) is None


def test_pretraining_and_fine_tuning_follow_the_configuration():
    known = {"big": ("fomo60k",), "few": ("ixi",)}
    with pytest.raises(CairnError, match="overlap"):
        check_overlaps(known, ROLES, "refuse")
    check_overlaps(known, ROLES, "report")


def test_sets_of_one_side_and_sets_without_a_use_may_overlap():
    check_overlaps({"big": ("fomo60k",), "more": ("ixi",), "idle": ("ixi",)}, {**ROLES, "more": ["pretrain"]}, "refuse")


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(CairnError, match="no published collection 'oasis_1'") as caught:
        check_overlaps({"exam": ("oasis_1",)}, ROLES, "refuse")
    assert "Did you mean 'oasis1'?" in caught.value.remedy


def test_the_documentation_lists_the_table():
    listed = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    rows = read_table(TABLE)
    assert [(r["name"], r["title"], r["inside"] or "") for r in rows] == [
        (name, title, inside.replace("`", "").replace(",", ""))
        for name, title, inside in listed
        if name != "known_as"  # the header
    ]
