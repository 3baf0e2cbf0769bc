"""Guards a build context: all that an entry needs and nothing else; run sealed off, it gives the pipeline's bytes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from study import make_study

from cairn.challenge.contract import COMMAND, arguments, input_name
from cairn.challenge.finished import bundle_of
from cairn.challenge.package import RECIPES, UNUSED, build, machine_base, package
from cairn.errors import CairnError
from cairn.io.atomic import sha256
from cairn.sandbox.image import open_image
from cairn.sandbox.policy import Policy
from cairn.sandbox.run import run_case

REPO = Path(__file__).resolve().parents[3]
PINNED_ALONE = """
import importlib.metadata, re, runpy, sys

pinned = set(sys.argv.pop(1).split(","))
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
owners = importlib.metadata.packages_distributions()
hidden = {top for top, names in owners.items() if top != "cairn" and not {plain(n) for n in names} & pinned}

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def contexts(study, tmp_path_factory):
    made = {}

    def context(run="scratch", task="sick"):
        if (run, task) not in made:
            study.model(run, task)
            out = made[run, task] = tmp_path_factory.mktemp("contexts") / "context"
            package(bundle_of(study.results, run, task), out, REPO)
        return made[run, task]

    return context


def pinned(context):
    lines = (context / "requirements.txt").read_text().splitlines()
    return {line.split("==")[0] for line in lines if "==" in line}


def test_a_context_holds_what_is_run_and_how_it_is_built(contexts):
    context = contexts()
    card = json.loads((context / "entry.json").read_text())
    assert (card["run"], card["task"], card["output"], card["required"]) == (
        "scratch",
        "sick",
        ".txt",
        ["FLAIR", "DWI"],
    )
    there = {p.relative_to(context).as_posix() for p in context.rglob("*") if p.is_file()} - {"entry.json"}
    assert set(card["files"]) == there
    assert all(sha256(context / name) == digest for name, digest in card["files"].items())
    assert {*RECIPES, "app/predict.py", "app/bundle/model.safetensors", "app/bundle/resources/deepbet.whl"} <= there
    assert "app/lib/cairn/preprocess/session.py" in there
    assert not [name for name in there if name.startswith(("app/lib/cairn/evaluate", "app/lib/cairn/report"))]
    assert not [p.name for p in context.parent.iterdir() if p != context]


def test_requirements_are_locked_with_their_needs_and_nothing_that_only_training_needs(contexts):
    names = pinned(contexts())
    assert {"numpy", "scipy", "nibabel", "antspyx", "pandas", "pydantic-core", "safetensors", "sympy"} <= names
    assert not names & {*UNUSED, "tokenizers", "snakemake", "dvc", "nilearn", "torch", "pytest"}
    assert (contexts() / "requirements.txt").read_text().count("--hash=sha256:") > len(names)
    assert (contexts() / "torch.txt").read_text() == "torch==2.13.0\n"


def test_equal_rows_give_equal_contexts(study, contexts, tmp_path):
    package(bundle_of(study.results, "scratch", "sick"), tmp_path / "again", REPO)
    assert (tmp_path / "again/entry.json").read_bytes() == (contexts() / "entry.json").read_bytes()


