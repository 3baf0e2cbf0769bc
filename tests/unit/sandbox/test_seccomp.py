"""Guards the filter of system calls, read by a small machine of its own."""

import struct

import pytest

from cairn.sandbox.seccomp import ABSENT, FORBIDDEN, MACHINES, NAMESPACES, program

ALLOWED, DENIED, UNKNOWN = 0x7FFF0000, 0x50001, 0x50026  # EPERM, ENOSYS


def judge(machine, number, *arguments, audit=None):
    """Run the program on one call, as the kernel would."""
    data = struct.pack("<IIQ6Q", number, audit or MACHINES[machine].audit, 0, *arguments, *[0] * (6 - len(arguments)))
    lines = list(struct.iter_unpack("<HBBI", program(machine)))
    at, loaded = 0, 0
    while True:
        code, yes, no, value = lines[at]
        if code == 0x06:
            return value
        if code == 0x20:
            loaded, skip = struct.unpack_from("<I", data, value)[0], 0
        else:
            true = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
            skip = yes if true else no
        at += 1 + skip


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_every_listed_call_is_refused(machine, column):
    for table, answer in ((FORBIDDEN, DENIED), (ABSENT, UNKNOWN)):
        for name, numbers in table.items():
            assert judge(machine, numbers[column]) == answer, name


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_arguments_decide_for_some(machine):
    m = MACHINES[machine]
    for bit in range(17, 31):
        flag = 1 << bit
        assert judge(machine, m.clone, flag) == (DENIED if flag & NAMESPACES else ALLOWED)
    assert judge(machine, m.clone, 0x3D0F00) == ALLOWED  # a thread
    assert judge(machine, m.ioctl, 0, 0x5412) == DENIED
    assert judge(machine, m.ioctl, 0, 0x541C) == DENIED
    assert judge(machine, m.ioctl, 0, 0x5401) == ALLOWED  # TCGETS
    assert judge(machine, m.prctl, 4) == DENIED
    assert judge(machine, m.prctl, 15) == ALLOWED  # PR_SET_NAME


def test_foreign_calls_are_refused():
    assert judge("x86_64", 1, audit=0x40000003) == DENIED  # 32 bit
    assert judge("x86_64", 1 | 0x40000000) == DENIED  # x32
    assert judge("x86_64", 1) == ALLOWED  # write
    assert program("riscv64") is None
