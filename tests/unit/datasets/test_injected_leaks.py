"""Guards the split end to end: scans come in again as files, and index, preprocessing and comparison must say so."""

from collections import Counter

import numpy as np
import pytest
from leaky_heads import LEAKS, PEOPLE, write_leaks, write_people

from cairn.config.leakage import LeakageConfig
from cairn.config.preprocess import PreprocessConfig
from cairn.datasets.index import index_shard
from cairn.datasets.leakage import check_leakage
from cairn.datasets.leakage_report import leakage_text
from cairn.datasets.near_duplicates import find_near_duplicates, require_disjoint
from cairn.errors import CairnError
from cairn.io.tables import read_table
from cairn.preprocess.resources import Resources
from cairn.preprocess.scan_hash import mirror_mask
from cairn.preprocess.shard import ShardPaths, preprocess_shard

RAW = PreprocessConfig.model_validate({
    "strip": {"method": "none"}, "grid": {"spacing_mm": 4.0, "align": "none", "box_mm": [140, 170, 140]},
})  # fmt: skip
ROLES = {"big": ["pretrain"], "few": ["finetune"], "exam": ["test"], "leaky": ["test"]}
SPACES = {name: name for name in ROLES}
STRICT = LeakageConfig()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Indexes and hashes of clean people, and of every copy of person A, by data set."""
    root = tmp_path_factory.mktemp("heads")
    write_people(root)
    write_leaks(root)
    indexes, hashes = {}, {}
    for name in ROLES:
        out = root / "out" / name
        out.mkdir(parents=True)
        indexes[name] = out / "index.tsv"
        index_shard(root / name, "bids", name, 0, 1, indexes[name])
        paths = ShardPaths.within(out / "made")
        preprocess_shard(indexes[name], root / name, RAW, Resources(root), paths, out / "state", "code")
        assert read_table(paths.quarantine) == []
        hashes[name] = paths.hashes
    return indexes, hashes


def compare(hashes, names, roles=ROLES, config=STRICT):
    return find_near_duplicates([hashes[n] for n in names], {n: roles[n] for n in names}, mirror_mask(), config)


def test_clean_people_raise_nothing(made):
    indexes, hashes = made
    check_leakage([indexes[n] for n in PEOPLE], ROLES, SPACES, STRICT)
    found = compare(hashes, list(PEOPLE))
    require_disjoint(found)
    assert found["leaks"] == []
    assert found["copies"] == {"pretraining": [], "fine-tuning": [], "test": []}
    assert found["scans"] == {"pretraining": 3, "fine-tuning": 2, "test": 3}


@pytest.mark.parametrize("name", LEAKS)
def test_every_copy_is_caught_and_no_one_else(made, name):
    _, hashes = made
    found = compare(hashes, ["big", "leaky"])
    mine = [leak for leak in found["leaks"] if leak["scans"][1].split("/")[1] == f"sub-{name.replace('-', '')}"]
    assert [leak["scans"][0] for leak in mine] == ["big/sub-A/ses-1/T1w"]
    assert mine[0]["refused"]
    assert mine[0]["look"] == {"mirrored": "mirrored", "contrast": "inverted"}.get(name, "")


def test_near_duplicates_stop_the_workflow_and_are_named(made):
    _, hashes = made
    with pytest.raises(CairnError, match=r"big/sub-A/ses-1/T1w \(pretraining\) and leaky/sub-\w+/ses-1/T1w \(test\)"):
        require_disjoint(compare(hashes, ["big", "leaky"]))


def test_the_same_bytes_stop_before_anything_is_preprocessed(made):
    indexes, _ = made
    with pytest.raises(CairnError, match="one scan, sha256"):
        check_leakage(indexes.values(), ROLES, SPACES, STRICT)


def test_copies_within_one_side_are_grouped_and_stop_nothing(made):
    _, hashes = made
    found = compare(hashes, ["big", "leaky"], {"big": ["test"], "leaky": ["test"]})
    require_disjoint(found)
    (group,) = found["copies"]["test"]
    assert len(group) == len(LEAKS) - 2 + 1  # neither mirrored nor inverted ones are looked for here; and A itself


def test_pretraining_and_fine_tuning_are_a_rule_of_the_configuration(made):
    _, hashes = made
    roles = {"big": ["pretrain"], "leaky": ["finetune"]}
    with pytest.raises(CairnError, match="fine-tuning"):
        require_disjoint(compare(hashes, ["big", "leaky"], roles))
    found = compare(hashes, ["big", "leaky"], roles, LeakageConfig(pretrain_finetune="report"))
    require_disjoint(found)
    assert len(found["leaks"]) == len(LEAKS)


def test_the_text_tells_what_stops_and_what_is_nearest(made):
    _, hashes = made
    text = leakage_text(compare(hashes, list(ROLES)))
    assert f"**{len(LEAKS)} pairs stop the workflow**" in text
    assert "| 0.000 | as it is | big/sub-A/ses-1/T1w | leaky/sub-copied/ses-1/T1w | yes |" in text
    counts = Counter(line.split("|")[2].strip() for line in text.splitlines() if line.startswith("| 0."))
    assert counts["in a mirror"]
    assert counts["dark for bright"]


def test_people_keep_their_distance(made):
    """The margin that the limit stands in: strangers of this cohort are at twice of it."""
    _, hashes = made
    found = compare(hashes, list(PEOPLE))
    nearest = min(s["nearest"][0]["distance"] for s in found["sides"].values())
    assert nearest > 1.3 * STRICT.near_duplicate_distance
    assert sum(map(sum, (s["histogram"] for s in found["sides"].values()))) == 3 * 2 + 3 * 3 + 2 * 3
    assert np.isfinite(nearest)
