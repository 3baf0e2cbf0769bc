"""What a series is: whole or not, of one kind or mixed, and which sequence its description says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from cairn.config.dicom import DicomConfig
from cairn.dicom.headers import Instance

# The first that matches, in this order: a T2-FLAIR is FLAIR, a T2* no T2w, an ADC map no DWI. Names on the right are
# those of the plain tree of scans (`cairn.datasets.layouts`). What none matches is called 'scan': its sequence is
# unknown. Maps that are no scan of an anatomy (perfusion, functional, phase) match the first line, and are left out.
NAMES: tuple[tuple[str, str], ...] = (
    (r"\bperf|\bdsc\b|\bdce\b|\basl\b|\bcbf\b|\bcbv\b|\bmtt\b|\btmax\b|bold|fmri|rest(ing)?[_ ]?state|phase|\bpha\b"
     r"|field.?map|spectro|\bsvs\b|\bcsi\b|angio|\btof\b|\bmra\b|\bmrv\b|scout|locali[sz]er|survey|\bfa\b|colfa", ""),
    (r"\badc\b|apparent.?diff|dadc", "adc"),
    (r"\bswi\b|swan\b|venobold|suscept", "swi"),
    (r"flair|dark.?fluid|\btirm\b", "flair"),
    (r"t2.?star|t2\*|\bt2s\b|\bgre\b.*t2|t2.*\bgre\b|hemo|haemo|\bfl2d\b", "t2s"),
    (r"\bdwi\b|diffusion|\bdti\b|trace|\bb.?1000\b|\bdmri\b|ep2d_diff", "dwi"),
    (r"\bpd\b|\bpdw\b|proton.?dens", "pd"),
    (r"t1.*(\+c\b|\bc\+|\bgd\b|gado|post|contrast|\bkm\b|\bce\b)|(post|gado|\bgd\b).*t1", "t1c"),
    (r"(?<![a-z])t1|mp2?.?rage|\bf?spgr|\bbravo\b|\btfl|\btfe\b", "t1"),
    (r"(?<![a-z])t2|\btse|\bfse|\bspace\b", "t2"),
)  # fmt: skip
LEFT_OUT = ""


def sequence_of(series: Sequence[Instance]) -> str:
    """File name (``t1``, ``flair``, …) that a series' description tells; ``scan`` where it tells none, ``""`` where
    it tells that this is no scan of anatomy.
    """
    first = series[0]
    if first.modality == "CT":
        return "ct"
    words = re.sub(r"[_\-/.]+", " ", first.words.lower())
    if "ADC" in first.image_type:
        return "adc"
    for pattern, name in NAMES:
        if re.search(pattern, words) or re.search(pattern, first.words.lower()):
            return "t1c" if name == "t1" and first.contrast else name
    return "scan"


def group(instances: Iterable[Instance]) -> list[list[Instance]]:
    """Instances by series, sorted by identifiers, each file once."""
    found: dict[str, dict[str, Instance]] = {}
    for one in instances:
        found.setdefault(one.series, {}).setdefault(one.uid or str(one.path), one)
    return [sorted(found[key].values(), key=lambda i: (i.uid, str(i.path))) for key in sorted(found)]


def fault(series: Sequence[Instance], config: DicomConfig) -> tuple[str, str, str] | None:
    """What keeps a series from being a volume: code, sentence, remedy; None for a sound one."""
    first = series[0]
    if len({(i.patient, i.study) for i in series}) > 1:
        return (
            "mixed-series",
            "Files of several patients or studies share one series.",
            "Export the studies again, apart.",
        )
    if "LOCALIZER" in first.image_type:
        return "localizer", "The series is a localiser.", "Nothing: it is for planning."
    if sequence_of(series) == LEFT_OUT:
        return "not-anatomy", "The description tells a map or a scan that is no anatomy.", "Nothing: it is not used."
    if len({i.size for i in series}) > 1 or len({_turn(i) for i in series}) > 1:
        return "mixed-series", "Its images differ in size or direction.", "Split the series at the archive."
    if first.mosaic:
        return None
    if any(i.position is None or i.orientation is None for i in series):
        return "no-position", "Its images do not say where they lie.", "Export the original images, no screen shots."
    return _stack_fault(series, config)


def too_few(slices: int, asked: int) -> tuple[str, str, str]:
    """Code, sentence and remedy of a series of too few slices."""
    reason = f"{slices} slice(s) are no volume; {asked} are asked for."
    return "too-few-slices", reason, "Nothing, for a localiser; or lower dicom.min_slices."


def _turn(instance: Instance) -> tuple[float, ...]:
    return tuple(round(v, 2) + 0.0 for v in instance.orientation or ())


def _stack_fault(series: Sequence[Instance], config: DicomConfig) -> tuple[str, str, str] | None:
    """Whether single slices make an even stack, each place the same number of times."""
    turn = np.array(series[0].orientation)
    normal = np.cross(turn[:3], turn[3:])
    places = Counter(round(float(np.dot(i.position or (), normal)), 2) for i in series)
    at = np.array(sorted(places))
    if len(at) < config.min_slices:
        return too_few(len(at), config.min_slices)
    steps = np.diff(at)
    uneven = np.abs(steps - np.median(steps)) > config.slice_gap_tolerance * np.median(steps)
    if uneven.any() or len(set(places.values())) > 1:
        return "missing-slices", "Slices are missing or uneven.", "Export the whole series again from its archive."
    return None
