"""Guards predictions of entries: one bad case costs that case alone, and evaluation counts the worst answer there."""

import numpy as np
import pytest
from entrants import TASKS, honest, outcome, write_sessions

from cairn.challenge.predict_entry import CASES, Training, predict_entry
from cairn.config.challenge import ChallengeConfig, EntryJob
from cairn.config.evaluate import EvaluateConfig
from cairn.config.training import ProbeConfig
from cairn.errors import CairnError
from cairn.evaluate.cases import score_cases
from cairn.io.atomic import sha256
from cairn.io.nifti import read_label_map, read_scan, write_scan
from cairn.io.tables import LABEL_COLUMNS, read_table, write_table
from cairn.predict.probe import read_embeddings


def job(kind, repeat=0):
    probe = ProbeConfig(epochs=2, batch_size=4) if kind == "probe" else None
    return EntryJob(run="theirs", task=TASKS[kind], challenge=ChallengeConfig(repeat_cases=repeat), probe=probe)


def predicted(entry, folder, count=4, training=None, repeat=0, **options):
    kind = entry.task.kind
    sequences = ("T1w",) if kind in ("probe", "regression") else ("FLAIR", "DWI", "SWI")
    index = write_sessions(folder / "test", count, sequences)
    table = folder / "out/predictions.tsv"
    facts = predict_entry(
        job(kind, repeat), entry, [index], index.parent, table, folder / "state", training, **options
    )  # fmt: skip
    return table, read_table(table), facts


def on_case(number, bad):
    """Honest, but for one case, which it knows by its order."""
    seen = []

    def program(scans, out):
        seen.append(out)
        return bad(scans, out) if len(seen) == number else honest(scans, out)

    return program


def raising(scans, out):
    raise RuntimeError("no")


def writing(text):
    return lambda scans, out: out.write_text(text) and None


@pytest.mark.parametrize(
    ("bad", "status"),
    [(raising, "failed"), (lambda s, o: outcome("time"), "time"), (lambda s, o: outcome("memory"), "memory"),
     (lambda s, o: None, "missing"), (writing("nan"), "nan"), (writing("2"), "out-of-range"),
     (writing("0.1\t0.9\n\x00"), "several-values")],
)  # fmt: skip
def test_a_bad_case_costs_that_case_alone(entry, tmp_path, bad, status):
    table, rows, facts = predicted(entry(on_case(2, bad)), tmp_path)
    assert [r["status"] for r in rows] == ["ok", status, "ok", "ok"]
    assert facts["verdicts"] == {"ok": 3, status: 1}
    labels = tmp_path / "labels.tsv"
    write_table(labels, [r | {"value": i % 2} for i, r in enumerate(rows)], LABEL_COLUMNS)
    cases = score_cases(labels, table, "classification", EvaluateConfig())
    assert [c.status for c in cases] == ["ok", status, "ok", "ok"]
    assert cases[1].prediction == 0.0  # its label is 1: the worst
    said = read_table(table.parent / CASES)
    assert [r["verdict"] for r in said] == ["ok", status, "ok", "ok"]
    assert (table.parent / "logs/test/sub-00_ses-1.log").read_text() == "said something"


def test_an_entry_that_changes_its_answer_is_found_in_the_cases_that_are_asked_twice(entry, tmp_path):
    said = []

    def changing(scans, out):
        said.append(0.1 + len(said) / 100)
        out.write_text(str(said[-1]))

    _, rows, facts = predicted(entry(changing), tmp_path / "a", repeat=2)
    assert [r["status"] for r in rows] == ["changing", "changing", "ok", "ok"]
    assert (len(said), facts["repeated"]) == (6, {"agree": [], "differ": ["00/1", "01/1"]})
    _, rows, facts = predicted(entry(on_case(2, raising)), tmp_path / "b", repeat=1)
    assert rows[0]["status"] == "changing"
    _, rows, facts = predicted(entry(), tmp_path / "c", repeat=1)
    assert [r["status"] for r in rows] == ["ok"] * 4
    assert facts["repeated"] == {"agree": ["00/1"], "differ": []}
    assert ChallengeConfig().repeat_cases == 1


