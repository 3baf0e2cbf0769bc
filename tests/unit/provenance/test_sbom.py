"""Guards the bill of materials: all of the locked environment, by hash, in a form that the schema takes."""

import json
from pathlib import Path

import made_run
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from cairn.errors import CairnError
from cairn.provenance.sbom import locked, sbom

REPO = Path(__file__).resolve().parents[3]


@pytest.fixture
def root(tmp_path):
    return made_run.make_repository(tmp_path)


def test_packages_versions_and_hashes(root):
    document = json.loads(sbom(root))
    found = {c["name"]: c for c in document["components"]}
    assert {name: c["version"] for name, c in found.items()} == {
        "numpy": "2.3.5", "snakemake": "9.27.1", "some-thing": "1.0", "torch": "2.13.0",
    }  # fmt: skip
    hashes = found["numpy"]["externalReferences"][0]["hashes"]
    assert [(h["alg"], h["content"]) for h in hashes] == [("SHA-256", "a" * 64), ("SHA-256", "b" * 64)]
    assert found["some-thing"]["purl"] == "pkg:pypi/some-thing@1.0"
    assert document["metadata"]["component"]["name"] == "cairn"


def test_only_known_dependencies_are_claimed(root):
    direct = ["pkg:pypi/numpy@2.3.5", "pkg:pypi/snakemake@9.27.1", "pkg:pypi/torch@2.13.0"]
    assert json.loads(sbom(root))["dependencies"] == [{"ref": "cairn", "dependsOn": direct}]


def test_same_locks_same_bytes_other_locks_other_name(root):
    before = sbom(root)
    assert sbom(root) == before
    lock = root / "envs/requirements-py311.lock"
    lock.write_text(lock.read_text() + "tqdm==4.0\n")
    assert json.loads(sbom(root))["serialNumber"] != json.loads(before)["serialNumber"]


def test_a_missing_lock_is_named(root):
    (root / "envs/requirements.in").unlink()
    with pytest.raises(CairnError, match=r"requirements\.in: no such file"):
        sbom(root)


def test_the_schema_takes_the_real_environment(no_network):
    text = sbom(REPO)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None  # the schema comes with the library
    assert {"snakemake", "torch", "monai", "rocrate"} <= set(locked(REPO))
    assert {c["name"] for c in json.loads(text)["components"]} == set(locked(REPO))


def test_the_schema_would_notice(root):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom(root)) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom(root).replace('"library"', '"shelf"')) is not None
