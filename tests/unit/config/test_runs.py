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


ALL = "run\tlabel\tmethod\tobjective\tnetwork\tpretrain_data\tdata_fraction\tsteps\tencoder\tseeds\n"
MAKER = "mae\tM\tpretrained\tmae\tunet\tscans\t0.5\t40\tn/a\t2\n"


def read(tmp_path, text):
    (tmp_path / "runs.tsv").write_text(ALL + text)
    return read_runs(tmp_path / "runs.tsv")


def test_a_run_that_starts_from_anothers_encoders_takes_its_facts_over(tmp_path):
    frozen, maker = read(tmp_path, "frozen\tF\tpretrained\tn/a\tn/a\tn/a\tn/a\tn/a\tmae\tn/a\n" + MAKER)
    names = ("objective", "network", "pretrain_data", "data_fraction", "steps", "seeds")
    assert [getattr(frozen, n) for n in names] == ["mae", "unet", "scans", 0.5, 40, 2]
    assert [getattr(maker, n) for n in names] == ["mae", "unet", "scans", 0.5, 40, 2]


@pytest.mark.parametrize(
    ("row", "message"),
    [("a\tx\tpretrained\tn/a\tn/a\tn/a\tn/a\tn/a\tother\tn/a\n", "'other' is not that of a run.*: mae"),
     ("a\tx\tscratch\tn/a\tn/a\tn/a\tn/a\tn/a\tmae\tn/a\n", "'mae' is not that of a run"),
     ("a\tx\tpretrained\tn/a\tn/a\tn/a\tn/a\t9\tmae\tn/a\n", "steps is theirs"),
     ("a\tx\tpretrained\tn/a\tn/a\tn/a\tn/a\tn/a\tmae\t3\n", "3 seeds, but 'mae' makes 2")],
)  # fmt: skip
def test_encoders_that_are_not_there(tmp_path, row, message):
    with pytest.raises(CairnError, match=message):
        read(tmp_path, MAKER + row)


@pytest.mark.parametrize("fraction", ["0", "1.01", "half"])
def test_a_share_is_above_0_and_at_most_1(tmp_path, fraction):
    with pytest.raises(CairnError, match=r"line 2.*data_fraction"):
        read(tmp_path, MAKER.replace("0.5", fraction))
