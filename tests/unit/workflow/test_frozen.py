"""Guards the plan of the benchmark of frozen encoders: who embeds what, what reruns, what is refused before any job."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from cairn.config.runs import Run
from cairn.errors import CairnError
from cairn.evaluate.comparison import recipe_of
from cairn.plan import Plan
from cairn.workflow.requests import weights

ROOT = Path(__file__).resolve().parents[3]
CURIA = yaml.safe_load((ROOT / "config/curia.yaml").read_text())


def changed(**paths):
    config = copy.deepcopy(CURIA)
    for path, value in paths.items():
        *sections, key = path.split("__")
        section = config
        for name in sections:
            section = section[name]
        section[key] = value
    return config


def plan_with(tmp_path, rows, **paths):
    """The plan with these rows: tab-separated cells below run, label, method, objective, network, data, track."""
    header = "run\tlabel\tmethod\tobjective\tnetwork\tpretrain_data\ttrack\n"
    (tmp_path / "runs.tsv").write_text(header + "".join(f"{row}\n" for row in rows))
    return Plan(changed(runs=str(tmp_path / "runs.tsv"), **paths), ROOT)


PIXELS = "p\tPixels\tscratch\tn/a\tpixels\tn/a\tcuria_2d"


def test_runs_are_scored_on_their_tracks_tasks_alone():
    plan = Plan(CURIA, ROOT)
    for run, row in plan.runs.items():
        assert plan.tasks_of(run) == list(CURIA["tracks"][row.track]["tasks"])
    assert not plan.entries(["brain_age"]) or {e["run"] for e in plan.entries(["brain_age"])} == {
        r for r, row in plan.runs.items() if row.track == "curia_3d"
    }  # fmt: skip


def test_a_run_is_compared_with_the_random_start_that_sees_the_same_input():
    """Contracts stand in objectives, rows or the experiment: `curia` and `curia2` differ in theirs, network alike."""
    runs = [Run(**row) for row in json.loads(Plan(CURIA, ROOT).leaderboard_job())["runs"]]
    twins = {
        r.run: [s.run for s in runs if (s.method, s.track) == ("scratch", r.track) and recipe_of(s) == recipe_of(r)]
        for r in runs
        if r.method == "pretrained"
    }
    curia = {"curia", "curia_crops", "curia_masks", "curia_sigreg", "curia_low", "curia_rate"}
    expected = {run: ["random"] for run in curia} | {"curia2": ["random2"], "curia_contract": ["random2"]}
    expected |= {"curia_3d": ["random_3d"], "curia2_3d": ["random2_3d"]}
    assert twins == expected | {"cnn": [], "cnn_3d": [], "cnn_finetuned": ["scratch"]}


def test_tasks_of_one_form_share_items_and_features():
    plan = Plan(CURIA, ROOT)
    assert plan.form_of("tumour_site", "test") == plan.form_of("tumour_grade", "test")
    assert plan.form_of("structures_ct_to_mri", "finetune") == plan.form_of("structures_ct", "test")
    assert plan.form_of("structures_ct_to_mri", "test") == plan.form_of("structures_mri", "test")
    embedded = plan.jobs()["embed_items"]
    assert len(embedded) == len({tuple(job.items()) for job in embedded})
    again = {"curia_3d", "curia2_3d", "cnn_3d", "random_3d", "random2_3d", "pixels_3d"}  # the runs of their encoders do
    assert {job["run"] for job in embedded}.isdisjoint(again)


def test_a_split_used_for_another_role_is_refused():
    config = published(Path("nowhere"))
    config["tasks"]["ich"]["finetune"] = "ich_test"
    with pytest.raises(CairnError, match="used for 'finetune', but it is the published split 'test'"):
        Plan(config, ROOT)


def test_validation_sets_may_be_learned_from():
    runs = json.loads(Plan(published(Path("nowhere")), ROOT).tracks_job())["runs"]
    assert set(runs["curia"]["labelled"].values()) == {"ich_train", "ich_val"}


def test_volumes_are_read_in_the_plane_of_each_form():
    changed_plane = changed(tasks__haemorrhage__frozen__items__plane="coronal")
    plan = Plan(changed_plane, ROOT)
    planes = json.loads(plan.embed_job("cnn", "0"))["planes"]
    assert planes[plan.form_of("haemorrhage", "test")] == "coronal"
    assert planes[plan.form_of("stroke", "test")] == "axial"
    assert "planes" not in json.loads(plan.embed_job("curia", "0"))


def test_a_head_knows_its_recipe_and_no_other_tasks():
    """Another task's recipe, or the curve's, leaves a head's job as it is; its own recipe does not."""
    before = Plan(CURIA, ROOT).head_job("curia", "haemorrhage", "0")
    other = changed(tasks__stroke__frozen__sweep={"epochs": 7})
    curve = changed(tasks__haemorrhage__frozen__few_shot={"draws": 5})
    own = changed(tasks__haemorrhage__frozen__sweep={"epochs": 7})
    assert Plan(other, ROOT).head_job("curia", "haemorrhage", "0") == before
    assert Plan(curve, ROOT).head_job("curia", "haemorrhage", "0") == before
    assert Plan(own, ROOT).head_job("curia", "haemorrhage", "0") != before


