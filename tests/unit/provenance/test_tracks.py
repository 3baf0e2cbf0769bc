"""Guards the tracks: what a run may rest on is read from its cards, and a breach is named."""

import json
from pathlib import Path

import pytest
from made_run import MODEL, SHARD, R, make_card, make_run

from cairn.config.tracks import TracksJob
from cairn.errors import CairnError
from cairn.io.atomic import sha256, write_text
from cairn.provenance.tracks import check_tracks

PRETRAINING, FINETUNING = f"{R}/pretrain/mae/seed-0/run.json", f"{R}/finetune/mae/age/seed-0/run.json"


@pytest.fixture(autouse=True)
def made(tmp_path, monkeypatch):
    make_run(tmp_path / "repository", tmp_path / "labels.tsv")
    monkeypatch.chdir(tmp_path / "repository")
    edit(FINETUNING, config={"run": "mae"})


def edit(card: str, **changes: object) -> None:
    path = Path(card)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def card(path: str) -> dict:
    return json.loads(Path(path).read_text())


def check(allowed=("age",), foreign=False, labelled="age", more=()):
    track = {"pretrain_data": list(allowed), "foreign_weights": foreign}
    job = TracksJob(tracks={"method": track}, runs={"mae": {"track": "method", "labelled": {"age": labelled}}})
    cards = [PRETRAINING, FINETUNING, f"{R}/preprocess/age/0000.run.json", *more]
    return check_tracks(job, [Path(c) for c in cards])


def refused(pattern: str, **how: object) -> None:
    with pytest.raises(CairnError, match=pattern) as caught:
        check(**how)
    assert caught.value.code == "track"


def test_what_a_run_rests_on_is_told_from_its_cards():
    assert check()["runs"] == {
        "mae": {"track": "method", "pretrained_on": ["age"], "finetuned_on": ["age"], "foreign_weights": {}}
    }


def test_no_data_named_means_any():
    assert check(allowed=())["runs"]["mae"]["pretrained_on"] == ["age"]


def test_another_pretraining_set_is_refused_whatever_the_table_says():
    refused(r"run 'mae' was pretrained on age; track 'method' allows scans", allowed=("scans",))


def test_another_labelled_set_is_refused():
    refused(r"run 'mae' was fine-tuned on age, which is not its training set", labelled="age_few")


def test_an_encoder_that_no_job_made_is_refused():
    """It may have learned from anything."""
    inputs = card(FINETUNING)["inputs"] | {f"{R}/pretrain/other/seed-0/encoder.safetensors": "1" * 64}
    edit(FINETUNING, inputs=inputs)
    refused(r"read .*other/seed-0/encoder.safetensors in finetune/mae/age/seed-0, which no job made")


def test_an_encoder_that_was_altered_is_refused():
    encoder = f"{R}/pretrain/mae/seed-0/encoder.safetensors"
    edit(FINETUNING, inputs=card(FINETUNING)["inputs"] | {encoder: "2" * 64})
    refused(r"encoder.safetensors in finetune/mae/age/seed-0, which was altered")


def test_shards_that_no_job_made_are_refused():
    edit(PRETRAINING, inputs={SHARD.replace("age/0000", "secret/0000"): "3" * 64})
    refused(r"read .*secret/0000.safetensors in pretrain/mae/seed-0, which no job made")


def test_a_run_without_a_model_cannot_be_judged():
    edit(FINETUNING, config={"run": "another"})
    refused(r"run 'mae' has no model")


def test_weights_from_elsewhere_need_a_track_that_takes_them():
    theirs, ours = "weights/theirs.safetensors", f"{R}/pretrain/foreign/seed-0/encoder.safetensors"
    for path in (theirs, ours):
        write_text(Path(path), path)
    imported = f"{R}/pretrain/foreign/seed-0/run.json"
    make_card(Path(), imported, "pretrain_encoder", [theirs], [ours], 20)
    edit(imported, stage="import_weights")
    make_card(Path(), FINETUNING, "finetune_model", [SHARD, ours], [MODEL], 21)
    edit(FINETUNING, config={"run": "mae"})
    refused(r"run 'mae' starts from weights/theirs.safetensors, made elsewhere", more=[imported])
    found = check(foreign=True, more=[imported])["runs"]["mae"]
    assert found["foreign_weights"] == {theirs: sha256(Path(theirs))}
    assert found["pretrained_on"] == []


