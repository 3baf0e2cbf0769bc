"""Guards that the same study gives the same bytes: in another folder, on another number of cores, rebuilt alone."""

from pathlib import Path

import pytest

from cairn.io.atomic import read_json, sha256

R = Path("results/ci")
RESULTS = (
    "leaderboard/leaderboard.csv",
    "leaderboard/leaderboard.json",
    "leaderboard/findings.json",
    "leaderboard/metrics.json",
)
PAGES = ("report", "findings_page")
CAIRN = ("-c", "from cairn.cli import main; main()")


def outputs(root: Path) -> dict[str, str]:
    """SHA-256 of everything that the cards name, pages left out: they show times."""
    cards = [read_json(p) for p in sorted((root / R).rglob("*run.json")) if ".state" not in p.parts]
    return {name: digest for c in cards if c["stage"] not in PAGES for name, digest in c["outputs"].items()}


@pytest.mark.slow
def test_a_number_is_rebuilt_from_raw_files_to_the_same_bytes(finished, tmp_path):
    folder = tmp_path / "made ägain"
    printed = finished.python(*CAIRN, "rebuild", "classical", "age", "mae", "-e", "ci", "--into", str(folder))
    assert "equal byte by byte" in printed
    assert "First difference" not in printed
    scores = R / "evaluate/classical/age/scores.parquet"
    assert sha256(folder / scores) == sha256(finished.root / scores)
    assert not (folder / R / "pretrain").exists()  # only what the number rests on


@pytest.mark.slow
def test_an_altered_score_does_not_survive_a_rebuild(finished, tmp_path):
    scores = finished.root / R / "evaluate/classical/age/scores.parquet"
    card = scores.with_name("run.json")
    data, said = scores.read_bytes(), card.read_text()
    card.write_text(said.replace(sha256(scores), "0" * 64))
    try:
        printed = finished.python(
            *CAIRN, "rebuild", "classical", "age", "mae", "-e", "ci", "--into", str(tmp_path / "x"), ok=False
        )  # fmt: skip
    finally:
        card.write_text(said)
        scores.write_bytes(data)
    assert "NOT the same" in printed
    assert f"First difference: {R}/evaluate/classical/age/scores.parquet" in printed


@pytest.mark.slow
def test_one_core_in_another_folder_gives_the_same_bytes(finished, new_checkout, tmp_path):
    other = new_checkout(tmp_path / "ein anderer Ordner, größer")
    other.snakemake("--configfile", "config/ci.yaml", "--cores", "1")
    for name in RESULTS:
        assert (other.root / R / name).read_bytes() == (finished.root / R / name).read_bytes(), name
    assert outputs(other.root) == outputs(finished.root)
