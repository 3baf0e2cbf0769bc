"""Guards the cards: every file by hash, and no job that reads what was altered."""

from pathlib import Path

import pytest

from cairn.errors import CairnError
from cairn.io.atomic import read_json, sha256, write_json
from cairn.provenance.cards import CARD_FORMAT, card_beside, check_inputs, hashes, read_card
from cairn.provenance.job import Job

REPO = Path(__file__).resolve().parents[3]
SCRIPT = REPO / "workflow/scripts/manifest.py"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_folder_is_hashed_file_by_file(here):
    for name in ("a/x.txt", "a/deep/y.txt", "b.txt"):
        make(name, name)
    assert hashes([Path("a"), Path("b.txt")]) == {n: sha256(Path(n)) for n in ("a/deep/y.txt", "a/x.txt", "b.txt")}


@pytest.mark.parametrize(
    ("made", "card"),
    [("p/0000.index.tsv", "p/0000.run.json"), ("p/0000.safetensors", "p/0000.run.json"),
     ("k/deepbet.whl", "k/deepbet.whl.run.json"), ("f/model.safetensors", "f/run.json"),
     ("t/labels.tsv", "t/labels.run.json"), ("p/0001.index.tsv", None)],
)  # fmt: skip
def test_the_card_of_a_file_is_found_by_its_name(here, made, card):
    for name in ("p/0000.run.json", "k/deepbet.whl.run.json", "f/run.json", "t/labels.run.json", "t/run.json"):
        make(name, "{}")
    assert card_beside(Path(made)) == (Path(card) if card else None)


def test_a_card_says_what_was_read_made_and_run(here):
    read, made = make("in/a.tsv", "1"), make("out/b.tsv", "2")
    Job("manifest", SCRIPT, {"seed": 3}).card(Path("out/run.json"), [read], [made], known={"/raw/x": "ab"}, n=7)
    card = read_card(Path("out/run.json"))
    assert card["inputs"] == {"in/a.tsv": sha256(read), "/raw/x": "ab"}
    assert card["outputs"] == {"out/b.tsv": sha256(made)}
    assert card["config"] == {"seed": 3}
    assert card["facts"] == {"n": 7}
    assert {"numpy", "pandas", "pyarrow", "python"} <= set(card["environment"]["packages"])
    for key in ("code", "config_sha256", "started", "finished", "wall_s", "cpu_s", "peak_memory_mb", "provenance_s"):
        assert card[key] not in (None, ""), key
    assert card["hardware"]["cores"] >= 1


def test_an_altered_input_is_refused_by_name(here):
    made = make("out/b.tsv", "2")
    Job("manifest", SCRIPT).card(Path("out/run.json"), [], [made])
    check_inputs(hashes([made]))
    made.write_text("3")
    with pytest.raises(CairnError, match=r"out/b.tsv: altered after it was made.*cairn restore") as caught:
        Job("manifest", SCRIPT).card(Path("later/run.json"), [made])
    assert caught.value.code == "tampered"
    assert not Path("later/run.json").exists()


def test_a_file_that_its_neighbours_card_does_not_name_is_raw(here):
    make("out/run.json", "")
    write_json(Path("out/run.json"), {"format": CARD_FORMAT, "outputs": {"out/other": "00"}})
    check_inputs(hashes([make("out/mine.tsv", "x")]))


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}'])
def test_an_unreadable_card_is_an_error(here, text):
    with pytest.raises(CairnError, match="card"):
        read_card(make("run.json", text))


def test_equal_work_gives_cards_that_differ_in_time_and_cost_alone(here):
    read, made = make("a", "1"), make("b", "2")
    cards = []
    for name in ("x/run.json", "y/run.json"):
        Job("manifest", SCRIPT, {"seed": 3}).card(Path(name), [read], [made])
        cards.append(read_json(Path(name)))
    differ = {k for k in cards[0] if cards[0][k] != cards[1][k]}
    assert differ <= {"started", "finished", "wall_s", "cpu_s", "peak_memory_mb", "provenance_s"}