def frozen(dataset="age", shard=SHARD, encoder=f"{R}/pretrain/mae/seed-0/encoder.safetensors", raw=()):
    """Cards of a head on frozen features: items, features, head."""
    items, targets = f"{R}/items/slices/items.parquet", f"{R}/items/slices/targets.tsv"
    features, head = f"{R}/features/mae/slices/0.safetensors", f"{R}/heads/mae/age/seed-0/head.safetensors"
    for path in (items, targets, features, head, *raw):
        write_text(Path(path), path)
    cards = [str(Path(path).with_name("run.json")) for path in (items, features, head)]
    make_card(Path(), cards[0], "finetune_model", [*([shard] if shard else []), *raw], [items, targets], 22)
    make_card(Path(), cards[1], "finetune_model", [items, encoder], [features], 23)
    make_card(Path(), cards[2], "finetune_model", [features, targets], [head], 24)
    edit(cards[0], stage="make_items", config={"dataset": dataset})
    edit(cards[1], stage="embed_items", config={})
    edit(cards[2], stage="fit_head", config={"run": "mae"})
    edit(FINETUNING, config={"run": "another"})
    return cards


def test_a_head_learned_from_the_data_set_of_its_items_and_from_its_encoder():
    found = check(more=frozen())["runs"]["mae"]
    assert found == {"track": "method", "pretrained_on": ["age"], "finetuned_on": ["age"], "foreign_weights": {}}


def test_a_head_on_the_items_of_another_data_set_is_refused():
    refused(r"run 'mae' was fine-tuned on age, which is not its training set", labelled="age_few", more=frozen())


def test_items_that_were_brought_in_are_of_the_data_set_that_their_card_names():
    cards = frozen("published", shard="", raw=["elsewhere/train-0.parquet"])
    assert check(labelled="published", more=cards)["runs"]["mae"]["finetuned_on"] == ["published"]


def test_a_frozen_encoder_that_no_job_made_is_refused():
    other = f"{R}/pretrain/other/seed-0/encoder.safetensors"
    write_text(Path(other), "from who knows where")
    refused(r"other/seed-0/encoder.safetensors in features/mae/slices, which no job made", more=frozen(encoder=other))


def test_items_from_shards_that_no_job_made_are_refused():
    secret = SHARD.replace("age/0000", "secret/0000")
    write_text(Path(secret), "secret")
    refused(r"read .*secret/0000.safetensors in items/slices, which no job made", more=frozen(shard=secret))


ENTRY = f"{R}/predict/theirs/age/seed-0/run.json"


def sealed(track="open", digest="7" * 64, **tracks):
    """What the check says of an entry, by its card."""
    predictions = f"{R}/predict/theirs/age/seed-0/predictions.tsv"
    write_text(Path(predictions), predictions)
    make_card(Path(), ENTRY, "predict_test", [], [predictions], 30)
    edit(ENTRY, stage="predict_entry", config={"run": "theirs"}, inputs={"theirs.sif": digest})
    edit(ENTRY, facts={"image": "theirs.sif"})
    rules = {"open": {"foreign_weights": True}, "method": {}, **tracks}
    job = TracksJob(tracks=rules, runs={"theirs": {"track": track, "labelled": {"age": "age"}, "sealed": True}})
    return check_tracks(job, [Path(ENTRY)])["runs"]["theirs"]


def test_of_a_sealed_image_its_content_is_known_and_nothing_else():
    found = sealed()
    assert found["images"] == {"theirs.sif": "7" * 64}
    assert found["pretrained_on"] == found["finetuned_on"] == []


def test_a_sealed_image_needs_a_track_that_takes_it():
    assert sealed("method", method={"containers": True})["images"]
    with pytest.raises(CairnError, match="'theirs' is a sealed image, and track 'method' takes none"):
        sealed("method")


def test_an_entry_that_did_not_run_cannot_be_judged():
    job = TracksJob(
        tracks={"open": {"foreign_weights": True}}, runs={"x": {"track": "open", "labelled": {}, "sealed": True}}
    )
    with pytest.raises(CairnError, match="'x' was not run"):
        check_tracks(job, [])
