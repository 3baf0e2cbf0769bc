"""Guards the verdicts on outputs: each fault has its name, an empty mask is an answer, and no file does harm."""

import gzip
import os
import struct

import numpy as np
import pytest

from cairn.challenge.outputs import MOST_TEXT_BYTES, REMEDIES, check_output
from cairn.config.tasks import TaskSpec
from cairn.io.nifti import write_scan

AFFINE = np.array([[2.0, 0.1, 0, -30], [-0.1, 2.0, 0, -40], [0, 0, 3.0, -20], [0, 0, 0, 1]])
SHAPE = (30, 32, 20)
INFARCT = TaskSpec(name="infarct", kind="classification", required=("FLAIR",))
AGE = TaskSpec(name="age", kind="regression", required=("T1w",))
LESION = TaskSpec(name="lesion", kind="segmentation", required=("FLAIR",), mask_sequence="FLAIR")
NERVE = TaskSpec(
    name="nerve", kind="segmentation", required=("T2w",), mask_sequence="T2w", classes=("nerve", "vessels")
)
PROBE = TaskSpec(name="sex", kind="probe", required=("T1w",), classes=("f", "m"))


def said(folder, task, content: bytes):
    path = folder / "output.txt"
    path.write_bytes(content)
    return check_output(task, path, None)


@pytest.mark.parametrize(
    ("task", "text", "value"),
    [(INFARCT, "0.731\n", 0.731), (INFARCT, " 1 ", 1.0), (INFARCT, "1e-3", 0.001), (INFARCT, "0", 0.0),
     (AGE, "67.5", 67.5), (AGE, "+4.", 4.0)],
)  # fmt: skip
def test_one_number_is_an_answer(tmp_path, task, text, value):
    found = said(tmp_path, task, text.encode())
    assert (found.verdict, found.value) == ("ok", value)


@pytest.mark.parametrize(
    ("task", "content", "verdict"),
    [(INFARCT, b"", "empty"), (INFARCT, b" \n", "empty"), (INFARCT, b"yes", "not-a-number"),
     (INFARCT, b"0.3 0.7", "several-values"), (INFARCT, b"[0.3, 0.7]", "several-values"),
     (INFARCT, b"0.3,0.7", "several-values"), (INFARCT, b"nan", "nan"), (INFARCT, b"-inf", "nan"),
     (INFARCT, b"1e999", "out-of-range"), (INFARCT, b"5", "out-of-range"), (INFARCT, b"-0.1", "out-of-range"),
     (AGE, b"131", "out-of-range"), (INFARCT, b"1_0", "not-a-number"), (INFARCT, b"0x1p3", "not-a-number"),
     (INFARCT, "٣".encode(), "not-a-number"), (INFARCT, b"\xff\xfe\x00", "not-a-number"),
     (INFARCT, b"0" * (MOST_TEXT_BYTES + 1), "too-large"), (INFARCT, b"\x1b0.3", "not-a-number")],
)  # fmt: skip
def test_what_is_no_number(tmp_path, task, content, verdict):
    found = said(tmp_path, task, content)
    assert (found.verdict, found.value) == (verdict, None)
    assert found.remedy == REMEDIES[verdict]
    assert found.sentence.isprintable()


