"""Guards the policy: the command line that each engine is called with, word for word."""

import os
from pathlib import Path

import pytest

from cairn.errors import CairnError
from cairn.sandbox import render
from cairn.sandbox.image import Image, open_image
from cairn.sandbox.policy import Policy

POLICY = Policy(memory_mb=2048, processes=64, scratch_mb=16, output_mb=8, cpus=3)
COMMAND = ("python", "/app/predict.py", "--t1", "/input/ses_1/t1.nii.gz", "--output", "/output/output.txt")
GIVEN = {"PATH": "/bin", "HOME": "/tmp", "A": "b c"}
PLACES = Path("/cases/in"), Path("/cases/out")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/predict.py").touch()
    (tmp_path / "proc").mkdir()  # an image's own is not shown
    (tmp_path / "lib").symlink_to("usr/lib")
    return tmp_path


def words(text):
    return text.split()


def test_bubblewrap(root):
    line = render.bubblewrap(open_image(root, ("/usr",)), POLICY, COMMAND, *PLACES, GIVEN)
    assert line == [
        *words("bwrap --unshare-all --unshare-user --disable-userns --die-with-parent --new-session --cap-drop ALL"),
        *words("--uid 65534 --gid 65534 --hostname entry --clearenv --proc /proc --dev /dev --remount-ro /dev"),
        *words("--size 16777216 --tmpfs /dev/shm --size 16777216 --tmpfs /tmp"),
        *words(f"--ro-bind {root}/app /app --symlink usr/lib /lib --ro-bind /usr /usr"),
        *words("--ro-bind /cases/in /input --bind /cases/out /output"),
        *("--setenv", "A", "b c", "--setenv", "HOME", "/tmp", "--setenv", "PATH", "/bin"),
        *words("--chdir /tmp --remount-ro / --"),
        *COMMAND,
    ]


def test_bubblewrap_with_folders_shown_elsewhere(root):
    line = render.bubblewrap(open_image(root), POLICY, COMMAND, *PLACES, GIVEN, at=lambda p: f"/mnt/{p.name}")
    sources = [line[i + 1] for i, word in enumerate(line) if word in ("--bind", "--ro-bind")]
    assert sources == ["/mnt/app", "/mnt/in", "/mnt/out"]


def test_apptainer(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    policy, rules = POLICY.model_copy(update={"gpu": True}), Path("/cases/rules.json")
    line = render.apptainer(Image("/a.sif", "sif"), policy, COMMAND, *PLACES, GIVEN, rules)
    assert line == [
        *words("apptainer exec --containall --cleanenv --no-home --no-eval --no-privs --net --network none"),
        *words("--hostname entry --bind /cases/in:/input:ro --bind /cases/out:/output:rw --pwd /tmp --nv"),
        *words("--security seccomp:/cases/rules.json"),
        *("--env", "A=b c", "--env", "PATH=/bin", "/a.sif"),
        *COMMAND,
    ]


def test_apptainer_of_root_runs_nobody(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    line = render.apptainer(Image("/a.sif", "sif"), POLICY, COMMAND, *PLACES, GIVEN)
    assert line[line.index("--security") + 1] == "uid:65534,gid:65534"


@pytest.mark.parametrize("program", ["docker", "podman"])
def test_docker_and_podman(program):
    line = render.ENGINES[program](Image("docker://lab/entry:1", "oci"), POLICY, COMMAND, *PLACES, GIVEN)
    assert line == [
        program,
        "run",
        *(["--read-only-tmpfs=false"] if program == "podman" else []),
        *words("--network none --read-only --user 65534:65534 --cap-drop ALL"),
        *words("--security-opt no-new-privileges --pids-limit 64 --memory 2048m --memory-swap 2048m --cpus 3"),
        *words("--shm-size 16m --ulimit fsize=8388608:8388608 --ulimit core=0:0"),
        *words("--tmpfs /tmp:rw,nosuid,nodev,size=16m --hostname entry --ipc private"),
        *("--entrypoint", "", "--workdir", "/tmp"),
        *words("--mount type=bind,src=/cases/in,dst=/input,readonly --mount type=bind,src=/cases/out,dst=/output"),
        *("--env", "A=b c", "--env", "HOME=/tmp", "--env", "PATH=/bin"),
        "lab/entry:1",
        *COMMAND,
    ]


def test_bubblewrap_refuses_to_run_without_the_gpu_that_was_asked_for(root):
    with pytest.raises(CairnError, match="shows no GPU"):
        render.bubblewrap(open_image(root), POLICY.model_copy(update={"gpu": True}), COMMAND, *PLACES, GIVEN)


@pytest.mark.parametrize(
    ("engine", "image", "output"),
    [
        ("bubblewrap", Image("/a.sif", "sif"), "/out"),
        ("docker", Image("/a", "folder"), "/out"),
        ("apptainer", Image("/a.sif", "sif"), "/out:rw,/etc"),
        ("docker", Image("docker://a", "oci"), "/out,src=/etc"),
    ],
)
def test_what_an_engine_cannot_take_is_refused(engine, image, output):
    with pytest.raises(CairnError) as caught:
        render.ENGINES[engine](image, POLICY, COMMAND, Path("/in"), Path(output), GIVEN)
    assert caught.value.code == "engine"
