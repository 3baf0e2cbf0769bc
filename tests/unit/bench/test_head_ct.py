"""Guards the whole way on a head CT out of a package: file, raw shard, slices, a pretraining on them, features.

The real one is Debian's ``invesalius-examples`` (docs/reference/cohort.md); a head made in the same form goes the same
way where it is absent.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from learning import run_pretrain
from made import write_set
from radiology import CURIA, NETWORK_2D

from cairn.bench.embed import embed_items
from cairn.bench.features import Features
from cairn.bench.items import Item, write_items
from cairn.bench.items_from_shards import cut
from cairn.cohort.ct_example import read_example
from cairn.config.bench import EmbedJob, ItemForm
from cairn.config.preprocess import PreprocessConfig
from cairn.io.nifti import write_scan
from cairn.io.sessions import open_sessions
from cairn.preprocess.resources import Resources
from cairn.preprocess.session import preprocess_session

RAW = PreprocessConfig.model_validate({
    "strip": {"method": "none"}, "normalise": {"method": "none"},
    "grid": {"spacing_mm": 3.0, "align": "none", "box_mm": [192, 240, 200]},
})  # fmt: skip
PACKAGE = os.environ.get("CAIRN_CT_EXAMPLE", "")
STEP = 6


def made_head():
    """HU and affine as `read_example` gives them: brain, skull and scalp in air; voxels to the left, front and head."""
    shape, zooms = (64, 76, 40), (3.0, 3.0, 4.0)
    affine = np.diag([-zooms[0], *zooms[1:], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    places = np.indices(shape).transpose(1, 2, 3, 0) @ affine[:3, :3].T + affine[:3, 3]
    far = ((places / [70.0, 88.0, 70.0]) ** 2).sum(-1)
    hu = np.select([far < 0.8, far < 0.95, far < 1.15], [35, 900, 50], -1000)
    hu = hu + np.where(hu > -1000, np.random.default_rng(0).normal(0, 6, shape), 0)
    return np.round(hu).astype(np.int16), affine


@pytest.fixture(
    scope="module",
    params=[
        "made",
        pytest.param("real", marks=[
            pytest.mark.slow,
            pytest.mark.skipif(not PACKAGE, reason="CAIRN_CT_EXAMPLE names no package invesalius-examples"),
        ]),
    ],
)  # fmt: skip
def index(request, tmp_path_factory):
    """A raw shard of one head CT, from its NIfTI file."""
    folder = tmp_path_factory.mktemp(request.param)
    write_scan(folder / "head_CT.nii.gz", *(read_example(Path(PACKAGE)) if request.param == "real" else made_head()))
    result = preprocess_session({"CT": folder / "head_CT.nii.gz"}, RAW, Resources(Path("none-needed")))
    assert not result.rejected
    assert result.numbers["outside_grid"] < 0.1
    return write_set(folder, "0000", [result.session])


def test_a_head_ct_is_air_brain_and_bone_in_hounsfield_units(index):
    (session,) = open_sessions([index])
    volume, inside = session.volume("CT"), session.mask()
    shares = {
        name: float(((volume > low) & (volume < high) & inside).sum() / inside.sum())
        for name, (low, high) in {"brain": (15, 60), "bone": (300, 3000)}.items()
    }
    assert 0.2 < shares["brain"] < 0.9
    assert 0.03 < shares["bone"] < 0.5
    assert np.median(volume[~inside]) < -950
    assert 1500 < inside.sum() * 0.027 < 8000  # ml


@pytest.mark.parametrize("version", ["curia-1", "curia-2"])
def test_its_slices_are_learned_from_and_embedded(index, tmp_path, version):
    contract = {"version": version, "size_px": 40, "planes": ["axial", "coronal", "sagittal"]}
    facts = run_pretrain(tmp_path, index, network=NETWORK_2D, objective=CURIA | {"contract": contract}, val_share=0)
    assert facts["steps"] == 9
    (session,) = open_sessions([index])
    form = ItemForm(kind="volume", sequence="CT", slice_step=STEP)
    write_items(tmp_path / "items.parquet", [Item("head", "1", cut(session, session.volume("CT"), form))])
    job = EmbedJob(run="curia", network=NETWORK_2D, contract=contract | {"size_px": 32}, device="cpu")
    path = tmp_path / "features.safetensors"
    embed_items(job, {"volume": tmp_path / "items.parquet"}, [tmp_path / "encoder.safetensors"], path, 1)
    tokens = Features(path, "volume").item("head/1").tokens
    assert len(tokens) >= 8
    assert np.isfinite(tokens).all()
    apart = np.linalg.norm(tokens[:, None] - tokens[None], axis=-1)
    middle = range(2, len(tokens) - 2)
    assert np.mean([apart[n, n + 1] for n in middle]) < 0.8 * np.mean([apart[n, n - len(tokens) // 2] for n in middle])
