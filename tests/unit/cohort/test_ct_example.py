"""Guards: a head CT out of a Debian package, read in memory, and plain words when a package is another."""

from __future__ import annotations

import io
import plistlib
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cairn.cohort import ct_example
from cairn.cohort.ct_example import fetch_example, main, read_example
from cairn.errors import CairnError
from cairn.io.atomic import sha256

SHAPE = (6, 10, 8)  # slices, rows, columns


def head() -> np.ndarray:
    hu = np.full(SHAPE, -1000, np.int16)
    hu[1:5, 2:8, 2:6] = 40
    hu[1:5, 2, 2:6] = 1200
    hu[5, 9, 7] = 77  # head, front, left
    return hu


def tar(files: dict[str, bytes], kind: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{kind}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def ar(members: dict[str, bytes]) -> bytes:
    out = b"!<arch>\n"
    for name, content in members.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
        out += header.encode() + content + b"\n" * (len(content) % 2)
    return out


def package(path: Path, *, plist: dict | None = None, matrix: bytes | None = None, cut: int = 0) -> str:
    """Write a package in the form of the real one; return its SHA-256."""
    told = {
        "modality": "CT", "spacing": [0.9, 0.8, 1.5],
        "matrix": {"dtype": "int16", "filename": "matrix.dat", "shape": list(SHAPE)}, **(plist or {}),
    }  # fmt: skip
    data = head().astype("<i2").tobytes() if matrix is None else matrix
    project = tar({"tmp/main.plist": plistlib.dumps(told), "tmp/matrix.dat": data}, "gz")
    deb = ar({
        "debian-binary": b"2.0\n", "control.tar.xz": tar({"./control": b"Package: x"}, "xz"),
        "data.tar.xz": tar({"./usr/share/doc/x/examples/Cranium.inv3": project}, "xz"),
    })  # fmt: skip
    path.write_bytes(deb[: len(deb) - cut])
    return sha256(path)


def test_voxels_run_to_the_left_the_front_and_the_head(tmp_path):
    pin = package(tmp_path / "x.deb")
    hu, affine = read_example(tmp_path / "x.deb", pin)
    assert hu.shape == (8, 10, 6)
    assert hu.dtype == np.int16
    assert hu[7, 9, 5] == 77
    assert nib.aff2axcodes(affine) == ("L", "A", "S")
    assert np.linalg.norm(affine[:3, :3], axis=0) == pytest.approx([0.9, 0.8, 1.5])
    assert affine @ [3.5, 4.5, 2.5, 1] == pytest.approx([0, 0, 0, 1])


def test_the_command_writes_nifti_in_hu(tmp_path, monkeypatch):
    pin = package(tmp_path / "x.deb")
    monkeypatch.setattr(ct_example.read_example, "__defaults__", (pin,))
    main(["--deb", str(tmp_path / "x.deb"), "--out", str(tmp_path / "head_CT.nii.gz")])
    image = nib.load(tmp_path / "head_CT.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert np.asarray(image.dataobj).min() == -1000


def test_only_the_pinned_package_is_read(tmp_path):
    package(tmp_path / "x.deb")
    with pytest.raises(CairnError, match="not the pinned package") as caught:
        read_example(tmp_path / "x.deb")
    assert caught.value.code == "checksum"
    with pytest.raises(CairnError, match="no such package"):
        read_example(tmp_path / "absent.deb")


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        ({"cut": 500}, "archive", "cut off"),
        ({"plist": {"modality": "MRI"}}, "ct-example", "not CT"),
        ({"plist": {"spacing": [0.9, 0.8]}}, "ct-example", "spacing"),
        ({"plist": {"matrix": {"dtype": "int16"}}}, "ct-example", "shape"),
        ({"matrix": b"\0" * 100}, "ct-example", "no int16 volume"),
        ({"matrix": np.zeros(SHAPE, "<i2").tobytes()}, "ct-example", "no Hounsfield units"),
    ],
)
def test_what_is_no_ct_is_refused_in_words(tmp_path, wrong, code, words):
    pin = package(tmp_path / "x.deb", **wrong)
    with pytest.raises(CairnError, match=words) as caught:
        read_example(tmp_path / "x.deb", pin)
    assert caught.value.code == code


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "x.deb").write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(CairnError, match="no ar archive"):
        read_example(tmp_path / "x.deb", sha256(tmp_path / "x.deb"))


def test_an_address_serves_the_pinned_package_or_nothing(tmp_path, monkeypatch):
    pin = package(tmp_path / "there.deb")
    content = (tmp_path / "there.deb").read_bytes()
    monkeypatch.setattr(ct_example.urllib.request, "urlopen", lambda url, timeout: io.BytesIO(content))
    out = tmp_path / "here.deb"
    with pytest.raises(CairnError, match="not the pinned package"):
        fetch_example("https://mirror.invalid/x.deb", out)
    assert not out.exists()
    fetch_example("https://mirror.invalid/x.deb", out, pin)
    assert out.read_bytes() == content
    with pytest.raises(CairnError, match="no web address"):
        fetch_example("file:///etc/hostname", out)