@pytest.mark.parametrize(("run", "task"), [("scratch", "lesion"), ("scratch", "decade")])
def test_pinned_packages_suffice(study, contexts, tmp_path, run, task):
    """Every other installed package is hidden; so is this repository."""
    context = contexts(run, task)
    suffix = json.loads((context / "entry.json").read_text())["output"]
    out, scans = tmp_path / f"answer{suffix}", study.arguments("FLAIR", "DWI", "T2w")
    line = [sys.executable, "-c", PINNED_ALONE, ",".join({*pinned(context), "torch"}), str(context / "app/predict.py")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [*line, *scans, "--output", str(out)], cwd=tmp_path, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert out.stat().st_size


@pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bubblewrap (Debian: apt install bubblewrap)")
@pytest.mark.parametrize(("task", "kind"), [("sick", "classification"), ("lesion", "segmentation")])
def test_sealed_off_it_gives_the_pipelines_bytes(study, contexts, tmp_path, task, kind):
    """No network, a read-only root, nobody's rights, this machine's own Python lent to it."""
    row, image = study.row("scratch", task), open_image(contexts("scratch", task), machine_base())
    inputs, output = tmp_path / "in", tmp_path / "out"
    (inputs / "ses_1").mkdir(parents=True)
    output.mkdir()
    given = ["FLAIR", "DWI", *(["T2w"] if task == "sick" else [])]
    for name in given:
        shutil.copyfile(study.scans[name], inputs / "ses_1" / input_name("fomo25", kind, name))
    name = "case.txt" if kind == "classification" else "case.nii.gz"
    command = [*COMMAND, *arguments("fomo25", kind, given, name)]
    outcome = run_case(image, command, inputs, output, Policy())  # 120 s
    assert outcome.verdict == "ok", outcome
    if kind == "classification":
        assert (output / name).read_text() == f"{row['value']}\n"
    else:
        assert (output / name).read_bytes() == (study.answers("scratch", task) / row["mask"]).read_bytes()


def test_a_context_is_written_whole_into_a_new_folder_or_not_at_all(study, contexts, tmp_path):
    made = bundle_of(study.results, "scratch", "sick")
    with pytest.raises(CairnError, match="is there already"):
        package(made, contexts(), REPO)
    with pytest.raises(CairnError, match="Run this in the repository's folder"):
        package(made, tmp_path / "new", tmp_path)
    model = tmp_path / "other.safetensors"
    model.write_bytes(made.model.read_bytes()[:-1])
    with pytest.raises(CairnError, match="not the model that its card names"):
        package(type(made)(made.job, made.preprocess, model, made.resources, made.model_sha256), tmp_path / "new", REPO)
    assert not [p for p in tmp_path.iterdir() if p != model]


def fake_apptainer(folder, lines):
    command = folder / "apptainer"
    command.write_text("#!/bin/sh\n" + lines)
    command.chmod(0o755)
    return str(command)


def test_an_image_is_built_from_a_context_and_a_failure_is_told(contexts, tmp_path, monkeypatch):
    context = contexts()
    before = sorted(context.rglob("*"))
    monkeypatch.setenv("APPTAINER_COMMAND", fake_apptainer(tmp_path, 'cat "$3" app/predict.py torch.txt > "$2"\n'))
    assert build(context, tmp_path / "made/entry.sif") > 0
    assert (tmp_path / "made/entry.sif").read_text().startswith((context / "entry.def").read_text())
    base, wheels = tmp_path / "some.sif", tmp_path / "some-wheels"
    base.write_text("base")
    wheels.mkdir()
    monkeypatch.setenv("APPTAINER_COMMAND", fake_apptainer(tmp_path, 'cat base.sif "$3" > "$2" && test -d wheels\n'))
    build(context, tmp_path / "offline.sif", (base, wheels))
    assert (tmp_path / "offline.sif").read_text() == "base" + (context / "entry-offline.def").read_text()
    assert sorted(context.rglob("*")) == before
    monkeypatch.setenv("APPTAINER_COMMAND", fake_apptainer(tmp_path, 'echo "no space" >&2; exit 255\n'))
    with pytest.raises(CairnError, match=r"could not build .*no space"):
        build(context, tmp_path / "failed.sif")
    monkeypatch.setenv("APPTAINER_COMMAND", "no-such-apptainer")
    with pytest.raises(CairnError, match="'no-such-apptainer' is not installed"):
        build(context, tmp_path / "failed.sif")
    assert not (tmp_path / "failed.sif").exists()


def test_folders_of_this_machine_are_lent_once(tmp_path):
    lent = machine_base()
    assert sys.prefix in lent
    assert "/usr" in lent
    assert not [a for a in lent for b in lent if a != b and Path(a).is_relative_to(b)]