def test_an_encoder_is_shown_what_it_was_pretrained_with():
    plan = Plan(CURIA, ROOT)
    seen = {run: json.loads(plan.embed_job(run, "0"))["contract"] for run in ("curia", "curia2", "pixels")}
    assert {run: c["version"] for run, c in seen.items()} == {
        "curia": "curia-1",
        "curia2": "curia-2",
        "pixels": "curia-2",
    }
    assert {c["size_px"] for c in seen.values()} == {64}


@pytest.mark.parametrize(
    ("row", "message"),
    [("c\tC\tclassical\tn/a\tn/a\tn/a\tcuria_2d", "a classical run has no encoder"),
     ("s\tS\tscratch\tn/a\tvit_tiny\tn/a\tmethod", r"sees slices, but task 'brain_age_finetuned' is told from volumes"),
     ("m\tM\tpretrained\tmae\tvit_tiny\tslices\tcuria_2d", "mae.*volumes"),
     ("u\tU\tpretrained\tcuria\tunet_s\tslices\tcuria_2d", "curia.*slices"),
     ("o\tO\tpretrained\todd\tvit_tiny\tslices\tcuria_2d", "another contract.size_px than 'slices'"),
     ("t\tT\tscratch\tn/a\tpixels\tn/a\tcuria_4d", "no track 'curia_4d'")],
)  # fmt: skip
def test_what_cannot_run_is_refused_before_anything_starts(tmp_path, row, message):
    odd = {**CURIA["objectives"]["curia"], "contract": {"size_px": 32}}
    with pytest.raises(CairnError, match=message):
        plan_with(tmp_path, [row], objectives__odd=odd)


@pytest.mark.parametrize(
    ("edit", "message"),
    [({"tasks__survival__frozen": None}, "told from frozen features"),
     ({"tasks__haemorrhage__target": ""}, "what does the truth call the answer"),
     ({"tasks__haemorrhage__required": ["CT"]}, "items name their sequence"),
     ({"tracks__curia_2d__tasks": ["nothing"]}, "no task 'nothing'"),
     ({"datasets__radiology_test__kind": "curiabench"}, "section 'published'")],
)  # fmt: skip
def test_mistakes_of_configuration_are_told(edit, message):
    with pytest.raises(CairnError, match=message):
        Plan(changed(**edit), ROOT)


def published(root):
    config = changed(curiabench=str(root))
    for split in ("train", "val", "test"):
        section = {"kind": "curiabench", "published": {"config": "ich", "split": split}}
        config["datasets"][f"ich_{split}"] = section
    config["tasks"]["ich"] = {
        "kind": "classification", "finetune": "ich_train", "validation": "ich_val", "test": "ich_test",
        "target": "target", "frozen": {"items": {"kind": "published"}, "input": "slice"},
    }  # fmt: skip
    config["tracks"]["curia_2d"]["tasks"] = ["ich"]
    return config


