"""Entries that break, cheat or attack: each a root folder made here, with the verdict that it must get.

``python tests/hostile/hostile.py FOLDER`` writes all of them, to try another engine on. An entry is one program,
``/app/predict.py``, over the machine's own Python as base. `PRELUDE` reads the arguments; what follows does the harm.
"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

PRELUDE = """
import os, sys, time, struct, socket, subprocess
from pathlib import Path
out = Path(sys.argv[sys.argv.index("--output") + 1])
scans = [Path(a) for a in sys.argv[1:] if a.endswith(".nii.gz") and a != str(out)]

def answer(value):
    out.write_text(f"{value}\\n")

def mask(change=lambda data, affine: (data, affine), dtype="uint8", to=out):
    import nibabel as nib, numpy as np
    like = nib.load(scans[0])
    data, affine = change(np.zeros(like.shape, dtype), like.affine.copy())
    nib.save(nib.Nifti1Image(data, affine), to)

def np_stack(data):
    import numpy as np
    return np.stack([data, data], -1)

def refused(do):
    try:
        do()
    except OSError as error:
        return True
    return False

def must(condition, what):
    if not condition:
        print("GOT THROUGH:", what)
        sys.exit(99)
"""


@dataclass(frozen=True)
class Hostile:
    """An entry.

    Attributes:
        verdict: how the run must end.
        code: of the program, after `PRELUDE`.
        found: for runs that end well: what the check of the output must say; empty: it is valid.
        kind: of the task.
        command: instead of Python and ``/app/predict.py``.
    """

    verdict: str
    code: str
    found: str = ""
    kind: str = "classification"
    command: tuple[str, ...] = ()


SEGMENT = "segmentation"
ENTRIES: dict[str, Hostile] = {
    # honest
    "honest": Hostile("ok", "answer(0.25)"),
    "honest-empty-mask": Hostile("ok", "mask()", kind=SEGMENT),
    # what is out of reach: each tries, and fails with 99 when it gets through
    "network": Hostile("ok", """
s = socket.socket(); s.settimeout(1)
must(refused(lambda: s.connect(("1.1.1.1", 53))), "an address")
must(refused(lambda: socket.create_connection(("127.0.0.1", PORT), 1)), "the host's loopback")
answer(0.5)
"""),
    "abstract-socket": Hostile("ok", """
s = socket.socket(socket.AF_UNIX)
must(refused(lambda: s.connect("\\0cairn-hostile")), "a socket of the host without a name in the file system")
answer(0.5)
"""),
    "writes-input": Hostile("ok", """
must(refused(lambda: open(scans[0], "r+b").write(b"x")), "the input")
must(refused(lambda: os.unlink(scans[0])), "removing the input")
must(refused(lambda: os.chmod(scans[0], 0o777)), "the input's mode")
answer(0.5)
"""),
    "writes-root": Hostile("ok", """
for place in ("/", "/app", "/usr", "/etc", "/dev", "/proc/sys/kernel"):
    must(refused(lambda: open(os.path.join(place, "x"), "w")), place)
answer(0.5)
"""),
    "reads-labels": Hostile("ok", """
for place in (SECRET, "/proc/1/root" + SECRET, "/proc/self/root" + SECRET, "/input/.." + SECRET, "/output/.." + SECRET):
    must(refused(lambda: open(place).read()), place)
must(set(os.listdir("/input")) == {"ses_1"}, "another case's input")
must(not any("SECRET" in value for value in os.environ.values()), "the organiser's environment")
answer(0.5)
"""),
    "sees-processes": Hostile("ok", """
others = [p for p in os.listdir("/proc") if p.isdigit() and int(p) not in (1, os.getpid(), os.getppid())]
must(not others, f"processes {others}")
must(refused(lambda: os.kill(HOST_PID, 0)), "signalling the host")
answer(0.5)
"""),
    "gains-privilege": Hostile("ok", """
status = Path("/proc/self/status").read_text()
must("CapEff:\\t0000000000000000" in status and "CapBnd:\\t0000000000000000" in status, "capabilities")
must("NoNewPrivs:\\t1" in status, "new privileges")
must(os.getuid() != 0 and refused(lambda: os.setuid(0)), "root")
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
must(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) != 0, "a mount")
must(refused(lambda: os.mknod("/tmp/disk", 0o60666, os.makedev(8, 0))), "a device")
must(libc.sethostname(b"x", 1) != 0, "the name of the machine")
answer(0.5)
"""),
    "makes-a-namespace": Hostile("ok", """
import ctypes
must(ctypes.CDLL(None).unshare(0x10000000) != 0, "a user namespace of its own, where it is root")
answer(0.5)
"""),
    "meets-in-a-keyring": Hostile("ok", """
import ctypes, platform
libc = ctypes.CDLL(None)
add, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[platform.machine()]
for ring in (-2, -3, -4, -5):  # process, session, user, user session
    must(libc.syscall(add, b"user", b"note", b"answers", 7, ring) < 0, "a key for another entry")
