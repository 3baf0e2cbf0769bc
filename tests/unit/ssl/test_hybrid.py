"""Guards the hybrid: its three losses against a plain reference, and what its crops show."""

import numpy as np
import pytest
import torch
from latents import batch_of, doubled, section
from learning import NETWORK
from made import make_set

from cairn.config.base import parse
from cairn.config.latents import HybridConfig
from cairn.config.networks import ResidualConfig
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.nets.blocks import pooled
from cairn.ssl.draws import generator
from cairn.ssl.registry import build_objective

NET = ResidualConfig(**NETWORK)
WEIGHTS = ("reconstruction_weight", "alignment_weight", "contrast_weight")


def config(**changes):
    return parse(HybridConfig, section("hybrid", **changes))


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return open_sessions([make_set(tmp_path_factory.mktemp("h"), "classification", 3, shape=(20, 22, 20)).index])


def only(weight, **changes):
    return build_objective(config(**{w: float(w == weight) for w in WEIGHTS}, **changes), NET, 0)


def plain_misalignment(one, two, shift, points=3, size=16, stride=8):
    """One pair of crops: features ``[C, x, y, z]`` read by hand at the same places of both."""

    def read(x, place):
        out = np.zeros(x.shape[0])
        for corner in np.ndindex(2, 2, 2):
            base = np.floor(place).astype(int)
            weight = np.prod([f if c else 1 - f for f, c in zip(place - base, corner, strict=True)])
            if weight > 0:
                out += weight * x[(slice(None), *(base + corner))]
        return out

    total = []
    edges = [(max(0, s) + stride / 2, min(size, size + s) - stride / 2) for s in shift]
    for index in np.ndindex(points, points, points):
        at = np.array([lo + (hi - lo) * (i + 0.5) / points for (lo, hi), i in zip(edges, index, strict=True)])
        a, b = read(one, at / stride - 0.5), read(two, (at - shift) / stride - 0.5)
        total.append(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return np.mean(total)


def plain_nt_xent(one, two, temperature):
    """Row by row: minus the log share of the partner among all other rows."""
    rows = [row / np.linalg.norm(row) for row in (*one, *two)]
    losses = []
    for i, row in enumerate(rows):
        partner = (i + len(one)) % len(rows)
        weights = {j: np.exp(row @ other / temperature) for j, other in enumerate(rows) if j != i}
        losses.append(-np.log(weights[partner] / sum(weights.values())))
    return np.mean(losses)


def test_alignment_is_the_plain_reference(sessions):
    objective = only("alignment_weight").eval()
    with torch.no_grad():  # a teacher that differs, or both directions would be one
        for p in objective.teacher.parameters():
            p += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
        objective, batch = doubled(objective, batch_of(objective, sessions))
        student = [
            objective.encoder(batch["view"][:, i].masked_fill(batch["hidden"][:, i], 0)[:, None])[-1] for i in (0, 1)
        ]
        teacher = [objective.teacher(batch["view"][:, i][:, None])[-1] for i in (0, 1)]
        found = float(objective(batch))
    assert batch["shift"].unique(dim=0).shape[0] > 1
    expected = []
    for n, shift in enumerate(batch["shift"].numpy()):
        s, t = [[x[n].double().numpy() for x in pair] for pair in (student, teacher)]
        expected += [plain_misalignment(s[0], t[1], shift), plain_misalignment(s[1], t[0], -shift)]
    assert abs(found - np.mean(expected)) < 1e-6


def test_the_weights_add_the_three_losses(sessions):
    objective = build_objective(config(), NET, 0).eval()
    objective, batch = doubled(objective, batch_of(objective, sessions))
    with torch.no_grad():
        parts = [float(only(w).eval().double()(batch)) for w in WEIGHTS]
        assert abs(float(objective(batch)) - (parts[0] + 0.5 * parts[1] + 0.1 * parts[2])) < 1e-6
        deep = [
            objective.encoder(batch["view"][:, i].masked_fill(batch["hidden"][:, i], 0)[:, None])[-1] for i in (0, 1)
        ]
        image = torch.stack([objective.decoder(d)[:, 0] for d in deep], dim=1)
        assert abs(parts[0] - float(((image - batch["target"]) ** 2).mean())) < 1e-6
        hidden = float(only("reconstruction_weight", loss_on="masked").eval().double()(batch))
        assert abs(hidden - float(((image - batch["target"]) ** 2)[batch["hidden"]].mean())) < 1e-6
        one, two = (objective.projector(pooled(d)) for d in deep)
        assert abs(parts[2] - plain_nt_xent(one.numpy(), two.numpy(), 0.5)) < 1e-6


def test_views_hide_from_neither_target_nor_teacher(sessions):
    views = build_objective(config(), NET, 0).views(sessions[0], generator(0, "v", 3))
    assert views["view"].shape == views["target"].shape == views["hidden"].shape == (2, 16, 16, 16)
    assert (views["view"][views["hidden"]] != 0).any()
    assert not torch.equal(views["view"], views["target"])  # intensities changed
    assert views["hidden"].float().mean() == pytest.approx(0.6, abs=0.01)
    assert not torch.equal(views["hidden"][0], views["hidden"][1])


def test_a_teacher_sees_the_whole_crop(sessions):
    objective = only("alignment_weight").eval()
    seen = []
    objective.teacher.network.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0]))
    batch = batch_of(objective, sessions)
    objective(batch)
    assert torch.equal(seen[0][:, 0], torch.cat([batch["view"][:, 0], batch["view"][:, 1]]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"overlap": 0.5}, "share 8 voxels along an axis.*stride is 8"),
        ({"patch_voxels": [20, 16, 16]}, "does not divide by the stride"),
        ({"mask_unit_voxels": 5}, "mask unit"),
        ({"patch_voxels": [8, 16, 16], "mask_unit_voxels": 4}, "fewer than 2 deepest voxels"),
    ],
)
def test_what_cannot_run_is_refused(changes, words):
    with pytest.raises(CairnError, match=words):
        config(**changes).check(NET)
