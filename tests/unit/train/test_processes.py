"""Guards what several processes rest on: shares of a batch, refusals, recomputed blocks, the launcher."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest
import torch
from made import make_set
from together import OBJECTIVES, job
from torch import nn

from cairn.config.objectives import MaeConfig
from cairn.errors import CairnError
from cairn.io.sessions import open_sessions
from cairn.ssl.across import alone, global_rows, global_sum, mean_weight, processes
from cairn.train import launch as module
from cairn.train.distributed import Processes, blocks, joined, spread
from cairn.train.pretrain import PretrainProblem, pretrain

CPU = torch.device("cpu")


def test_shares_of_a_batch_are_the_samples_of_one_process(tmp_path):
    sessions = open_sessions([make_set(tmp_path, "classification", 8).index])
    whole = PretrainProblem(job("mae"), sessions).batch(3)
    shares = [PretrainProblem(job("mae", processes=2), sessions, Processes(rank, 2)).batch(3) for rank in (0, 1)]
    assert [len(share["view"]) for share in shares] == [2, 2]
    for name in whole:
        assert torch.equal(torch.cat([share[name] for share in shares]), whole[name])


def test_one_process_alone_sees_what_it_was_given():
    x = torch.rand(3, 2)
    assert processes() == 1
    assert global_rows(x) is x
    assert global_sum(x) is x
    assert mean_weight(torch.tensor(3)) == 1.0
    with alone():
        assert processes() == 1
    assert Processes().whole({"x": x})["x"] is x
    assert Processes().same(None) is None


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(CairnError, match="4 samples do not divide among 3 processes"):
        job("mae", processes=3)


def test_an_objective_whose_loss_would_not_be_that_of_the_batch_is_refused(tmp_path, monkeypatch):
    sessions = open_sessions([make_set(tmp_path, "classification", 8).index])
    monkeypatch.setattr(MaeConfig, "whole_batch", False)
    PretrainProblem(job("mae"), sessions)
    with pytest.raises(CairnError, match="over 2 processes its loss is not that of the whole batch"):
        PretrainProblem(job("mae", processes=2), sessions)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_every_objective_says_that_it_can(kind):
    assert job(kind).objective.whole_batch


def test_other_processes_than_configured_are_refused(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with (
        pytest.raises(CairnError, match="processes is 2, and 4 process"),
        joined(job("mae", processes=2).pretrain, CPU),
    ):
        pass


@pytest.mark.parametrize(("kind", "count"), [("mae", 2), ("curia", 2)])
def test_blocks_that_are_recomputed_give_the_same_gradient_and_keep_less(tmp_path, kind, count):
    of, kept = job(kind, "fsdp"), {}
    sessions = open_sessions([make_heads_or_set(tmp_path, of)])
    found = {}
    for checkpointed in (False, True):
        problem = PretrainProblem(of, sessions)
        recipe = of.pretrain.model_copy(update={"checkpoint_activations": checkpointed})
        assert spread(problem.module, recipe, Processes(), CPU) is problem.module
        assert len(blocks(problem.module.encoder)) == count
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=saved: s.append(t.nbytes) or t, lambda t: t):
            loss = problem.loss(problem.batch(0))
        loss.backward()
        kept[checkpointed] = sum(saved)
        found[checkpointed] = {n: p.grad for n, p in problem.module.named_parameters() if p.grad is not None}
    assert kept[True] < 0.7 * kept[False]
    assert found[True].keys() == found[False].keys()
    assert all(torch.equal(found[True][name], found[False][name]) for name in found[True])


def make_heads_or_set(folder, of):
    from radiology import make_heads

    return make_heads(folder, 8) if of.objective.dims == 2 else make_set(folder, "classification", 8).index


def test_blocks_are_innermost_members_of_lists_that_have_weights():
    inner = nn.ModuleList([nn.Linear(2, 2), nn.Identity()])
    outer = nn.ModuleList([nn.Sequential(inner, nn.Linear(2, 2)), nn.Linear(2, 2)])
    assert blocks(nn.Sequential(outer, nn.Linear(2, 2))) == [outer[1], inner[0]]


FAKE = """
import json, sys
from pathlib import Path
request = json.loads(Path(sys.argv[-1]).read_text())
answer = Path(sys.argv[-1]).with_name("answer.json")
{do}
"""


@pytest.fixture
def launcher(tmp_path, monkeypatch):
    """Set what a fake launcher does, which knows ``request`` and ``answer``."""

    def set_to(do):
        program = tmp_path / "fake.py"
        program.write_text(FAKE.format(do=do))
        monkeypatch.setenv(module.LAUNCHER, f"{shlex.quote(sys.executable)} {shlex.quote(str(program))} --nnodes 2")

    return set_to


def ask(folder: Path):
    """Pretrain by two processes."""
    config = job("mae", processes=2).model_dump(mode="json")
    return pretrain(config, [folder / "a"], folder / "s" / "state", folder / "w", folder / "h", 2, "code")


def test_the_launcher_gets_the_request_and_its_facts_come_back(tmp_path, launcher):
    launcher("answer.write_text(json.dumps({'facts': request | {'argv': sys.argv[1:]}}))")
    facts = ask(tmp_path)
    assert facts["argv"][:4] == ["--nnodes", "2", "-m", "cairn.train.launch"]
    assert facts["config"]["pretrain"]["processes"] == 2
    assert facts["shards"] == [str(tmp_path / "a")]
    request = tmp_path / "request.json"
    request.write_text(json.dumps({k: v for k, v in facts.items() if k != "argv"}))
    assert module.read_request(request)["weights"] == tmp_path / "w"
    assert not list((tmp_path / "s").iterdir()), "the request is removed"


def test_the_error_of_a_process_is_the_error_of_the_job(tmp_path, launcher):
    launcher("answer.write_text(json.dumps({'error': ['It is so.', 'Do this.', 'collapsed']})); sys.exit(1)")
    with pytest.raises(CairnError, match=r"It is so\. Do this\.") as caught:
        ask(tmp_path)
    assert caught.value.code == "collapsed"


def test_processes_that_end_without_a_word_are_an_error(tmp_path, launcher):
    launcher("sys.exit(3)")
    with pytest.raises(CairnError, match="ended with status 3"):
        ask(tmp_path)


def test_a_job_under_torchrun_starts_no_other(tmp_path, launcher, monkeypatch):
    launcher("answer.write_text(json.dumps({'facts': {}}))")
    assert ask(tmp_path) == {}
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(CairnError, match="Start it plainly"):
        ask(tmp_path)


def test_on_one_machine_torchrun_starts_them(monkeypatch):
    monkeypatch.delenv(module.LAUNCHER, raising=False)
    started = module.command(several(4), 4)
    assert started[1:] == [
        "-m", "torch.distributed.run", "--nproc-per-node=4", "--standalone", "-m", "cairn.train.launch",
    ]  # fmt: skip


def several(processes, nodes=1):
    """A configuration of several processes on nodes."""
    return job("mae", processes=processes, nodes=nodes, batch_size=processes).pretrain


def test_on_several_nodes_slurm_starts_a_torchrun_on_each_and_they_meet_here(monkeypatch):
    monkeypatch.delenv(module.LAUNCHER, raising=False)
    monkeypatch.setenv(module.SLURM_JOB, "1234567")
    monkeypatch.setattr(module.socket, "gethostname", lambda: "first")
    started = module.command(several(6, 2), 3)
    assert started[:5] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=3"]
    assert {"--nproc-per-node=3", "--nnodes=2", "--rdzv-endpoint=first:24567", "--rdzv-id=1234567"} < set(started)
    assert started[-2:] == ["-m", "cairn.train.launch"]


def test_several_nodes_without_anything_that_starts_them_are_refused(monkeypatch):
    monkeypatch.delenv(module.LAUNCHER, raising=False)
    monkeypatch.delenv(module.SLURM_JOB, raising=False)
    with pytest.raises(CairnError, match="nodes is 2, and this is no job of Slurm's"):
        module.command(several(2, 2), 1)
    monkeypatch.setenv(module.LAUNCHER, "start --here")
    assert module.command(several(2, 2), 1)[:2] == ["start", "--here"]


def test_processes_that_do_not_divide_among_the_nodes_are_refused():
    with pytest.raises(CairnError, match="4 processes do not divide among 3 nodes"):
        several(4, 3)


def test_the_first_process_ends_with_the_one_that_asked():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.dup2(read, 0)
        module._end_with_the_asker()
        os._exit(0)
    os.close(read)
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
