"""What can be wrong with a scan: every code, what it means, and what to do. Codes are stable; tables carry them.

``python -m cairn.io.codes --fix`` writes docs/reference/quarantine.md from here; a test fails while they are out of
step.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cairn.errors import CairnError
from cairn.io.atomic import write_text

AGAIN = "Copy the file again from its source."
RECONVERT = "Convert the scan again from its DICOM source."


@dataclass(frozen=True)
class Code:
    """One kind of fault.

    Attributes:
        meaning: what was found, as a sentence.
        remedy: what the user can do, as a sentence.
        flagged: of a repair, whether the quality report asks a person to look.
    """

    meaning: str
    remedy: str
    flagged: bool = True


@dataclass(frozen=True)
class Repair:
    """What was mended in a scan: a code of `REPAIRED`, and what was seen."""

    code: str
    text: str


FILE: Mapping[str, Code] = {
    "missing": Code("There is no such file, or a link leads nowhere.", "Check the path, or index the data set again."),
    "name": Code(
        "The name holds a line break or another character that a table cannot (shown as ␊ or �).",
        "Rename the file, with letters, digits, '-', '_' and '.' only, and index the data set again.",
    ),
    "not-a-file": Code("A folder, pipe, socket or device stands in for a file.", "Remove it from the data set."),
    "unreadable": Code("The system does not let the file be read.", "Mend its permissions, or its disk; run again."),
    "outside-root": Code(
        "A symbolic link leads out of the data set's folder.",
        "Put the file itself there, or set preprocess.guard.follow_links.",
    ),
    "pointer": Code("A pointer of Git LFS or git-annex; its content was not fetched.", "Fetch the content."),
    "truncated": Code("The file is empty, or ends before its voxels do.", AGAIN),
    "corrupt": Code("The compressed data are damaged, or their checksum is wrong.", AGAIN),
    "double-gz": Code("The file was packed by gzip twice.", "Unpack it once."),
    "compression": Code(
        "The file unpacks to far more than a scan would (a gzip bomb, or an all but blank volume).",
        "Look at the scan; where it is right, raise preprocess.guard.max_compression_ratio.",
    ),
    "archive": Code(
        "The zip archive, or the scan's place in it, is damaged.",
        "Download the archive again, and test it with `unzip -t`.",
    ),
    "member": Code(
        "A name in the zip archive leads out of it, or it is no plain file.",
        "Take no archive from that source: unpack nothing, and tell who made it.",
    ),
    "encrypted": Code(
        "The scan in the zip archive is encrypted.",
        "Unpack it with its password beside the archive, and remove the archive.",
    ),
    "method": Code(
        "The scan in the zip archive is packed by another method than deflate.",
        "Unpack it beside the archive and remove the archive, or pack it again by deflate.",
    ),
    "bomb": Code(
        "The zip archive would unpack to far more than scans would.",
        "Take no archive from that source; a true scan of that size can be unpacked by hand.",
    ),
    "trailing": Code("Much more data follow than the header accounts for.", RECONVERT),
    "changed": Code(
        "The file is not the one that was indexed.", "Index the data set again, or restore the file."
    ),
    "duplicate": Code(
        "The scan stands in the shard twice, by name or by content; the first was kept.",
        "Remove the copy, or number the repeats (T1w_2).",
    ),
}  # fmt: skip

HEADER: Mapping[str, Code] = {
    "not-nifti": Code("The content is no NIfTI file, whatever its name.", "Convert the scan to .nii.gz."),
    "pair": Code("The header of a pair (.hdr and .img); only single files are read.", "Convert it to .nii.gz."),
    "dimensions": Code("The number of axes, or the length of one, is impossible.", RECONVERT),
    "not-3d": Code(
        "A series, a vector field or a slice where one volume is meant.",
        "Split the series, or average it, into 3D volumes (for DWI: the trace at one b-value).",
    ),
    "too-thin": Code(
        "The volume has next to no slices.", "Remove the scan, or lower preprocess.guard.min_slices."
    ),
    "too-large": Code(
        "The header asks for more voxels or bytes than the limits allow.",
        "Look at the scan; where it is right, raise preprocess.guard.max_voxels or max_data_mib.",
    ),
    "datatype": Code("The voxel type is no intensity (complex, colour, bits, unknown).", RECONVERT),
    "scaling": Code("The slope or intercept of the intensity scaling is infinite or NaN.", RECONVERT),
    "offset": Code("The place where the voxels begin is impossible.", RECONVERT),
    "extension": Code("A header extension has an impossible size.", RECONVERT),
    "voxel-size": Code("The voxel size is impossible for a head scan.", RECONVERT),
    "extent": Code(
        "The scan is too small or too large for a head: its sizes may be centimetres or metres.",
        "Mend the sizes in the header, or change preprocess.guard.extent_mm.",
    ),
    "affine": Code("The place of the scan in the world is NaN, infinite, far away, or flat.", RECONVERT),
    "left-right": Code(
        "The header's qform and sform put the patient's left on different sides.",
        "Convert the scan again, or set preprocess.guard.left_right to sform.",
    ),
    "no-orientation": Code(
        "The header has neither qform nor sform, and so does not tell left from right.",
        "Convert the scan again, or set preprocess.guard.no_orientation to assume.",
    ),
}  # fmt: skip

VOXELS: Mapping[str, Code] = {
    "not-finite": Code("Too many voxels are NaN or infinite.", RECONVERT),
    "range": Code(
        "Values are too large for the arithmetic that follows.",
        "Rescale the scan's values; with normalise.method none they must fit float16, with zscore they need not.",
    ),
    "blank": Code("Every voxel has the same value.", "Remove the scan, or export it again."),
    "not-a-mask": Code("A mask holds values other than whole numbers from 0 to 255.", "Export the mask as uint8."),
    "unknown-label": Code(
        "A mask holds a label beyond those that the task knows.", "Mend the mask, or name its labels in 'classes'."
    ),
}

PREPROCESSING: Mapping[str, Code] = {
    "no-brain": Code(
        "No brain was found, or next to none.",
        "Look at the scan; name a brain mask for it (strip method 'given'), or remove it.",
    ),
    "mask-shape": Code(
        "The brain mask beside the scan has another shape.", "The mask must lie on the reference scan's grid."
    ),
    "blank-brain": Code(
        "The scan is blank inside the brain, or does not reach it.", "Look at the scan; remove it, or mend its affine."
    ),
    "internal": Code("Something that was not foreseen went wrong.", "Report this with the scan's header."),
}

REFUSED: Mapping[str, Code] = {**FILE, **HEADER, **VOXELS, **PREPROCESSING}

REPAIRED: Mapping[str, Code] = {
    "packing": Code(
        "The name ends in .gz and the content is not packed, or the other way round; the content is followed.",
        "Rename the file.", flagged=False,
    ),
    "trailing": Code("A few bytes follow the voxels; they are ignored.", RECONVERT, flagged=False),
    "extra-axis": Code("Axes beyond the third have length 1; they are dropped.", "Nothing.", flagged=False),
    "bitpix": Code("The header's bits per voxel contradict its data type; the type is followed.", RECONVERT),
    "offset": Code("The header says that the voxels begin at 0; they are read from behind it.", RECONVERT),
    "slope": Code("The slope of the intensity scaling is NaN; voxels are taken as stored.", RECONVERT, flagged=False),
    "units": Code(
        "The header's unit of length is not mm; sizes are brought to mm, or are mm already and the unit is ignored.",
        "Compare the sizes with the acquisition.",
    ),
    "pixdim": Code(
        "The header's voxel sizes are zero, NaN, or contradict the sform, which is followed.",
        "Compare the sizes with the acquisition.",
    ),
    "qform": Code("The qform is no rotation; the sform is followed.", RECONVERT, flagged=False),
    "left-right": Code(
        "The qform and the sform put the patient's left on different sides; the sform is followed.",
        "Compare with another sequence, or set preprocess.guard.left_right to refuse.",
    ),
    "no-orientation": Code(
        "There is neither qform nor sform; the first voxels are taken for the patient's right.",
        "Compare with another sequence, or set preprocess.guard.no_orientation to refuse.",
    ),
    "not-finite": Code("A few voxels are NaN or infinite; they are set to 0.", "Look at the scan."),
}  # fmt: skip


def refuse(path: Path | str, code: str, reason: str) -> CairnError:
    """The error that refuses a scan: ``reason`` continues its path; the remedy is the code's."""
    return CairnError(f"{path}: {reason}.", REFUSED[code].remedy, code=code)


