"""Guards the plan: mistakes are told before any job, and a job's configuration holds what it uses and no more."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from cairn.config.training import PretrainConfig
from cairn.errors import CairnError
from cairn.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
CI = yaml.safe_load((ROOT / "config/ci.yaml").read_text())


def changed(*path_and_value):
    *path, value = path_and_value
    config = copy.deepcopy(CI)
    section = config
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    return config


@pytest.mark.parametrize(
    ("edit", "message"),
    [(("sedd", 3), "did you mean 'seed"), (("tasks", "age", "tets", "x"), "did you mean 'test'"),
     (("tasks", "age", "test", "nowhere"), "no data set 'nowhere'"),
     (("tasks", "age", "recipe", {"step": 3}), r"tasks.age.recipe.*did you mean 'steps'"),
     (("runs", "config/none.tsv"), "no such table"), (("networks", {}), "network 'tiny' is not in the configuration"),
     (("datasets", "mine", {"kind": "bids"}), "needs 'root'"),
     (("cohort", "donor_groups", {"train": ["oasis"], "indomain": ["mni6"], "test": ["oasis"]}), "a head would leak")],
)  # fmt: skip
def test_mistakes_are_told_in_the_plan(edit, message):
    with pytest.raises(CairnError, match=message):
        Plan(changed(*edit), ROOT)


def test_a_probe_of_more_than_one_sequence_is_refused():
    config = merged("demo", "fomo26")
    assert Plan(config, ROOT).experiment.challenge.contract == "fomo26"
    config["tasks"]["age_group"]["optional"] = ["T2w"]
    with pytest.raises(CairnError, match="a probe names one sequence alone"):
        Plan(config, ROOT)


def test_a_row_is_submitted_for_the_tasks_that_it_has_models_for():
    plan = Plan(CI, ROOT)
    assert plan.submission_tasks("mae") == ["infarct", "meningioma", "age"]
    for run, message in (("", "Which row"), ("moe", "Run 'moe' is not in")):
        with pytest.raises(CairnError, match=message):
            plan.submission_tasks(run)


def test_a_set_used_against_its_split_is_refused():
    with pytest.raises(CairnError, match=r"'age_few' is used for 'test', but its donors are those of split 'finetune'"):
        Plan(changed("tasks", "age", "test", "age_few"), ROOT)


def test_the_large_configuration_has_its_own_budget_everywhere():
    plan = Plan(merged("demo", "demo_large"), ROOT)
    steps = {json.loads(plan.finetune_job("mae", task, "0"))["finetune"]["steps"] for task in plan.experiment.tasks}
    assert steps == {2000}


def merged(*names):
    config = {}
    for name in names:
        update_config(config, yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()))
    return config


def test_run_on_labels_that_no_task_has(tmp_path):
    table = (ROOT / CI["runs"]).read_text().replace("finetune\ttrue", "indomain\ttrue", 1)
    (tmp_path / "runs.tsv").write_text(table)
    with pytest.raises(CairnError, match="trains on 'indomain' data"):
        Plan(changed("runs", str(tmp_path / "runs.tsv")), ROOT)


EVALUATIONS = {"evaluate", "evaluate masks", "leaderboard"}


def jobs(config):
    plan = Plan(config, ROOT)
    return {
        "pretrain": plan.pretrain_job("mae", "0"), "age": plan.finetune_job("mae", "age", "0"),
        "infarct": plan.finetune_job("mae", "infarct", "0"), "predict": plan.predict_job("mae", "age", "0"),
        "evaluate": plan.evaluate_job("mae", "age"),
        "evaluate masks": plan.evaluate_job("mae", "meningioma"), "leaderboard": plan.leaderboard_job(),
        "preprocess": plan.preprocess_job("age_few", "0000"),
        "accept": plan.accept_job(),
        "cohort": plan.cohort_job("age_few"), "test": plan.cohort_job("age_test"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "moved"),
    [(("tasks", "age", "recipe", {"learning_rate": 0.01}), {"age"}),
     (("objectives", "mae", "mask_ratio", 0.7), {"pretrain"}),
     (("evaluate", "nsd_tolerance_mm", 2.0), {"evaluate masks", "leaderboard"}),
     (("preprocess", "grid", "spacing_mm", 4.0), {"preprocess"}),
     (("preprocess", "max_bad_share", 0.8), {"accept"}),
     (("datasets", "age_test", "cohort", "subjects", 6), {"test"}),
     (("evaluate", "worst_error_years", 50.0), {"evaluate", "leaderboard"}),
     (("evaluate", "permutations", 600), {"leaderboard"}), (("evaluate", "resamples", 600), EVALUATIONS),
     (("note", "other"), set()), (("tasks", "age", "title", "Years"), {"leaderboard"}),
     (("qc", {"dice_min": 0.8}), set())],
)  # fmt: skip
def test_an_edit_moves_the_jobs_that_use_it(edit, moved):
    before, after = jobs(CI), jobs(changed(*edit))
    assert {name for name in before if before[name] != after[name]} == moved


def runs_table(tmp_path, *rows):
    header = "run\tlabel\tmethod\tobjective\tnetwork\tpretrain_data\ttrack\tweights\tfinetune_mode"
    (tmp_path / "runs.tsv").write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n")
    return str(tmp_path / "runs.tsv")


MAE = ("mae", "M", "pretrained", "mae", "tiny", "pretrain", "method", "n/a")


def test_a_run_chooses_how_its_encoder_is_fine_tuned(tmp_path):
    rows = [(*MAE, "n/a"), ("frozen", *MAE[1:], "frozen"), ("lora", *MAE[1:], "lora")]
    config = changed("runs", runs_table(tmp_path, *rows))

    def recipes(config):
        plan = Plan(config, ROOT)
        return {run: json.loads(plan.finetune_job(run, "age", "0"))["finetune"] for run in plan.runs}

    found = recipes(config)
    assert {run: recipe["mode"] for run, recipe in found.items()} == {"mae": "full", "frozen": "frozen", "lora": "lora"}
    assert {run for run, recipe in found.items() if "lora_rank" in recipe} == {"lora"}
    config["finetune"]["mode"] = "frozen"
    moved = recipes(config)
    assert {run for run in found if found[run] != moved[run]} == {"mae"}
    board = json.loads(Plan(config, ROOT).leaderboard_job())["runs"]
    assert [r["finetune_mode"] for r in board] == ["frozen", "frozen", "lora"]


def test_imported_runs_have_a_job_of_their_own(tmp_path):
    (tmp_path / "w.safetensors").touch()
    theirs = ("theirs", "T", "pretrained", "n/a", "tiny", "n/a", "open", str(tmp_path / "w.safetensors"), "n/a")
    plan = Plan(changed("runs", runs_table(tmp_path, (*MAE, "n/a"), theirs)), ROOT)
    jobs = plan.jobs()
    assert [j["run"] for j in jobs["pretrain_encoder"]] == ["mae"]
    assert [j["run"] for j in jobs["import_weights"]] == ["theirs"]
    assert {j["run"] for j in jobs["finetune_model"]} == {"mae", "theirs"}
    assert plan.foreign("theirs", "weights") == [str(tmp_path / "w.safetensors")]
    assert plan.foreign("theirs", "mapping") == []
    assert json.loads(plan.import_job("theirs", "0"))["network"]["kind"] == "residual"
    assert json.loads(plan.finetune_job("theirs", "age", "0"))["method"] == "pretrained"


def test_seeds_differ_between_repetitions_and_experiments():
    one, two = Plan(CI, ROOT), Plan(changed("seed", 8), ROOT)
    seeds = {json.loads(p.pretrain_job("mae", s))["seed"] for p in (one, two) for s in ("0", "1")}
    assert len(seeds) == 4


def test_test_labels_belong_to_no_training_job():
    plan = Plan(CI, ROOT)
    trains = {plan.train_data(run, task) for run in plan.runs for task in plan.experiment.tasks}
    tests = {task.test for task in plan.experiment.tasks.values()}
    assert not trains & tests


def rows(tmp_path, *lines):
    table = tmp_path / "runs.tsv"
    head = "run\tlabel\tmethod\tobjective\tnetwork\tpretrain_data\tdata_fraction\tsteps\tencoder\tseeds"
    table.write_text("\n".join([head, *lines]) + "\n")
    return Plan(changed("runs", str(table)), ROOT)


def test_a_row_sets_steps_share_and_seeds_of_its_own(tmp_path):
    plan = rows(
        tmp_path, "mae\tM\tpretrained\tmae\ttiny\tpretrain\t0.5\t7\tn/a\t3", "s\tS\tscratch\tn/a\ttiny\tn/a\tn/a\tn/a"
        "\tn/a\tn/a",
    )  # fmt: skip
    job = json.loads(plan.pretrain_job("mae", "0"))
    assert (job["pretrain"]["steps"], job["data_fraction"]) == (7, 0.5)
    jobs = plan.jobs()
    assert [j["seed"] for j in jobs["pretrain_encoder"]] == ["0", "1", "2"]
    assert sum(j["run"] == "s" for j in jobs["finetune_model"]) == len(plan.tasks)
    assert json.loads(plan.evaluate_job("mae", "age"))["seeds"] == [0, 1, 2]


def test_an_objective_has_its_own_learning_rate():
    own = Plan(changed("objectives", "mae", "learning_rate", 0.0123), ROOT)
    assert json.loads(own.pretrain_job("mae", "0"))["pretrain"]["learning_rate"] == 0.0123
    shared = json.loads(Plan(CI, ROOT).pretrain_job("mae", "0"))["pretrain"]
    assert shared["learning_rate"] == PretrainConfig().learning_rate


def test_a_run_on_anothers_encoders_pretrains_nothing(tmp_path):
    plan = rows(
        tmp_path, "mae\tM\tpretrained\tmae\ttiny\tpretrain\tn/a\tn/a\tn/a\tn/a",
        "again\tA\tpretrained\tn/a\tn/a\tn/a\tn/a\tn/a\tmae\tn/a",
    )  # fmt: skip
    assert plan.pretrained_runs == ["mae"]
    assert [plan.encoder_run(r) for r in plan.runs] == ["mae", "mae"]
    assert {j["run"] for j in plan.jobs()["finetune_model"]} == {"mae", "again"}


def test_an_objective_that_does_not_fit_its_network_is_told_in_the_plan():
    with pytest.raises(CairnError, match=r"run 'mae'.*patch_voxels.*does not divide"):
        Plan(changed("objectives", "mae", "patch_voxels", [20, 24, 24]), ROOT)


@pytest.fixture
def entered(tmp_path):
    """The smallest experiment with an entry in it, and the entry's program."""
    program = tmp_path / "theirs/app/predict.py"
    program.parent.mkdir(parents=True)
    program.write_text("print(1)")
    rows = (ROOT / "config/runs/ci.tsv").read_text().rstrip().splitlines()
    rows = [rows[0] + "\timage\ttrack", *(row + "\tn/a\tn/a" for row in rows[1:])]
    image = str(tmp_path / "theirs")
    rows.append("\t".join(["theirs", "Theirs", "container", "n/a", "n/a", "n/a", "n/a", "true", image, "open"]))
    (tmp_path / "runs.tsv").write_text("\n".join(rows) + "\n")
    return changed("runs", str(tmp_path / "runs.tsv")), program


