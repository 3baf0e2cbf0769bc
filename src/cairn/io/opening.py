"""Opening a stranger's file without harm: no pipe that never ends, no device, no link out of the data set, no bomb."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from pathlib import Path
from typing import BinaryIO

from cairn.errors import CairnError
from cairn.io.codes import refuse

CHUNK = 1 << 20
GZIP = b"\x1f\x8b"
_MACHINE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # no file can be blamed for these
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def visible_name(name: str) -> str:
    """``name`` with each character that a table cannot hold replaced by one that shows it.

    Control characters become their pictures (a line break ``␊``), bytes that are no UTF-8 ``�``. A file of such a name
    is then refused with code ``name`` instead of being looked for in vain.
    """
    pictures = {c: 0x2400 + c for c in range(32)} | {127: 0x2421}
    return name.translate(pictures).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; its size and time are ``os.fstat``'s.

    Raises:
        CairnError: code ``missing``, ``name``, ``not-a-file`` or ``unreadable``.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer must not block
    except ValueError:
        raise refuse(repr(str(path)), "name", "the name holds a null character") from None
    except OSError as error:
        raise _refused(path, error) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise refuse(path, "not-a-file", "no regular file (a folder, pipe, socket or device)")
    return os.fdopen(handle, "rb")


def _refused(path: Path, error: OSError) -> CairnError:
    if error.errno in _MACHINE:
        raise error
    if error.errno == errno.ENXIO:
        return refuse(path, "not-a-file", "no regular file (a socket)")
    if error.errno not in _ABSENT:
        return refuse(path, "unreadable", f"the file cannot be opened ({error.strerror})")
    if any("\u2400" <= c <= "\u2421" or c == "\ufffd" for c in str(path)):
        return refuse(path, "name", "the name holds a character that a table cannot, shown here by a picture of it")
    link = " (a symbolic link that leads nowhere)" if path.is_symlink() else ""
    return refuse(path, "missing", f"no such file{link}")


def refuse_outside(path: Path, root: Path) -> None:
    """Refuse a file that a symbolic link takes out of the data set's folder ``root``.

    Raises:
        CairnError: code ``outside-root``.
    """
    real, inside = os.path.realpath(path), os.path.realpath(root)
    if os.path.commonpath([real, inside]) != inside:
        raise refuse(path, "outside-root", f"a symbolic link leads out of '{root}'")


class Unpacked:
    """The content of a gzip stream in bounded pieces: never more is unpacked than was asked for.

    `gzip.GzipFile` unpacks a stream as well, but reads a hostile file name in its header byte by byte, and does not
    tell data that follow the stream from damage.

    Args:
        stream: the compressed bytes, at the start of a gzip member.

    Attributes:
        garbage: after the end, the bytes that follow the last member and are neither gzip nor zeros.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._member, self._waiting = stream, zlib.decompressobj(31), b""
        self.garbage = 0

    def read(self, most: int) -> bytes:
        """Between 1 and ``most`` bytes, or none at the end.

        Raises:
            EOFError: the stream ends within a member.
            zlib.error: the data are damaged, or a member's checksum is wrong.
        """
        while True:
            if self._member.eof and not self._next_member():
                return b""
            packed = self._waiting or self._stream.read(CHUNK)
            if not packed:
                raise EOFError("the compressed data end too early")
            out = self._member.decompress(packed, most)
            self._waiting = self._member.unconsumed_tail
            if out:
                return out

    def _next_member(self) -> bool:
        if self.garbage:
            return False
        rest = self._member.unused_data.lstrip(b"\0")  # zeros pad a stream to whole blocks
        while len(rest) < 2 and (more := self._stream.read(CHUNK)):
            rest = (rest + more).lstrip(b"\0")
        if rest[:2] == GZIP:
            self._member, self._waiting = zlib.decompressobj(31), rest
            return True
        self.garbage = len(rest)
        while more := self._stream.read(CHUNK):
            self.garbage += len(more)
        return False
