"""Guards `cairn rank`: FOMO25's published ranks through the command, a naive rule on random tables, every bad input."""

import csv
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.cli import main
from cairn.errors import CairnError
from cairn.evaluate.rank_table import as_csv, as_markdown, rank_file, standings
from cairn.io.tables import read_table

TASKS = {"infarct": ("auroc",), "meningioma": ("dice", "nsd"), "brain_age": ("mae", "pearson_r")}
KEYS = [(task, metric) for task, metrics in TASKS.items() for metric in metrics]
BASELINES = {"baseline_unet_b": (".536", "0", "0", "12.05", ".538"), "baseline_unet_xl": (".624", "0", "0", "12.82", ".446")}  # noqa: E501  # fmt: skip
HEADER = "team,task,metric,value\n"
GOOD = HEADER + "".join(f"{t},{k},{m},0.5\n" for t in "ab" for k, m in KEYS)


def command(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["cairn", "rank", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    if stop.value.code:
        raise AssertionError(stop.value.code)


def read(path: Path) -> dict[str, dict[str, str]]:
    return {r["team"]: r for r in csv.DictReader(path.open(newline=""))}


@pytest.fixture
def published(tmp_path) -> tuple[Path, list[dict[str, str]]]:
    rows = read_table(Path(__file__).parent / "golden_fomo25.tsv")
    given = {r["team"]: [r[m] for _, m in KEYS] for r in rows} | BASELINES
    lines = [f"{team},{t},{m},{v}\n" for team, vs in given.items() for (t, m), v in zip(KEYS, vs, strict=True)]
    (tmp_path / "method.csv").write_text(HEADER + "".join(lines))
    return tmp_path / "method.csv", rows


def test_the_command_reproduces_every_published_rank(published, tmp_path, monkeypatch, capsys):
    path, rows = published
    command(monkeypatch, path, "--out", tmp_path / "new/out", *(a for b in BASELINES for a in ("--baseline", b)))
    text = (tmp_path / "new/out/ranks.csv").read_text()
    assert text.splitlines()[0] == "team,place,overall,infarct,meningioma,brain_age"
    found = read(tmp_path / "new/out/ranks.csv")
    for row in rows:
        line = found[row["team"]]
        assert f"{float(line['overall']):.1f}" == row["overall"]
        assert line["place"] == row["place"]
        assert [float(line[t]) for t in TASKS] == [float(row[c]) for c in ("rank_t1", "rank_t2", "rank_t3")]
    assert [r.split(",", 1)[1] for r in text.splitlines()[-2:]] == [",,,,"] * 2
    assert list(found)[-2:] == list(BASELINES)
    said, notes = capsys.readouterr()
    assert "|     3 | MaastrichtU-CDS   |    5.17 |       6 |        2.5 |         7 |" in said.splitlines()
    assert notes == ""


def test_a_baseline_that_competes_changes_the_ranks(published, tmp_path):
    found, _ = rank_file(published[0], tmp_path)
    assert {s.team: s.ranks["infarct"] for s in found if s.ranks}["biopet"] == 13


def naive(values, baselines):
    """The rule, spelt out with fractions and loops: {team: (place, overall, ranks)}."""
    teams = [t for t in values if t not in baselines]
    tables = {}
    for task, metrics in TASKS.items():
        entrants = [t for t in teams if all((task, m) in values[t] for m in metrics)]
        for team in teams:
            ranks = []
            for metric in metrics if team in entrants else ():
                own = values[team][task, metric]
                better = 0
                for other in entrants:
                    v = values[other][task, metric]
                    if math.isnan(own) or math.isnan(v):
                        better += math.isnan(own) and not math.isnan(v)
                    else:
                        a, b = float(f"{v:.3f}"), float(f"{own:.3f}")
                        better += a < b if metric == "mae" else a > b
                ranks.append(Fraction(1 + better))
            tables[team, task] = sum(ranks) / len(ranks) if ranks else Fraction(len(entrants) + 1)
    overall = {t: sum(tables[t, k] for k in TASKS) / 3 for t in teams}
    return {
        t: (1 + sum(o < overall[t] for o in overall.values()), overall[t], [tables[t, k] for k in TASKS]) for t in teams
    }


@st.composite
def tables(draw):
    """Up to eight teams on a few values each, so that ties abound; tasks, metrics and values are missing at times."""
    level = st.sampled_from([0.1, 0.1004, 0.1005, 0.5, 0.7005, 0.701, 12.3456, math.nan])
    values = {}
    for name in draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True)):
        kept = [k for k in KEYS if draw(st.integers(0, 9))]
        values[name] = {k: draw(level) for k in kept} or {KEYS[0]: 0.1}
    return values, draw(st.sets(st.sampled_from(sorted(values)), max_size=len(values) - 1))


