"""Scans inside zip archives, named ``sub-01/ses-01.zip!/sub-01/ses-01/t1w.nii.gz``: opened, hashed, never unpacked.

FOMO300K comes as one archive a session. What an archive says of itself is not believed: members that would lie outside
it, are encrypted, packed by a rare method, or grow out of all proportion are refused by name before a byte of them is
inflated, and no more is ever inflated than the archive's list of members announces. A list that is too long is not
parsed: its entries are counted first.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from cairn.errors import CairnError
from cairn.io.codes import refuse
from cairn.io.opening import open_file

ARCHIVE = ".zip"
INTO = "!/"
MAX_MEMBERS = 10_000
MAX_RATIO = 200  # a real .nii deflates 2- to 20-fold; a bomb of zeros about 1,000-fold
SMALL_BYTES = 1 << 24  # below this, no ratio matters
MAX_BYTES = 8 << 30
MAX_LIST_BYTES = MAX_MEMBERS * 1024  # an entry is 46 bytes, its name and its times
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others' decompressors fail in ways of their own
END, END_64, PLACE_64, ENTRY = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"
END_BYTES, END_64_BYTES, PLACE_64_BYTES, COMMENT_BYTES = 22, 56, 20, 1 << 16
BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, UnicodeDecodeError, ValueError)


@dataclass(frozen=True)
class Opened:
    """An open scan: a seekable binary file, its size in bytes, when it (of a member: its archive) was last changed."""

    file: BinaryIO
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Member:
    """What an archive's list says of one member; ``code`` and ``reason`` say why it is refused, if it is."""

    name: str
    size: int
    code: str = ""
    reason: str = ""


def is_member(path: Path) -> bool:
    """Whether a path leads into an archive."""
    return f"{ARCHIVE}{INTO}" in path.as_posix()


def split_member(path: Path) -> tuple[Path, str]:
    """Archive and member of a path; the member is empty for a plain file."""
    head, found, member = path.as_posix().partition(f"{ARCHIVE}{INTO}")
    return (Path(head + ARCHIVE), member) if found else (path, "")


@contextmanager
def open_member(path: Path) -> Iterator[Opened]:
    """Open a scan, a plain file or ``archive.zip!/member``, for reading.

    Raises:
        CairnError: what `open_file` raises, and of archives ``archive``, ``member`` (its name leads outside,
            or it is no plain file), ``encrypted``, ``method``, ``bomb``.
        zipfile.BadZipFile, zlib.error: while the yielded file is read, where the archive is damaged there (`BROKEN`).
    """
    archive, member = split_member(path)
    with open_file(archive) as raw, ExitStack() as stack:
        status = os.fstat(raw.fileno())
        file, size = stack.enter_context(_inside(path, archive, member, raw)) if member else (raw, status.st_size)
        yield Opened(file, size, status.st_mtime_ns)


@contextmanager
def _inside(path: Path, archive: Path, member: str, raw: BinaryIO) -> Iterator[tuple[BinaryIO, int]]:
    with _list_of(archive, raw) as listed:
        try:
            info = listed.getinfo(member)
        except KeyError:
            raise refuse(archive, "missing", f"holds no '{member}'") from None
        refused = _judged(info)
        if refused.code:
            raise refuse(path, refused.code, refused.reason)
        try:
            file = listed.open(info)
        except (RuntimeError, OSError, *BROKEN) as error:  # OSError: the list gives a place before the file's start
            raise refuse(path, "archive", f"cannot be read from the archive ({error})") from None
        with file:
            yield cast(BinaryIO, file), info.file_size


