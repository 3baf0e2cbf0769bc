"""Guards tables: one row stays one row whatever its cells hold, and a wrong table is named."""

import pytest

from cairn.errors import CairnError
from cairn.io.tables import read_table, write_table


def test_cells_with_tabs_newlines_and_nothing(tmp_path):
    write_table(tmp_path / "t.tsv", [{"a": "x\ty\nz", "b": None}, {"a": 'say "no"', "b": 3}], ["a", "b"])
    assert read_table(tmp_path / "t.tsv") == [{"a": "x y z", "b": "n/a"}, {"a": 'say "no"', "b": "3"}]


def test_missing_column_names_file_and_column(tmp_path):
    (tmp_path / "t.tsv").write_text("a\n1\n")
    with pytest.raises(CairnError, match=r"t\.tsv.*column\(s\) b"):
        read_table(tmp_path / "t.tsv", ["a", "b"])


def test_a_field_that_is_too_long_names_file_and_line(tmp_path):
    (tmp_path / "t.tsv").write_text(f"a\tb\n1\t2\n1\t{'x' * 131_073}\n")
    with pytest.raises(CairnError, match=r"t\.tsv: line 3") as caught:
        read_table(tmp_path / "t.tsv")
    assert caught.value.code == "table"
    assert caught.value.remedy