HEAD = """\
# What can be wrong with a scan

Every scan passes a guard before memory is taken for it. It passes, is repaired, or is refused: a refused scan is left
out, and a row of `preprocess/{dataset}/{shard}.quarantine.tsv` names it with a code, a sentence and a remedy; a
repaired one is used, and `{shard}.qc.json` records under `repairs` of its sequence what was mended. The limits are
those of `preprocess.guard` in the configuration (`config/defaults.yaml` has them all). Codes do not change their
meaning.

What the guard does with a file, in this order: it looks at the name and the kind of file; it reads the first 64 KiB and
unpacks no more of them than that; it checks the header; it takes the memory that the header asks for, never what a
stream would fill; it reads the voxels, what follows them, and the checksum. NIfTI-1 and NIfTI-2 of either byte order
are read, `.nii` and `.nii.gz`.

This page is written from `src/cairn/io/codes.py` by `python -m cairn.io.codes --fix`.
"""
PARTS = (
    ("Refused: the file", FILE), ("Refused: the header", HEADER), ("Refused: the voxels", VOXELS),
    ("Refused: by preprocessing", PREPROCESSING), ("Repaired", REPAIRED),
)  # fmt: skip


def page() -> str:
    """docs/reference/quarantine.md."""
    lines = [HEAD]
    for title, codes in PARTS:
        lines += [f"## {title}", "", "| code | what it means | what to do |", "|---|---|---|"]
        lines += [f"| `{name}` | {code.meaning} | {code.remedy} |" for name, code in codes.items()]
        if title == "Repaired":
            quiet = ", ".join(f"`{name}`" for name, code in codes.items() if not code.flagged)
            lines += ["", f"The quality report flags a repaired scan for a person to look at, but for {quiet}."]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    if "--fix" in sys.argv:
        write_text(Path("docs/reference/quarantine.md"), page())
