"""Guards the slices to learn from: the contract's values, content, the share of CT, and that they alone are read."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from made import write_set
from radiology import CURIA, head, make_heads

from cairn.config.base import parse
from cairn.config.curia import CuriaConfig
from cairn.config.slices import SliceContract
from cairn.io.sessions import Session, open_sessions
from cairn.slices.contract import network_input
from cairn.slices.orient import stack_of
from cairn.ssl.curia_slices import _sequence, draw_slice, is_ct
from cairn.ssl.draws import generator


def config(**changes):
    return parse(CuriaConfig, {**CURIA, **changes})


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return open_sessions([make_heads(tmp_path_factory.mktemp("s"), 1)])[0]


def test_a_slice_is_one_of_the_network_inputs_of_its_volume(session, monkeypatch):
    contract = SliceContract(size_px=40, planes=("axial", "coronal", "sagittal"), clip_below_air=True)
    inputs = {
        plane: torch.cat([network_input(stack_of(session.volume(s), plane), contract)[0] for s in session.sequences])
        for plane in contract.planes
    }
    monkeypatch.setattr(Session, "volume", None)  # a whole volume, or mask, is never read
    monkeypatch.setattr(Session, "mask", None)
    seen = set()
    for i in range(30):
        piece = draw_slice(session, config(contract=contract.model_dump()), generator(0, "s", i))
        difference = (inputs[piece.plane] - piece.image).abs().amax(dim=(1, 2))
        assert difference.min() < 1e-5
        seen.add((piece.plane, int(difference.argmin())))
    assert {plane for plane, _ in seen} == set(contract.planes)
    assert len(seen) > 20


def test_in_curia_1_a_slice_has_the_z_score_of_its_volume(session):
    contract = SliceContract(size_px=40, version="curia-1", planes=("coronal",))
    stacks = [network_input(stack_of(session.volume(s), "coronal"), contract)[0] for s in session.sequences]
    per_slice = SliceContract(size_px=40, planes=("coronal",))
    for i in range(8):
        draws = [generator(0, "s", i) for _ in range(2)]
        piece = draw_slice(session, config(contract=contract.model_dump()), draws[0])
        assert (torch.cat(stacks) - piece.image).abs().amax(dim=(1, 2)).min() < 1e-4
        other = draw_slice(session, config(contract=per_slice.model_dump()), draws[1])
        assert (other.image - piece.image).abs().max() > 0.01


def test_raw_mr_beyond_int16_is_learned_from(tmp_path):
    made = head("0001", sequences=["T1w"])
    volume = made.volumes["T1w"] / np.float32(20)
    volume[12, 14, 11] = 50_000  # among values so low that halving them shows
    wide = replace(made, volumes={"T1w": volume})
    session = open_sessions([write_set(tmp_path, "0000", [wide])])[0]
    contract = SliceContract(size_px=40, version="curia-1", planes=("axial",))
    whole = network_input(stack_of(session.volume("T1w"), "axial"), contract)[0]
    piece = draw_slice(session, config(contract=contract.model_dump()), generator(0, "s"))
    assert (whole - piece.image).abs().amax(dim=(1, 2)).min() < 1e-4


def test_slices_without_content_are_not_taken(session):
    shares = [draw_slice(session, config(min_slice_content=0.15), generator(0, "c", i)).content for i in range(60)]
    assert min(c.mask.mean() for c in shares) > 0.1  # stretching changes a share a little
    taken = [draw_slice(session, config(min_slice_content=0, slice_tries=1), generator(0, "c", i)) for i in range(60)]
    assert min(p.content.mask.mean() for p in taken) < 0.02
    most = draw_slice(session, config(min_slice_content=0.99, slice_tries=60), generator(0, "c"))
    assert most.content.mask.mean() > 0.9 * max(c.mask.mean() for c in shares)


@pytest.mark.parametrize("sequence", ["CT", "T1w"])
def test_content_is_the_head(tmp_path, sequence):
    made = head("0003", sequences=[sequence])
    session = open_sessions([make_heads(tmp_path, 4, sequences=[sequence])])[3]
    contract = {"planes": ["axial"], "size_px": 40}
    piece = draw_slice(session, config(contract=contract, min_slice_content=0.2), generator(0, "h"))
    shares = [stack_of(made.mask, "axial")[n].mean() for n in range(made.mask.shape[2])]
    assert min(abs(piece.content.mask.mean() - s) for s in shares) < 0.02
    assert 0.05 < piece.content.mask.mean() < 0.6


def test_without_a_mask_air_is_told_by_value(tmp_path, monkeypatch):
    session = open_sessions([make_heads(tmp_path, 1)])[0]
    contract = {"planes": ["axial"], "size_px": 40}
    c = config(contract=contract, slice_tries=1)
    told = [draw_slice(session, c, generator(0, "a", i)) for i in range(12)]
    original = Session.patch

    def patch(self, sequence, origin, size):
        return np.ones(size, np.float32) if sequence == "mask" else original(self, sequence, origin, size)

    monkeypatch.setattr(Session, "patch", patch)
    untold = [draw_slice(session, c, generator(0, "a", i)) for i in range(12)]
    for a, b in zip(told, untold, strict=True):
        if a.content.mask.mean() > 0.1:
            assert (a.content.mask != b.content.mask).mean() < 0.02


def test_the_share_of_ct_is_as_asked(tmp_path):
    session = open_sessions([make_heads(tmp_path, 1, sequences=["CT", "FLAIR", "T1w", "T2w"])])[0]
    assert is_ct("CT_2")
    assert not is_ct("CTA")
    for asked, expected in ((None, 0.25), (0.7, 0.7), (1.0, 1.0), (0.0, 0.0)):
        names = Counter(_sequence(session, asked, generator(0, "q", i)) for i in range(400))
        assert abs(names["CT"] / 400 - expected) < 0.07
