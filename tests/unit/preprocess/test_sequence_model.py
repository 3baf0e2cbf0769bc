"""Guards what tells an unknown sequence: the same answer however a scan is stored, and none where it does not know."""

import json
import time
from itertools import combinations

import numpy as np
import pytest

from cairn.config.preprocess import UnknownSequences
from cairn.datasets.layouts.sequences import UNKNOWN
from cairn.errors import CairnError
from cairn.io.nifti import write_scan
from cairn.preprocess import sequence_training, unknown
from cairn.preprocess.native import read_native
from cairn.preprocess.sequence_evaluation import judge, picture
from cairn.preprocess.sequence_features import features, names
from cairn.preprocess.sequence_heads import Example, counter_examples, perturbed, stripped
from cairn.preprocess.sequence_model import OTHER, load_model
from cairn.preprocess.sequence_strangers import strangers
from cairn.preprocess.sequence_training import Table, fit

LOOKS = {  # scalp, skull, cortex, white matter, ventricles
    "T1w": (1.1, 0.1, 0.6, 0.95, 0.25), "T2w": (0.8, 0.1, 1.0, 0.6, 1.7), "FLAIR": (0.6, 0.1, 0.85, 0.6, 0.1),
}  # fmt: skip
SHELLS = (1.0, 0.92, 0.82, 0.62, 0.22)
CLASSES = [*LOOKS, OTHER]
DONORS = ("a", "b", "c")


def head(sequence, rng, spacing=(4.0, 4.0, 4.0), size=1.0):
    """An egg in shells; enough of a head for what is tested here. The real ones are made by the workflow."""
    shape = [round(220 / s) for s in spacing]
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    r = np.sqrt((x / 76) ** 2 + (y / 92) ** 2 + (z / 84) ** 2) / size
    image = np.zeros(shape)
    for limit, value in zip(SHELLS, LOOKS[sequence], strict=True):
        image[r < limit] = value * np.exp(rng.normal(0, 0.06))
    image = 800 * (image + rng.normal(0, 0.02, shape))
    data = np.maximum(image, 0).astype(np.float32)
    return Example(sequence, sequence, data, np.diag([*spacing, 1.0]), r < SHELLS[2])


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    rows = []
    for donor, size in zip(DONORS, (0.95, 1.0, 1.05), strict=True):
        for sequence in LOOKS:
            for k in range(5):
                one = head(sequence, rng, (5.0, 5.0, 5.0 if k % 2 else 6.0), size)
                rows += [(perturbed(one, rng), donor, "whole"), (stripped(perturbed(one, rng)), donor, "stripped")]
                if k < 1:
                    rows += [(c, donor, "other") for c in counter_examples(one, rng)]
    found = [(features(e.data, e.affine), e.sequence, donor, form) for e, donor, form in rows]
    found = [row for row in found if row[0] is not None]
    data, sequence, donor, form = zip(*found, strict=True)
    return Table(np.stack(data), list(sequence), list(donor), ["site"] * len(found), list(form))


@pytest.fixture(scope="module")
def model(table):
    return fit(table, 1)


def test_features_do_not_know_how_a_scan_is_stored():
    one = head("T1w", np.random.default_rng(1))
    plain = features(one.data, one.affine)
    assert plain is not None
    assert len(plain) == len(names())
    for data in (one.data[::-1], one.data.transpose(2, 0, 1), one.data[:, ::-1, ::-1], one.data * 7.5):
        np.testing.assert_allclose(features(data, one.affine), plain, rtol=1e-3, atol=1e-3)
    shifted = features(one.data - 250, one.affine)
    np.testing.assert_allclose(shifted[:6], plain[:6], atol=0.1)


def test_features_are_repeatable_and_cheap():
    one = head("T2w", np.random.default_rng(2), (1.0, 1.0, 3.0))
    start = time.process_time()
    first = features(one.data, one.affine)
    took = time.process_time() - start
    assert features(one.data, one.affine).tobytes() == first.tobytes()
    assert took < 1.0


@pytest.mark.parametrize(
    "data",
    [np.zeros((30, 30, 30)), np.ones((2, 2, 2)), -np.ones((9, 9, 9)), np.eye(40)[None].repeat(40, 0),
     np.full((40, 40, 40), 3e38), np.arange(27000.0).reshape(30, 30, 30) - 1e9],
    ids=["zero", "tiny", "negative", "diagonal", "huge", "ramp"],
)  # fmt: skip
def test_nothing_that_can_be_read_breaks_the_features(data):
    found = features(data.astype(np.float32), np.diag([4.0, 4.0, 4.0, 1.0]))
    assert found is None or np.isfinite(found).all()


def test_a_new_head_is_told_however_it_is_stored(model):
    rng = np.random.default_rng(11)
    for sequence in LOOKS:
        one = head(sequence, rng, (5.0, 5.5, 6.0), 1.02)
        for made in (one, stripped(one), Example("turned", sequence, one.data[::-1].transpose(1, 2, 0) * 3,
                                                 np.diag([5.5, 6.0, 5.0, 1.0]), None)):  # fmt: skip
            answer = model.answer(features(made.data, made.affine), 0.5)
            assert answer.likeliest == sequence, made.name


def test_what_is_no_head_stays_unknown(model):
    for one in strangers(np.random.default_rng(5)):
        assert model.answer(features(one.data, one.affine), 0.9).sequence == UNKNOWN, one.name
    assert model.answer(None, 0.5).sequence == UNKNOWN


