"""Guards that the commented defaults and the JSON schema say what the models say."""

from pathlib import Path

from cairn.config.reference import files

ROOT = Path(__file__).resolve().parents[3]


def test_reference_files_are_in_step():
    for path, text in files(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, f"run `python -m cairn.config.reference --fix` for {path.name}"
