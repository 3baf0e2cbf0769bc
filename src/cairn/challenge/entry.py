"""One case of an entry: its scans laid out as the contract says, run in a sandbox of its own, its answer judged.

The entry sees the scans that the task takes from one session, named by the contract. Labels, other sessions, tables of
people and the names of files are nowhere in its sight, and nothing of one case is left for the next.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cairn.challenge.contract import COMMAND, SESSION, ContractName, arguments, input_name, suffix_of
from cairn.challenge.outputs import ELDEST_YEARS, OK, Checked, check_output, refused
from cairn.config.tasks import TaskSpec
from cairn.io.codes import refuse
from cairn.io.members import open_member
from cairn.io.opening import CHUNK, GZIP
from cairn.sandbox.image import Image
from cairn.sandbox.policy import Policy
from cairn.sandbox.run import Outcome, run_case
from cairn.sandbox.take import take
from cairn.tasks.cases import choose_sequences

Run = Callable[[Image, Sequence[str], Path, Path, Policy, str], Outcome]
MOST_NAMES = 20
NOT_TAKEN = {
    "missing": "there is no such file",
    "not-a-file": "a link, a folder, a pipe or a file of two names, no plain file",
    "too-large": "larger than an output may be",
}


@dataclass(frozen=True)
class Entry:
    """An image, and how it is asked.

    Attributes:
        image: what is run.
        task: what it is asked.
        contract: whose names its arguments have.
        policy: what it may use.
        engine: what makes the sandbox.
        eldest_years: the highest age that counts as one.
        run: runs one case; `cairn.sandbox.run.run_case`.
    """

    image: Image
    task: TaskSpec
    contract: ContractName
    policy: Policy
    engine: str = "auto"
    eldest_years: float = ELDEST_YEARS
    run: Run = run_case

    @property
    def output_name(self) -> str:
        """Name of the file that it writes."""
        return f"output{suffix_of(self.task.kind)}"


@dataclass(frozen=True)
class Answer:
    """What came of one case: how the run went, what the output says, and what else the entry left there."""

    outcome: Outcome
    checked: Checked | None
    """None where the run itself failed: what a failed run leaves behind is not read."""
    others: tuple[str, ...] = ()
    inputs_changed: bool = False

    @property
    def verdict(self) -> str:
        """``ok``, the verdict of the sandbox, or that on the output."""
        return self.checked.verdict if self.checked else self.outcome.verdict

    @property
    def sentence(self) -> str:
        """What was found."""
        return self.checked.sentence if self.checked else self.outcome.sentence


def answer(entry: Entry, scans: Mapping[str, Path], work: Path, hashes: Mapping[str, str] | None = None) -> Answer:
    """Ask an entry about one session.

    Args:
        entry: who is asked.
        scans: the session's scans by sequence; of these the task takes its own (`choose_sequences`).
        work: an existing folder for what comes and goes.
        hashes: content of the scans as they were indexed, by sequence.

    Raises:
        CairnError: where the session lacks a sequence of the task (code ``sequences``), or a scan cannot be read or is
            not the one that was indexed; where nothing here can run the image (code ``engine``): no fault of the entry.
    """
    with _folder(work) as folder:
        inputs, output = folder / "input", folder / "output"
        staged = stage(entry, scans, inputs, hashes or {})
        output.mkdir(mode=0o777)
        output.chmod(0o777)  # whoever the sandbox makes of the entry writes here; the folder above is ours alone
        before = _hashes(staged)
        named = arguments(entry.contract, entry.task.kind, staged, entry.output_name)
        outcome = entry.run(entry.image, [*COMMAND, *named], inputs, output, entry.policy, entry.engine)
        checked = _taken(entry, output, folder, staged) if outcome.verdict == OK else None
        return Answer(outcome, checked, _others(output, entry.output_name), _hashes(staged) != before)


def stage(entry: Entry, scans: Mapping[str, Path], inputs: Path, hashes: Mapping[str, str]) -> dict[str, Path]:
    """Lay out the scans of one session below ``inputs`` as the image sees them; the files by sequence.

    Raises:
        CairnError: as `answer`.
    """
    chosen = choose_sequences(entry.task, sorted(scans))
    chosen = chosen[:1] if entry.task.kind == "probe" else chosen
    folder = inputs / SESSION
    folder.mkdir(parents=True)
    staged = {name: folder / input_name(entry.contract, entry.task.kind, name) for name in chosen}
    for name, target in staged.items():
        found = _copy(scans[name], target)
        if found != hashes.get(name, found):
            raise refuse(scans[name], "changed", "the file is not the one that was indexed (its content changed)")
    return staged


def _taken(entry: Entry, output: Path, folder: Path, staged: Mapping[str, Path]) -> Checked:
    """The output, once it is out of the entry's reach."""
    copy = folder / entry.output_name
    taken = take(output, entry.output_name, copy, entry.policy.output_mb << 20)
    if taken != "taken":
        return refused(taken, f"{entry.output_name}: {NOT_TAKEN[taken]}.")
    return check_output(entry.task, copy, staged.get(entry.task.mask_sequence), entry.eldest_years)


def _copy(source: Path, target: Path) -> str:
    """Copy a scan, which may lie in an archive or be unpacked, as gzip; SHA-256 of its bytes as they were."""
    digest = hashlib.sha256()
    with open_member(source) as opened, target.open("wb") as file:
        first = opened.file.read(CHUNK)
        packed = first[:2] == GZIP
        out = file if packed else gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)
        piece = first
        while piece:
            digest.update(piece)
            out.write(piece)
            piece = opened.file.read(CHUNK)
        if not packed:
            out.close()
    target.chmod(0o444)
    return digest.hexdigest()


def _hashes(staged: Mapping[str, Path]) -> dict[str, str]:
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in staged.items()}


def _others(output: Path, own: str) -> tuple[str, ...]:
    """Names in the output folder beside the file that was asked for; the first few."""
    found: list[str] = []
    with os.scandir(output) as entries:
        for one in entries:
            if one.name != own:
                found.append(one.name.encode("utf-8", "replace").decode())
            if len(found) == MOST_NAMES:
                break
    return tuple(sorted(found))


@contextmanager
def _folder(work: Path) -> Iterator[Path]:
    """A folder of our own below ``work``, under a name that says nothing, and gone afterwards."""
    folder = Path(tempfile.mkdtemp(dir=work, prefix="case-"))
    try:
        yield folder
    finally:
        _discard(folder)


def _discard(folder: Path) -> None:
    """Remove what a stranger filled: folders nested beyond Python's recursion, or closed to their owner."""
    for command in (("chmod", "-R", "u+rwX"), ("rm", "-rf")):
        subprocess.run([*command, "--", folder], check=False, capture_output=True)
