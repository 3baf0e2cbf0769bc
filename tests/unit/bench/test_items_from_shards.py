"""Guards items from shards: orientation, masks in their place, negatives at positives' heights, no target in a name."""

import json

import numpy as np
import pytest
from made_items import SHAPE, STRUCTURES, make_radiology

from cairn.bench.items import read_items
from cairn.bench.items_from_shards import make_items, read_truth
from cairn.bench.registration import registration_dice
from cairn.bench.targets import item_targets
from cairn.config.bench import BenchTarget, ItemForm, ItemsJob, TargetsJob
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.io.tables import read_table


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_radiology(tmp_path_factory.mktemp("radiology"), 8)


def run(folder, made, form, **targets):
    job, truth = ItemsJob(dataset="d", form=form), folder / "truth.json"
    tables = {name: folder / f"{name}.tsv" for name in targets}
    facts = make_items(job, [made[0]], [made[1]], folder / "items.parquet", truth, folder / "pairs.tsv")
    for name, target in targets.items():
        facts[name] = item_targets(TargetsJob(task=BenchTarget(**target), form=form), truth, tables[name])["targets"]
    return facts, list(read_items(folder / "items.parquet")), {n: read_table(p) for n, p in tables.items()}


def test_one_item_a_structure_with_its_mask_and_a_name_that_tells_nothing(tmp_path, made):
    form = ItemForm(kind="structures", sequence="CT", mask="structures", structures=STRUCTURES)
    probe = {"kind": "probe", "key": "structure", "classes": STRUCTURES}
    facts, items, tables = run(tmp_path, made, form, organs=probe)
    assert facts["items"] == len(items) == 24
    rows = {f"{r['subject']}/{r['session']}": int(r["value"]) for r in tables["organs"]}
    contrast = {0: 60.0, 1: -50.0, 2: 25.0}
    for item in items:
        inside = float(np.median(item.image[item.mask]))
        assert inside == pytest.approx(40 + contrast[rows[item.key]], abs=12)
    orders = {tuple(rows[f"{s:04d}/1-{n:02d}"] for n in range(3)) for s in range(8)}
    assert len(orders) > 1  # numbered in no fixed order
    assert not any(name in f"{i.key} {i.filename} {i.series_id}" for i in items for name in STRUCTURES)


def test_slices_stand_as_published(tmp_path, made):
    """An axial slice is [P, L]: the front structure lies at low rows, the left lesion (higher R) at low columns."""
    session = open_sessions([made[0]])[1]
    volume = session.volume("CT")
    form = ItemForm(kind="lesion", sequence="CT", mask="lesion", crop=False)
    _, items, _ = run(tmp_path, made, form, grade={"kind": "classification", "key": "grade"})
    item = next(i for i in items if i.subject == session.subject)
    x, y, _ = np.argwhere(_lesion(made, session)).mean(axis=0)
    row, column = np.argwhere(item.mask).mean(axis=0)
    assert row == pytest.approx(SHAPE[1] - 1 - y, abs=0.5)
    assert column == pytest.approx(SHAPE[0] - 1 - x, abs=0.5)
    at = [z for z in range(SHAPE[2]) if np.array_equal(volume[::-1, ::-1, z].T, item.image)]
    assert len(at) == 1


def _lesion(made, session):
    form = ItemForm(kind="lesion", sequence="CT", mask="lesion")
    return read_truth([made[1]])[session.key].mask(session, "lesion", form)


