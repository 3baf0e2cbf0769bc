"""Guards the exported run: the official validator takes it, every file is there by hash, and nothing false gets out."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from urllib.parse import unquote

import made_run
import offline_validator
import pytest

from cairn.errors import CairnError
from cairn.io.atomic import read_json, sha256, write_json, write_text
from cairn.provenance.crate import export_crate

pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")  # rdflib's own
PROFILE = "provenance-run-crate-0.5"  # with it come RO-Crate 1.1, Workflow RO-Crate, Process and Workflow Run Crate


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A finished experiment in a folder with a space and an é; also the label table that lies elsewhere."""
    base = tmp_path_factory.mktemp("crate")
    root, outside = base / "a répo", base / "else where" / "labels é.tsv"
    return root, made_run.make_run(root, outside), outside


@pytest.fixture
def run(built, tmp_path):
    """A copy that a test may break."""
    root = shutil.copytree(built[0], tmp_path / "copy")
    return root, root / made_run.R


@pytest.fixture(scope="module")
def crate(built, tmp_path_factory):
    root, results, _ = built
    out = tmp_path_factory.mktemp("out") / "crate"
    return out, export_crate(results, root, out)


def graph(out: Path) -> dict[str, dict]:
    return {entity["@id"]: entity for entity in read_json(out / "ro-crate-metadata.json")["@graph"]}


def links(entity: dict, key: str) -> list[str]:
    value = entity.get(key, [])
    return [item["@id"] for item in (value if isinstance(value, list) else [value])]


def is_a(entity: dict, kind: str) -> bool:
    return kind in (entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]])


def dangling(out: Path) -> set[str]:
    """What entities point to that is neither an entity nor a page on the web."""
    entities = graph(out)
    pointed = {i for e in entities.values() for key, value in e.items() if "@id" in str(value) for i in links(e, key)}
    return {i for i in pointed - set(entities) if not i.startswith("https://")}