def test_an_entry_is_run_and_scored_and_nothing_of_it_is_trained(entered, monkeypatch, tmp_path):
    plan = Plan(entered[0], ROOT)
    monkeypatch.setattr(plan, "state", lambda name: tmp_path / "state" / name)
    jobs = plan.jobs()
    asked = [{"run": "theirs", "task": task, "seed": "0"} for task in plan.tasks]
    assert jobs["predict_entry"] == asked
    for rule in ("finetune_model", "predict_test", "pretrain_encoder", "import_weights"):
        assert "theirs" not in {job["run"] for job in jobs[rule]}
    assert {"run": "theirs", "task": "age"} in jobs["evaluate_run"]
    without = Plan(CI, ROOT).jobs()
    assert {rule: len(found) for rule, found in jobs.items() if found != without[rule]} == {
        "predict_entry": 3, "evaluate_run": len(without["evaluate_run"]) + 3,
    }  # fmt: skip


def test_a_changed_image_is_another_fingerprint_and_nothing_else_moves(entered, monkeypatch, tmp_path):
    config, program = entered

    def seen():
        plan = Plan(config, ROOT)
        monkeypatch.setattr(plan, "state", lambda name: tmp_path / "state" / name)
        return plan.image_fingerprint("theirs"), plan.entry_job("theirs", "age"), plan.leaderboard_job()

    before = seen()
    assert seen() == before
    program.write_text("print(2, 3)")
    after = seen()
    assert after[0] != before[0]
    assert after[1:] == before[1:]
    program.chmod(0o755)
    assert seen()[0] != after[0]


def test_the_job_of_an_entry_holds_its_policy_and_other_jobs_do_not(entered):
    plan = Plan(entered[0], ROOT)
    tight = Plan(entered[0] | {"challenge": {"policy": {"seconds": 5}}}, ROOT)
    assert json.loads(tight.entry_job("theirs", "age"))["challenge"]["policy"]["seconds"] == 5
    assert tight.predict_job("mae", "age", "0") == plan.predict_job("mae", "age", "0")
    assert tight.leaderboard_job() == plan.leaderboard_job()
