"""Guards the published layout of CuriaBench: what is written reads back, and what is wrong is named."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from cairn.bench.items import Item, read_items, write_items
from cairn.bench.published import PublishedItem, import_items, read_published, split_files, write_published
from cairn.bench.targets import item_targets
from cairn.config.bench import BenchTarget, ImportItemsJob, ItemForm, PublishedSet, TargetsJob
from cairn.errors import CairnError
from cairn.io.tables import read_table


def rows(count, shape=(5, 7), masked=True, classes=3):
    rng = np.random.default_rng(0)
    for n in range(count):
        image = rng.normal(0, 300, shape).astype(np.float32)
        mask = image > 0 if masked else None
        item = Item(f"p{n // 2}", str(n), image, mask, f"p{n // 2}", f"image{n}.dcm")
        yield PublishedItem(item, n % classes, {"series_id": f"p{n // 2}", "filename": f"image{n}.dcm"})


def published_table(**columns):
    """Columns as anyone's writer makes them."""
    return pa.table(columns)


@pytest.mark.parametrize(("shape", "masked"), [((5, 7), True), ((3, 4, 6), True), ((2, 5, 5), False)])
def test_what_is_written_in_the_published_schema_reads_back(tmp_path, shape, masked):
    given = list(rows(7, shape, masked))
    files = write_published(tmp_path / "kits", "train", given, shard_bytes=4 * 5 * int(np.prod(shape)))
    assert [f.name for f in files] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert split_files(tmp_path, "kits", "train") == files
    found = list(read_published(files))
    for a, b in zip(given, found, strict=True):
        np.testing.assert_array_equal(a.item.image, b.item.image)
        assert b.item.image.dtype == np.float32
        assert (b.item.mask is None) is not masked
        if masked:
            np.testing.assert_array_equal(a.item.mask, b.item.mask)
        assert (a.target, a.item.series_id, a.item.filename) == (b.target, b.item.series_id, b.item.filename)
    schema = parquet.read_schema(files[0])
    nested = pa.list_(pa.list_(pa.float32()))
    assert schema.field("image").type == (nested if len(shape) == 2 else pa.list_(nested))
    assert set(schema.names) == {"image", "target", "series_id", "filename"} | ({"mask"} if masked else set())


def test_files_of_other_writers_are_read(tmp_path):
    """Doubles, masks of bytes, large or fixed-size lists, a row without extras, several row groups."""
    image = np.arange(12, dtype=float).reshape(3, 4)
    mask = (image > 5).astype(np.int8)
    for n, kind in enumerate([
        pa.list_(pa.list_(pa.float64())), pa.large_list(pa.large_list(pa.float32())),
        pa.list_(pa.list_(pa.float64(), 4)),
    ]):  # fmt: skip
        table = published_table(
            image=pa.array([image.tolist()] * 3, kind), mask=pa.array([mask.tolist()] * 3), target=[0, 1, 0]
        )
        path = tmp_path / f"test-{n}.parquet"
        parquet.write_table(table, path, row_group_size=1)
        found = list(read_published([path]))
        assert len(found) == 3
        np.testing.assert_array_equal(found[2].item.image, image)
        np.testing.assert_array_equal(found[2].item.mask, mask > 0)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"image": [[[1.0, 2.0], [3.0]]], "target": [0]}, "row 0: image: is ragged"),
        ({"image": [[[1.0, float("nan")]]], "target": [0]}, "NaN"),
        ({"image": [[[1.0, None]]], "target": [0]}, "missing"),
        ({"image": [[1.0, 2.0]], "target": [0]}, "1 axes"),
        ({"image": [[[1.0, 2.0]]], "mask": [[[1], [0]]], "target": [0]}, "mask of shape"),
        ({"image": [[[1.0, 2.0]]], "mask": [[[0, 0]]], "target": [0]}, "mask is empty"),
        ({"image": [[[1.0, 2.0]]]}, "lacks the column.*target"),
        ({"target": [0]}, "lacks the column.*image"),
    ],
)
def test_a_bad_file_is_named(tmp_path, columns, named):
    path = tmp_path / "test-0.parquet"
    parquet.write_table(pa.table(columns), path)
    with pytest.raises(CairnError, match=named):
        list(read_published([path]))


def test_a_cut_file_and_a_missing_one_are_named(tmp_path):
    (path,) = write_published(tmp_path, "test", rows(2))
    path.write_bytes(path.read_bytes()[:-20])
    for wrong in (path, tmp_path / "none.parquet"):
        with pytest.raises(CairnError, match=wrong.name):
            list(read_published([wrong]))


def imported(tmp_path, target, given, **more):
    files = write_published(tmp_path / "p", "test", given)
    job = ImportItemsJob(dataset="d", published=PublishedSet(config="c", split="test", **more))
    truth = tmp_path / "truth.json"
    facts = import_items(job, files, tmp_path / "items.parquet", truth, tmp_path / "pairs.tsv")
    asked = TargetsJob(task=target, form=ItemForm(kind="published"))
    facts |= item_targets(asked, truth, tmp_path / "targets.tsv")
    return facts, list(read_items(tmp_path / "items.parquet")), read_table(tmp_path / "targets.tsv")