def test_a_mask_is_written_anew_on_the_scans_grid(entry, tmp_path):
    def floats(scans, out):
        scan = read_scan(scans["flair"])
        write_scan(out, (scan.data > 700).astype(np.float32), scan.affine)

    table, rows, _ = predicted(entry(floats, "segmentation"), tmp_path / "a")
    again, same, _ = predicted(entry(kind="segmentation"), tmp_path / "b")
    assert [r["mask_sha256"] for r in rows] == [r["mask_sha256"] for r in same]
    mask = table.parent / rows[0]["mask"]
    assert sha256(mask) == rows[0]["mask_sha256"]
    assert read_label_map(mask, 1).any()
    assert table.read_bytes() == again.read_bytes()


def test_masks_of_a_former_run_do_not_outlive_it(entry, tmp_path):
    table, rows, _ = predicted(entry(kind="segmentation"), tmp_path)
    old = table.parent / rows[0]["mask"]
    assert old.is_file()
    predicted(entry(raising, "segmentation"), tmp_path)
    assert not old.exists()


def test_what_is_no_fault_of_the_entry_is_told_in_words(entry, tmp_path):
    index = write_sessions(tmp_path / "test", 2, ("FLAIR", "SWI"))
    table = tmp_path / "out/predictions.tsv"
    facts = predict_entry(job("classification"), entry(), [index], index.parent, table, tmp_path / "state")
    assert all("lacks DWI" in r["status"] for r in read_table(table))
    assert facts["verdicts"] == {"not-asked": 2}


def test_no_engine_stops_the_job(entry, tmp_path):
    made = entry()

    def nothing(*_):
        raise CairnError("nothing here can run it.", "Install it.", "engine")

    object.__setattr__(made, "run", nothing)
    with pytest.raises(CairnError, match="nothing here"):
        predicted(made, tmp_path)


@pytest.fixture
def training(tmp_path):
    index = write_sessions(tmp_path / "train", 8, ("T1w",), first=20)
    rows = [{"subject": f"{n:02d}", "session": "1", "value": n % 2} for n in range(20, 28)]
    write_table(tmp_path / "labels.tsv", rows, LABEL_COLUMNS)
    return Training([index], index.parent, tmp_path / "labels.tsv")


def test_the_head_of_a_probe_is_the_organisers(entry, tmp_path, training):
    table, rows, facts = predicted(entry(kind="probe"), tmp_path, training=training)
    assert facts["trained_on"] == 8
    assert facts["verdicts"] == {"ok": 12}
    for row in rows:
        assert sum(map(float, row["value"].split())) == pytest.approx(1)
    assert len(read_embeddings(table.parent / "embeddings.parquet")["00/1"]) == 3


def test_embeddings_of_another_length_are_no_answer(entry, tmp_path, training):
    def longer(scans, out):
        np.save(out, np.ones(5, np.float32))

    _, rows, facts = predicted(entry(on_case(10, longer), "probe"), tmp_path, training=training)
    assert [r["status"] for r in rows] == ["ok", "embedding-size", "ok", "ok"]
    _, rows, facts = predicted(entry(on_case(3, longer), "probe"), tmp_path, training=training)
    assert facts["left_out_of_training"] == {"22/1": "embedding-size"}
    assert {r["status"] for r in rows} == {"ok"}


def test_an_entry_without_embeddings_has_no_head_and_stops_nothing(entry, tmp_path, training):
    _, rows, facts = predicted(entry(raising, "probe"), tmp_path, training=training)
    assert {r["status"] for r in rows} == {"no head: embeddings of 0 training subjects, and it takes 4"}
    assert facts["verdicts"] == {"failed": 8}
