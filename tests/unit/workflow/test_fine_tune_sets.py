"""Guards that a fine-tune set as downloaded needs no 'labels' in the configuration, and other data sets do."""

import copy
import sys
from pathlib import Path

import pytest
import yaml

from cairn.errors import CairnError
from cairn.plan import Plan

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets/layouts"))
from published import fomo26_task

ROOT = Path(__file__).resolve().parents[3]
CI = yaml.safe_load((ROOT / "config/ci.yaml").read_text())


def plan(kind, root, labels=""):
    config = copy.deepcopy(CI)
    config["datasets"]["ages"] = {"kind": kind, "root": str(root), "labels": labels}
    return Plan(config, ROOT)


def test_labels_lie_beside_the_scans_unless_they_are_named(tmp_path):
    fomo26_task(tmp_path)
    found = tmp_path / "Task_3/Task_3/labels"
    assert plan("fomo_task", tmp_path / "Task_3").label_source("ages") == found
    assert plan("fomo_task", tmp_path, "elsewhere.tsv").label_source("ages") == Path("elsewhere.tsv")
    with pytest.raises(CairnError, match="has no 'labels'"):
        plan("fomo60k", found.parent / "preprocessed").label_source("ages")
