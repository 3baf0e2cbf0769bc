"""Guards the findings page: each sentence has its numbers, and claims only what the interval bears out."""

import re
from pathlib import Path

import pytest
import world
from stage import card

from cairn.config.findings import FindingsJob
from cairn.config.networks import ResidualConfig
from cairn.config.runs import Run
from cairn.evaluate.findings import write_findings
from cairn.io.atomic import read_json, write_json
from cairn.provenance.cards import read_card
from cairn.report.findings import COSTS, content, write_findings_page
from cairn.report.findings_plots import beside

SKILL = {"mae": 0.6, "hybrid": 0.9, "voco": 0.6, "simclr": 0.5, "scratch": 0.1}
FAMILY = {"mae": "masked", "hybrid": "hybrid", "voco": "context", "simclr": "contrastive"}
NETWORKS = {k: ResidualConfig(channels=(4, 8 * (i + 1)), blocks=(0, 1)) for i, k in enumerate(FAMILY)}
RUNS = tuple(
    Run(run=k, label=k.upper(), method="pretrained" if k in FAMILY else "scratch", objective=k, network="unet")
    for k in SKILL
)


def job(runs=RUNS) -> FindingsJob:
    made = [r.run for r in runs if r.run in FAMILY]
    return FindingsJob(
        **world.board_job(runs).model_dump(), families={r: FAMILY[r] for r in made}, samples=dict.fromkeys(made, 1600),
        networks={r: NETWORKS[r] for r in made},
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("findings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "SKILL", SKILL)
        files = world.evaluated(root, n=24, runs=RUNS)
    write_findings(job(), *files, root / "findings.json")
    return root / "findings.json"


@pytest.fixture(scope="module")
def cards(found) -> list[Path]:
    made = [card(found.parent / "pretrain" / r / "seed-0/run.json", "pretrain_encoder", 61.0) for r in FAMILY]
    for path, run in zip(made, FAMILY, strict=True):
        write_json(path, read_json(path) | {"config": {"run": run}})
    return made


def shown(found, cards=()):
    return content(read_json(found), [read_card(c) for c in cards])


def test_the_page_opens_from_disk_and_asks_nobody(found, cards):
    page = found.parent / "findings.html"
    write_findings_page(found, cards, page)
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:|#|index\.html)', text)
    assert text.count("data:image/svg+xml") == 3
    first = page.read_bytes()
    write_findings_page(found, cards, page)
    assert page.read_bytes() == first


def test_gains_are_told_with_their_intervals(found):
    shifted, indomain = shown(found)["pretraining"]
    assert shifted["headline"].startswith("Shown: it helps on Infarct (AUROC)")
    (sentence,) = shifted["sentences"]
    lead = "Gain, positive is better, mean over 4 pretrained runs, each against the same network from a random start: "
    assert sentence.startswith(f"{lead}Infarct AUROC +0.")
    data = {(r["task"], r["metric"]): r for r in read_json(found)["pretraining"]}
    row = data["brain_age", "mae"]
    assert f"Brain age MAE {row['value']:+.3f} years ({row['low']:+.3f} to {row['high']:+.3f})" in sentence
    assert indomain["headline"] == "Not asked here."


def test_a_family_that_is_better_everywhere_is_told_as_it_is(found):
    words = shown(found)["family_words"]
    shown_on = sum(c["verdict"] == "better" for c in read_json(found)["families"]["claims"])
    assert words["headline"].startswith(f"Shown on {shown_on} of 3 tasks")
    told = {s.split(":")[0]: s for s in words["sentences"]}
    assert told["Brain age"].endswith("as FOMO25 found.")
    assert "hybrid objectives rank " in told["Meningioma"]
    assert " places better than masked ones (" in told["Meningioma"]
    assert not told["Meningioma"].endswith("as FOMO25 found.")


def test_a_claim_the_other_way_round_is_told_from_the_better_familys_side(found):
    data = read_json(found)
    for row in data["families"]["claims"]:
        row |= {"value": -2.0, "low": -3.25, "high": -1.0, "verdict": "worse"}
    words = content(data, [])["family_words"]
    assert words["headline"] == "Not shown on any task; the other way round on 3."
    assert words["sentences"][1] == (
        "Meningioma: hybrid objectives rank 2.00 places better than masked ones (+1.00 to +3.25): "
        "FOMO25 found the reverse."
    )


def test_more_is_told_with_its_correlation_and_its_direction(found):
    data = read_json(found)
    data["scaling"]["parameters"] = {"value": 0.15, "low": 0.12, "high": 0.25, "verdict": "better"}
    data["scaling"]["samples"] = {"value": -0.25, "low": -0.37, "high": -0.14, "verdict": "worse"}
    words = content(data, [])["scaling_words"]
    assert words["headline"] == (
        "Shown: more weights of the encoder go with better ranks (ρ +0.15) and "
        "more samples seen in pretraining go with worse ranks (ρ −0.25)."
    )
    assert "+0.15 (+0.12 to +0.25)" in words["sentences"][0]
    for name in ("parameters", "samples"):
        data["scaling"][name] |= {"low": -0.4, "high": 0.4, "verdict": "not shown"}
    words = content(data, [])["scaling_words"]
    assert words["headline"] == (
        "That more weights of the encoder or more samples seen in pretraining go with better ranks is not shown."
    )


def test_runs_of_one_size_stand_side_by_side():
    places = beside([100, 1000, 100, 100])
    assert places[0] < places[2] == 100.0 < places[3] < 130
    assert places[1] == 1000
    assert beside([7]) == [7.0]


def test_what_does_not_differ_is_not_asked(found):
    sentences = shown(found)["scaling_words"]["sentences"]
    assert sentences[1].startswith("Samples seen in pretraining: not asked here.")
    assert "Spearman's ρ" in sentences[0]


def test_an_interval_around_zero_is_not_shown(found):
    data = read_json(found)
    for row in data["pretraining"]:
        row |= {"value": 0.01, "low": -0.1, "high": 0.2, "verdict": "not shown"}
    for row in data["families"]["claims"]:
        row |= {"value": 0.5, "low": -0.1, "high": 1.2, "verdict": "not shown"}
    told = content(data, [])
    assert told["pretraining"][0]["headline"] == "Not shown on any task."
    assert told["pretraining"][0]["sentences"][0].count("not shown") == len(data["pretraining"])
    assert told["family_words"]["headline"] == "Not shown on any task."
    assert all(s.endswith(": not shown.") for s in told["family_words"]["sentences"])


def test_cost_is_that_of_the_runs_own_jobs(found, cards):
    costs = shown(found, cards)["costs"]
    assert costs["mae"]["pretraining"].wall_s == 61.0
    assert costs["scratch"]["pretraining"].jobs == 0


def test_the_rule_brings_the_cards_of_every_stage_that_costs():
    rules = (Path(__file__).resolve().parents[3] / "rules/report.smk").read_text(encoding="utf-8")
    (given,) = re.findall(r"cards=outputs\((.*), only=\"card\"\)", rules.split("rule findings_page:")[1])
    assert set(re.findall(r'"(\w+)"', given)) == {stage for stages in COSTS.values() for stage in stages}


def test_one_run_alone_has_nothing_to_compare(tmp_path, monkeypatch):
    monkeypatch.setattr(world, "SKILL", SKILL)
    alone = RUNS[:1]
    files = world.evaluated(tmp_path, n=8, runs=alone, tasks=list(world.TASKS))
    write_findings(job(alone), *files, tmp_path / "findings.json")
    told = shown(tmp_path / "findings.json")
    assert {a["headline"] for a in told["pretraining"]} == {"Not asked here."}
    assert told["family_words"]["headline"] == told["scaling_words"]["headline"] == "Not asked here."
    write_findings_page(tmp_path / "findings.json", [], tmp_path / "page.html")
