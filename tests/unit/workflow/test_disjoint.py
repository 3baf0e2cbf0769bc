"""Guards what names tell of two sides: DICOM sets of one secret, FOMO's folders, the splits of a manifest."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from cairn.config.leakage import LeakageConfig
from cairn.datasets.leakage import check_leakage
from cairn.datasets.overlaps import collection_of, collections_in
from cairn.dicom.identity import read_identities
from cairn.errors import CairnError
from cairn.io.atomic import write_json
from cairn.io.tables import INDEX_COLUMNS, write_table
from cairn.plan import Plan

ROOT = Path(__file__).resolve().parents[3]
CI = yaml.safe_load((ROOT / "config/ci.yaml").read_text())
RUNS = CI["runs"]


def plan(tmp_path, train, test):
    """The smallest experiment, pretraining on one data set and tested for age on another."""
    config = copy.deepcopy(CI)
    config["datasets"] |= {"ours": train, "theirs": test}
    table = (ROOT / RUNS).read_text().replace("\tpretrain\t", "\tours\t")
    (tmp_path / "runs.tsv").write_text(table)
    config["runs"] = str(tmp_path / "runs.tsv")
    config["tasks"]["age"]["test"] = "theirs"
    for track in config.get("tracks", {}).values():
        track.pop("pretrain_data", None)
    made = Plan(config, ROOT)
    assert made.roles["ours"] == ["pretrain"]
    assert made.roles["theirs"] == ["test"]
    return made


def dicom(folder, salt, people=""):
    return {"kind": "dicom", "root": str(folder), "dicom": {"salt_file": str(salt), "people": str(people)}}


@pytest.fixture
def converted(tmp_path, monkeypatch):
    """A plan of two DICOM sets, with the cards that their conversions leave."""

    def make(salts, tables=("", "")):
        monkeypatch.setattr(Plan, "_conversion", lambda _, name: tmp_path / f"{name}.json")
        sections = []
        for name, salt, table in zip(("ours", "theirs"), salts, tables, strict=True):
            (tmp_path / f"salt {salt}").write_bytes(salt.encode() * 16)
            people = tmp_path / f"people {name}.tsv" if table else None
            if people:
                write_table(people, [{"patient_id": table, "subject": "S1"}], ["patient_id", "subject"])
            who = read_identities(tmp_path / f"salt {salt}", people)
            write_json(tmp_path / f"{name}.json", {"facts": {"name_space": who.name_space, "people": who.table}})
            sections.append(dicom(tmp_path / name, tmp_path / f"salt {salt}"))
        return plan(tmp_path, *sections)

    return make


def index(tmp_path, dataset, session):
    row = dict.fromkeys(INDEX_COLUMNS, "n/a")
    row |= {"dataset": dataset, "subject": "ab12", "session": session, "sequence": "T1w", "path": f"{dataset}.nii.gz"}
    write_table(tmp_path / f"{dataset}.tsv", [row | {"sha256": session * 64}], INDEX_COLUMNS)
    return tmp_path / f"{dataset}.tsv"


def test_a_patient_in_two_dicom_sets_of_one_secret_stops_the_workflow(converted, tmp_path):
    tables = [index(tmp_path, "ours", "1"), index(tmp_path, "theirs", "2")]
    roles = {"ours": ["pretrain"], "theirs": ["test"]}
    same = converted(("a", "a")).identities
    assert same["ours"] == same["theirs"]
    with pytest.raises(CairnError, match="ab12") as caught:
        check_leakage(tables, roles, same, LeakageConfig())
    assert caught.value.code == "leak"
    other = converted(("a", "b")).identities
    assert other["ours"] != other["theirs"]
    check_leakage(tables, roles, other, LeakageConfig())


def test_two_tables_of_people_under_one_secret_are_refused(converted):
    with pytest.raises(CairnError, match="different tables of people"):
        _ = converted(("a", "a"), ("4711", "")).identities
    assert json.loads(converted(("a", "a"), ("4711", "4711")).leakage_job())["identities"]


def test_a_conversion_that_tells_no_name_space_is_to_be_made_again(converted, tmp_path):
    made = converted(("a", "a"))
    write_json(tmp_path / "ours.json", {"facts": {}})
    with pytest.raises(CairnError) as caught:
        _ = made.identities
    assert "snakemake convert" in caught.value.remedy


@pytest.mark.parametrize(
    ("folder", "name"),
    [("PT001_OASIS1", "oasis1"), ("PT002_OASIS-2", "oasis2"), ("PT3_BraTS2021", "brats"), ("PT4_NKI-RS", "nki"),
     ("PT5_BraTS_GLI_2023", "brats_gli"), ("PT6_MGH_Wild", "mgh_wild"), ("PT7_OASIS3", ""), ("PT8_ClevelandCCF", ""),
     ("PT030_OpenNeuro", "openneuro"), ("PT9", "")],
)  # fmt: skip
def test_what_a_source_is_called_after(folder, name):
    assert collection_of(folder) == name


def test_the_collections_of_a_tree(tmp_path):
    for name in ("PT001_OASIS1/sub-01", "PT002_Clinic/sub-01", "PT030_OpenNeuro/ds1/sub-1"):
        (tmp_path / "set" / name).mkdir(parents=True)
    assert collections_in(tmp_path / "set") == collections_in(tmp_path) == ("fomo300k", "oasis1", "openneuro")
    assert collections_in(tmp_path / "set/PT001_OASIS1") == ("oasis1",)
    assert collections_in(tmp_path / "nowhere") == ()


def test_a_fomo_tree_that_holds_the_test_set_is_stopped_without_a_word_in_the_configuration(tmp_path):
    exam = {"kind": "bids", "root": str(tmp_path / "oasis"), "labels": "l.tsv", "known_as": ["oasis1"]}
    for kind in ("fomo60k", "fomo300k"):
        tree = {"kind": kind, "root": str(tmp_path / kind)}
        (tmp_path / kind / "PT001_OASIS1/sub_1/ses_1").mkdir(parents=True)
        with pytest.raises(CairnError, match="overlap: both are 'oasis1'"):
            plan(tmp_path, tree, exam)
        plan(tmp_path, tree | {"known_as": ["ixi"]}, exam)
        plan(tmp_path, tree | {"known_as": []}, exam)
        plan(tmp_path, tree, exam | {"known_as": ["ixi"]})


def test_a_pretraining_tree_of_fomo60k_without_sources_holds_all_of_it(tmp_path):
    (tmp_path / "tree/sub_1/ses_1").mkdir(parents=True)
    tree = {"kind": "fomo60k", "root": str(tmp_path / "tree")}
    exam = {"kind": "fomo60k", "root": str(tmp_path / "other"), "labels": "l.tsv"}
    with pytest.raises(CairnError, match="'fomo60k' holds 'oasis1'"):
        plan(tmp_path, tree, exam | {"known_as": ["oasis1"]})
    plan(tmp_path, tree, exam | {"known_as": ["isles22"]})
    plan(tmp_path, tree, exam)  # one's own test set in that layout is not FOMO60K


def manifest(path, *splits):
    rows = [
        {"subject": f"{n}", "session": "1", "sequence": "T1w", "path": f"{n}.nii.gz", "split": split}
        for n, split in enumerate(splits)
    ]
    write_table(path, rows, INDEX_COLUMNS)
    return {"kind": "manifest", "root": str(path.parent), "manifest": str(path)}


@pytest.mark.parametrize(
    ("splits", "said"),
    [(("pretrain", "test"), "used for 'pretrain', but .* rows of split 'test'"), (("Val",), "'Val'"),
     (("indomain",), "'indomain'"), (("fold1",), "'fold1', which says nothing")],
)  # fmt: skip
def test_rows_of_another_split_are_not_pretrained_on(tmp_path, monkeypatch, splits, said):
    monkeypatch.setattr(Plan, "state", lambda _, name: tmp_path / ".state" / name)
    exam = {"kind": "cohort", "cohort": CI["datasets"]["age_test"]["cohort"]}
    made = plan(tmp_path, manifest(tmp_path / "scans.tsv", *splits), exam)
    with pytest.raises(CairnError, match=said):
        _ = made.shards


def test_rows_of_a_split_that_fits_are(tmp_path, monkeypatch):
    monkeypatch.setattr(Plan, "state", lambda _, name: tmp_path / ".state" / name)
    made = plan(
        tmp_path, manifest(tmp_path / "a.tsv", "pretrain", "train", ""), manifest(tmp_path / "b.tsv", "test")
    )  # fmt: skip
    assert made.shards["ours"] == made.shards["theirs"] == ["0000"]
