"""Configuration of a data set that comes as DICOM files."""

from __future__ import annotations

from pydantic import Field

from cairn.config.base import Section


class DicomConfig(Section):
    """How a folder of DICOM files becomes a tree of scans (docs/how-to/dicom.md)."""

    salt_file: str
    """File of a secret of 16 bytes or more, from which subject and session identifiers are derived. It is never copied
    into a result; who loses it cannot add sessions of known patients, who gives it away gives the identities away."""
    people: str = ""
    """Table ``patient_id subject`` (tab-separated), for subjects that shall have identifiers of your own. A patient who
    is not in it gets a derived one."""
    min_slices: int = Field(default=15, ge=2)
    """Series with fewer slices are no volumes: localisers, single images."""
    slice_gap_tolerance: float = Field(default=0.1, gt=0, le=0.5)
    """Largest departure of a slice from its place in an even stack, as a share of the spacing."""
