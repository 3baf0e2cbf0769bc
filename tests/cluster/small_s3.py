"""An S3 of one process, moto's, and a bucket that holds a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BUCKET = "cairn"
KEYS = {"SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "an-access-key", "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "a-secret-key"}


class SmallS3:
    """The server, at ``endpoint``."""

    keys = KEYS

    def __init__(self) -> None:
        import boto3
        from moto.server import ThreadedMotoServer

        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        host, port = self.server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        access, secret = KEYS.values()
        self.client: Any = boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=access, aws_secret_access_key=secret,
            region_name="us-east-1",
        )  # fmt: skip
        self.client.create_bucket(Bucket=BUCKET)

    def stop(self) -> None:
        """End the server."""
        self.server.stop()

    def upload(self, root: Path, *patterns: str) -> None:
        """Put files below ``root`` into the bucket, by their names from there, the oldest first."""
        found = sorted({p for pattern in patterns for p in root.glob(pattern) if p.is_file()}, key=_age)
        for path in found:
            self.client.upload_file(str(path), BUCKET, str(path.relative_to(root)))

    def names(self) -> set[str]:
        """What the bucket holds."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {found["Key"] for page in pages for found in page.get("Contents", [])}

    def read(self, name: str) -> bytes:
        """One object."""
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
        return content

    def arguments(self) -> list[str]:
        """What tells Snakemake that its files lie here."""
        return [
            "--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{BUCKET}",
            "--storage-s3-endpoint-url", self.endpoint,
        ]  # fmt: skip


def _age(path: Path) -> float:
    return path.stat().st_mtime
