"""A small study in a checkout: how it is run, planned and restored."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

from cairn.io.tables import LABEL_COLUMNS, read_table, write_table

CONFIG = "config/study.yaml"
Job = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Study:
    """A checkout with an experiment in it."""

    root: Path

    def run(self, *command: str, ok: bool = True, **environment: str) -> str:
        """Run a command of the environment in the study's folder; returns what it printed."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        more = {"PYTHONPATH": str(self.root / "src"), "PATH": path, "DVC_NO_ANALYTICS": "1", **environment}
        done = subprocess.run(
            command, cwd=self.root, env=os.environ | more, capture_output=True, text=True, check=False
        )  # fmt: skip
        printed = done.stdout + done.stderr
        assert (done.returncode == 0) is ok, f"{' '.join(command)}\n{printed[-6000:]}"
        return printed

    def snakemake(self, *arguments: str) -> str:
        """Run the workflow on two cores."""
        return self.run(sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", CONFIG, *arguments)

    def cairn(self, *arguments: str, ok: bool = True) -> str:
        """Run the command `cairn`."""
        return self.run(sys.executable, "-c", "from cairn.cli import main; main()", *arguments, ok=ok)

    def plan(self, *targets: str) -> set[Job]:
        """Jobs that a dry run holds, the target rules left out. In this process: a tenth of a subprocess's time."""
        here = Path.cwd()
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                return self._plan(set(targets))
        finally:
            os.chdir(here)

    def _plan(self, targets: set[str]) -> set[Job]:
        with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=[self.root / CONFIG]),
                snakefile=self.root / "Snakefile", workdir=self.root,
            )  # fmt: skip
            dag = workflow.dag(dag_settings=DAGSettings(targets=targets, max_checksum_file_size=10**12))
            dag.execute_workflow(executor="dryrun")
            jobs = workflow._workflow.dag.needrun_jobs(exclude_finished=False)
            return {(j.rule.name, tuple(sorted(j.wildcards_dict.items()))) for j in jobs if j.rule.output}


def merged(base: dict, more: dict) -> dict:
    return base | {k: merged(base[k], v) if isinstance(v, dict) and k in base else v for k, v in more.items()}


def add_real_scans(root: Path) -> None:
    """Give some of the cohort's raw scans as a lab would have them: a BIDS folder, a table of labels."""
    scans, truth = root / "results/ci/raw/age_few", root / "results/ci/truth/age_few/labels.tsv"
    for scan in sorted(scans.glob("sub-*/ses-*/anat/*.nii.gz")):
        (root / "data/my scans" / scan.relative_to(scans)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scan, root / "data/my scans" / scan.relative_to(scans))
    write_table(root / "data/labels.tsv", read_table(truth), LABEL_COLUMNS)
    more = {
        "datasets": {
            "mine": {
                "kind": "bids", "root": "data/my scans", "labels": "data/labels.tsv", "shards": 3, "predict": ["age"],
            },
        },
        "tasks": {"age": {"finetune": "mine"}},
    }  # fmt: skip
    config = merged(yaml.safe_load((root / "config/ci.yaml").read_text()), more)
    (root / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))
    milestones = (root / "dvc.yaml").read_text()
    for old, new in (
        ("experiment: demo", "experiment: ci"),
        ("config/demo.yaml", CONFIG),
        ("results/demo", "results/ci"),
    ):
        assert old in milestones
        milestones = milestones.replace(old, new)
    (root / "dvc.yaml").write_text(milestones)
