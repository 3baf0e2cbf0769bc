"""Guards DINOv2's learning rates: layer by layer, the patch embedding's, and prototypes that rest at first."""

import pytest
import torch
from latents import section
from learning import NETWORK, run_pretrain
from made import make_set
from radiology import CURIA, CURIA_2, NETWORK_2D, make_heads

from cairn.config.base import parse
from cairn.config.curia import CuriaConfig
from cairn.config.networks import parse_network
from cairn.io.sessions import open_sessions
from cairn.nets.weights import read_tensors
from cairn.ssl.pace import FULL, Pace
from cairn.ssl.registry import build_objective
from cairn.train.loop import Loop
from cairn.train.pretrain import PretrainJob, PretrainProblem

RATE = 1e-3
NET = {**NETWORK_2D, "drop_path": 0.0}
EMBEDS = "encoder.dinov2.embeddings."


def plain_share(name: str, layers: int, decay: float, patch: float) -> float:
    """As DINOv2 has it: the deeper a layer lies, the less it loses; heads and the last norm lose nothing."""
    if not name.startswith("encoder."):
        return 1.0
    if name.startswith(EMBEDS):
        return decay ** (layers + 1) * (patch if "patch" in name else 1.0)
    if ".layer." in name:
        return decay ** (layers - int(name.split(".layer.")[1].split(".")[0]))
    return 1.0


def moved(index, objective, network, steps):
    """How far the first updates move each tensor that learns, in units of the learning rate: ``steps`` numbers each."""
    recipe = {"steps": 50, "batch_size": 2, "warmup_steps": 0, "weight_decay": 0, "learning_rate": RATE}
    job = PretrainJob(run="x", seed=3, network=network, objective=objective, pretrain=recipe, device="cpu")
    problem = PretrainProblem(job, open_sessions([index]))
    loop = Loop(problem, job.pretrain, None, torch.device("cpu"))
    learned = {n: p for n, p in problem.module.named_parameters() if p.requires_grad}
    found = {name: [] for name in learned}
    for step in range(steps):
        before = {n: p.detach().clone() for n, p in learned.items()}
        loop._update(problem.batch(step))
        for name, p in learned.items():
            found[name].append(float((p.detach() - before[name]).abs().max()) / RATE)
    # A key's bias shifts all of a query's logits alike: its gradient is rounding.
    return {name: numbers for name, numbers in found.items() if not name.endswith("k_proj.bias")}


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    return make_heads(tmp_path_factory.mktemp("pace"), 6)


def test_each_layer_moves_by_its_share_of_the_rate(heads):
    """AdamW's first update moves every weight with a gradient by the rate itself."""
    objective = {**CURIA, "layer_decay": 0.7, "patch_embed_rate": 0.2, "mask_probability": 1.0}
    found = moved(heads, objective, NET, 1)
    expected = {name: plain_share(name, 2, 0.7, 0.2) for name in found}
    assert {round(share, 6) for share in expected.values()} == {1.0, 0.7, 0.49, 0.343, 0.0686}
    assert {name: m[0] for name, m in found.items()} == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("kind", ["curia", "dino"])
def test_prototypes_rest_at_first_and_the_others_do_not(heads, tmp_path, kind):
    if kind == "curia":
        index, objective, network = heads, CURIA, NET
    else:
        index = make_set(tmp_path, "classification", 6, shape=(24, 26, 24)).index
        objective, network = section("dino"), NETWORK
    found = moved(index, {**objective, "freeze_prototypes_steps": 2}, network, 3)
    resting = {"crop_head.prototypes", "place_head.prototypes"}
    assert resting < set(found)
    for name, (first, second, third) in found.items():
        if name in resting:
            assert first == second == 0
            assert third > 0
        else:
            assert first > 0.5


def test_by_default_all_learn_alike_and_nothing_is_called_otherwise(heads, tmp_path):
    config = parse(CuriaConfig, CURIA)
    assert not {"layer_decay", "patch_embed_rate", "freeze_prototypes_steps"} & set(config.model_dump(mode="json"))
    objective = build_objective(config, parse_network(NET), 0)
    assert {objective.pace(name) for name, _ in objective.named_parameters()} == {FULL}
    explicit = {**CURIA_2, "layer_decay": 1.0, "patch_embed_rate": 1.0, "freeze_prototypes_steps": 0}
    for name, chosen in (("plain", CURIA_2), ("explicit", explicit)):
        run_pretrain(tmp_path / name, heads, network=NET, objective=chosen, steps=3)
    plain, same = (read_tensors(tmp_path / name / "encoder.safetensors") for name in ("plain", "explicit"))
    assert all(torch.equal(plain[name], same[name]) for name in plain)


def test_a_pace_begins_at_its_step():
    assert [Pace(0.5, 2).rate(0.1, step) for step in range(4)] == [0.0, 0.0, 0.05, 0.05]
