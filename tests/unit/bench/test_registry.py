"""Guards the list of CuriaBench's tasks: all 19, honest about what is not sourced and what is not here."""

from pathlib import Path

import pytest

from cairn.bench.registry import absent_rows, find_tasks, listing, read_registry
from cairn.errors import CairnError

REPO = Path(__file__).resolve().parents[3]
REGISTRY = REPO / "config/curiabench.yaml"
# The 19 configurations of the project's uploader and what its card says of them, written down apart from the registry.
CONFIGS = {
    "anatomy-ct", "anatomy-ct-hard", "anatomy-mri", "ixi", "luna16", "luna16-3D", "kits", "deep-lesion-site",
    "tcia-survival", "kneeMRI", "neural_foraminal_narrowing", "spinal_canal_stenosis", "subarticular_stenosis", "ich",
    "emidec-classification-mask", "abdominal-trauma", "atlas-stroke", "covidx-ct", "oasis",
}  # fmt: skip


@pytest.fixture(scope="module")
def registry():
    return read_registry(REGISTRY)


def touch(root, config, *splits):
    for split in splits:
        (root / config).mkdir(parents=True, exist_ok=True)
        (root / config / f"{split}-00000-of-00001.parquet").touch()


def test_all_19_tasks_and_all_published_configurations(registry):
    assert len(registry.tasks) == 19
    assert {c for t in registry.tasks.values() for c in t.configs} == CONFIGS
    classes = {n: t.classes for n, t in registry.tasks.items() if t.classes}
    assert (classes["organs_ct"], classes["organs_mri"], classes["tumour_site"], classes["acl_tear"]) == (54, 56, 8, 3)
    assert {t.kind for t in registry.tasks.values()} == {
        "classification", "probe", "regression", "survival", "registration"
    }  # fmt: skip
    assert all(t.get for t in registry.tasks.values())
    assert all("tracks" in t.marks for t in registry.tasks.values())  # the lists of the tracks were not found


def test_absent_tasks_are_listed_with_how_to_get_them_and_present_ones_are_not(registry, tmp_path):
    assert len(absent_rows(registry, tmp_path)) == 19
    touch(tmp_path, "ich", "train", "test")
    touch(tmp_path, "kits", "train")
    touch(tmp_path, "anatomy-ct", "train", "val")
    touch(tmp_path, "anatomy-mri", "test")
    found = {f.name: f for f in find_tasks(registry, tmp_path)}
    assert {n for n, f in found.items() if f.present} == {"haemorrhage", "organs_ct_to_mri"}
    assert found["kidney_lesion"].why == "kits lacks val, test"
    assert found["registration"].why == "not published as a configuration"
    rows = {r["name"]: r for r in absent_rows(registry, tmp_path)}
    assert len(rows) == 17
    assert "raidium/CuriaBench" in rows["Kidney-lesion malignancy"]["how"]
    text = "\n".join(listing(registry, tmp_path))
    assert "14  haemorrhage: present" in text
    assert "2 of 19 tasks" in text


def test_a_wrong_entry_is_named(tmp_path):
    text = REGISTRY.read_text()
    path = tmp_path / "r.yaml"
    path.write_text(text.replace("modality: CT\n", "modality: XR\n", 1))
    with pytest.raises(CairnError, match=r"organs_ct\.modality"):
        read_registry(path)
    path.write_text(text.replace("number: 19", "number: 18"))
    with pytest.raises(CairnError, match="1 to 19"):
        read_registry(path)
