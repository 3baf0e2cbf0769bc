"""Guards the quality page: self-contained, safe against odd names, and right about the truth on a case made by hand."""

import base64
import json
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from made_sessions import JPEG, box, good, with_sequence, write_shard_of
from scipy.spatial.transform import Rotation

from cairn.config.qc import QcConfig
from cairn.io.atomic import read_json, write_json
from cairn.io.nifti import write_scan
from cairn.io.tables import MISSING, read_table
from cairn.qc.page import COLUMNS, make_qc
from cairn.qc.truth import motion_error

CENTRE = [10.0, 20.0, 30.0]
EVIL = "</script><img src=http://x onerror=alert(1)>"
ROW = {
    "dataset": "made", "subject": "7", "session": "1", "sequence": "T1w", "path": "raw/7.nii.gz",
    "code": "blank", "reason": "raw/7.nii.gz: every voxel has the same value.", "remedy": "Remove the scan.",
}  # fmt: skip


def moved(mm, degrees):
    """4x4 that turns by ``degrees`` about the brain's centre and then moves it by ``mm`` along x."""
    out = np.eye(4)
    out[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    out[:3, 3] = CENTRE + np.array([mm, 0, 0]) - out[:3, :3] @ CENTRE
    return out


def anatomy(root, entries):
    """Truth of a data set: masks beside, motion as given."""
    made = {}
    for key, (mask, motion, site, reference) in entries.items():
        name = f"masks/{key.replace('/', '_')}.nii.gz"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_scan(root / name, mask, np.eye(4))
        made[key] = {
            "reference": reference, "brain_mask": name, "age": 50, "donor": "d1", "site": site,
            "motion": {s: m.tolist() for s, m in motion.items()},
        }  # fmt: skip
    write_json(root / "anatomy/0000.json", made)
    return root / "anatomy/0000.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three sessions with truth (found masks are 4x4x4 voxels), one without; errors are known by construction."""
    root = tmp_path_factory.mktemp("qc")
    true = moved(3, 4)
    sessions = {
        "1/1": with_sequence("T2w", motion=true.tolist()),
        "2/1": with_sequence("T2w", motion=(moved(2, 3) @ true).tolist()),
        "3/1": good(reference="T2w", sequences={
            "T2w": good()["sequences"]["T1w"],
            "T1w": {**good()["sequences"]["T2w"], "motion": np.linalg.inv(true).tolist()},
        }),
    }  # fmt: skip
    shards = [
        write_shard_of(root / "preprocess/made", "0000", sessions, (ROW,)),
        write_shard_of(root / "preprocess/real", "0000", {"1/1": good(site=EVIL, brain_ml=100.0)}),
    ]
    truth = anatomy(root / "truth/made", {
        "1/1": (box((4, 4, 4)), {"T1w": np.eye(4), "T2w": true}, "north", "T1w"),  # Dice 1, error 0
        "2/1": (box((4, 4, 8)), {"T2w": true}, "north", "T1w"),  # Dice 2*64/(64+128), error (2 mm at the centre, 3°)
        "3/1": (box((4, 4, 4)), {"T2w": true}, "south", "T1w"),  # another reference: no Dice, error 0
    })  # fmt: skip
    out = (root / "index.html", root / "sessions.tsv", root / "truth.json")
    facts = make_qc(QcConfig(), "tést", shards, [truth], *out)
    return (*out, facts)


class Page(HTMLParser):
    """Collects what a browser would load, and the data."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.tags, self.data, self._inside = [], [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self._inside = tag == "script" and dict(attrs).get("id") == "data"

    def handle_data(self, data):
        if self._inside:
            self.data += data


def test_page_loads_nothing_and_holds_its_pictures(made):
    text = made[0].read_text(encoding="utf-8")
    page = Page(text)
    assert page.loads == []
    for word in ("@import", "url(", "fetch(", "XMLHttpRequest", "/*CSS*/", "/*JS*/", "/*DATA*/"):
        assert word not in text, word
    data = json.loads(page.data)
    assert data["experiment"] == "tést"
    assert [s["dataset"] + "/" + s["key"] for s in data["sessions"]] == ["made/1/1", "made/2/1", "made/3/1", "real/1/1"]
    assert all(base64.b64decode(s["picture"]) == JPEG for s in data["sessions"])


def test_a_name_cannot_end_the_script_element(made):
    page = Page(made[0].read_text(encoding="utf-8"))
    assert "img" not in page.tags
    assert page.tags.count("script") == 2
    assert json.loads(page.data)["sessions"][-1]["site"] == EVIL


def test_page_shows_flags_and_the_quarantine(made):
    data = json.loads(Page(made[0].read_text(encoding="utf-8")).data)
    assert [[f["code"] for f in s["flags"]] for s in data["sessions"]] == [[], [], [], ["brain-volume"]]
    assert data["quarantine"] == [ROW]
    facts = made[3]
    assert (facts["sessions"], facts["flagged"], facts["quarantined"]) == (4, 1, 1)


def test_truth_table_is_right_about_a_case_made_by_hand(made):
    truth = read_json(made[2])
    assert truth["sessions"]["made/1/1"]["motion"]["T2w"] == [0, 0]
    assert truth["sessions"]["made/3/1"]["motion"]["T1w"] == [0, 0]
    mm, degrees = truth["sessions"]["made/2/1"]["motion"]["T2w"]
    turned = np.linalg.norm((moved(2, 3) @ moved(3, 4) - moved(3, 4)) @ [*CENTRE, 1])
    assert mm == pytest.approx(turned, abs=1e-3)
    assert degrees == pytest.approx(3, abs=1e-3)
    north, both = truth["sites"]["north"], truth["all"]
    assert (both["sessions"], both["masks"], both["pairs"], both["sessions_moved"]) == (3, 2, 3, 3)
    assert (both["dice_mean"], both["dice_min"], both["dice_below"]) == (pytest.approx(5 / 6, abs=1e-4), 0.6667, 0.5)
    assert both["recovered"] == pytest.approx(2 / 3, abs=1e-4)
    assert both["degrees_max"] == pytest.approx(3, abs=1e-3)
    assert both["degrees_mean"] == pytest.approx(1, abs=1e-3)
    assert (north["sessions"], north["recovered"]) == (2, 0.5)
    assert truth["sites"]["south"]["dice_mean"] is None
    assert truth["datasets"].keys() == {"made"}


def test_one_row_a_session_with_and_without_truth(made):
    rows = read_table(made[1], COLUMNS)
    assert [(r["dataset"], r["subject"], r["truth_dice"], r["flags"]) for r in rows] == [
        ("made", "1", "1.0", MISSING), ("made", "2", "0.6667", MISSING), ("made", "3", MISSING, MISSING),
        ("real", "1", MISSING, "brain-volume"),
    ]  # fmt: skip


def test_without_truth_there_is_no_comparison(tmp_path):
    shard = write_shard_of(tmp_path / "real", "0000", {"1/1": good()})
    facts = make_qc(QcConfig(), "x", [shard], [], tmp_path / "p.html", tmp_path / "s.tsv", tmp_path / "t.json")
    assert facts["truth"] is None
    assert read_json(tmp_path / "t.json")["sessions"] == {}


def test_motion_error_is_measured_at_the_brains_centre():
    assert motion_error(moved(2, 3), np.eye(4), CENTRE) == (pytest.approx(2), pytest.approx(3))
    assert motion_error(moved(0, 10), np.eye(4), CENTRE) == (pytest.approx(0, abs=1e-9), pytest.approx(10))


@pytest.mark.skipif(shutil.which("node") is None, reason="no node")
def test_the_script_is_javascript(made, tmp_path):
    script = made[0].read_text(encoding="utf-8").rsplit("<script>", 1)[1].split("</script>")[0]
    (tmp_path / "page.js").write_text(script, encoding="utf-8")
    done = subprocess.run(["node", "--check", tmp_path / "page.js"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
