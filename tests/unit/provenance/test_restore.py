"""Guards `cairn restore` file by file: what is found, what is set aside, what is left alone."""

import os
from pathlib import Path

import pytest

from cairn.io.atomic import write_json
from cairn.provenance.cards import CARD_FORMAT, hashes
from cairn.provenance.restore import restore, unrecorded, words

R = Path("results/x")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two jobs in a row, and the package that they begin with."""
    monkeypatch.chdir(tmp_path)
    job("results/resources/packages/a.whl.run.json", 1000.0, "results/resources/packages/a.whl")
    job("results/x/one/run.json", 2000.0, "results/x/one/a.tsv", "results/x/one/folder/b.bin")
    job("results/x/two/run.json", 3000.5, "results/x/two/c.tsv")
    return tmp_path


def job(card: str, finished: float, *outputs: str) -> None:
    for name in outputs:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    made = hashes(map(Path, outputs))
    write_json(Path(card), {
        "format": CARD_FORMAT, "stage": "stage", "inputs": {}, "outputs": made, "finished": finished,
    })  # fmt: skip


def test_all_is_as_made_and_takes_the_time_of_its_job(here):
    found = restore(R)
    assert (found.files, found.jobs, found.faults, found.set_aside) == (4, 3, [], [])
    times = {p.name: p.stat().st_mtime for p in Path("results").rglob("*.*") if ".state" not in p.parts}
    assert times["a.whl"] == 1000.0
    assert times["a.tsv"] == times["b.bin"] == 2000.0
    assert times["c.tsv"] == 3000.5


def test_what_differs_is_named_and_set_aside_with_its_card(here):
    Path("results/x/one/folder/b.bin").write_text("other")
    Path("results/x/two/c.tsv").unlink()
    found = restore(R)
    assert [(f.path, f.kind, f.stage) for f in found.faults] == [
        ("results/x/one/folder/b.bin", "altered", "stage"), ("results/x/two/c.tsv", "missing", "stage"),
    ]  # fmt: skip
    assert not Path("results/x/one/run.json").exists()
    assert not Path("results/x/two/run.json").exists()
    assert Path("results/x/one/a.tsv").exists()
    assert (R / ".state/set_aside/x/one/folder/b.bin").read_text() == "other"
    assert "altered    results/x/one/folder/b.bin" in words(found, [])


def test_a_second_check_finds_what_an_equal_size_and_time_hid(here):
    restore(R)
    path = Path("results/x/two/c.tsv")
    was = path.stat()
    path.write_text(path.read_text().replace("c", "d"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert restore(R, change=False).faults == []
    assert [f.path for f in restore(R, every=True, change=False).faults] == ["results/x/two/c.tsv"]
    assert path.exists()


def test_an_unreadable_card_is_set_aside(here):
    Path("results/x/two/run.json").write_text("{")
    found = restore(R)
    assert [(f.path, f.kind) for f in found.faults] == [("results/x/two/run.json", "unreadable")]
    assert not Path("results/x/two/run.json").exists()


def test_records_are_found_under_short_and_long_names(here):
    metadata = Path("meta")
    short, long = "results/x/one/run.json", f"results/x/{'n' * 300}/run.json"
    from base64 import urlsafe_b64encode

    name = urlsafe_b64encode(long.encode()).decode()
    (metadata / f"@{name[:254]}").mkdir(parents=True)
    (metadata / f"@{name[:254]}" / name[254:]).write_text("{}")
    (metadata / urlsafe_b64encode(short.encode()).decode()).write_text("{}")
    assert unrecorded(metadata, [short, long, "results/x/two/run.json"]) == ["results/x/two/run.json"]
    assert unrecorded(Path("nowhere"), [short]) == [short]
