"""Guards the memory plan: it counts what the loop holds, and what the encoder saves is what it saves."""

import time
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import pytest
import torch
import yaml
from together import SLICES, job

from cairn.cli import memory
from cairn.config.networks import parse_network
from cairn.errors import CairnError
from cairn.nets.blocks import parameters
from cairn.nets.registry import build_encoder
from cairn.ssl.registry import build_objective
from cairn.train.memory import FLOAT, memory_plan

G = yaml.safe_load("{kind: dinov2, hidden_size: 1536, layers: 40, heads: 24, patch_size: 16, image_size: 512}")


def slices(network=SLICES, **changes):
    return job("curia", **changes).model_copy(update={"network": parse_network(network)})


def named(plan, start):
    return next(size for name, size in plan.parts.items() if name.startswith(start))


def test_it_counts_what_learns_and_what_follows():
    of = slices()
    plan, module = memory_plan(of), build_objective(of.objective, of.network, 0)
    learns = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert named(plan, "weights that learn") == named(plan, "their gradients") == learns * FLOAT
    assert named(plan, "AdamW") == 2 * learns * FLOAT
    assert named(plan, "weights that follow") == (parameters(module) - learns) * FLOAT
    assert plan.counts["all"] == parameters(module)


def test_shares_hold_a_share_and_copies_all():
    one, ddp, fsdp = (memory_plan(slices(processes=n, parallel=p)) for n, p in ((1, "ddp"), (4, "ddp"), (4, "fsdp")))
    for part in ("weights that learn", "AdamW", "weights that follow"):
        assert named(ddp, part) == named(one, part) == 4 * named(fsdp, part)
    assert named(ddp, "activations") == named(one, "activations") / 4
    assert any(name.startswith("gathered") for name in fsdp.parts)


@pytest.mark.parametrize("kind", ["curia", "mae"])
def test_what_the_encoder_saves_is_what_it_saves(kind):
    of = job(kind, "fsdp")
    encoder, seen = build_encoder(of.network).train(), 0
    weights = {p.untyped_storage().data_ptr() for p in encoder.parameters()}
    for count, sides in of.objective.seen(of.network.stride):
        saved, kept = {}, []

        def note(tensor, saved=saved, kept=kept):
            kept.append(tensor)
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            encoder(torch.rand(1, 1, *sides))
        seen += count * of.pretrain.batch_size * sum(saved.values())
    assert named(memory_plan(of, gpu=False), "activations") == pytest.approx(seen, rel=0.05)


def test_recomputing_blocks_keeps_less_the_more_blocks_there_are():
    deep = {**SLICES, "layers": 12}
    kept = [named(memory_plan(slices(deep, checkpoint_activations=c)), "activations") for c in (False, True)]
    assert kept[1] < 0.3 * kept[0]


def test_the_g_model_is_planned_in_seconds_and_takes_no_memory():
    before, began = getrusage(RUSAGE_SELF).ru_maxrss, time.process_time()
    plan = memory_plan(slices(G, processes=4, parallel="fsdp", checkpoint_activations=True))
    assert time.process_time() - began < 60
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 1_000_000, "kB"
    assert plan.counts["encoder"] == 1_135_440_896
    text = "\n".join(plan.lines())
    assert "1,135,440,896" in text
    assert "4 process(es) (fsdp), 1 of 4 samples each" in text


def test_the_command_prints_the_plan(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(Path(__file__).parents[3])
    more = tmp_path / "more.yaml"
    more.write_text("pretrain: {processes: 2, batch_size: 4}")
    files = [Path("config/demo.yaml"), more]
    with pytest.raises(CairnError, match="Name one of: ") as caught:
        memory("nobody", files)
    run = caught.value.remedy.removeprefix("Name one of: ").split(",")[0].rstrip(".")
    memory(run, files, parallel="fsdp", batch_size=8)
    assert f"pretrain {run}:" in (said := capsys.readouterr().out)
    assert "2 process(es) (fsdp), 4 of 8 samples each" in said
    assert said.splitlines()[-1].strip().startswith("together")