@contextmanager
def _list_of(archive: Path, raw: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """The archive's list of members; only what fails here is laid on the archive, not what its reader does."""
    members, size = _length_of_list(raw)
    if members > MAX_MEMBERS or size > MAX_LIST_BYTES:
        raise refuse(archive, "bomb", f"{members:,} members in {size:,} bytes are more than a session has")
    raw.seek(0)
    try:
        listed = zipfile.ZipFile(raw)
    except BROKEN as error:
        raise refuse(archive, "archive", f"no readable zip archive ({error})") from None
    with listed:
        yield listed


def _length_of_list(raw: BinaryIO) -> tuple[int, int]:
    """Entries and bytes of an archive's list, found where `zipfile` will look and without parsing it; 0 for no zip.

    The number that the archive gives may be too low: `zipfile` goes by the bytes, so the entries in them are counted.
    """
    size = raw.seek(0, os.SEEK_END)
    tail_bytes = min(size, END_BYTES + COMMENT_BYTES)
    raw.seek(size - tail_bytes)
    tail = raw.read(tail_bytes)
    plain = tail[-END_BYTES:].startswith(END) and tail.endswith(b"\0\0")
    at = len(tail) - END_BYTES if plain else tail.rfind(END)
    if at < 0 or len(tail) - at < END_BYTES:
        return 0, 0
    said, length = struct.unpack_from("<HI", tail, at + 10)
    end = size - tail_bytes + at
    if end >= PLACE_64_BYTES + END_64_BYTES:
        raw.seek(end - PLACE_64_BYTES - END_64_BYTES)
        wide = raw.read(END_64_BYTES + PLACE_64_BYTES)
        if wide.startswith(END_64) and wide[END_64_BYTES:].startswith(PLACE_64):
            said, length = struct.unpack_from("<QQ", wide, 32)
            end -= PLACE_64_BYTES + END_64_BYTES
    if said > MAX_MEMBERS or length > MAX_LIST_BYTES:
        return said, length
    raw.seek(max(0, end - length))
    return max(said, raw.read(length).count(ENTRY)), length


def list_members(archive: Path) -> list[Member]:
    """Members of an archive by name, folders left out, each with why it is refused if it is.

    Raises:
        CairnError: code ``archive``, ``bomb``, ``unreadable`` or ``missing`` where the whole archive cannot be used.
    """
    with open_member(archive) as opened, _list_of(archive, opened.file) as listed:
        infos = [info for info in listed.infolist() if not info.filename.endswith("/")]
    return sorted((_judged(info) for info in infos), key=lambda one: one.name)


def _judged(info: zipfile.ZipInfo) -> Member:
    code, reason = "", ""
    name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
    if not name:
        code, reason = "member", "the member has no name"
    elif name.startswith(("/", "\\")) or "\\" in name or ".." in name.split("/") or name[1:2] == ":":
        code, reason = "member", "the member's name leads out of the archive"
    elif kind not in (0, stat.S_IFREG):
        code, reason = "member", "the member is a link or a device, not a file"
    elif info.flag_bits & 1:
        code, reason = "encrypted", "the member is encrypted"
    elif info.compress_type not in METHODS:
        code, reason = "method", f"the member is packed by method {info.compress_type}, neither stored nor deflated"
    elif info.file_size > MAX_BYTES or info.file_size > max(SMALL_BYTES, MAX_RATIO * info.compress_size):
        code, reason = "bomb", f"{info.compress_size:,} bytes would inflate to {info.file_size:,}"
    return Member(name, info.file_size, code, reason)


def member_sha256(path: Path) -> str:
    """Hex SHA-256 of a scan's own bytes: of a member as it would be unpacked, so that both forms count as one content.

    Raises:
        CairnError: what `open_member` raises, and ``archive`` for a member whose checksum is wrong.
    """
    with open_member(path) as opened:
        digest = hashlib.sha256()
        try:
            while block := opened.file.read(1 << 20):
                digest.update(block)
        except BROKEN as error:
            raise refuse(path, "archive", f"cannot be read from the archive ({error})") from None
    return digest.hexdigest()


def content_hash(path: Path) -> str | None:
    """Hex SHA-256 of a scan's own bytes; None of one that cannot be read, which the guard refuses by name later on."""
    try:
        return member_sha256(path)
    except (CairnError, OSError):
        return None