def test_either_doubt_is_enough(model, table):
    rows = [row for row, told in zip(table.features, table.sequence, strict=True) if told == "T1w"]
    row = min(rows, key=lambda row: model.answer(row, 0.0).confidence)
    sure = model.answer(row, 0.5)
    assert sure.sequence == "T1w"
    assert sure.confidence < 1
    assert model.answer(row, 1.0).sequence == UNKNOWN
    away = row + 6 * model.scale * np.sign(row - model.centre)
    far = model.answer(away, 0.0)
    assert far.distance > 1
    assert far.sequence == UNKNOWN


def test_stored_and_read_it_says_the_same(model, table, tmp_path):
    model.save(tmp_path / "model.json")
    again = load_model(tmp_path / "model.json")
    np.testing.assert_allclose(again.probabilities(table.features), model.probabilities(table.features), atol=1e-6)
    np.testing.assert_allclose(again.distances(table.features), model.distances(table.features), atol=1e-6)
    stored = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "old.json").write_text(json.dumps(stored | {"features": ["one"]}))
    for path in (tmp_path / "old.json", tmp_path / "none.json"):
        with pytest.raises(CairnError, match="snakemake sequence_model"):
            load_model(path)


def test_the_same_table_gives_the_same_model(model, table, tmp_path):
    fit(table, 1).save(tmp_path / "a.json")
    model.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_network_is_blind_to_its_donor(monkeypatch, table):
    seen = []
    network = sequence_training._network

    def watched(x, *rest):
        seen.append(len(x))
        return network(x, *rest)

    monkeypatch.setattr(sequence_training, "_network", watched)
    fit(table, 1)
    blind = [(d,) for d in sorted(DONORS)] + list(combinations(sorted(DONORS), 2))  # the members, then the juries
    assert seen == [sum(d not in names for d in table.donor) for names in blind]


def test_one_donor_is_too_few(table):
    alone = [i for i, d in enumerate(table.donor) if d == "a"]
    one = Table(table.features[alone], *([getattr(table, n)[i] for i in alone] for n in ("sequence", "donor", "site",
                                                                                        "form")))  # fmt: skip
    with pytest.raises(CairnError, match="two donor heads"):
        fit(one, 1)


def test_the_report_card_counts_what_was_said(model, table):
    real = [i for i, s in enumerate(table.sequence) if s != OTHER]
    rows = Table(table.features[real], *([getattr(table, n)[i] for i in real] for n in ("sequence", "donor", "site",
                                                                                        "form")))  # fmt: skip
    found = judge(model, rows, 0.9)
    assert sum(sum(row.values()) for row in found["confusion"].values()) == found["scans"] == len(real)
    unknown_count = sum(row[UNKNOWN] for row in found["confusion"].values())
    assert found["coverage"] == pytest.approx(1 - unknown_count / len(real), abs=1e-4)
    coverages = [t["coverage"] for t in found["thresholds"]]
    assert coverages == sorted(coverages, reverse=True)
    assert picture(found).startswith(b"\x89PNG")


CLASSIFY = UnknownSequences(method="classify")


class Oracle:
    """Says what it was told to say of a file."""

    def __init__(self, said):
        self.said = said

    def classify(self, scan, confidence_min):
        from cairn.preprocess.sequence_model import Answer

        return Answer(self.said[scan.path.name], "T1w", 0.97, 0.4)


def session(tmp_path, *names):
    files = {}
    for name in names:
        files[name] = tmp_path / f"{name}.nii.gz"
        write_scan(files[name], np.arange(512, dtype=np.int16).reshape(8, 8, 8), np.diag([8.0, 8, 8, 1]))
    return files


def test_a_told_scan_takes_the_first_free_name_of_its_sequence(tmp_path):
    files = session(tmp_path, "T1w", "unknown", "unknown_2", "unknown_3", "unknown_4")
    said = {"unknown": "T1w", "unknown_2": "FLAIR", "unknown_3": "unknown", "unknown_4": "T1w"}
    oracle = Oracle({f"{k}.nii.gz": v for k, v in said.items()})
    told = unknown.tell(files, CLASSIFY, oracle)
    assert told.names == {
        "T1w": "T1w", "unknown": "T1w_2", "unknown_2": "FLAIR", "unknown_3": "unknown_3", "unknown_4": "T1w_3",
    }  # fmt: skip
    assert told.said["T1w_2"]["listed"] == "unknown"
    assert told.column == "unknown>T1w_2:0.970,unknown_2>FLAIR:0.970,unknown_3>unknown_3:0.970,unknown_4>T1w_3:0.970"


def test_without_a_model_or_by_choice_names_stay(tmp_path):
    files = session(tmp_path, "unknown")
    oracle = Oracle({"unknown.nii.gz": "T1w"})
    for use, given in ((UnknownSequences(), oracle), (CLASSIFY, None)):
        told = unknown.tell(files, use, given)
        assert told.names == {"unknown": "unknown"}
        assert not told.said


def test_a_scan_that_cannot_be_read_keeps_its_name_for_the_reader_to_refuse(tmp_path):
    files = session(tmp_path, "unknown")
    files["unknown_2"] = tmp_path / "broken.nii.gz"
    files["unknown_2"].write_bytes(b"no scan")
    told = unknown.tell(files, CLASSIFY, Oracle({"unknown.nii.gz": "T2w"}))
    assert told.names == {"unknown": "T2w", "unknown_2": "unknown_2"}
    with pytest.raises(CairnError):
        read_native(files["unknown_2"])
