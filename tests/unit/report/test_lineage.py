"""Guards the chains on the page: every number opens one, it is the whole one, it ends in raw files, and nothing in it
can break out of its element."""

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import stage
import world

from cairn.config.evaluate import EvaluateConfig
from cairn.io.atomic import read_json, write_json
from cairn.provenance import chain
from cairn.provenance.cards import read_card
from cairn.provenance.lineage import Lineage
from cairn.report.lineage import STAGES, as_script, embedded
from cairn.report.numbers import Number
from cairn.report.page import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUICK = EvaluateConfig(resamples=50, permutations=50)
TASKS = ["infarct", "brain_age"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("chains") / "a folder é"
    job, board, files = stage.built(root, n=6, seeds=2, tasks=TASKS, config=QUICK)
    page = root / "report" / "index.html"
    write_report(job, board, files, page, page.with_name("leaderboard.png"))
    return page, board, files


@pytest.fixture(scope="module")
def data(made):
    return embedded_in(made[0])


def embedded_in(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="lineage">(.*?)</script>', text, re.DOTALL)[1])


def jobs_of(data: dict, number: dict) -> set[int]:
    """Jobs that the page's script comes to from a number."""
    maker = {file: i for i, job in enumerate(data["jobs"]) for file in job["out"]}
    found, queue = set(), [maker[file] for file in number["files"]]
    while queue:
        job = queue.pop()
        if job not in found:
            found.add(job)
            queue += [other for _, other in data["jobs"][job]["in"] if other >= 0]
    return found


class Cells(HTMLParser):
    """The cells of numbers: text, and what their links lead to; all ids; all links to chains."""

    def __init__(self):
        super().__init__()
        self.cells, self.ids, self.links, self.inside = [], set(), [], False

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given["id"]} if "id" in given else set()
        if tag == "td":
            self.inside = "n" in given.get("class", "").split()
            if self.inside:
                self.cells.append(["", []])
        if tag == "a" and given["href"].startswith("#why="):
            self.links.append(given["href"])
            if self.inside:
                self.cells[-1][1].append(given["href"])

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "td"

    def handle_data(self, text):
        if self.inside:
            self.cells[-1][0] += text


@pytest.fixture(scope="module")
def parsed(made):
    cells = Cells()
    cells.feed(made[0].read_text(encoding="utf-8"))
    return cells


def test_every_cell_with_a_number_opens_a_chain(parsed, data):
    numeric = [(text.strip(), links) for text, links in parsed.cells if re.search(r"\d", text)]
    assert len(numeric) > 60
    assert [text for text, links in numeric if len(links) != 1] == []
    assert {link.removeprefix("#why=") for link in parsed.links} <= set(data["numbers"])


def test_all_kinds_of_numbers_are_among_them(parsed):
    links = {link.removeprefix("#why=") for link in parsed.links}
    wanted = (
        "mae/infarct/auroc", "mae/infarct/auroc/seed-1", "mae/infarct/rank", "mae/overall/rank", "mae/overall/place",
        "mae/overall/tier", "gain/mae/scratch/infarct/auroc", "data/infarct_test", "cost/finetune_model", "cost/all",
        "run/mae", "task/infarct", "training", "leaderboard",
    )  # fmt: skip
    assert sorted(set(wanted) - links) == []


def test_without_a_script_every_link_leads_to_the_files_of_its_number(made, parsed, data):
    assert {unescape(link[1:]) for link in parsed.links} <= parsed.ids
    text = made[0].read_text(encoding="utf-8")
    for key in ("mae/infarct/auroc", "mae/overall/rank"):
        row = next(r for r in re.findall(r"<tr>.*?</tr>", text, re.DOTALL) if f'id="why={key}"' in r)
        for _, name, digest in (data["files"][f] for f in data["numbers"][key]["files"]):
            assert name in row
            assert digest in row


def test_every_job_behind_a_number_says_what_it_did():
    repo = Path(__file__).resolve().parents[3]
    scripts = {p.stem for p in (repo / "workflow/scripts").glob("*.py")}
    no_number = {"qc", "tables", "report", "findings", "findings_page", "tracks", "package_entry", "build_image"}
    assert scripts - no_number == set(STAGES)


def test_every_chain_ends_in_raw_files(data):
    for key, number in data["numbers"].items():
        if "files" in number:
            jobs = jobs_of(data, number)
            assert sum(data["jobs"][j]["brought"] for j in jobs) > 0, key
            ends = [data["jobs"][j] for j in jobs if not any(other >= 0 for _, other in data["jobs"][j]["in"])]
            assert ends, key
            assert all(job["raw"] for job in ends), key
    names = {data["files"][f][1] for job in data["jobs"] for f in job["raw"]}
    assert names == {"heads.whl", "sub-0_ses-1_T1w.nii.gz", "sub-1_ses-1_T1w.nii.gz"}


@pytest.mark.parametrize("key", ["mae/infarct/auroc", "scratch/brain_age/mae", "mae/overall/rank", "data/infarct_test"])
def test_the_chain_is_the_one_that_the_cards_give(made, data, key):
    cards = {p.as_posix(): read_card(p) for p in made[2]["cards"]}
    number = data["numbers"][key]
    files = [f"{data['folders'][data['files'][f][0]]}/{data['files'][f][1]}" for f in number["files"]]
    steps = Lineage(cards).chain(files)
    jobs = [data["jobs"][j] for j in sorted(jobs_of(data, number))]
    assert {job["card"] for job in jobs} == {step.card for step in steps}
    assert len(jobs) >= 3
    seen = {}
    for position, job in enumerate(jobs):  # what a job reads was made by one that stands behind it
        card = cards[job["card"]]
        seen[job["card"]] = position
        settings = {name: data["settings"][i] for name, i in job["settings"]}
        assert (settings, job["code"], job["pins"]) == (card["config"], card["code"], card["environment"]["pins"])
        assert data["packages"][job["packages"]] == card["environment"]["packages"]
        assert data["machines"][job["machine"]] == "Test CPU, 2 cores"
        assert [data["files"][f][2] for f in job["out"]] != []
        assert {data["files"][f][2] for f, _ in job["in"]} == set(card["inputs"].values())
        assert all(data["jobs"][other]["card"] not in seen for _, other in job["in"] if other >= 0)


def test_a_number_says_how_to_ask_on_a_terminal_and_how_to_make_it_again(data):
    said = data["numbers"]
    assert said["mae/infarct/auroc"]["why"] == "cairn why mae infarct auroc --experiment toy"
    assert said["mae/infarct/auroc"]["rebuild"] == "cairn rebuild mae infarct auroc --experiment toy"
    assert said["mae/overall/rank"]["why"] == "cairn why mae overall rank --experiment toy"
    assert "rebuild" not in said["mae/overall/rank"]


def test_numbers_read_as_the_leaderboard_does(made, data):
    board = read_json(made[1])
    for row in board["rows"]:
        score = row["scores"]["infarct"]["metrics"]["auroc"]
        number = data["numbers"][f"{row['run']}/infarct/auroc"]
        assert number["shown"] == f"{score['value']:.3f}"
        for seed, value in score["seeds"].items():
            assert data["numbers"][f"{row['run']}/infarct/auroc/seed-{seed}"]["shown"] == f"{value:.3f}"
            assert f"{value:.3f} (seed {seed})" in " ".join(number["notes"])


def test_nothing_in_a_card_can_end_the_element(made, data):
    assert data["settings"][data["jobs"][0]["settings"][-1][1]]["text"] == "</script><!-- & \u2028"
    text = as_script({"a": "</script><!-- & \u2028\u2029 é"})
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == {"a": "</script><!-- & \u2028\u2029 é"}
    assert made[0].read_text(encoding="utf-8").count("</script>") == 2


def test_settings_and_versions_stand_once(data):
    assert len(data["packages"]) == len(data["machines"]) == 1
    assert len(data["jobs"]) > 30
    assert sum(isinstance(value, dict) for value in data["settings"]) == 1


def test_an_altered_file_and_one_without_a_card_are_told(made, monkeypatch):
    root = made[1].parents[1]
    cards = {p.as_posix(): json.loads(p.read_text()) for p in made[2]["cards"]}
    scores = (root / "evaluate/mae/infarct/scores.parquet").as_posix()
    number = {"n": Number("n", "AUROC", "0.5", "row", (scores,))}
    assert (embedded(cards, number)["altered"], embedded(cards, number)["holes"]) == ([], [])
    predictions = (root / "predict/mae/infarct/seed-0/predictions.tsv").as_posix()
    cards[(root / "evaluate/mae/infarct/run.json").as_posix()]["inputs"][predictions] = "f" * 64
    found = embedded(cards, number)
    assert [found["files"][f][1:] for f in found["altered"]] == [["predictions.tsv", "f" * 64]]

    tidy = {path.replace(root.as_posix(), "results/toy"): card for path, card in cards.items()}
    tidy = json.loads(json.dumps(tidy).replace(json.dumps(root.as_posix())[1:-1], "results/toy"))
    del tidy["results/toy/predict/mae/infarct/seed-1/run.json"]
    found = embedded(
        tidy, {"n": Number("n", "AUROC", "0.5", "row", ("results/toy/evaluate/mae/infarct/scores.parquet",))}
    )
    assert [found["files"][f][1] for f in found["holes"]] == ["predictions.tsv"]


def test_a_demo_is_small_and_a_large_study_is_cut_with_the_rest_counted(tmp_path):
    runs = [*world.RUNS, world.RUNS[1].model_copy(update={"run": "other", "label": "Other"})]
    cards = {p.as_posix(): read_card(p) for p in stage.cards(tmp_path, runs, ["a", "b", "c"], 3, scans=100)}
    number = {"n": Number("n", "Rank", "1", "row", ((tmp_path / "leaderboard/leaderboard.json").as_posix(),))}
    whole = embedded(cards, number)
    assert len(cards) > 110
    assert sum(len(job["raw"]) for job in whole["jobs"]) == 7 * 100 + 1
    assert len(as_script(whole)) < 400_000
    cut = embedded(cards, number, most_files=10)
    assert sum(len(job["raw"]) for job in cut["jobs"]) == 7 * 5 + 1
    assert sum(job["brought"] for job in cut["jobs"]) == 7 * 100 + 1
    made = {job["name"]: job for job in cut["jobs"]}[
        chain.job_name((tmp_path / "raw/p/index/0000.run.json").as_posix())
    ]
    assert made["hidden"][0] == 95
    assert jobs_of(cut, cut["numbers"]["n"]) == jobs_of(whole, whole["numbers"]["n"])
    assert len(as_script(cut)) < len(as_script(whole)) - 40_000


def test_a_page_without_cards_has_no_links_to_chains(tmp_path):
    job, board, _ = stage.built(tmp_path, config=QUICK, n=4, seeds=1, tasks=["infarct"])
    write_report(job, board, {}, tmp_path / "p.html", tmp_path / "p.png")
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "#why=" not in text
    assert "<dialog" not in text


def test_a_number_whose_card_is_missing_opens_nothing(tmp_path):
    job, board, files = stage.built(tmp_path, config=QUICK, n=4, seeds=1, tasks=["infarct"])
    files["cards"] = [p for p in files["cards"] if "evaluate/mae" not in p.as_posix()]
    write_report(job, board, files, tmp_path / "p.html", tmp_path / "p.png")
    numbers = embedded_in(tmp_path / "p.html")["numbers"]
    assert "mae/infarct/auroc" not in numbers
    assert "scratch/infarct/auroc" in numbers


def test_cards_of_another_format_are_refused(tmp_path):
    from cairn.errors import CairnError

    job, board, files = stage.built(tmp_path, config=QUICK, n=4, seeds=1, tasks=["infarct"])
    write_json(files["cards"][0], read_json(files["cards"][0]) | {"format": 1})
    with pytest.raises(CairnError, match="not a card of format 2"):
        write_report(job, board, files, tmp_path / "p.html", tmp_path / "p.png")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: the page's script is not run")
@pytest.mark.parametrize("key", ["mae/infarct/auroc", "mae/overall/rank", "cost/preprocess_shard", "training"])
def test_a_link_opens_the_chain_in_a_browser(made, data, key):
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
         "--virtual-time-budget=3000", "--host-resolver-rules=MAP * ~NOTFOUND", f"{made[0].as_uri()}#why={key}"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    shown = re.search(r'<dialog id="why"[^>]* open="">.*?</dialog>', done.stdout, re.DOTALL)
    assert shown, "the dialog did not open"
    words = unescape(re.sub(r"<[^>]+>", " ", shown[0]))
    assert data["numbers"][key]["what"] in words
    if "files" in data["numbers"][key]:
        jobs = jobs_of(data, data["numbers"][key])
        raw = sum(data["jobs"][j]["brought"] for j in jobs)
        assert f"{len(jobs)} jobs lead from {raw} raw files to this number." in words
        assert "each read exactly what the one before it wrote" in words