@given(tables())
def test_ranks_equal_a_naive_rule_on_any_table(table):
    values, baselines = table
    expected, found = naive(values, baselines), standings(values, baselines)
    assert {s.team for s in found if s.place is None} == baselines
    for s in found[: len(expected)]:
        place, overall, ranks = expected[s.team]
        assert (s.place, [Fraction(s.ranks[t]) for t in TASKS]) == (place, ranks)
        assert s.overall == float(overall)
    assert [(s.place or 99, s.team) for s in found] == sorted((s.place or 99, s.team) for s in found)


@given(tables(), st.randoms())
def test_the_order_of_the_rows_changes_no_byte(table, random):
    values, baselines = table
    lines = [(t, k, v) for t, cells in values.items() for k, v in cells.items()]
    random.shuffle(lines)
    again = {}
    for team, key, value in lines:
        again.setdefault(team, {})[key] = value
    assert as_csv(standings(values, baselines)) == as_csv(standings(again, baselines))


def test_numbers_read_back_exactly_and_places_are_shared(tmp_path):
    values = {t: dict.fromkeys(KEYS, v) for t, v in {"a": 0.5, "b": 0.5, "c": 0.25}.items()}
    text = as_csv(standings(values))
    # in MAE the smaller value is the better one: c ranks 1 there and 3 in r
    assert text.splitlines()[1:] == ["a,1,1.1666666666666667,1,1,1.5", "b,1,1.1666666666666667,1,1,1.5",
                                     "c,3,2.6666666666666665,3,3,2"]  # fmt: skip


