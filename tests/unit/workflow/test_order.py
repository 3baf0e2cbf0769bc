"""Guards that an ancient input orders jobs and hides nothing: what else its readers need is seen in the same run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src"
SNAKEFILE = """
from snakemake.dag import DAG
from cairn.workflow.order import mend_ancient

if config.get("mend", "yes") == "yes":
    mend_ancient(DAG)
    mend_ancient(DAG)

rule all:
    input: "last", "side"

rule gate:
    output: "gate"
    params: v=config["gate"]
    shell: "echo gate >> ran; echo {params.v} > {output}"

rule work:
    input: ancient("gate")
    output: "work"
    params: v=config["work"]
    shell: "echo work >> ran; echo {params.v} > {output}"

rule last:
    input: "work"
    output: "last"
    shell: "echo last >> ran; cp {input} {output}"

rule side:
    input: "last", gate=ancient("gate")
    output: "side"
    shell: "echo side >> ran; cp {input[0]} {output}"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


def ran(folder, gate, work, mend="yes"):
    """Jobs of one run, in order."""
    (folder / "ran").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--config", f"gate={gate}", f"work={work}", f"mend={mend}"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (folder / "ran").read_text().split()


def test_a_gate_that_reruns_neither_reruns_nor_hides_what_is_behind_it(folder):
    assert ran(folder, 1, 1) == ["gate", "work", "last", "side"]
    assert ran(folder, 2, 1) == ["gate"]
    assert ran(folder, 3, 2) == ["gate", "work", "last", "side"]
    assert (folder / "side").read_text() == "2\n"
    (folder / "side").unlink()
    assert ran(folder, 4, 2) == ["gate", "side"]


def test_snakemake_still_needs_it(folder):
    """When this fails, Snakemake has mended it itself and `cairn.workflow.order` can go."""
    ran(folder, 1, 1, mend="no")
    assert ran(folder, 2, 2, mend="no") == ["gate"]
