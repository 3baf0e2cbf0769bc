"""Guards results in object storage: jobs of this machine read and write a bucket, and nothing is done twice."""

import hashlib

import pytest
from workplace import CI, R

from cairn.io.atomic import sha256

SHARDS = [R / f"preprocess/pretrain/000{shard}.safetensors" for shard in (0, 1)]
ACCEPTED = R / "preprocess/pretrain/accepted.json"

pytestmark = pytest.mark.slow


def test_preprocessing_reads_and_writes_a_bucket_and_the_next_plan_is_empty(s3, place, trained):
    s3.upload(place.root, "results/resources/packages/*", f"{R}/raw/pretrain/index/*")
    place.forget("preprocess", "raw/pretrain/index", "pretrain", "leakage", ".state")
    (place.root / "results/resources/packages").unlink()  # a link to those of the repository
    command = (*s3.arguments(), "--allowed-rules", "preprocess_shard", "accept_dataset", *CI, "--", str(ACCEPTED))
    place.run("--cores", "2", *command, **s3.keys)
    for shard in SHARDS:
        assert not (place.root / shard).exists()
        assert hashlib.sha256(s3.read(str(shard))).hexdigest() == sha256(trained / shard)
    assert str(ACCEPTED) in s3.names()
    assert any(name.startswith(f"{R}/preprocess/pretrain/0000.qc/") for name in s3.names()), "a folder of figures"
    assert "Nothing to be done" in place.run("--dry-run", *command, **s3.keys)
