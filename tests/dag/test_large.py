"""Guards plans that no small study makes: of a manifest in scale.yaml's form, of DICOM files, of unknown sequences.

Nothing is run, and no package is fetched: a plan needs the names alone.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.exceptions import WorkflowError
from studies import CONFIG, Study

from cairn.io.atomic import write_json
from cairn.io.sharding import shard_name, shard_of
from cairn.io.tables import INDEX_COLUMNS, write_table

REPO = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "rules", "workflow", "config", "envs")
MANIFEST = "data/scale/scans.tsv"
SHARDS = 40
BEFORE, MORE = 2000, 1000
CLASSIFY = {"unknown_sequences": {"method": "classify"}}


@pytest.fixture
def bare(tmp_path):
    """A checkout without results."""
    for name in FOLDERS:
        shutil.copytree(REPO / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "Snakefile", tmp_path)
    return Study(tmp_path)


def configure(study, name, more, **sections):
    config = yaml.safe_load((REPO / f"config/{name}.yaml").read_text())
    for dataset, section in more.items():
        config["datasets"][dataset] = config["datasets"].get(dataset, {}) | section
    (study.root / CONFIG).write_text(yaml.safe_dump(config | sections, sort_keys=False))


def scans(first, count):
    """Rows of a manifest: four scans a subject."""
    return [
        {"subject": f"{n // 4:06d}", "session": "1", "sequence": s, "path": f"sub_{n // 4:06d}/{s}.nii.gz"}
        for n in range(first, first + count)
        for s in [("T1w", "T2w", "FLAIR", "DWI")[n % 4]]
    ]


def jobs(planned, rule):
    return {tuple(v for _, v in wildcards) for name, wildcards in planned if name == rule}


def test_a_manifest_in_the_form_of_scale_is_planned_whole(bare):
    configure(bare, "scale", {"fomo": {"manifest": MANIFEST, "shards": SHARDS}})
    write_table(bare.root / MANIFEST, scans(0, BEFORE), INDEX_COLUMNS)
    planned = bare.plan()
    expected = {("fomo", shard_name(shard_of(r["subject"], "1", SHARDS))) for r in scans(0, BEFORE)}
    assert jobs(planned, "index_shard") == expected
    assert {job for job in jobs(planned, "preprocess_shard") if job[0] == "fomo"} == expected
    assert jobs(planned, "pretrain_encoder") == {("mae", "0")}


def test_new_scans_of_a_manifest_plan_the_shards_they_fall_in_alone(bare):
    shards = 6
    configure(bare, "scale", {"fomo": {"manifest": MANIFEST, "shards": shards}})
    write_table(bare.root / MANIFEST, scans(0, BEFORE), INDEX_COLUMNS)
    targets = [f"results/scale/raw/fomo/index/{shard_name(n)}.tsv" for n in range(shards)]
    bare.snakemake("--", *targets)
    assert bare.plan(*targets) == set()
    more = [row for row in scans(BEFORE, 10 * MORE) if shard_of(row["subject"], "1", shards) in (1, 4)][:MORE]
    assert len(more) == MORE
    write_table(bare.root / MANIFEST, [*more, *scans(0, BEFORE)], INDEX_COLUMNS)
    assert jobs(bare.plan(*targets), "index_shard") == {("fomo", shard_name(1)), ("fomo", shard_name(4))}


@pytest.mark.parametrize("sequence", ["T1w", "unknown"])
def test_the_model_of_unknown_sequences_is_planned_where_a_scan_has_none(bare, sequence):
    configure(bare, "scale", {"fomo": {"manifest": MANIFEST, "shards": 2}}, preprocess=CLASSIFY)
    write_table(bare.root / MANIFEST, [*scans(0, 80), scans(0, 1)[0] | {"sequence": sequence, "path": "x.nii.gz"}],
                INDEX_COLUMNS)  # fmt: skip
    planned = jobs(bare.plan(), "sequence_model")
    assert planned == ({()} if sequence == "unknown" else set())


def test_dicom_files_are_converted_first_and_then_planned_as_a_tree(bare, monkeypatch):
    hospital = {
        "kind": "dicom", "root": "data/export", "shards": 1, "predict": ["age"], "dicom": {"salt_file": "data/salt"},
    }  # fmt: skip
    configure(bare, "ci", {"hospital": hospital})
    (bare.root / "data/export").mkdir(parents=True)
    (bare.root / "data/export/1.dcm").write_bytes(b"x")
    with pytest.raises(WorkflowError, match="Not converted yet: hospital"):
        bare.plan()
    with monkeypatch.context() as asked:
        asked.setattr(sys, "argv", ["snakemake", "convert"])
        assert bare.plan("convert") == {("convert_dicom", (("dataset", "hospital"),))}
    raw = bare.root / "results/ci/raw/hospital"
    write_json(raw / "converted.run.json", {"facts": {"name_space": "ab12", "people": ""}})
    (raw / "converted.tsv").touch()
    (raw / "converted/sub_1/ses_1").mkdir(parents=True)
    (raw / "converted/sub_1/ses_1/t1.nii.gz").touch()
    planned = bare.plan("preprocess")
    assert ("hospital", "0000") in jobs(planned, "index_shard")
    assert ("hospital", "0000") in jobs(planned, "preprocess_shard")
    assert not jobs(planned, "convert_dicom")