def test_nothing_follows_a_link_or_waits_for_a_pipe(tmp_path):
    (tmp_path / "secret.txt").write_text("0.5")
    (tmp_path / "link.txt").symlink_to(tmp_path / "secret.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    verdicts = [check_output(INFARCT, tmp_path / f"{n}.txt", None).verdict for n in ("link", "pipe", "folder", "none")]
    assert verdicts == ["link", "not-a-file", "not-a-file", "missing"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "flair.nii.gz"
    write_scan(path, np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16), AFFINE)
    return path


def mask(folder, data, affine=AFFINE):
    write_scan(folder / "output.nii.gz", data, affine)
    return folder / "output.nii.gz"


def some(*labels):
    data = np.zeros(SHAPE, np.uint8)
    for i, label in enumerate(labels):
        data[5 + 3 * i : 8 + 3 * i, 5:9, 5:9] = label
    return data


@pytest.mark.parametrize("labels", [(), (1,)])
def test_masks_of_one_lesion_empty_or_not(tmp_path, reference, labels):
    found = check_output(LESION, mask(tmp_path, some(*labels)), reference)
    assert found.ok
    assert np.array_equal(found.labels, some(*labels))


def test_labels_as_floats_and_several_classes_are_a_mask(tmp_path, reference):
    assert check_output(LESION, mask(tmp_path, some(1).astype(np.float32)), reference).ok
    assert check_output(NERVE, mask(tmp_path, some(1, 2)), reference).ok


def tilted():
    affine = AFFINE.copy()
    affine[0, 3] += 0.5
    return affine


@pytest.mark.parametrize(
    ("data", "affine", "verdict"),
    [(some(1)[:-1], AFFINE, "wrong-shape"), (some(1).transpose(1, 0, 2), AFFINE, "wrong-shape"),
     (some(1), tilted(), "wrong-affine"), (some(1), np.diag([-1, 1, 1, 1.0]) @ AFFINE, "wrong-affine"),
     (some(4), AFFINE, "label-set"), (some(1, 2), AFFINE, "label-set"),
     (some(1).astype(np.float32) * 0.4, AFFINE, "wrong-type"),
     (np.where(some(1) > 0, np.nan, 0).astype(np.float32), AFFINE, "nan"),
     (-some(1).astype(np.int16), AFFINE, "label-set"), (some(1)[..., None], AFFINE, "wrong-dimension"),
     (np.stack([some(1), some(1)], -1), AFFINE, "wrong-dimension"), (some(1)[0], AFFINE, "wrong-dimension")],
)  # fmt: skip
def test_what_is_no_mask(tmp_path, reference, data, affine, verdict):
    found = check_output(LESION, mask(tmp_path, data, affine), reference)
    assert found.verdict == verdict, found.sentence
    assert found.labels is None
    assert str(tmp_path) not in found.sentence


def test_bytes_that_are_no_nifti(tmp_path, reference):
    path = tmp_path / "output.nii.gz"
    verdicts = []
    for content in (b"hello", gzip.compress(b"hello" * 200), mask(tmp_path, some(1)).read_bytes()[:-40]):
        path.write_bytes(content)
        verdicts.append(check_output(LESION, path, reference).verdict)
    assert set(verdicts) == {"not-nifti"}
    path.write_bytes(b"")
    assert check_output(LESION, path, reference).verdict == "empty"


def test_a_header_that_asks_for_a_terabyte_is_refused_unread(tmp_path, reference):
    raw = bytearray(gzip.decompress(mask(tmp_path, some(1)).read_bytes()))
    raw[40:48] = struct.pack("<4h", 3, 30000, 30000, 30000)
    (tmp_path / "output.nii.gz").write_bytes(gzip.compress(bytes(raw)))
    assert check_output(LESION, tmp_path / "output.nii.gz", reference).verdict == "too-large"


def vector(folder, array, **options):
    np.save(folder / "output.npy", array, **options)
    return folder / "output.npy"


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2"])
def test_a_vector_is_an_answer(tmp_path, kind):
    found = check_output(PROBE, vector(tmp_path, np.arange(7).astype(kind)), None)
    assert found.ok
    assert found.vector.dtype == np.float32
    assert np.array_equal(found.vector, np.arange(7))


def test_a_batch_of_one_is_its_vector(tmp_path):
    np.save(tmp_path / "out.npy", np.arange(7, dtype=np.float32)[None])
    checked = check_output(PROBE, tmp_path / "out.npy", None)
    assert checked.ok
    assert checked.vector.tolist() == list(range(7))


@pytest.mark.parametrize(
    ("array", "verdict"),
    [(np.zeros((2, 7)), "wrong-dimension"), (np.zeros((1, 1, 7)), "wrong-dimension"),
     (np.array(0.3), "wrong-dimension"), (np.zeros(0), "empty"),
     (np.array([1, np.nan]), "nan"), (np.array([1e300]), "nan"), (np.arange(7), "wrong-type"),
     (np.array(["a"]), "wrong-type"), (np.array([{}], object), "wrong-type"), (np.zeros(1 << 18), "too-large")],
)  # fmt: skip
def test_what_is_no_vector(tmp_path, array, verdict):
    assert check_output(PROBE, vector(tmp_path, array), None).verdict == verdict


def test_a_vector_whose_header_lies(tmp_path):
    path = vector(tmp_path, np.zeros(7, np.float32))
    whole = path.read_bytes()
    for content in (whole.replace(b"(7,)", b"(9,)"), whole[:-4], b"no magic", whole[:20]):
        path.write_bytes(content)
        assert check_output(PROBE, path, None).verdict == "not-npy"


def test_content_tells_answers_apart_and_not_files(tmp_path, reference):
    one = check_output(LESION, mask(tmp_path, some(1)), reference)
    same = check_output(LESION, mask(tmp_path, some(1).astype(np.float32)), reference)
    other = check_output(LESION, mask(tmp_path, some()), reference)
    assert one.content == same.content != other.content
    assert said(tmp_path, AGE, b"60").content != said(tmp_path, AGE, b"61").content
