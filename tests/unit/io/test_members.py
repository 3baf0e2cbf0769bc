"""Guards scans inside archives: read without unpacking, hashed as unpacked; hostile archives are refused by code."""

import hashlib
import stat
import struct
import zipfile

import numpy as np
import pytest

from cairn.datasets.layouts import survey
from cairn.errors import CairnError
from cairn.io.members import content_hash, is_member, list_members, member_sha256, open_member, split_member
from cairn.io.nifti import read_scan, write_scan

DATA = np.random.default_rng(3).integers(1, 999, (6, 7, 8)).astype(np.int16)


def archive(path, **members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return path


@pytest.fixture
def packed(tmp_path):
    write_scan(tmp_path / "t1w.nii.gz", DATA, np.diag([12.0, 10.0, 10.0, 1.0]))
    content = (tmp_path / "t1w.nii.gz").read_bytes()
    return archive(tmp_path / "set/sub-1/ses-1.zip", **{"sub-1/ses-1/t1w.nii.gz": content}), content


def test_a_member_is_read_and_hashed_as_if_unpacked(packed, tmp_path):
    path, content = packed[0].parent / "ses-1.zip!/sub-1/ses-1/t1w.nii.gz", packed[1]
    assert is_member(path)
    assert split_member(path) == (packed[0], "sub-1/ses-1/t1w.nii.gz")
    with open_member(path) as opened:
        assert opened.file.read() == content
        assert (opened.size, opened.mtime_ns) == (len(content), packed[0].stat().st_mtime_ns)
        opened.file.seek(4)
        assert opened.file.read(4) == content[4:8]
    assert member_sha256(path) == hashlib.sha256(content).hexdigest() == member_sha256(tmp_path / "t1w.nii.gz")
    np.testing.assert_array_equal(read_scan(path).data, DATA)
    assert sorted(p.name for p in tmp_path.rglob("*.nii.gz")) == ["t1w.nii.gz"], "nothing was unpacked"


def encrypted(path):
    archive(path, **{"t1w.nii.gz": b"x" * 99})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(signature) + offset
        content[place : place + 2] = struct.pack("<H", 1)
    path.write_bytes(bytes(content))


def packed_by(method):
    """A maker of an archive whose member is packed by a rare method, and then damaged."""

    def make(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", method) as out:
            out.writestr("t1w.nii.gz", b"x" * 9999)
        content = bytearray(path.read_bytes())
        content[60:70] = b"\xff" * 10
        path.write_bytes(bytes(content))

    return make


def nameless(path):
    archive(path, **{"t1w.nii.gz": b"x"})
    path.write_bytes(path.read_bytes().replace(b"t1w", b"\0" * 3))  # a name ends at its first zero byte


def link(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as out:
        info = zipfile.ZipInfo("t1w.nii.gz")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(info, "/etc/passwd")


def many(path):
    archive(path, **{f"{n}.txt": b"" for n in range(10_001)})


HOSTILE = {
    "bomb": ("bomb", lambda p: archive(p, **{"t1w.nii.gz": bytes(1 << 25)})),
    "too-many": ("bomb", many),
    "up": ("member", lambda p: archive(p, **{"../../t1w.nii.gz": b"x"})),
    "absolute": ("member", lambda p: archive(p, **{"/t1w.nii.gz": b"x"})),
    "windows": ("member", lambda p: archive(p, **{"C:/t1w.nii.gz": b"x"})),
    "link": ("member", link),
    "encrypted": ("encrypted", encrypted),
    "lzma": ("method", packed_by(zipfile.ZIP_LZMA)),
    "bzip2": ("method", packed_by(zipfile.ZIP_BZIP2)),
    "nameless": ("member", nameless),
    "no-zip": ("archive", lambda p: p.write_text("no archive")),
    "empty": ("archive", lambda p: p.write_bytes(b"")),
    "cut": ("archive", lambda p: p.write_bytes(archive(p, **{"t1w.nii.gz": b"x" * 999}).read_bytes()[:40])),
    "newline": ("bad-name", lambda p: archive(p, **{"t1w\n.nii.gz": b"x"})),
    "other-person": ("misplaced", lambda p: archive(p, **{"sub-2/ses-1/t1w.nii.gz": b"x"})),
    "other-file": ("suffix", lambda p: archive(p, **{"t1w.nii.gz.exe": b"x"})),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_left_out_by_code_and_stops_nothing(what, packed):
    code, make = HOSTILE[what]
    root = packed[0].parents[1]
    (root / "sub-1/ses-2.zip").parent.mkdir(exist_ok=True)
    make(root / "sub-1/ses-2.zip")
    found = survey(root, "fomo60k")
    refused = [s.path for s in found.scans if s.session == "2"]
    assert [s.session for s in found.scans if s.session != "2"] == ["1"]
    assert {u.code for u in found.leftovers} == {code}
    assert all(u.path.startswith("sub-1/ses-2.zip") and u.reason and u.remedy for u in found.leftovers)
    assert set(refused) <= {u.path for u in found.leftovers}
    if code not in ("suffix", "misplaced") and what not in ("too-many", "nameless"):
        assert len(refused) == 1, "its loss is seen by the workflow"
        with pytest.raises(CairnError):
            read_scan(root / refused[0])


def refusal(path):
    with pytest.raises(CairnError) as refused, open_member(path) as opened:
        opened.file.read()
    return refused.value.code


def test_a_refused_member_is_not_opened_either(tmp_path):
    HOSTILE["bomb"][1](tmp_path / "a.zip")
    assert refusal(tmp_path / "a.zip!/t1w.nii.gz") == "bomb"
    encrypted(tmp_path / "b.zip")
    assert refusal(tmp_path / "b.zip!/t1w.nii.gz") == "encrypted"
    archive(tmp_path / "c.zip", **{"t1w.nii.gz": b"x"})
    assert refusal(tmp_path / "c.zip!/t2w.nii.gz") == "missing"
    assert refusal(tmp_path / "d.zip!/t2w.nii.gz") == "missing"
    assert refusal(tmp_path) == "not-a-file", "a folder is no scan"


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_member_of_a_rare_method_has_no_hash_and_raises_nothing(tmp_path, method):
    packed_by(method)(tmp_path / "a.zip")
    assert content_hash(tmp_path / "a.zip!/t1w.nii.gz") is None


@pytest.mark.parametrize("said", [None, 1])
def test_a_list_that_is_too_long_is_refused_before_it_is_parsed(tmp_path, monkeypatch, said):
    many(tmp_path / "a.zip")
    if said is not None:  # the archive gives a lower number than it has
        content = bytearray((tmp_path / "a.zip").read_bytes())
        content[-14:-10] = struct.pack("<HH", said, said)
        (tmp_path / "a.zip").write_bytes(bytes(content))
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("the list was parsed"))
    with pytest.raises(CairnError, match="10,001 members") as refused:
        list_members(tmp_path / "a.zip")
    assert refused.value.code == "bomb"


def test_a_list_of_zip64_is_counted_too(tmp_path):
    archive(tmp_path / "a.zip", **{f"{n}.txt": b"" for n in range(70_000)})
    with pytest.raises(CairnError, match="70,000 members"):
        list_members(tmp_path / "a.zip")


def test_a_comment_hides_no_list(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.comment = b"of the archive"
        out.writestr("t1w.nii.gz", b"x")
    assert [m.name for m in list_members(tmp_path / "a.zip")] == ["t1w.nii.gz"]


def test_an_announced_size_that_is_a_lie_inflates_no_further(tmp_path):
    path = archive(tmp_path / "a.zip", **{"t1w.nii": bytes(1 << 20)})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.index(signature) + offset
        content[place : place + 4] = struct.pack("<I", 500)
    path.write_bytes(bytes(content))
    assert [m.size for m in list_members(path)] == [500]
    with pytest.raises(CairnError, match="cannot be read from the archive"):
        member_sha256(tmp_path / "a.zip!/t1w.nii")


def test_damage_inside_a_member_is_named_by_hash_and_reader(packed):
    content = bytearray(packed[0].read_bytes())
    content[len(content) // 2] ^= 0xFF
    packed[0].write_bytes(bytes(content))
    path = packed[0].parent / "ses-1.zip!/sub-1/ses-1/t1w.nii.gz"
    with pytest.raises(CairnError) as refused:
        member_sha256(path)
    assert refused.value.code == "archive"
    with pytest.raises(CairnError) as refused:
        read_scan(path)
    assert refused.value.code in ("not-nifti", "truncated", "archive")


def test_a_session_unpacked_beside_its_archive_is_used_once(packed):
    write_scan(packed[0].parent / "ses-1/t1w.nii.gz", DATA, np.eye(4))
    found = survey(packed[0].parents[1], "fomo60k")
    assert [s.path for s in found.scans] == ["sub-1/ses-1/t1w.nii.gz"]
    assert [u.code for u in found.leftovers] == ["duplicate"]
