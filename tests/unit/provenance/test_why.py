"""Guards `cairn why`: it tells the number, every job back to the raw files, and what is wrong, in a readable width."""

import json
import re
from pathlib import Path

import pytest
from made_run import MODEL, PACKAGE, R, make_run
from typer.testing import CliRunner

from cairn.cli import app
from cairn.config.evaluate import DEFAULT_METRICS
from cairn.errors import CairnError
from cairn.evaluate.numbers import find_number
from cairn.evaluate.tables import write_scores
from cairn.io.atomic import sha256, write_json
from cairn.provenance.lines import WIDTH

SCORES = f"{R}/evaluate/mae/age/scores.parquet"


@pytest.fixture
def labels(tmp_path, monkeypatch) -> str:
    """A finished experiment in the current folder, with real scores; returns the path of its file from outside."""
    outside = tmp_path / "elsewhere" / "labels.tsv"
    make_run(tmp_path / "repository", outside)
    monkeypatch.chdir(tmp_path / "repository")
    base = {"run": "mae", "track": "method", "task": "age", "cohort": "age_test", "n": 12}
    rows = [
        base | {"seed": seed, "metric": "mae", "value": value, "ci_low": value - 1, "ci_high": value + 1}
        for seed, value in ((0, 7.0), (1, 8.0), (-1, 7.5))
    ]
    rows += [
        base | {"seed": s, "metric": "pearson_r", "value": None, "ci_low": None, "ci_high": None} for s in (0, 1, -1)
    ]
    write_scores(Path(SCORES), rows)
    metrics = [m.model_dump() for m in DEFAULT_METRICS["regression"]]
    standing = {"run": "mae", "place": 1, "tier": 2, "overall": {"value": 1.25, "low": 1.0, "high": 2.0},
                "ranks": {"age": {"value": 1.5, "low": 1.0, "high": 2.0}}}  # fmt: skip
    write_json(Path(R, "leaderboard/leaderboard.json"), {
        "evaluate": {"confidence": 0.9}, "tasks": [{"name": "age", "metrics": metrics}], "rows": [standing],
    })  # fmt: skip
    edit("evaluate/mae/age/run.json", "outputs", SCORES, sha256(Path(SCORES)))
    return outside.as_posix()


def edit(card: str, part: str, key: str, value: object) -> None:
    path = Path(R, card)
    data = json.loads(path.read_text())
    data[part][key] = value
    path.write_text(json.dumps(data))


