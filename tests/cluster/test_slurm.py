"""Guards profiles/slurm on a real Slurm: what jobs ask for, shards in one job, a node that dies, training on two nodes.

The profile is used as it stands; added is only what tells the executor that this Slurm keeps no accounts.
"""

import json
from pathlib import Path

import pytest
import torch
from small_slurm import SmallSlurm, until, why_not
from workplace import CI, ENCODER, R, need

from cairn.io.atomic import sha256
from cairn.nets.weights import read_tensors

SLURM = (
    "--workflow-profile", "profiles/slurm", "--slurm-no-account", "--slurm-status-command", "squeue",
    "--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "3", "--latency-wait", "5",
)  # fmt: skip
SHARDS = ("preprocess/pretrain/0000.safetensors", "preprocess/pretrain/0001.safetensors")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    need("slurm")
    if reason := why_not():
        pytest.skip(reason)
    cluster = SmallSlurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def asked(cluster: SmallSlurm, rule: str) -> list[dict[str, str]]:
    """What the jobs of a rule or group asked Slurm for."""
    return [job for job in cluster.jobs() if f"_{rule}/" in job["StdOut"]]


def test_a_node_dies_and_its_job_goes_on_with_what_the_rules_ask_for(slurm, trained, place):
    place.forget("preprocess/pretrain/*", "pretrain/mae", ".state/*/*")
    run = place.start(*SLURM, "--set-resources", "pretrain_encoder:gpu=1", *CI, "--", str(ENCODER))
    state = place.root / R / ".state/preprocess"

    def one_is_done() -> list[Path]:
        assert run.poll() is None, place.said()[-6000:] + slurm.logs()
        return list(state.glob("*/*/result.json"))

    until(one_is_done, 1800, "a session preprocessed by a job")
    [job] = [j for j in slurm.jobs() if j["JobState"] == "RUNNING"]
    slurm.crash(job["BatchHost"])
    until(lambda: asked(slurm, "preprocess_shard")[0]["JobState"] == "PENDING", 300, "the job is queued again")
    slurm.ask("scontrol", "update", f"JobId={job['JobId']}", "StartTime=now")  # else in two minutes
    until(lambda: asked(slurm, "preprocess_shard")[0]["JobState"] == "RUNNING", 300, "the job runs elsewhere")
    slurm.start_node(job["BatchHost"])
    assert run.wait() == 0, place.said()[-6000:]

    for made in (*SHARDS, str(ENCODER.relative_to(R))):
        assert sha256(place.root / R / made) == sha256(trained / R / made), made
    logs = [p.read_text() for p in (place.root / R / "logs/preprocess_shard").glob("pretrain-*.log")]
    assert any("there already" in log for log in logs)

    [shards] = asked(slurm, "preprocess_shard")
    assert shards["Restarts"] == "1"
    assert (shards["NumCPUs"], shards["MinMemoryNode"], shards["TimeLimit"]) == ("1", "2500M", "08:00:00")
    [training] = asked(slurm, "pretrain_encoder")
    assert (training["MinMemoryNode"], training["TimeLimit"]) == ("4000M", "2-00:00:00")
    assert training["TresPerJob"] == "gres:gpu:1"
    assert "TresPerJob" not in shards
    assert {job["Requeue"] for job in slurm.jobs()} == {"1"}


def test_one_rule_trains_on_two_nodes_like_one_process(slurm, trained, place):
    place.forget("pretrain/mae", ".state/pretrain/*")
    (place.root / "nodes.yaml").write_text(json.dumps({"pretrain": {"processes": 2, "nodes": 2}}))
    place.run(*SLURM, *CI, "nodes.yaml", "--", str(ENCODER), OMP_NUM_THREADS="1")
    job = asked(slurm, "pretrain_encoder")[-1]
    assert (job["NumNodes"], job["NumTasks"]) == ("2", "2")
    assert json.loads((place.root / ENCODER.with_name("run.json")).read_text())["facts"]["processes"] == 2
    histories = [(root / ENCODER.with_name("history.jsonl")).read_text() for root in (trained, place.root)]
    one, two = ([json.loads(line) for line in text.splitlines()] for text in histories)
    assert len(one) == len(two)
    for before, after in zip(one, two, strict=True):
        assert after == pytest.approx(before, abs=1e-6)
    one, two = (read_tensors(root / ENCODER) for root in (trained, place.root))
    apart = {name: (one[name].double() - two[name].double()).abs() for name in one}
    apart = torch.cat([tensor.flatten() for tensor in apart.values()])
    # The few others: where a gradient is rounding alone, Adam makes full steps of it. In float64 there are none
    # (tests/unit/train/test_distributed.py).
    assert (apart <= 1e-6).double().mean() > 0.99