must(libc.syscall(keyctl, 0, -3, 1) < 0, "the organiser's session keyring")
answer(0.5)
"""),
    "attacks-the-kernel": Hostile("ok", """
import ctypes, platform
libc = ctypes.CDLL(None)
must(libc.ptrace(0, 0, 0, 0) < 0, "tracing")
for name, x86, arm in (("bpf", 321, 280), ("perf", 298, 241), ("userfaultfd", 323, 282), ("io_uring", 425, 425)):
    must(libc.syscall(x86 if platform.machine() == "x86_64" else arm, 0, 0, 0, 0, 0) < 0, name)
must(libc.clone(None, None, 0x10000000, None) < 0, "a namespace by another call")
answer(0.5)
"""),
    "types-for-the-organiser": Hostile("ok", """
import fcntl
def type_it():
    for number in (0, 1, 2, os.open("/dev/tty", os.O_RDWR)): fcntl.ioctl(number, 0x5412, b"x")
must(refused(type_it), "the organiser's terminal")
must(not any(os.isatty(number) for number in (0, 1, 2)), "a terminal")
answer(0.5)
"""),
    "inherits-descriptors": Hostile("ok", """
held = {int(n) for n in os.listdir("/proc/self/fd")} - {0, 1, 2}
must(len(held) <= 1, f"descriptors {held}")
answer(0.5)
"""),
    "hides-memory": Hostile("ok", """
must(refused(lambda: os.memfd_create("x")), "memory that nobody maps")
answer(0.5)
"""),
    "leaves-a-setuid-program": Hostile("ok", """
Path("/output/root").write_bytes(Path("/app/foreign").read_bytes()); os.chmod("/output/root", 0o6777)
answer(0.5)
"""),
    # too much
    "sleeps": Hostile("time", "time.sleep(3600)"),
    "ignores-sigterm": Hostile("time", """
import signal
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
while True: pass
"""),
    "fork-bomb": Hostile("processes", """
while True:
    try:
        if os.fork() == 0: time.sleep(0.01)
    except OSError: time.sleep(0.01)
"""),
    "thread-bomb": Hostile("processes", """
import threading
while True:
    try: threading.Thread(target=time.sleep, args=(60,)).start()
    except RuntimeError: time.sleep(0.01)
"""),
    "eats-memory": Hostile("memory", """
held = []
while True: held.append(bytearray(os.urandom(1 << 20) * 8))
"""),
    "eats-memory-in-children": Hostile("memory", """
for _ in range(6): 
    if os.fork() == 0:
        held = bytearray(os.urandom(1 << 20) * 60); time.sleep(60)
time.sleep(60)
"""),
    "shares-memory": Hostile("memory", """
import mmap
held = []
while True: held.append(mmap.mmap(-1, 8 << 20)); held[-1].write(os.urandom(1 << 20) * 8)
"""),
    "fills-scratch": Hostile("failed", """
with open("/tmp/x", "wb") as file:
    while True: file.write(bytes(1 << 20))
"""),
    "fills-output": Hostile("output-size", """
for number in range(10**6):
    with open(f"/output/{number % 90}", "ab") as file: file.write(os.urandom(1 << 20))
"""),
    "sparse-output": Hostile("output-size", """
for number in range(20):
    with open(f"/output/{number}", "wb") as file: file.truncate(3 << 20)
time.sleep(60)
"""),
    "many-files": Hostile("output-size", """
for number in range(10**6): Path(f"/output/{number}").touch()
time.sleep(60)
"""),
    "files-without-a-name": Hostile("output-size", """
held = []
for number in range(20):
    held.append(open("/output/x", "wb")); os.unlink("/output/x"); held[-1].write(os.urandom(3 << 20)); held[-1].flush()
time.sleep(60)
"""),
    "deep-folders": Hostile("output-size", """
for number in range(40):
    os.mkdir("x" * 250); os.chdir("x" * 250)
time.sleep(60)
""".replace("for", 'os.chdir("/output")\nfor', 1)),
    "floods-log": Hostile("log", """
while True: sys.stdout.write("x" * 65536)
"""),
    "steers-terminal": Hostile("ok", r"""
print("\x1b]0;owned\x07\x1b[2J\x9b31m"); answer(0.5)
"""),
    # breaks
    "crashes": Hostile("failed", "os.abort()"),
    "exit-status": Hostile("failed", "answer(0.5); sys.exit(3)"),
    "missing-dependency": Hostile("failed", "import a_module_that_is_not_there"),
    "wrong-architecture": Hostile("start", "", command=("/app/foreign",)),
    "no-command": Hostile("start", "", command=("/app/not-there",)),
    "leaves-a-daemon": Hostile("ok", """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for _ in range(600): Path("/output/ticks").write_text(str(time.time())); time.sleep(0.05)
    os._exit(0)