def test_missing_and_undefined_are_told_apart_and_told(tmp_path):
    text = GOOD.replace("b,infarct,auroc,0.5\n", "").replace("a,meningioma,nsd,0.5", "a,meningioma,nsd,")
    text = text.replace("b,brain_age,mae,0.5\n", "")
    (tmp_path / "t.csv").write_text(text)
    found, notes = rank_file(tmp_path / "t.csv", tmp_path)
    ranks = {s.team: s.ranks for s in found}
    assert ranks["a"] == {"infarct": 1, "meningioma": 1.5, "brain_age": 1}
    assert ranks["b"] == {"infarct": 2, "meningioma": 1, "brain_age": 2}
    assert notes == [
        "a has no value of nsd on meningioma (line 4): it ranks last there.",
        "b did not enter infarct: rank 2, one behind the 1 that entered.",
        "b lacks mae of brain_age: rank 2, one behind the 1 that entered.",
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "\ufeff" + t,
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace(",", " , "),
        lambda t: t.replace("team,task,metric", "Team,TASK,Metric").replace("brain_age,mae", "Brain Age,MAE"),
        lambda t: t.replace("brain_age", "brain-age").replace("a,infarct", '"a",infarct'),
        lambda t: t + "\n,,,\n",
        lambda t: t.rstrip("\n"),
        lambda t: "\n".join(",".join(line.split(",")[::-1]) for line in t.splitlines()),
    ],
)
def test_what_spreadsheets_do_to_a_table_is_accepted(tmp_path, change):
    (tmp_path / "t.csv").write_bytes(change(GOOD).encode())
    found, notes = rank_file(tmp_path / "t.csv", tmp_path)
    assert [(s.team, s.place, s.overall) for s in found] == [("a", 1, 1.0), ("b", 1, 1.0)]
    assert notes == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        (HEADER, "no row below the header"),
        (GOOD.replace(",", ";"), "separated by semicolons. Save it separated by commas"),
        (GOOD.replace(",", "\t"), "separated by tabs"),
        (GOOD.replace("team,", "tem,"), "unknown column 'tem'. Known: team"),
        ("team,task,value\na,infarct,1\n", "lacks the column(s) metric. The first line must be"),
        ("a,infarct,auroc,0.5\n", "unknown column 'a'"),
        (GOOD.replace("team,task", "team,team"), "lacks the column(s) task"),
        ("team,task,metric,value,value\n", "names a column twice"),
        (GOOD.replace("a,infarct", "a,stroke"), "line 2: unknown task 'stroke'. Known: "),
        (GOOD.replace("a,infarct,auroc", "a,infarct,dice"), "line 2: unknown metric 'dice' of task 'infarct'"),
        (GOOD.replace("a,meningioma,nsd", "a,meningioma,dice"), "line 4: dice of 'a' on meningioma stands in line 3"),
        (GOOD.replace("auroc,0.5", "auroc,high", 1), "line 2: 'high' is no number"),
        (GOOD.replace("auroc,0.5", "auroc,inf", 1), "line 2: 'inf' is no number"),
        (GOOD.replace("auroc,0.5", "auroc,1_0", 1), "line 2: '1_0' is no number"),
        (GOOD.replace("auroc,0.5", "auroc,0,5", 1), "line 2: 5 cells, not 4. A decimal comma"),
        (GOOD.replace(",auroc,0.5", ",0.5", 1), "line 2: 3 cells, not 4"),
        (GOOD.replace("a,infarct", ",infarct", 1), "line 2: no team"),
        (GOOD + 'c,"infarct', "no valid CSV"),
    ],
)
def test_every_bad_table_is_one_clear_sentence(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(CairnError) as error:
        rank_file(tmp_path / "t.csv", tmp_path / "out")
    assert said in str(error.value)
    assert str(tmp_path / "t.csv") in str(error.value)
    assert not (tmp_path / "out").exists()


def test_bad_files_folders_and_baselines(tmp_path):
    good = tmp_path / "t.csv"
    good.write_text(GOOD)
    (tmp_path / "u.csv").write_bytes(GOOD.encode("utf-16"))
    for path, baselines, said in [
        (tmp_path / "no.csv", [], "no such file"),
        (tmp_path, [], "is a folder"),
        (tmp_path / "u.csv", [], "not UTF-8 text"),
        (good, ["c"], "no team 'c' to be a baseline. Known: a, b"),
        (good, ["a", "b"], "every team is a baseline"),
    ]:
        with pytest.raises(CairnError, match=said):
            rank_file(path, tmp_path / "out", baselines)
    (tmp_path / "taken/ranks.csv").mkdir(parents=True)
    for out in (good, good / "below", tmp_path / "taken", tmp_path / ("x" * 300)):
        with pytest.raises(CairnError, match="Give --out a folder"):
            rank_file(good, out)
    assert sorted(p.name for p in (tmp_path / "taken").iterdir()) == ["ranks.csv"]


def test_the_command_ends_with_one_line_and_status_1(tmp_path, monkeypatch):
    with pytest.raises(AssertionError, match=r"^cairn: .*no such file\. Check the path\.$"):
        command(monkeypatch, tmp_path / "no.csv", "--out", tmp_path)


def test_a_terminal_without_the_characters_of_a_name_still_gets_the_ranks(tmp_path):
    (tmp_path / "t.csv").write_text(GOOD.replace("b,", "Ö,"), encoding="utf-8")
    call = [sys.executable, "-c", "from cairn.cli import main; main()", "rank", "t.csv", "--out", "out"]
    done = subprocess.run(
        call, cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"| ?    |" in done.stdout
    assert "Ö,1,1,1,1,1" in (tmp_path / "out/ranks.csv").read_text(encoding="utf-8")


def test_a_bar_in_a_name_does_not_break_the_printed_table():
    lines = as_markdown(standings({"a|b": dict.fromkeys(KEYS, 0.5)})).splitlines()
    assert r"a\|b" in lines[2]
    assert len({len(line) for line in lines}) == 1