def test_published_files_come_in_by_configuration(tmp_path):
    plan = Plan(published(tmp_path), ROOT)
    jobs = plan.jobs()
    assert jobs["import_items"] == [{"dataset": f"ich_{split}"} for split in ("train", "val", "test")]
    assert not any(job["dataset"].startswith("ich") for job in jobs["preprocess_shard"] + jobs["manifest"])
    assert {job["dataset"] for job in jobs["embed_items"] if job["run"] == "curia"} >= {
        "ich_train",
        "ich_val",
        "ich_test",
    }
    with pytest.raises(CairnError, match=r"no file .*ich/val-\*\.parquet.*cairn bench list"):
        plan.published_files("ich_val")
    (tmp_path / "ich").mkdir()
    (tmp_path / "ich/val-00000.parquet").write_bytes(b"x")
    assert [Path(p).name for p in plan.published_files("ich_val")] == ["val-00000.parquet"]


def switches(section, default):
    """Keys in which two sections of objectives differ."""
    return {key for key in {*section, *default} if section.get(key) != default.get(key)}


def test_each_row_of_the_ablation_changes_one_switch_and_curia_2_all_of_them():
    plan = Plan(CURIA, ROOT)
    plain = CURIA["objectives"]["curia"]
    changed_by = {
        run: switches(CURIA["objectives"][row.objective], plain)
        for run, row in plan.runs.items() if run.startswith("curia") and run in plan.pretrained_runs
    }  # fmt: skip
    assert changed_by.pop("curia") == set()
    every = changed_by.pop("curia2")
    assert all(len(keys) == 1 for keys in changed_by.values())
    assert {key for keys in changed_by.values() for key in keys} == every
    whole = CURIA["objectives"]["curia2"]
    for run, (key,) in changed_by.items():
        section = CURIA["objectives"][plan.runs[run].objective]
        assert section[key] == whole[key]
        assert plan.runs[run].network == plan.runs["curia"].network
    contracts = [CURIA["objectives"][name]["contract"] for name in ("curia", "curia_contract")]
    assert switches(*contracts) == {"version"}


def large():
    """config/curia_large.yaml laid over config/curia.yaml."""

    def laid(under, over):
        if not isinstance(under, dict) or not isinstance(over, dict):
            return over
        return under | {key: laid(under.get(key), value) for key, value in over.items()}

    return Plan(laid(CURIA, yaml.safe_load((ROOT / "config/curia_large.yaml").read_text())), ROOT)


def test_the_large_runs_follow_their_recipe():
    """No rate or schedule of the CPU's configuration survives below the overlay."""
    plan = large()
    jobs = {run: json.loads(plan.pretrain_job(run, "0")) for run in ("curia_g", "curia2_g")}
    rates = {run: job["pretrain"]["learning_rate"] for run, job in jobs.items()}
    rate = 2e-4 * (jobs["curia_g"]["pretrain"]["batch_size"] / 1024) ** 0.5
    assert rates == pytest.approx({"curia_g": rate, "curia2_g": 2 * rate})
    for job in jobs.values():
        recipe, objective = job["pretrain"], job["objective"]
        assert (recipe["schedule"], recipe["weight_decay"], recipe["clip_norm"]) == ("cosine", 0.04, 3.0)
        assert (objective["targets"], objective["head_hidden"], objective["head_bottleneck"]) == ("sinkhorn", 2048, 384)
        assert objective["teacher"] == {"momentum": 0.994, "momentum_end": 1.0, "ramp_steps": recipe["steps"]}
        assert objective["temperature_steps"] / recipe["steps"] == pytest.approx(30 / 500)
        assert recipe["warmup_steps"] / recipe["steps"] == pytest.approx(80 / 500)


def test_memory_that_is_asked_for_holds_the_weights():
    """Small rows ask what they always did; an encoder's file and network fit, so does the state that is saved."""
    plan, small = large(), Plan(CURIA, ROOT)
    assert {small.encoder_mb(run) for run in small.runs if small.runs[run].network} == {4000}
    assert {small.pretrain_mb(run) for run in small.pretrained_runs} == {4000}
    for run, built in (("curia_b", 86e6), ("curia_l", 303e6), ("curia_g", 1.135e9)):
        assert weights(plan.experiment.networks[plan.runs[run].network]) == pytest.approx(built, rel=0.02)
    assert plan.encoder_mb("curia_b") == 4000
    assert plan.encoder_mb("curia_g") > 2 * 4 * 1.13e9 / 1e6
    assert plan.pretrain_mb("curia_g") > 8 * 4000 + 16 * 1.13e9 / 1e6
