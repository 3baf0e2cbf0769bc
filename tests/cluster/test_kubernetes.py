"""Guards profiles/kubernetes: what is posted to the API for our rules, and that a pod with an empty folder can do it.

The API server is made up; the executor, the storage and the pods' commands are real.
"""

import json
import subprocess

import pytest
from small_kubernetes import SmallKubernetes
from workplace import CI, ENCODER, R, need

from cairn.io.atomic import sha256

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path):
    need("kubernetes")
    (tmp_path / "kubernetes").mkdir()
    cluster = SmallKubernetes(tmp_path / "kubernetes", {"OMP_NUM_THREADS": "1"})
    yield cluster
    cluster.stop()


def test_a_pod_asks_for_what_the_rule_says_and_trains_from_object_storage(cluster, s3, place, trained):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], cwd=place.root, check=True)
    subprocess.run([*git, "add", "-A"], cwd=place.root, check=True)
    s3.upload(place.root, f"{R}/preprocess/pretrain/*", f"{R}/preprocess/no_leaks.*")
    place.forget("preprocess", "leakage", "pretrain", "raw", ".state")
    status = place.start(
        "--workflow-profile", "profiles/kubernetes", *s3.arguments(), "--container-image", "lab/cairn:1",
        "--kubernetes-service-account-name", "cairn", "--kubernetes-persistent-volumes", "scans:/scans",
        "--seconds-between-status-checks", "2", "--allowed-rules", "pretrain_encoder",
        "--set-resources", "pretrain_encoder:gpu=1", *CI, "--", str(ENCODER),
        KUBECONFIG=str(cluster.kubeconfig), **s3.keys,
    ).wait()  # fmt: skip
    assert status == 0, place.said()[-5000:] + cluster.logs()
    (place.root / "encoder").write_bytes(s3.read(str(ENCODER)))
    assert sha256(place.root / "encoder") == sha256(trained / ENCODER)
    assert str(ENCODER.with_name("run.json")) in s3.names()

    [posted] = cluster.posted
    spec = job_of(posted).spec.template.spec
    [container] = spec.containers
    assert (container.image, container.working_dir) == ("lab/cairn:1", "/workdir")
    limits, requests = container.resources.limits, container.resources.requests
    assert requests["nvidia.com/gpu"] == limits["nvidia.com/gpu"] == "1"
    assert requests["memory"] == limits["memory"] == "4000M"
    assert {t.key for t in spec.tolerations} == {"nvidia.com/gpu"}
    assert (spec.service_account_name, spec.restart_policy) == ("cairn", "Never")
    assert [(m.name, m.mount_path) for m in container.volume_mounts] == [("workdir", "/workdir"), ("scans", "/scans")]
    assert {v.name for v in container.env} >= set(s3.keys)
    assert not set(s3.keys.values()) & set(json.dumps(posted).split()), "keys are a secret's"


def job_of(posted):
    """The job by the client's models, which are made from Kubernetes's OpenAPI description."""
    from kubernetes import client

    class Response:
        data = json.dumps(posted)

    api = client.ApiClient()
    job = api.deserialize(Response, "V1Job")
    assert api.sanitize_for_serialization(job) == posted, "what the description does not know is lost"
    return job
