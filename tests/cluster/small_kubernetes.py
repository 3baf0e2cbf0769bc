"""A Kubernetes of one process: the few calls of its API that the executor makes, and pods that really run.

A pod is its container's command, run on this machine in an empty folder that stands for the volume at the working
directory, with the environment that the pod was given and nothing of the test's. What was posted is kept, to be judged
by the client's own models.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml


class SmallKubernetes:
    """The API server; ``kubeconfig`` leads to it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        """Serve at a free port; pods lie in ``folder``; ``environment`` is what the image sets."""
        self.folder, self.environment = folder, environment
        self.posted: list[dict[str, Any]] = []
        self.secrets: dict[str, dict[str, str]] = {}
        self.pods: dict[str, subprocess.Popen[bytes]] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.kubeconfig = folder / "kubeconfig"
        address = f"http://127.0.0.1:{self.server.server_port}"
        self.kubeconfig.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "small",
            "clusters": [{"name": "small", "cluster": {"server": address}}],
            "contexts": [{"name": "small", "context": {"cluster": "small", "user": "me"}}],
            "users": [{"name": "me", "user": {}}],
        }))  # fmt: skip
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "pip").write_text("#!/bin/sh\nexit 0\n")  # the image holds the plugin; there is no registry here
        (self.bin / "pip").chmod(0o755)

    def stop(self) -> None:
        """End the server, and pods that are left."""
        self.server.shutdown()
        for pod in self.pods.values():
            if pod.poll() is None:
                pod.kill()

    def logs(self) -> str:
        """What pods printed."""
        return "\n".join(p.read_text(errors="replace")[-5000:] for p in sorted(self.folder.glob("*.log")))

    def answer(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """Answer one call."""
        kind = re.fullmatch(r"/(?:api/v1|apis/batch/v1)/namespaces/[^/]+/(\w+)(?:/([^/]+))?(?:/status)?", path)
        assert kind, path
        what, name = kind.groups()
        if method == "POST" and body is not None:
            name = body["metadata"]["name"]
            if what == "secrets":
                self.secrets[name] = {k: base64.b64decode(v).decode() for k, v in (body.get("data") or {}).items()}
            else:
                self.posted.append(body)
                self.pods[name] = self._run(name, body["spec"]["template"]["spec"]["containers"][0])
            return body
        if method == "GET" and what == "jobs":
            code = self.pods[name].poll()
            status = {} if code is None else {"succeeded": 1} if code == 0 else {"failed": 1}
            return {"kind": "Job", "metadata": {"name": name}, "status": status}
        return {"kind": "PodList", "items": []} if what == "pods" else {"kind": "Status", "status": "Success"}

    def _run(self, name: str, container: dict[str, Any]) -> subprocess.Popen[bytes]:
        place = self.folder / name
        place.mkdir()
        path = os.pathsep.join([str(self.bin), str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {"PATH": path, "HOME": str(place), "PYTHONPATH": str(place / "src"), **self.environment}
        for variable in container.get("env") or []:
            key = variable["valueFrom"]["secretKeyRef"]
            environment[variable["name"]] = self.secrets[key["name"]][key["key"]]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [*container["command"], *container["args"]], cwd=place, env=environment, stdout=log, stderr=log
            )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = cluster.answer(self.command, self.path.partition("?")[0], json.loads(text) if text else None)
                said = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