def test_imported_items_know_no_target(tmp_path):
    target = BenchTarget(kind="probe", key="target", classes=("a", "b", "c"))
    facts, items, table = imported(tmp_path, target, rows(8), classes=("a", "b", "c"))
    assert (facts["items"], facts["people"], facts["targets"]) == (8, 4, 8)
    schema = parquet.read_schema(tmp_path / "items.parquet").names
    assert "target" not in schema
    assert [i.key for i in items] == [f"{r['subject']}/{r['session']}" for r in table]
    assert [r["value"] for r in table] == [str(n % 3) for n in range(8)]
    assert {i.subject for i in items} == {"p0", "p1", "p2", "p3"}


def test_classes_of_a_task_are_renumbered_and_the_rest_left_out(tmp_path):
    """Organs of CT and MRI meet in the names that both have; without names, targets stay numbers."""
    kept = BenchTarget(kind="probe", key="target", classes=("c", "a"))
    facts, items, table = imported(tmp_path, kept, rows(9), classes=("a", "b", "c"))
    assert (facts["targets"], facts["left_out"], len(items)) == (6, 3, 9)
    assert [r["value"] for r in table] == ["1", "0"] * 3
    plain = BenchTarget(kind="probe", key="target", classes=("c", "a", "x"))
    assert [r["value"] for r in imported(tmp_path, plain, rows(3))[2]] == ["0", "1", "2"]


def test_a_target_out_of_the_classes_is_refused(tmp_path):
    target = BenchTarget(kind="probe", key="target", classes=("a", "b"))
    for names in ((), ("a", "b")):
        with pytest.raises(CairnError, match="target 2 is none of the classes"):
            imported(tmp_path, target, rows(3), classes=names)


def test_survival_and_findings_are_read_by_name(tmp_path):
    given = [PublishedItem(r.item, 0, {**r.extras, "days": 10.0 + n, "dead": n % 2}) for n, r in enumerate(rows(4))]
    survival, columns = BenchTarget(kind="survival"), {"days": "time_years", "dead": "event"}
    _, _, table = imported(tmp_path, survival, given, columns=columns)
    assert [(r["time"], r["event"]) for r in table] == [("10.0", "0"), ("11.0", "1"), ("12.0", "0"), ("13.0", "1")]
    with pytest.raises(CairnError, match=r"lacks the column.*months"):
        imported(tmp_path, survival, given, columns={"months": "time_years"})
    several = [PublishedItem(r.item, [n % 2, 1], r.extras) for n, r in enumerate(rows(4))]
    findings = BenchTarget(kind="findings", classes=("blood", "mass"))
    _, _, table = imported(tmp_path, findings, several, classes=("blood", "mass"))
    assert [(r["blood"], r["mass"]) for r in table] == [("0", "1"), ("1", "1")] * 2
    with pytest.raises(CairnError, match="no list of 3 findings"):
        imported(tmp_path, findings, several, classes=("blood", "mass", "air"))


def test_items_of_mixed_axes_or_equal_names_are_refused(tmp_path):
    flat, deep = np.ones((2, 2), np.float32), np.ones((2, 2, 2), np.float32)
    with pytest.raises(CairnError, match="differ in axes"):
        write_items(tmp_path / "i.parquet", [Item("a", "1", flat), Item("b", "1", deep)])
    with pytest.raises(CairnError, match="stands twice"):
        write_items(tmp_path / "i.parquet", [Item("a", "1", flat), Item("a", "1", flat)])
    with pytest.raises(CairnError, match="No item"):
        write_items(tmp_path / "i.parquet", [])
    assert not (tmp_path / "i.parquet").exists()


@pytest.mark.parametrize(("axis", "at"), [("smallest", 2), ("first", 0), ("last", 2)])
@pytest.mark.parametrize("shape", [(8, 9, 4)])
def test_the_axis_of_slices_comes_first_in_image_and_mask(tmp_path, shape, axis, at):
    _, items, _ = imported(tmp_path, BenchTarget(kind="regression", key="target"), rows(2, shape), slice_axis=axis)
    for given, item in zip(rows(2, shape), items, strict=True):
        np.testing.assert_array_equal(item.image, np.moveaxis(given.item.image, at, 0))
        np.testing.assert_array_equal(item.mask, np.moveaxis(given.item.mask, at, 0))
    assert PublishedSet(config="c", split="test").slice_axis == "smallest"


def test_rows_without_a_person_are_not_the_same_person_in_two_splits(tmp_path):
    given = [PublishedItem(r.item, r.target, {"series_id": None}) for r in rows(3)]
    found = {}
    for split in ("train", "test"):
        files = write_published(tmp_path / "p", split, given)
        job = ImportItemsJob(dataset="d", published=PublishedSet(config="c", split=split))
        items = tmp_path / f"{split}.parquet"
        import_items(job, files, items, tmp_path / f"{split}.json", tmp_path / f"{split}.tsv")
        found[split] = {item.subject for item in read_items(items)}
    assert [len(names) for names in found.values()] == [3, 3]
    assert not found["train"] & found["test"]
