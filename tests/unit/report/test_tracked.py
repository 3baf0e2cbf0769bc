"""Guards the page of several tracks: each with its own tasks; curves and absent tasks where given; true words."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
import tracked

from cairn.config.tracks import TrackConfig
from cairn.errors import CairnError
from cairn.io.atomic import read_json, write_json
from cairn.io.tables import FEW_SHOT_COLUMNS, write_table
from cairn.report.few_shot import _sizes, points
from cairn.report.frozen_plots import high_risk, kaplan_meier
from cairn.report.numbers import _others
from cairn.report.page import render, write_report
from cairn.report.sources import read_sources
from cairn.report.style import looks
from cairn.report.transfer import drops


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("tracked")
    job, board, files = tracked.built(root, n=24, seeds=2)
    page = root / "report/index.html"
    write_report(job, board, files, page, page.with_name("leaderboard.png"))
    return page.read_text(), board, (job, files)


def plain(html):
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def tables(html):
    """Text of each leaderboard table."""
    return [plain(t) for t in re.findall(r'<table class="board">.*?</table>', html, re.S)]


def test_each_track_has_a_table_of_its_own_tasks(made):
    flat, deep = tables(made[0])
    assert "Structures, CT" in flat
    assert "Haemorrhage" in flat
    assert not any(title in flat for title in ("Brain age", "Survival", "Findings"))
    assert all(title in deep for title in ("Brain age", "Survival", "Findings", "Concordance ↑", "R² ↑"))
    assert not any(title in deep for title in ("Structures", "Haemorrhage"))
    assert "no entry" not in flat + deep


def test_tasks_of_other_tracks_are_no_missing_results(made):
    text = plain(made[0])
    assert "has no result on" not in text
    assert "tasks of other tracks cost nothing" in text
    assert "ranks of one track do not compare with those of another" in text


def test_an_empty_track_says_how_to_enter(made):
    text = plain(made[0])
    assert "No run has entered. To enter, add a row with “open” as its track" in text
    assert "may be pretrained on any data set of this experiment, and may start from weights made elsewhere" in text


def test_a_track_that_allows_less_says_so(made):
    job, files = made[2]
    rules = TrackConfig(pretrain_data=("heads",), tasks=("age",))
    strict = job.model_copy(update={"tracks": {**job.tracks, "open": rules}})
    from cairn.report.words import standing

    said = standing(read_sources(strict, made[1], files), "open")
    assert "ranked on Brain age, may be pretrained on heads, and must not start from weights made elsewhere" in said


def test_few_shot_curves_and_absent_tasks_stand_there_only_where_given(made, tmp_path):
    assert "How many labels does it take?" in made[0]
    assert "Accept the terms on the hub." in made[0]
    job, files = made[2]
    without = {k: v for k, v in files.items() if k not in ("few_shot", "absent")}
    write_report(job, made[1], without, tmp_path / "p.html", tmp_path / "p.png")
    text = (tmp_path / "p.html").read_text()
    assert "How many labels" not in text
    assert "Tasks that are not here" not in text


def test_few_shot_curves_lead_to_every_table_that_has_a_point(made, tmp_path):
    job, files = made[2]
    empty = tmp_path / "none/few_shot.tsv"
    write_table(empty, [], FEW_SHOT_COLUMNS)
    paths = [p.as_posix() for p in files["few_shot"]]
    cards = {"run.json": {"outputs": dict.fromkeys(paths, "0"), "stage": "few_shot_curve", "wall_s": 1}}
    sources = read_sources(job, made[1], {**files, "few_shot": [*files["few_shot"], empty]})
    assert len(paths) == len(tracked.RUNS)
    found = [n for n in _others(replace(sources, cards=cards)) if n.key == "few_shot"]
    assert [n.files for n in found] == [tuple(paths)]


def test_few_shot_ticks_say_how_many_items_where_runs_agree_and_there_is_room():
    rows = [{"share": "0.1", "n": "12"}, {"share": "0.1", "n": "12"}, {"share": "1.0", "n": "120"}]
    assert _sizes(rows) == {0.1: "12", 1.0: "120"}
    assert _sizes([*rows, {"share": "0.1", "n": "13"}]) == {}
    assert _sizes([*rows, {"share": "0.5", "n": "12000"}]) == {}


def test_few_shot_curves_say_what_was_drawn(made):
    text = plain(made[0])
    assert "mean over draws of the part, with the encoder of the first seed" in text
    assert "mean over seeds and draws" not in text


def test_frozen_tasks_are_worded_as_such(made):
    text = plain(made[0])
    assert "24 test items of 12 subjects" in text
    assert "patch tokens under a mask, linear head" in text
    assert re.search(r"Survival, 24 test items of 12 subjects, \d+ events", text)
    assert "all or none of the test cases have never seen, which has no AUROC" in text
    for term in ("Harrell's index", "1 − squared errors", "most probable class is the true one", "of each one's AUROC"):
        assert term in text, term


def test_single_findings_stand_in_a_table(made):
    assert made[0].count('aria-label="AUROC (mean) of Findings by class or group"') == 1


def test_a_list_of_absent_tasks_without_the_how_is_refused(made, tmp_path):
    write_json(tmp_path / "absent.json", [{"name": "a", "why": "b"}])
    with pytest.raises(CairnError, match="no list of absent tasks"):
        read_sources(made[2][0], made[1], {"absent": [tmp_path / "absent.json"]})


def test_the_leaderboard_ranks_by_the_tasks_of_the_track(made):
    for row in read_json(made[1])["rows"]:
        own = tracked.TRACKS[row["track"]]["tasks"]
        assert set(row["ranks"]) == set(row["scores"]) == set(own)
        assert row["overall"]["value"] == pytest.approx(np.mean([v["value"] for v in row["ranks"].values()]))


def test_one_encoder_in_two_tracks_looks_alike_and_no_two_runs_of_a_track_do():
    rows = [{"run": f"{t}{i}", "label": f"L{i}", "track": t} for t in "ab" for i in range(12)]
    found = looks(rows)
    assert all(found[f"a{i}"] == found[f"b{i}"] for i in range(12))
    assert len(set(found.values())) == 12
    twice = looks([{"run": r, "label": "same", "track": "a"} for r in "xy"])
    assert twice["x"] != twice["y"]


def test_points_of_a_curve_take_the_mean_row_or_average_the_draws():
    def row(share, draw, value, low="n/a", high="n/a"):
        return {"share": share, "seed": draw, "value": value, "ci_low": low, "ci_high": high}

    rows = [
        row("0.1", "0", "0.6"),
        row("0.1", "1", "0.8"),
        row("1.0", "0", "0.7"),
        row("1.0", "-1", "0.9", "0.85", "0.95"),
    ]
    assert points([*rows, row("0.5", "0", "n/a")]) == [(0.1, pytest.approx(0.7), 0.6, 0.8), (1.0, 0.9, 0.85, 0.95)]


def test_kaplan_meier_is_the_product_over_events():
    times, events = np.array([1.0, 2.0, 2.0, 3.0, 4.0]), np.array([1, 0, 1, 0, 1])
    at, share = kaplan_meier(times, events)
    assert at.tolist() == [0, 1, 2, 4]
    assert share == pytest.approx([1, 4 / 5, 4 / 5 * 3 / 4, 0])  # a case lost at a time is at risk until then


def test_high_risk_is_half_of_the_cases_and_no_risk_is_low():
    class Cases:
        prediction = np.array([[1.0, 5.0, np.nan, 3.0]])

    assert high_risk(Cases).tolist() == [False, True, False, True]


def crossed(made):
    """Sources in which a second task of the same items had its head learn on others; its answers are all wrong."""
    job, files = made[2]
    sources = read_sources(job, made[1], files)
    near = next(t for t in sources.board["tasks"] if t["name"] == "organs_ct")
    far = {**near, "name": "far", "title": "Structures, CT to MRI"}
    items = {"input": "mask", "head": "linear", "items": {"kind": "structures"}}
    plain, cases, rows = job.tasks["organs_ct"], dict(sources.cases), []
    for row in sources.rows:
        if (row["run"], "organs_ct") not in cases:
            rows.append(row)
            continue
        right = cases[row["run"], "organs_ct"]
        right = replace(right, prediction=np.tile(right.label, (len(right.seeds), 1)))
        wrong = replace(right, prediction=(right.prediction + 1) % 4)
        cases |= {(row["run"], "organs_ct"): right, (row["run"], "far"): wrong}
        score = row["scores"]["organs_ct"]

        def scored(value, score=score):
            first = {**score["metrics"]["accuracy"], "value": value}
            return {**score, "metrics": {**score["metrics"], "accuracy": first}}

        rows.append({**row, "scores": {**row["scores"], "organs_ct": scored(1.0), "far": scored(0.0)}})
    tasks = {
        **job.tasks, "organs_ct": plain.model_copy(update={"frozen": items}),
        "far": plain.model_copy(update={"name": "far", "frozen": {**items, "train_items": {"kind": "structures"}}}),
    }  # fmt: skip
    board = {**sources.board, "rows": rows, "tasks": [*sources.board["tasks"], far]}
    return replace(sources, board=board, cases=cases, job=job.model_copy(update={"tasks": tasks}))


def test_what_is_lost_on_other_items_is_told_per_run_with_a_paired_interval(made):
    sources = crossed(made)
    (pair,) = drops(sources)
    assert (pair["near"]["name"], pair["far"]["name"]) == ("organs_ct", "far")
    assert [line["run"] for line in pair["lines"]] == [r["run"] for r in sources.rows if r["track"] == "curia_2d"]
    # Every case falls from right to wrong, so no draw of cases has another difference.
    assert {(line["drop"], line["low"], line["high"]) for line in pair["lines"]} == {(1.0, 1.0, 1.0)}
    text = plain(render(sources))
    assert "What is lost: Structures, CT to MRI" in text
    assert "+1.000 +1.000 to +1.000" in text
    assert "What is lost" not in plain(made[0])


def test_cases_that_differ_are_not_subtracted(made):
    sources = crossed(made)
    (key,) = [k for k in sources.cases if k == ("curia", "far")]
    other = replace(sources.cases[key], cohort="others")
    (pair,) = drops(replace(sources, cases={**sources.cases, key: other}))
    assert "curia" not in [line["run"] for line in pair["lines"]]