def files(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


# --- what is inside -------------------------------------------------------------------------------
def test_the_run_leads_from_the_page_back_to_raw_data(crate, built):
    entities = graph(crate[0])
    actions = [e for e in entities.values() if e["@type"] == "CreateAction" and e["@id"] != "#run"]
    makers = {path: action for action in actions for path in links(action, "result")}
    stages, todo = [], [made_run.PAGE]
    while todo:
        action = makers.get(todo.pop())
        if action and action["name"] not in stages:
            stages.append(action["name"])
            todo += links(action, "object")
    assert {name.split(":")[0] for name in stages} == set(made_run.STAGES)
    assert len(actions) == 9  # the package of another experiment is no part of it
    assert crate[1] == {"out": crate[0].as_posix(), "jobs": 9, "copied": 14, "described": 11}


def test_the_workflow_names_its_tools_steps_and_order(crate):
    entities = graph(crate[0])
    workflow = entities[links(entities["./"], "mainEntity")[0]]
    assert workflow["@id"] == "Snakefile"
    assert entities[links(workflow, "programmingLanguage")[0]]["name"] == "Snakemake"
    assert links(workflow, "hasPart") == [f"workflow/scripts/{stage}.py" for stage in sorted(made_run.STAGES)]
    assert entities["workflow/scripts/report.py"]["description"] == made_run.STAGES["report"]
    steps = [entities[step] for step in links(workflow, "step")]
    order = [step["name"] for step in sorted(steps, key=lambda step: int(step["position"]))]
    assert order == list(made_run.STAGES)
    assert links(entities["#engine"], "result") == ["#run"]
    controls = [entities[control] for control in links(entities["#engine"], "object")]
    jobs = set(links(entities["./"], "mentions")) - {"#run", "#engine"}
    assert sorted(links(control, "object")[0] for control in controls) == sorted(jobs)


def test_the_whole_goes_from_raw_data_to_the_leaderboard(crate, built):
    entities = graph(crate[0])
    names = {role: [entities[i]["name"] for i in links(entities["#run"], role)] for role in ("object", "result")}
    assert names["object"] == [f"{made_run.R}/config.json", built[2].as_posix(), made_run.PACKAGE]
    assert names["result"] == [f"{made_run.R}/leaderboard/leaderboard.csv", made_run.BOARD, made_run.PAGE]
    assert links(entities[made_run.BOARD], "exampleOfWork") == ["Snakefile#output/leaderboard"]
    assert (entities["#run"]["startTime"], entities["#run"]["endTime"]) == (
        "2026-11-24T18:00:00+00:00", "2026-11-24T18:38:00+00:00",
    )  # fmt: skip


def test_nothing_points_nowhere(crate):
    assert dangling(crate[0]) == set()


def test_a_job_says_what_it_cost_and_on_what(crate):
    entities = graph(crate[0])
    job = entities[f"#job/{made_run.R}/evaluate/mae/age/run.json"]
    usage = {entities[i]["name"]: entities[i] for i in links(job, "resourceUsage")}
    assert {name: value["value"] for name, value in usage.items()} == {
        "wall_s": "1.5", "cpu_s": "1.25", "peak_memory_mb": "100.0",
    }  # fmt: skip
    assert entities[links(usage["wall_s"], "propertyID")[0]]["description"].endswith("in seconds.")
    assert "2 cores of Some CPU" in job["description"]
    needs = [entities[i] for i in links(entities[links(job, "instrument")[0]], "softwareRequirements")]
    assert [(need["name"], need["version"]) for need in needs] == [("numpy", "2.3.5"), ("python", "3.11.7")]


def test_every_file_is_named_with_its_hash(crate):
    out, _ = crate
    named = {}
    for entity in graph(out).values():
        if is_a(entity, "File"):
            assert len(entity["sha256"]) == 64, entity["@id"]
            if not entity["@id"].startswith("ni:"):
                path = out / unquote(entity["@id"])
                assert (sha256(path), str(path.stat().st_size)) == (entity["sha256"], entity["contentSize"])
                named[path.relative_to(out).as_posix()] = entity
    assert set(named) == set(files(out)) - {"ro-crate-metadata.json"}
    assert {"Snakefile", "rules/all.smk", "src/cairn/tiny.py", "config/tiny.yaml", "sbom.cdx.json"} <= set(named)
    assert {f"{made_run.R}/config.json", made_run.PAGE, f"{made_run.R}/evaluate/mae/age/scores.parquet"} <= set(named)
    assert len([path for path in named if path.endswith("run.json")]) == 9
    assert not [path for path in named if "__pycache__" in path]


def test_big_files_are_described_by_hash(crate, built):
    root, _, outside = built
    described = {e["name"]: e for e in graph(crate[0]).values() if e["@id"].startswith("ni:")}
    assert {made_run.SHARD, made_run.MODEL, made_run.PACKAGE, outside.as_posix()} <= set(described)
    for path, entity in described.items():
        digest = entity["@id"].removeprefix("ni:///sha-256;").split("?")[0]
        assert base64.urlsafe_b64decode(digest + "=").hex() == entity["sha256"] == sha256(root / path)
        assert entity["contentSize"] == str((root / path).stat().st_size)
    empty = [path for path in described if path.endswith("quarantine.tsv")]
    assert len(empty) == 2  # equal content, two files


def test_with_data_everything_is_copied(built, tmp_path, validator_cache):
    root, results, outside = built
    summary = export_crate(results, root, tmp_path / "crate", with_data=True)
    assert (summary["copied"], summary["described"]) == (25, 0)
    assert sha256(tmp_path / "crate" / made_run.MODEL) == sha256(root / made_run.MODEL)
    entity = next(e for e in graph(tmp_path / "crate").values() if e.get("name") == outside.as_posix())
    assert unquote(entity["@id"]).startswith("data/")
    assert unquote(entity["@id"]).endswith("/labels é.tsv")
    assert (tmp_path / "crate" / unquote(entity["@id"])).read_bytes() == outside.read_bytes()
    assert dangling(tmp_path / "crate") == set()
    assert offline_validator.issues(tmp_path / "crate", validator_cache, "REQUIRED", PROFILE) == set()


def test_the_same_run_gives_the_same_bytes(crate, run, tmp_path):
    root, results = run
    export_crate(results, root, tmp_path / "again")
    assert files(tmp_path / "again") == files(crate[0])
    assert graph(crate[0])["./"]["datePublished"] == "2026-11-24T18:38:00+00:00"  # not the time of the export


# --- rights ---------------------------------------------------------------------------------------
def test_no_licence_and_nobody_is_made_up(crate):
    entities = graph(crate[0])
    licence = entities[links(entities["./"], "license")[0]]
    assert "No licence has been stated" in licence["description"]
    assert not [e for e in entities.values() if "agent" in e or "author" in e or e["@type"] == "Person"]


def test_licence_and_agent_are_taken_as_given(built, tmp_path):
    root, results, _ = built
    mit, orcid = "https://spdx.org/licenses/MIT", "https://orcid.org/0000-0002-1825-0097"
    export_crate(results, root, tmp_path / "crate", licence=mit, agent=f"Josiah Carberry <{orcid}>")
    entities = graph(tmp_path / "crate")
    assert (links(entities["./"], "license"), links(entities["./"], "author")) == ([mit], [orcid])
    assert entities[orcid]["name"] == "Josiah Carberry"
    assert all(links(e, "agent") == [orcid] for e in entities.values() if e["@type"] == "CreateAction")


# --- what must not get out ------------------------------------------------------------------------
def alter(path: Path) -> None:
    write_text(path, path.read_text() + "x")


@pytest.mark.parametrize(
    ("path", "spoil", "says"),
    [
        (made_run.MODEL, alter, "is not what"),
        (made_run.MODEL, Path.unlink, "is missing"),
        (made_run.PACKAGE, alter, "is not what"),
        (made_run.BOARD, alter, "is not what"),
        (f"{made_run.R}/leaderboard/run.json", lambda p: write_json(p, read_json(p) | {"wall_s": 9}), "is not what"),
        (f"{made_run.R}/predict/mae/age/seed-0/run.json", lambda p: write_text(p, "{"), "not a readable card"),
        ("src/cairn/tiny.py", lambda p: write_text(p, p.read_text().replace("1", "2")), "made by other code"),
        ("workflow/scripts/report.py", Path.unlink, "is missing"),
        ("envs/requirements-py311.lock", Path.unlink, "no such file"),
        (f"{made_run.R}/leaderboard/run.json", Path.unlink, "no leaderboard"),
    ],
)  # fmt: skip
def test_a_broken_run_is_named_and_not_exported(run, tmp_path, path, spoil, says):
    root, results = run
    spoil(root / path)
    with pytest.raises(CairnError, match=says) as caught:
        export_crate(results, root, tmp_path / "crate")
    assert caught.value.code == ("lock" if path.startswith("envs") else "lineage")
    assert path.startswith("src") or Path(path).name in str(caught.value) or "no leaderboard" in says
    assert caught.value.remedy
    assert not [p for p in tmp_path.iterdir() if p.name != "copy"]


def test_data_outside_is_checked_too(built, tmp_path):
    outside = tmp_path / "labels.tsv"
    results = made_run.make_run(tmp_path / "repo", outside)
    alter(outside)
    with pytest.raises(CairnError, match=r"labels.tsv is not what .* says"):
        export_crate(results, tmp_path / "repo", tmp_path / "crate")


def test_a_comment_in_the_source_is_no_other_code(run, tmp_path):
    root, results = run
    write_text(root / "src/cairn/tiny.py", (root / "src/cairn/tiny.py").read_text().replace("# one", "# only one"))
    export_crate(results, root, tmp_path / "crate")


def test_an_export_that_fails_leaves_nothing(run, tmp_path, monkeypatch):
    root, results = run

    def full(self, base_path):
        (Path(base_path) / "half").write_text("")
        raise OSError("disk full")

    monkeypatch.setattr("rocrate.rocrate.ROCrate.write", full)
    with pytest.raises(OSError, match="disk full"):
        export_crate(results, root, tmp_path / "crate")
    assert [p.name for p in tmp_path.iterdir()] == ["copy"]


def test_a_folder_in_use_is_left_alone(run, tmp_path):
    root, results = run
    write_text(tmp_path / "crate/mine.txt", "mine")
    with pytest.raises(CairnError, match="already there"):
        export_crate(results, root, tmp_path / "crate")
    assert files(tmp_path / "crate") == {"mine.txt": b"mine"}
    with pytest.raises(CairnError, match="inside the experiment"):
        export_crate(results, root, results / "crate")


# --- the official validator -----------------------------------------------------------------------
LEFT = {
    "SoftwareApplication id",  # scripts and Snakefile lie in the crate: the profile allows it, the check does not
    "Root Data Entity: `publisher` property",  # no fact that Cairn has
    "CreativeWork Author: RECOMMENDED affiliation property",
    "CreativeWork Author: RECOMMENDED Contextual Entity linked for the organizational `affiliation` property",
    "Main Workflow Bioschemas compliance",  # asks for creator, date and publisher: the same
    "Web-based Data Entity: resource availability",  # what is described by hash is not in the crate
}


@pytest.fixture
def validator_cache(tmp_path, no_network):
    return offline_validator.fill_cache(tmp_path / "cache/http")


@pytest.mark.parametrize("profile", [PROFILE, "workflow-run-crate-0.5"])
def test_the_official_validator_accepts_the_crate(crate, validator_cache, profile):
    assert offline_validator.issues(crate[0], validator_cache, "REQUIRED", profile) == set()


def test_recommendations_are_followed_where_that_needs_no_invention(built, tmp_path, validator_cache):
    root, results, _ = built
    export_crate(results, root, tmp_path / "crate", agent="Josiah Carberry")
    found = offline_validator.issues(tmp_path / "crate", validator_cache, "RECOMMENDED", PROFILE)
    assert found == {("RECOMMENDED", check) for check in LEFT}


BREAKS = [
    ("./", "license", None, "Root Data Entity: `license` property"),
    ("./", "unheardOf", 1, "Validation of the compaction format of the file descriptor"),
    ("#engine", "result", None, "OrganizeAction result"),
    ("#run", "instrument", {"@id": "workflow/scripts/report.py"}, "Main entity execution"),
    ("Snakefile#report", "workExample", None, "HowToStep workExample"),
    ("Snakefile#input/data", "additionalType", None, "FormalParameter additionalType"),
    (made_run.PAGE, "@id", "not/here.html", "Data Entity: REQUIRED resource availability"),
]


def test_the_validator_would_notice(crate, tmp_path, validator_cache):
    broken = shutil.copytree(crate[0], tmp_path / "broken")
    metadata = read_json(broken / "ro-crate-metadata.json")
    for entity, key, value, _ in BREAKS:
        target = next(e for e in metadata["@graph"] if e["@id"] == entity)
        target.pop(key, None)
        target |= {} if value is None else {key: value}
    write_json(broken / "ro-crate-metadata.json", metadata)
    found = offline_validator.issues(broken, validator_cache, "REQUIRED", PROFILE)
    assert {("REQUIRED", check) for *_, check in BREAKS} <= found
