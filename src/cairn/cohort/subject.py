"""A visit's anatomy, from shape to findings, in the order in which they act on each other."""

from __future__ import annotations

from cairn.cohort import cistern, lesions, malformation, radiology, skull
from cairn.cohort.anatomy import Anatomy, Frame, LoadedDonor, fill, make_frame
from cairn.cohort.plan import Visit


def make_anatomy(donor: LoadedDonor, visit: Visit, voxel_mm: float) -> Anatomy:
    """The tissue map of a visit's subject.

    A tumour moves tissue before the map is filled; every other finding is laid over the filled map.
    """
    anatomy = _with_findings(make_frame(donor, visit, voxel_mm), visit, voxel_mm)
    if "CT" in visit.sequences:
        skull.add_skull(anatomy, visit)
    return anatomy


def _with_findings(frame: Frame, visit: Visit, voxel_mm: float) -> Anatomy:
    if visit.case is not None:
        return radiology.make_case(frame, visit.case, visit, voxel_mm)
    tumour = None
    if visit.finding == "meningioma":
        frame, tumour = lesions.place_meningioma(frame, visit, voxel_mm)
    anatomy = fill(frame, visit, voxel_mm)
    lesions.add_white_matter_disease(anatomy, visit)
    lesions.add_vessels(anatomy, visit)
    if visit.finding == "infarct":
        lesions.add_infarct(anatomy, visit)
    elif visit.finding == "mimic":
        lesions.add_mimic(anatomy, visit)
    elif visit.finding == "neurovascular":
        cistern.add_cistern(anatomy, visit)
    elif visit.finding == "malformation":
        malformation.add_polymicrogyria(anatomy, visit)
    elif visit.finding == "heterotopia":
        malformation.add_heterotopia(anatomy, visit)
    elif tumour is not None:
        lesions.add_meningioma(anatomy, visit, tumour)
    return anatomy
