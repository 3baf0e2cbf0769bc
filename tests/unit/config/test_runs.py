"""Guards the runs table: every mistake names the line."""

import pytest

from cairn.config.runs import read_runs
from cairn.errors import CairnError

HEADER = "run\tlabel\tmethod\tobjective\n"


def write(tmp_path, text):
    (tmp_path / "runs.tsv").write_text(HEADER + text)
    return tmp_path / "runs.tsv"


def test_rows_become_runs_with_defaults(tmp_path):
    (run,) = read_runs(write(tmp_path, "mae\tMasked autoencoder\tpretrained\tmae\n"))
    assert (run.run, run.objective, run.train_on, run.ranked) == ("mae", "mae", "finetune", True)


@pytest.mark.parametrize(
    ("row", "message"),
    [("MAE\tx\tscratch\tn/a\n", "line 2.*run"), ("a\tx\tmagic\tn/a\n", "line 2.*method"),
     ("a\tx\tscratch\tn/a\na\ty\tscratch\tn/a\n", "'a' stands twice"), ("", "no runs")],
)  # fmt: skip
def test_mistakes(tmp_path, row, message):
    with pytest.raises(CairnError, match=message):
        read_runs(write(tmp_path, row))