answer(0.5)
"""),
    "no-output": Hostile("ok", "", "missing"),
    "empty-output": Hostile("ok", "out.touch()", "empty"),
    "folder-as-output": Hostile("ok", "out.mkdir()", "not-a-file"),
    "link-as-output": Hostile("ok", "out.symlink_to(SECRET)", "not-a-file"),
    "link-to-a-scan": Hostile("ok", "out.symlink_to(scans[0])", "not-a-file", SEGMENT),
    "hard-link": Hostile("ok", """
answer(0.5); os.link(out, "/output/second")
""", "not-a-file"),
    "pipe-as-output": Hostile("ok", "os.mkfifo(out)", "not-a-file"),
    "odd-names": Hostile("ok", r"""
answer(0.5)
for name in ("a\nb", "-rf", "\udcff\udcfe", "\x1b[2J", "x" * 250): Path("/output", name).write_text("x")
"""),
    "probability-5": Hostile("ok", "answer(5)", "out-of-range"),
    "negative": Hostile("ok", "answer(-0.1)", "out-of-range"),
    "nan": Hostile("ok", 'answer("nan")', "nan"),
    "infinite": Hostile("ok", 'answer("1e999")', "out-of-range"),
    "word": Hostile("ok", 'answer("infarct")', "not-a-number"),
    "several-values": Hostile("ok", 'answer("0.1 0.9")', "several-values"),
    "list-output": Hostile("ok", 'answer("[0.1]")', "not-a-number"),
    "list-of-two": Hostile("ok", 'answer("[0.1,0.9]")', "several-values"),
    "code-as-text": Hostile("ok", """answer("__import__('os')")""", "not-a-number"),
    "megabytes-of-digits": Hostile("ok", 'answer("0." + "1" * 2_000_000)', "too-large"),
    "binary-text": Hostile("ok", r'out.write_bytes(b"\xff\xfe\x00\x01")', "not-a-number"),
    "wrong-shape": Hostile("ok", "mask(lambda d, a: (d[:-1], a))", "wrong-shape", SEGMENT),
    "wrong-affine": Hostile("ok", """
def moved(d, a): a[0, 3] += 5; return d, a
mask(moved)
""", "wrong-affine", SEGMENT),
    "flipped-affine": Hostile("ok", """
import numpy as np
mask(lambda d, a: (d, a @ np.diag([-1.0, 1, 1, 1])))
""", "wrong-affine", SEGMENT),
    "four-dimensions": Hostile("ok", "mask(lambda d, a: (np_stack(d), a))", "wrong-dimension", SEGMENT),
    "label-set": Hostile("ok", """
def more(d, a): d[0, 0, 0] = 4; return d, a
mask(more)
""", "label-set", SEGMENT),
    "fractions": Hostile("ok", """
def half(d, a): d[0, 0, 0] = 0.5; return d, a
mask(half, "float32")
""", "wrong-type", SEGMENT),
    "nan-mask": Hostile("ok", """
def none(d, a): d[0, 0, 0] = float("nan"); return d, a
mask(none, "float32")
""", "nan", SEGMENT),
    "complex-mask": Hostile("ok", 'mask(dtype="complex64")', "wrong-type", SEGMENT),
    "half-a-mask": Hostile("ok", """
import numpy as np
def noise(d, a): return np.random.default_rng(0).integers(0, 2, d.shape).astype("uint8"), a
mask(noise); data = out.read_bytes(); out.write_bytes(data[: len(data) // 2])
""", "not-nifti", SEGMENT),
    "no-nifti": Hostile("ok", "out.write_text('a mask')", "not-nifti", SEGMENT),
    "gzip-bomb": Hostile("ok", """
import gzip, nibabel as nib
head = nib.Nifti1Header(); head.set_data_shape((30000, 30000, 2)); head.set_data_dtype("uint8")
head["vox_offset"] = 352
with gzip.open(out, "wb", 1) as file:
    file.write(head.binaryblock + bytes(4))
    for _ in range(50): file.write(bytes(1 << 20))
""", "too-large", SEGMENT),
}  # fmt: skip
CHANGING = "import random; answer(random.SystemRandom().random())"
"""Valid each time, another answer each time: what `validate` must see."""
FOREIGN = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(44)
"""The head of a program for RISC-V."""


def base() -> tuple[str, ...]:
    """What of this machine an entry sees: its libraries and its Python."""
    places = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", sys.prefix, sys.base_prefix]
    return tuple(dict.fromkeys(os.path.abspath(p) for p in places if os.path.lexists(p)))


def make(root: Path, code: str, **names: object) -> Path:
    """Write an entry's root folder; ``names`` become variables of its program."""
    app = root / "app"
    app.mkdir(parents=True)
    given = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    (app / "predict.py").write_text(f"{PRELUDE}\n{given}\n{code}\n", encoding="utf-8")
    (app / "foreign").write_bytes(FOREIGN)
    (app / "foreign").chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    return root


if __name__ == "__main__":
    for entry, hostile in ENTRIES.items():
        make(Path(sys.argv[1]) / entry, hostile.code, SECRET="/etc/passwd", PORT=9, HOST_PID=1)