def why(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["why", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_number_is_told_with_interval_cases_and_every_seed(labels):
    said = why("mae", "age", "mae")
    assert said.startswith("MAE of mae on age: 7.500 years\n")
    for words in (
        "90% interval 6.500 to 8.500", "unrounded 7.5", "12 test cases of age_test; mean of 2 seeds",
        "seed 0: 7.000 years, interval 6.000 to 8.000", "seed 1: 8.000 years", SCORES, sha256(Path(SCORES)),
    ):  # fmt: skip
        assert words in said, words


def test_an_undefined_number_is_called_so(labels):
    said = why("mae", "age", "pearson_r")
    assert said.startswith("Pearson r of mae on age: undefined\n")
    assert "seed 0: undefined" in said


def test_every_job_is_told_from_the_number_to_the_raw_files(labels):
    said = why("mae", "age", "mae")
    stages = re.findall(r"^(\w+) ─+ 1 job, 1.5 s$", said, re.MULTILINE)
    assert stages == [
        "evaluate_run", "predict_test", "finetune_model", "pretrain_encoder", "preprocess_shard", "cohort_shard",
        "fetch_package",
    ]  # fmt: skip
    numbers = dict(re.findall(r"^  \[(\d)\] (\S+) ", said, re.MULTILINE))
    assert numbers["1"] == "evaluate/mae/age"
    assert numbers["7"] == "resources/packages/heads.whl"
    assert re.search(rf"read  [0-9a-f]{{12}}  {R}/predict/mae/age/seed-0/predictions.tsv  \[2\]\n", said)
    assert re.search(rf"[0-9a-f]{{12}}  {re.escape(labels)}  raw\n", said)
    card = json.loads(Path(R, "finetune/mae/age/seed-0/run.json").read_text())
    for words in (card["code"], card["environment"]["pins"], "seed 4", "2026-11-24 18:04Z", "cpu 1.2 s, 100 MB",
                  "python 3.11.7" if "python" in card["environment"]["packages"] else "numpy 2.3.5",
                  "Some CPU, 2 cores", "7 jobs lead from 3 raw files"):  # fmt: skip
        assert words in said, words


def test_raw_files_and_costs_end_it(labels):
    said = why("mae", "age", "mae")
    ending = said[said.index("raw files ─") :]
    for path in (labels, PACKAGE, f"{R}/raw/age/sub-0001/anat/sub-0001_T1w.nii.gz"):
        assert f"{sha256(Path(path))}  {Path(path).name}\n" in ending
        assert f"  {Path(path).parent.as_posix()}/\n" in ending
    assert re.search(r"all +7 jobs +10 s +cpu 8.8 s +100 MB", ending)


def test_lines_fit_the_terminal_unless_a_path_does_not(labels):
    long = [line for line in why("mae", "age", "mae").splitlines() if len(line) > WIDTH and labels not in line]
    assert [line for line in long if f"{Path(labels).parent}/" not in line] == []


def test_all_prints_whole_hashes_settings_and_files(labels):
    edit("finetune/mae/age/seed-0/run.json", "config", "finetune", {f"key_{i}": "x" * 20 for i in range(30)})
    some, everything = why("mae", "age", "mae"), why("mae", "age", "mae", "--all")
    assert "more (--all)" in some
    assert "finetune.key_29" not in some
    assert "finetune.key_29" in everything
    assert "--all" not in everything
    assert f"{sha256(Path(MODEL))}  {MODEL}" in everything
    assert "and 2 other files" in some  # the quarantine tables, which no job reads
    assert f"{R}/preprocess/age/0001.quarantine.tsv" in everything


def test_an_altered_source_is_shouted(labels):
    assert "ALTERED" not in why("mae", "age", "mae")
    edit("predict/mae/age/seed-0/run.json", "inputs", MODEL, "f" * 64)
    said = why("mae", "age", "mae")
    assert f"\nALTERED: {MODEL}\n" in said
    assert "was read by predict/mae/age/seed-0. Do not trust the number" in " ".join(said.split())
    assert re.search(rf"read  ALTERED f{{12}}  {MODEL}  \[3\]", said)
    assert json.loads(why("mae", "age", "mae", "--json"))["altered"][0]["path"] == MODEL


def test_a_missing_card_is_shouted_and_the_number_s_own_is_an_error(labels):
    Path(R, "finetune/mae/age/seed-0/run.json").unlink()
    assert f"\nUNACCOUNTED FOR: {MODEL}\n" in why("mae", "age", "mae")
    Path(R, "evaluate/mae/age/run.json").unlink()
    with pytest.raises(CairnError, match=r"scores.parquet: no card says how it was made"):
        why("mae", "age", "mae")


def test_what_differs_between_jobs_is_told(labels):
    assert "DIFFERS" not in why("mae", "age", "mae")
    edit("predict/mae/age/seed-0/run.json", "environment", "packages", {"numpy": "2.3.6"})
    edit("predict/mae/age/seed-0/run.json", "hardware", "gpu", "Some GPU")
    said = why("mae", "age", "mae")
    assert re.search(r"DIFFERS: numpy 2.3.5 in .* and 4 more jobs; 2.3.6 in\s+predict/mae/age/seed-0", said)
    assert "Some CPU, 2 cores; Some GPU: predict/mae/age/seed-0" in said


def test_ranks_places_and_tiers_lead_to_the_leaderboard(labels):
    assert why("mae", "age", "rank").startswith("Rank of mae on age: 1.5\n  90% interval 1.0 to 2.0")
    assert why("mae", "overall", "rank").startswith("Overall rank of mae: 1.25\n")
    assert why("mae", "overall", "place").startswith("Place of mae: 1\n")
    said = why("mae", "overall", "tier")
    assert said.startswith("Tier of mae: 2\n")
    assert "\nleaderboard ─" in said


def test_any_file_can_be_asked_for(labels):
    said = why(MODEL)
    assert said.startswith(f"{MODEL}\n")
    assert "finetune_model ─" in said
    assert "predict_test" not in said
    with pytest.raises(CairnError, match=r"nothing\.tsv: no card says how it was made"):
        why(f"{R}/nothing.tsv")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("mea", "age", "mae"), r"no run 'mea'\. Known: mae\."),
        (("mae", "aeg", "mae"), r"run 'mae': no task 'aeg'\. Known: age, overall\."),
        (("mae", "age", "person"), r"no metric 'person'\. Known: pearson_r, rank, mae\."),
        (("mae",), r"which task\? Known: age, overall\."),
        (("mae", "age"), r"which metric\? Known: "),
        (("mae", "overall", "auroc"), r"task 'overall': no number 'auroc'\. Known: "),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(labels, asked, said):
    with pytest.raises(CairnError, match=said):
        why(*asked)


def test_nearest_names_come_first(labels):
    Path(R, "evaluate/classical/age").mkdir(parents=True)
    Path(R, "evaluate/classical/age/scores.parquet").write_bytes(Path(SCORES).read_bytes())
    with pytest.raises(CairnError, match=r"Known: classical, mae\."):
        find_number(Path(R), "classicl", "age", "mae")
    with pytest.raises(CairnError, match=r"Known: mae, classical\."):
        find_number(Path(R), "mea", "age", "mae")


def test_json_is_the_whole_chain(labels):
    data = json.loads(why("mae", "age", "mae", "--json"))
    assert (data["asked"]["value"], data["asked"]["run"], data["asked"]["n"]) == (7.5, "mae", 12)
    assert data["files"] == [
        {"path": SCORES, "sha256": sha256(Path(SCORES)), "card": f"{R}/evaluate/mae/age/run.json"}
    ]  # fmt: skip
    assert len(data["jobs"]) == 7
    for job in data["jobs"]:
        card = json.loads(Path(job["card"]).read_text())
        assert {k: job[k] for k in card} == card
        assert {s["path"]: s["sha256"] for s in job["sources"]} == card["inputs"]
    assert set(data["raw_files"]) == {labels, PACKAGE, f"{R}/raw/age/sub-0001/anat/sub-0001_T1w.nii.gz"}
    assert data["cost"] == {"jobs": 7, "wall_s": 10.5, "cpu_s": 8.75, "peak_memory_mb": 100.0}


def test_no_colour_without_a_terminal_and_colour_on_one(labels, monkeypatch):
    import io

    from rich.console import Console

    from cairn.provenance import lines

    assert "\x1b" not in why("mae", "age", "mae")
    out = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda **k: Console(file=out, force_terminal=True, **k))
    lines.show([lines.heading("evaluate_run")])
    assert "\x1b[1mevaluate_run" in out.getvalue()
