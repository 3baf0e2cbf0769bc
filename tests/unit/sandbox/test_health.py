"""Guards the entrant, whose fault a failing engine is not; and the organiser: who prints as an engine does is none.

Engines are scripts here, found on the path; each plays its engine's part of one failure.
"""

import os

import pytest

from cairn.errors import CairnError
from cairn.sandbox.health import check_engine, lacks
from cairn.sandbox.image import Image
from cairn.sandbox.policy import Policy
from cairn.sandbox.run import engine_for, run_case

SIF, NAMED = Image("/entry.sif", "sif"), Image("docker://lab/entry", "oci")
POLICY = Policy(seconds=20, memory_mb=256, output_mb=16)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Puts a script first on the path."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def put(name, lines):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    return put


def run(image, name, folder):
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    return run_case(image, ["python", "-c", "0"], folder / "in", folder / "out", POLICY, name, groups=False)


def test_apptainer_that_can_run_nothing_stops_the_job(engine, tmp_path):
    said = "INFO:    Setting up\nFATAL:   no user namespaces\n"
    engine("apptainer", f"echo '{said}'; exit 255")
    with pytest.raises(CairnError, match=r"apptainer cannot run anything here .*no user namespaces") as caught:
        check_engine("apptainer", SIF, POLICY, 255, said, tmp_path)
    assert caught.value.code == "engine"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("probe-")]


NO_FILES = 'case "$*" in *probe.sif*/usr/bin/true) echo "FATAL: no FUSE"; exit 255;; */usr/bin/true) exit 0;; esac; '


def test_apptainer_that_runs_folders_but_mounts_no_file_is_at_fault_for_files_alone(engine, tmp_path):
    engine("apptainer", NO_FILES + 'test "$1" = build && touch "$2"')
    with pytest.raises(CairnError, match=r"apptainer cannot run anything here \(FATAL: no FUSE\)"):
        check_engine("apptainer", SIF, POLICY, 255, "FATAL: no FUSE", tmp_path)
    check_engine("apptainer", Image("/root", "folder"), POLICY, 255, "FATAL: forged", tmp_path)


def test_where_no_file_can_be_built_a_folder_tells(engine, tmp_path):
    engine("apptainer", NO_FILES + "exit 1")
    check_engine("apptainer", SIF, POLICY, 255, "FATAL: no FUSE", tmp_path)


def test_an_entry_that_prints_as_apptainer_is_the_entrys_fault(engine, tmp_path):
    engine("apptainer", 'case "$*" in */usr/bin/true) exit 0;; esac; exit 255')
    check_engine("apptainer", SIF, POLICY, 255, "FATAL:   forged", tmp_path)


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_a_container_that_never_started_stops_the_job(engine, tmp_path, name):
    never = 'case "$1" in inspect) echo "0001-01-01T00:00:00Z";; run) echo "no daemon"; exit 125;; esac'
    engine(name, never)
    with pytest.raises(CairnError, match=f"{name} cannot run anything here .no daemon") as caught:
        run(NAMED, name, tmp_path)
    assert caught.value.code == "engine"


def test_an_entry_that_ends_as_docker_does_is_the_entrys_fault(engine, tmp_path):
    started = 'case "$1" in inspect) echo "2026-01-01T00:00:00Z";; run) exit 125;; esac'
    engine("docker", started)
    assert run(NAMED, "docker", tmp_path).verdict == "start"


def test_whoever_docker_makes_of_the_entry_can_write(engine, tmp_path):
    engine("docker", 'test "$1" = run || exit 0; for w; do case $w in *dst=/output) s=${w#*src=};; esac; done; '
           'stat -c %a "${s%%,*}"')  # fmt: skip
    assert run(NAMED, "docker", tmp_path).log.strip() == "777"


def test_an_engine_that_is_not_installed_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CairnError, match="'podman' is not installed") as caught:
        engine_for(NAMED, "podman")
    assert caught.value.code == "engine"


def test_a_folder_that_is_to_see_a_gpu_is_for_apptainer(engine):
    for name in ("bwrap", "apptainer"):
        engine(name, "")
    folder = Image("/root", "folder")
    assert (engine_for(folder), engine_for(folder, gpu=True)) == ("bubblewrap", "apptainer")


def test_folders_are_looked_for_in_the_image_itself(engine, tmp_path):
    (tmp_path / "root/input").mkdir(parents=True)
    assert lacks(Image(str(tmp_path / "root"), "folder"), POLICY, tmp_path) == ["/output"]
    engine("apptainer", 'case "$*" in *--bind*) exit 0;; */input) exit 0;; esac; exit 1')
    assert lacks(SIF, POLICY, tmp_path) == ["/output"]
