"""Guards the main job: raw heads in, a leaderboard and a page out; nothing left to do; nothing hidden in it."""

import json
import re

import pandas as pd
import yaml

from cairn.io.tables import read_table

CI = ("--configfile", "config/ci.yaml")
R = "results/ci"


def config(checkout):
    return yaml.safe_load((checkout.root / "config/ci.yaml").read_text())


def test_second_run_plans_nothing(finished):
    assert "Nothing to be done" in finished.plan(*CI)


def test_leaderboard_holds_every_run_with_intervals(finished):
    board = pd.read_csv(finished.root / R / "leaderboard/leaderboard.csv")
    runs = read_table(finished.root / config(finished)["runs"])
    assert sorted(board["run"]) == sorted(r["run"] for r in runs)
    data = json.loads((finished.root / R / "leaderboard/leaderboard.json").read_text())
    assert data


def test_scores_lie_in_their_intervals_and_ranges(finished):
    tables = sorted((finished.root / R / "evaluate").glob("*/*/scores.parquet"))
    scores = pd.concat([pd.read_parquet(t) for t in tables])
    assert set(scores["task"]) == {"infarct", "meningioma", "age"}
    known = scores.dropna(subset=["value", "ci_low", "ci_high"])
    assert len(known) > 0
    assert (known["ci_low"] <= known["value"] + 1e-9).all()
    assert (known["value"] <= known["ci_high"] + 1e-9).all()
    bounded = known[known["metric"].str.lower().isin(["auroc", "dice", "nsd"])]
    assert bounded["value"].between(0, 1).all()


def test_every_test_case_is_predicted_and_scored(finished):
    for name, task in config(finished)["tasks"].items():
        labels = read_table(finished.root / R / f"truth/{task['test']}/labels.tsv")
        for table in sorted((finished.root / R / "predict").glob(f"*/{name}/seed-*/predictions.tsv")):
            assert len(read_table(table)) == len(labels), table


def test_no_job_before_evaluate_names_a_test_label(finished):
    tests = {task["test"] for task in config(finished)["tasks"].values()}
    for card in sorted((finished.root / R).glob("**/*run.json")):
        data = json.loads(card.read_text())
        if data["stage"] in ("labels", "evaluate_run", "label_canary", "qc", "report"):
            continue
        seen = [p for p in data["inputs"] if any(f"truth/{t}/" in p for t in tests)]
        assert not seen, (card, seen)


def test_page_is_self_contained(finished):
    page = (finished.root / R / "report/index.html").read_text(encoding="utf-8")
    loads = re.findall(r"""(?:src|href)=["']([^"'#]+)""", page) + re.findall(r"url\(([^)]+)\)", page)
    outside = [u for u in loads if not u.strip("'\"").startswith(("data:", "#")) and u != "findings.html"]
    assert not outside, outside[:5]


def test_every_number_on_the_page_leads_to_raw_files(finished):
    page = (finished.root / R / "report/index.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="lineage">(.*?)</script>', page)[1])
    assert (data["altered"], data["holes"]) == ([], [])
    links = set(re.findall(r"""href="#why=([^"'\s]+)\"""", page))
    assert {f"{run}/infarct/auroc" for run in ("mae", "scratch_ood", "classical")} <= links <= set(data["numbers"])
    ends = [job for job in data["jobs"] if all(other < 0 for _, other in job["in"])]
    assert {job["name"].split("/")[0] for job in ends} == {"resources"}  # the packages that all began with
    assert all(job["raw"] for job in ends)
    scans = {data["files"][f][1] for job in data["jobs"] for f in job["raw"]}
    assert len([s for s in scans if s.endswith(".nii.gz")]) > 20


def test_the_chain_of_a_number_is_told(finished):
    why = ("-c", "from cairn.cli import main; main()", "why", "mae", "meningioma", "dice")
    said = finished.python(*why)
    assert "ALTERED" not in said
    assert "UNACCOUNTED" not in said
    for stage in (
        "evaluate_run",
        "predict_test",
        "finetune_model",
        "pretrain_encoder",
        "preprocess_shard",
        "cohort_shard",
    ):
        assert f"\n{stage} ─" in said
    every = finished.python(*why, "--all")
    for file in ("meningioma_test/sub-0000", "nimare.whl", "deepbet.whl"):
        assert file in every


def test_truth_is_recovered(finished):
    truth = json.loads((finished.root / R / "qc/truth.json").read_text())
    assert truth


def test_wrong_configuration_is_one_sentence(finished):
    printed = finished.snakemake("-n", *CI, "--config", "seedz=3", ok=False)
    assert "did you mean 'seed" in printed
    assert "Traceback" not in printed
