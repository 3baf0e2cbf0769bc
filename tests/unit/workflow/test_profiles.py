"""Guards the profiles: they differ only in what is a matter of the place; each rule asks for what a cluster needs."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PROFILES = sorted((ROOT / "profiles").glob("*/config.yaml"))
SAME = ("rerun-incomplete", "keep-going", "printshellcmds", "show-failed-logs", "max-checksum-file-size")
RULES = [
    (name, body)
    for path in sorted((ROOT / "rules").glob("*.smk"))
    for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", path.read_text(), re.M | re.S)
]


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.parent.name)
def test_profiles_agree_where_the_place_does_not_matter(path):
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    profile = yaml.safe_load(path.read_text())
    assert {key: profile.get(key) for key in SAME} == {key: default[key] for key in SAME}


@pytest.mark.parametrize(("name", "body"), RULES, ids=[name for name, _ in RULES])
def test_every_job_asks_for_memory_and_time(name, body):
    assert re.search(r"^ {8}mem_mb=", body, re.M)
    assert re.search(r"^ {8}runtime=", body, re.M)


def test_what_trains_or_embeds_asks_for_a_gpu():
    assert {name for name, body in RULES if re.search(r"^ {8}gpu=GPU", body, re.M)} == {
        "pretrain_encoder", "finetune_model", "predict_test", "embed_items",
    }  # fmt: skip


def test_shards_that_share_a_job_take_its_one_place():
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    grouped = {pair.partition("=")[0] for pair in profile["groups"]}
    assert grouped == {name for name, body in RULES if "        shard_place=1,\n" in body}
    assert profile["resources"]["shard_place"] == 1
    assert profile["set-resource-scopes"] == {"shard_place": "local"}
