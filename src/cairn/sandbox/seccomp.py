"""A filter of system calls for bubblewrap: what namespaces do not separate, or hide from who counts.

Keyrings belong to the user and not to a namespace, so that two entries could meet there. Memory in a ``memfd`` or a
System V segment is nobody's until it is mapped, and goes unseen where no control group counts. The rest is attack
surface of the kernel that no program of the field needs. As a list of refusals, after Docker's default profile
(https://docs.docker.com/engine/security/seccomp/); in the kernel's own language (man 2 seccomp).
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
CALL, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
NAMESPACES = 0x7E020000  # CLONE_NEW*
TYPE_FOR_OTHERS, CONSOLE = 0x5412, 0x541C  # TIOCSTI, TIOCLINUX: typing into the organiser's terminal
SET_DUMPABLE = 4  # of prctl: a process that hides its descriptors from who counts files without a name
X32 = 0x40000000

FORBIDDEN: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
        "unshare": (272, 97), "setns": (308, 268), "pivot_root": (155, 41), "mount": (165, 40), "umount2": (166, 39),
        "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
        "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "open_by_handle_at": (304, 265),
        "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
        "pidfd_getfd": (438, 438), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
        "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
        "kexec_load": (246, 104), "kexec_file_load": (320, 294), "syslog": (103, 116),
    }
)  # fmt: skip
"""Refused with EPERM: numbers on x86_64 and aarch64."""
ABSENT: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "clone3": (435, 435), "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
        "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    }
)  # fmt: skip
"""Refused with ENOSYS, so that libraries take the older way. The flags of ``clone3`` lie where no filter can look."""


@dataclass(frozen=True)
class _Machine:
    column: int
    audit: int
    clone: int
    ioctl: int
    prctl: int


MACHINES = MappingProxyType(
    {"x86_64": _Machine(0, 0xC000003E, 56, 16, 157), "aarch64": _Machine(1, 0xC00000B7, 220, 29, 167)}
)


def program(machine: str = "") -> bytes | None:
    """The filter as an array of ``struct sock_filter``; None for a machine whose numbers are not known here.

    Calls of a foreign architecture (32 bit, x32) are refused whole.
    """
    known = MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    lines = [_line(LOAD, ARCHITECTURE), _line(EQUAL, known.audit, 1, 0), _refuse(errno.EPERM), _line(LOAD, CALL)]
    lines += [_line(AT_LEAST, X32, 0, 1), _refuse(errno.EPERM)] if known.column == 0 else []
    for table, error in ((FORBIDDEN, errno.EPERM), (ABSENT, errno.ENOSYS)):
        for numbers in table.values():
            lines += [_line(EQUAL, numbers[known.column], 0, 1), _refuse(error)]
    lines += _argument(known.clone, 0, [_line(ANY_BIT, NAMESPACES, 0, 1), _refuse(errno.EPERM)])
    terminal = [_line(EQUAL, TYPE_FOR_OTHERS, 1, 0), _line(EQUAL, CONSOLE, 0, 1), _refuse(errno.EPERM)]
    lines += _argument(known.ioctl, 1, terminal)
    lines += _argument(known.prctl, 0, [_line(EQUAL, SET_DUMPABLE, 0, 1), _refuse(errno.EPERM)])
    return b"".join([*lines, _line(RETURN, ALLOW)])


def _argument(call: int, number: int, judged: list[bytes]) -> list[bytes]:
    """Judge the low half of one argument of a call, which else is allowed."""
    inner = [_line(LOAD, ARGUMENTS + 8 * number), *judged, _line(RETURN, ALLOW)]
    return [_line(EQUAL, call, 0, len(inner)), *inner]


def _refuse(error: int) -> bytes:
    return _line(RETURN, REFUSE | error)


def _line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, value)
