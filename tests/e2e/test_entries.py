"""Guards the organiser's side, from images to the page: strangers' entries are run, scored and ranked like any run.

One entry is honest. The other changes with the case: it cheats, breaks, or tries to get at labels and network, and
each of its cases costs it that case alone.
"""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cairn.io.atomic import read_json, sha256
from cairn.io.tables import read_table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bubblewrap (Debian: apt install bubblewrap)"),
]
R = Path("results/ci")
CONFIG = ("--configfile", "config/entries.yaml")
READ = """
import hashlib, os, socket, sys
from pathlib import Path
import nibabel as nib, numpy as np
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
out = Path(given.pop("--output"))
first = nib.load(sorted(given.values())[0])
mean = float(np.asarray(first.dataobj, np.float64).mean())

def answer():
    if out.suffix == ".txt":
        out.write_text(f"{mean % 1:.3f}")
    else:
        like = nib.load(given["--flair"])
        data = np.asarray(like.dataobj)
        nib.save(nib.Nifti1Image((data > np.percentile(data, 99.5)).astype(np.uint8), like.affine), out)

def through(do):
    try:
        do()
    except OSError:
        return False
    return True
"""
HOSTILE = """
assert not through(lambda: open(LABELS).read()), "labels"
assert not through(lambda: open(given[sorted(given)[0]], "ab").write(b"x")), "input"
assert not through(lambda: socket.create_connection(("1.1.1.1", 53), 1)), "network"
assert not os.path.exists("/tmp/left") and not os.listdir("/output"), "another case's leavings"
Path("/tmp/left").write_text("for the next")
way = int(hashlib.sha256(first.get_fdata().tobytes()).hexdigest(), 16) % 5
if way == 0: answer()
elif way == 1: out.write_text("nan")
elif way == 2: sys.exit(3)
elif way == 3: out.symlink_to(LABELS)
else: held = [bytearray(os.urandom(1 << 20) * 64) for _ in range(10**4)]
"""
VERDICTS = {"ok", "nan", "not-nifti", "failed", "not-a-file", "memory"}


def write_image(folder: Path, program: str) -> Path:
    """A root folder with a program in it; system and Python are this machine's."""
    (folder / "app").mkdir(parents=True)
    (folder / "app/predict.py").write_text(program)
    return folder


def base() -> list[str]:
    """The environment's Python first: it is the one that has nibabel."""
    places = [sys.prefix, sys.base_prefix, "/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache"]
    return list(dict.fromkeys(os.path.abspath(p) for p in places if os.path.lexists(p)))


@pytest.fixture(scope="module")
def entered(finished, tmp_path_factory):
    """In a copy of the finished experiment: two entries beside its runs, run to the page."""
    root = tmp_path_factory.mktemp("entries") / "checkout"
    shutil.copytree(finished.root, root, symlinks=True)
    made = replace(finished, root=root)
    write_image(root / "images/honest", READ + "answer()\n")
    labels = f"LABELS = {str(root / R / 'truth/infarct_test/labels.tsv')!r}\n"
    write_image(root / "images/hostile", READ + labels + HOSTILE)
    table = (root / "config/runs/ci.tsv").read_text().rstrip().splitlines()
    rows = [table[0] + "\timage\ttrack", *(row + "\tn/a\tn/a" for row in table[1:])]
    for name in ("honest", "hostile"):
        rows.append("\t".join([name, name, "container", *["n/a"] * 4, "true", f"images/{name}", "open"]))
    (root / "config/runs/entries.tsv").write_text("\n".join(rows) + "\n")
    more = {
        "runs": "config/runs/entries.tsv",
        "challenge": {"base": base(), "policy": {"seconds": 60, "memory_mb": 400, "cpus": 1}},
    }
    config = yaml.safe_load((root / "config/ci.yaml").read_text()) | more
    (root / "config/entries.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    made.snakemake(*CONFIG)
    return made


def status(entered, run, task):
    return [r["status"] for r in read_table(entered.root / R / f"predict/{run}/{task}/seed-0/predictions.tsv")]


def test_an_honest_entry_answers_every_case(entered):
    for task, count in (("infarct", 6), ("meningioma", 4), ("age", 5)):
        assert status(entered, "honest", task) == ["ok"] * count


def test_a_hostile_entry_costs_itself_case_by_case(entered):
    found = [s for task in ("infarct", "meningioma", "age") for s in status(entered, "hostile", task)]
    assert set(found) <= VERDICTS
    assert len(set(found)) > 2
    failed = [
        r for r in read_table(entered.root / R / "predict/hostile/infarct/seed-0/cases.tsv") if r["verdict"] == "failed"
    ]
    assert {r["exit_code"] for r in failed} <= {"3"}  # 1 would be an assertion: something got through
    cases = read_table(entered.root / R / "evaluate/hostile/infarct/cases.tsv")
    bad = [c for c in cases if c["status"] != "ok"]
    assert bad
    assert all(float(c["prediction"]) == 1 - float(c["label"]) for c in bad)


def test_entries_stand_on_the_leaderboard_and_the_page(entered):
    board = read_json(entered.root / R / "leaderboard/leaderboard.json")
    rows = {r["run"]: r for r in board["rows"]}
    assert rows["honest"]["track"] == rows["hostile"]["track"] == "open"
    assert rows["honest"]["overall"]
    assert rows["hostile"]["overall"]
    page = (entered.root / R / "report/index.html").read_text()
    assert "sealed image" in page
    assert "not told" in page
    assert "predictions are invalid" in page


def test_the_lineage_holds_the_images_content(entered):
    card = read_json(entered.root / R / "predict/honest/age/seed-0/run.json")
    origin = read_json(entered.root / R / "leaderboard/tracks.json")["runs"]["honest"]
    assert origin["images"] == {"images/honest": card["inputs"]["images/honest"]}
    assert not any("truth" in name for name in card["inputs"])
    said = entered.python("-c", "from cairn.cli import main; main()", "why", "honest", "age", "mae")
    assert "images/honest" in said


def test_another_image_reruns_that_entry_and_no_other(entered):
    assert "Nothing to be done" in entered.plan(*CONFIG)
    before = {p: sha256(p) for p in (entered.root / R / "predict/hostile").rglob("predictions.tsv")}
    program = entered.root / "images/honest/app/predict.py"
    program.write_text(program.read_text().replace("99.5", "99.0"))
    planned = entered.plan(*CONFIG)
    assert "entry honest on meningioma" in planned
    for other in ("entry hostile", "fine-tune ", "pretrain ", "evaluate mae"):
        assert other not in planned
    assert all(sha256(p) == digest for p, digest in before.items())