def test_negatives_are_cut_at_heights_of_positives(tmp_path, made):
    form = ItemForm(kind="finding", sequence="CT", mask="lesion")
    _, items, tables = run(tmp_path, made, form, bleed={"kind": "classification", "key": "lesion"})
    assert [r["value"] for r in tables["bleed"]] == ["0", "1"] * 4
    heights = {}
    for item, session in zip(items, open_sessions([made[0]]), strict=True):
        low, high = session.brain_box()
        cut = session.volume("CT")[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        (at,) = [z for z in range(cut.shape[2]) if np.array_equal(cut[::-1, ::-1, z].T, item.image)]
        heights.setdefault(int(session.subject) % 2, set()).add(round(at / cut.shape[2], 3))
    assert heights[0] <= heights[1]
    assert all(i.mask is None for i in items)  # a mask would tell the answer


def test_a_lesion_that_no_slice_shows_has_no_item(tmp_path, made):
    """Neither too few pixels nor a grid without a mask makes a healthy slice ill."""
    form = ItemForm(kind="finding", sequence="CT", mask="lesion")
    areas = {}
    for session in open_sessions([made[0]]):
        mask = _lesion(made, session)
        areas[session.key] = 0 if mask is None else int(mask.sum(axis=(0, 1)).max())
    truth = json.loads(made[1].read_text())
    lost = next(key for key, area in areas.items() if area)
    truth[lost]["masks"]["lesion"] = {}
    changed = made[1].with_name("lost.json")
    changed.write_text(json.dumps(truth))
    facts, items, tables = run(tmp_path, (made[0], changed), form, bleed={"kind": "classification", "key": "lesion"})
    changed.unlink()
    assert set(facts["skipped"]) == {lost}
    assert len(items) == len(tables["bleed"]) == 7
    small = form.model_copy(update={"min_pixels": max(areas.values()) + 1})
    with pytest.raises(CairnError, match="No session shows 'lesion'"):
        run(tmp_path, made, small, bleed={"kind": "classification", "key": "lesion"})


def test_volumes_serve_several_tasks_and_pairs(tmp_path, made):
    form = ItemForm(kind="volume", sequence="T1w", slice_step=2, pairs=6, mask="structures", structures=STRUCTURES)
    facts, items, tables = run(
        tmp_path, made, form, age={"kind": "regression", "key": "age"},
        many={"kind": "findings", "classes": ("lesion", "atrophy")},
        warp={"kind": "registration", "classes": STRUCTURES[:2]},
    )  # fmt: skip
    assert {name: facts[name] for name in ("items", "pairs", "age", "many", "warp")} == {
        "items": 8, "pairs": 6, "age": 8, "many": 8, "warp": 6,
    }  # fmt: skip
    assert {i.image.ndim for i in items} == {3}
    assert [r["atrophy"] for r in tables["many"]] == ["1", "0", "0", "1", "0", "0", "1", "0"]
    pairs = read_table(tmp_path / "pairs.tsv")
    assert all(r["moving"] != r["fixed"] for r in pairs)
    assert len({(r["moving"], r["fixed"]) for r in pairs}) == 6
    by_key = {i.key: i for i in items}
    for pair, row in zip(pairs, tables["warp"], strict=True):
        assert (pair["subject"], pair["session"]) == (row["subject"], row["session"])
        assert pair["fixed"] in by_key
        found = registration_dice(tmp_path / row["mask"])
        assert len(found) == 2
        assert all(0 < d <= 1 for d in found)


def test_a_mask_of_another_sequence_lies_on_the_same_head(tmp_path, made):
    """The lesion outlined on CT is bright on T1w too."""
    form = ItemForm(kind="lesion", sequence="T1w", mask="lesion", mask_sequence="CT")
    _, items, _ = run(tmp_path, made, form, grade={"kind": "classification", "key": "grade"})
    assert len(items) == 4
    for item in items:
        outside = item.image[(item.image > 10) & ~item.mask]
        assert np.median(item.image[item.mask]) > np.median(outside) + 60


def test_only_ill_sessions_have_lesion_items_and_survival(tmp_path, made):
    form = ItemForm(kind="lesion_volume", sequence="CT", mask="lesion")
    facts, items, tables = run(
        tmp_path, made, form, life={"kind": "survival"},
        site={"kind": "probe", "key": "site", "classes": ("left", "right")}
    )  # fmt: skip
    assert [i.subject for i in items] == ["0001", "0003", "0005", "0007"]
    assert all(i.mask.shape == i.image.shape and i.mask.any() for i in items)
    found = [(r["time"], r["event"]) for r in tables["life"]]
    assert found == [("2.0", "1"), ("4.0", "0"), ("6.0", "1"), ("8.0", "0")]
    assert [r["value"] for r in tables["site"]] == ["0", "1", "0", "1"]
    assert set(facts["skipped"]) == {f"{n:04d}/1" for n in (0, 2, 4, 6)}


def test_what_the_truth_lacks_is_named(tmp_path, made):
    form = ItemForm(kind="volume", sequence="CT")
    with pytest.raises(CairnError, match="has no 'iq'"):
        run(tmp_path, made, form, iq={"kind": "regression", "key": "iq"})
    form = ItemForm(kind="finding", sequence="CT", mask="tumour")
    with pytest.raises(CairnError, match="No session shows 'tumour'"):
        run(tmp_path, made, form, t={"kind": "classification", "key": "lesion"})


def test_the_same_call_writes_the_same_bytes(tmp_path, made):
    form = ItemForm(kind="finding", sequence="CT", mask="lesion")
    for name in "ab":
        (tmp_path / name).mkdir()
        run(tmp_path / name, made, form, bleed={"kind": "classification", "key": "lesion"})
    assert (tmp_path / "a/items.parquet").read_bytes() == (tmp_path / "b/items.parquet").read_bytes()
    assert json.loads(made[1].read_text())  # the truth itself is untouched
