"""Guards the page: whole, self-contained, honest, and still there when the inputs are poor."""

import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser

import pytest
import stage
import world

from cairn.config.evaluate import EvaluateConfig
from cairn.io.atomic import read_json, sha256
from cairn.report.page import write_report
from cairn.report.words import number, span

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

POOR = EvaluateConfig(resamples=50, permutations=50)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("report") / "a folder é"
    note = "The large profile <config/large.yaml> can tell."
    job, board, files = stage.built(root, n=12, note=note)
    page = root / "report" / "index.html"
    write_report(job, board, files, page, page.with_name("leaderboard.png"))
    return page, board, (job, files)


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [v for k, v in attributes if k in ("src", "href", "data", "action", "srcset", "poster")]


def test_nothing_is_loaded_from_anywhere(made):
    links = Links()
    text = made[0].read_text()
    links.feed(text)
    assert links.found
    assert all(link.startswith(("#", "data:")) or link == "findings.html" for link in links.found)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org)", text)


def test_every_number_of_the_leaderboard_stands_on_the_page(made):
    page, board, _ = made
    text = unescape(re.sub(r"<[^>]+>", " ", page.read_text()))
    data = read_json(board)
    for row in data["rows"]:
        assert row["label"] in text
        if row["overall"]:
            assert number(row["overall"]["value"], 2) in text
            assert span(row["overall"]["low"], row["overall"]["high"], 2) in text
        for task in data["tasks"]:
            for metric in task["metrics"]:
                value = row["scores"][task["name"]]["metrics"][metric["name"]]
                assert number(value["value"], 3) in text
                assert span(value["low"], value["high"], 3) in text
    for effect in data["pretraining"]:
        assert number(effect["difference"], 3, sign=True) in text
        assert span(effect["low"], effect["high"], 3, sign=True) in text


def test_page_says_what_was_run_and_what_it_does_not_show(made):
    text = unescape(re.sub(r"<[^>]+>", " ", made[0].read_text()))
    for said in (
        "measures the pipeline, not clinical skill", "Test CPU", "6 min 32 s", "numpy 2.3.5", "shown, not ranked",
        "The large profile <config/large.yaml> can tell.", "How to read this", "How stable is this ranking?",
        "2 mm voxels", "12 cases",
    ):  # fmt: skip
        assert said in text, said


def test_pictures_are_all_there_and_the_figure_is_a_png(made):
    text = made[0].read_text()
    # ranks; four of stability; three tasks with metric forest and plot; slices; curves of pretraining and three tasks
    assert text.count("<figure") == 1 + 4 + 2 * 3 + 1 + 4
    assert made[0].with_name("leaderboard.png").read_bytes().startswith(b"\x89PNG")
    assert all(re.findall(r'<img src="data:image/[^"]+" alt="[^"]{10,}"', text))


def test_the_page_is_the_same_when_made_again(tmp_path):
    job, board, files = stage.built(tmp_path, tasks=["meningioma"], n=4, seeds=1, config=POOR)
    hashes = []
    for name in "ab":
        page, figure = tmp_path / name / "index.html", tmp_path / name / "leaderboard.png"
        write_report(job, board, files, page, figure)
        hashes.append((sha256(page), sha256(figure)))
    assert hashes[0] == hashes[1]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_page_opens_from_disk_without_a_complaint_and_can_be_sorted(made):
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
         "--host-resolver-rules=MAP * ~NOTFOUND", made[0].as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    # place, tier, overall; a rank a task; five metrics; one closes the dialog
    assert done.stdout.count("<button") == 3 + 3 + 5 + 1


def test_slices_never_show_what_lies_outside_the_brain(tmp_path):
    from cairn.report.slices import _example, _labels, _shards
    from cairn.report.sources import read_sources

    job, board, files = stage.built(tmp_path, tasks=["meningioma"], n=4, seeds=1, config=POOR)
    sources = read_sources(job, board, files)
    shards = _shards(sources.shards, "meningioma_test")
    labels, folder = _labels(sources.labels, "meningioma_test")
    example = _example(sources, sources.rows, "meningioma", 0, "best", (shards, labels, folder))
    shown = example.image[example.image == example.image]
    assert shown.size > 100
    assert shown.max() < 50  # everything outside the brain is 99
    assert example.truth.any()


def render(tmp_path, **options):
    job, board, files = stage.built(tmp_path, config=POOR, **options)
    page = tmp_path / "report" / "index.html"
    write_report(job, board, files, page, page.with_name("leaderboard.png"))
    return unescape(re.sub(r"<[^>]+>", " ", page.read_text()))


def test_one_run_and_one_seed(tmp_path):
    text = render(tmp_path, runs=world.RUNS[:1], seeds=1, n=6)
    assert "nothing to rank it against" in text
    assert "Not asked here." in text
    assert "too few for any claim" in text


def test_one_class(tmp_path):
    text = render(tmp_path, tasks=["infarct"], n=1, seeds=1)
    assert "one class only, so AUROC is undefined" in text
    assert "undefined" in text


def test_all_predictions_missing(tmp_path, monkeypatch):
    def nothing(folder, kind, truth, skill, rng):
        return world.write_predictions(folder, [])

    monkeypatch.setattr(world, "predict", nothing)
    text = render(tmp_path, n=6, tasks=["infarct", "meningioma"], runs=world.RUNS[:2])
    assert "all of 18 predictions are invalid (missing: 18)" in text
    assert "It cannot be told at this size." in text
    assert "No winner is named" in text


def test_nothing_but_the_leaderboard(tmp_path):
    job, board, _ = stage.built(tmp_path, config=POOR, n=6, seeds=1, tasks=["brain_age"])
    write_report(job, board, {}, tmp_path / "p.html", tmp_path / "p.png")
    text = (tmp_path / "p.html").read_text()
    assert "No learning curve was recorded." in text
    assert "No cards were given." in text
