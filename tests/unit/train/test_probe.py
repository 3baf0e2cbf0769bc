"""Guards linear probes: a frozen encoder, a head that learns what is plain, the rate chosen on held-back cases."""

import json

import numpy as np
import pytest
import torch
from learning import NETWORK, run_pretrain
from made import make_set
from sklearn.linear_model import LogisticRegression

from cairn.baselines.dispatch import finetune
from cairn.config.evaluate import EvaluateConfig, EvaluateJob
from cairn.config.training import RATES, ProbeConfig
from cairn.errors import CairnError
from cairn.evaluate.scores import evaluate
from cairn.evaluate.tables import read_cases, read_scores
from cairn.io.atomic import sha256
from cairn.io.tables import read_table, write_table
from cairn.nets.weights import read_tensors
from cairn.predict.probe import EMBEDDINGS, read_embeddings
from cairn.predict.run import predict
from cairn.train.head import apply_head, descend, fit_head, softmax

CLASSES = ["young", "middle", "old"]
TASK = {
    "name": "decade", "kind": "probe", "required": ["FLAIR", "DWI"], "classes": CLASSES, "edges": [40, 60],
}  # fmt: skip


def job(method="scratch", seed=5, **recipe):
    network = {} if method == "classical" else {"network": NETWORK, "device": "cpu"}
    return {"run": method, "method": method, "task": TASK, "probe": recipe, "seed": seed, **network}


def fit(folder, made, what, weights=()):
    folder.mkdir(parents=True, exist_ok=True)
    model, history = folder / "model.safetensors", folder / "history.jsonl"
    return finetune(what, [made.index], made.labels, list(weights), folder / "state", model, history, 1, "code")


def blobs(n=150, k=3, f=6, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    return rng.normal(0, 1, (n, f)) + 2.5 * np.eye(k, f)[y], y


def test_the_head_converges_to_logistic_regression():
    """Long enough, Adam on the same loss gives scikit-learn's unpenalised probabilities."""
    x, y = blobs(60, f=3, seed=1)
    x = x + np.random.default_rng(2).normal(0, 1.5, x.shape)  # classes overlap, so that the optimum is finite
    weight, bias = descend(x, y, 3, 0.05, ProbeConfig(epochs=3000, batch_size=60), 0)
    oracle = LogisticRegression(C=1e8, max_iter=5000).fit(x, y)
    np.testing.assert_allclose(softmax(x @ weight.T + bias), oracle.predict_proba(x), atol=0.01)


def test_the_default_is_fomo26s_recipe():
    config = ProbeConfig()
    assert (len(config.rates), config.rates[0], config.rates[-1]) == (13, 1e-5, 0.1)
    np.testing.assert_allclose(RATES, np.logspace(-5, -1, 13), rtol=0.03)
    assert (config.epochs, config.batch_size, config.val_share) == (20, 64, 0.2)


def test_rate_is_chosen_on_held_back_cases_and_features_are_standardised_by_the_others():
    x, y = blobs()
    subjects = [f"{i:03d}" for i in range(len(y))]
    head, facts, records = fit_head(x, list(y), subjects, 3, ProbeConfig(), 1)
    assert len(records) == 13
    assert facts["best"]["val_score"] == max(r["val_score"] for r in records) > 0.9
    assert facts["cases"] == {"train": 120, "val": 30}
    assert facts["classes"]["val"] == [10, 10, 10]
    rescaled, _, _ = fit_head(1000 * x + 7, list(y), subjects, 3, ProbeConfig(), 1)
    for row in x[:5]:
        np.testing.assert_allclose(apply_head(head, row), apply_head(rescaled, 1000 * row + 7), atol=1e-6)
        assert apply_head(head, row).sum() == pytest.approx(1)
    again, _, _ = fit_head(x, list(y), subjects, 3, ProbeConfig(), 1)
    assert all(np.array_equal(again[name], head[name]) for name in head)


def test_sessions_of_one_subject_stay_together_and_one_class_is_refused():
    x, y = blobs(40, k=2)
    _, facts, _ = fit_head(x, list(y), [f"{i // 4}" for i in range(40)], 2, ProbeConfig(), 1)
    assert facts["cases"]["val"] % 4 == 0
    with pytest.raises(CairnError, match="one class"):
        fit_head(x, [0] * 40, [str(i) for i in range(40)], 2, ProbeConfig(), 1)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probes")
    train, test = (make_set(folder / n, "regression", c, first=f) for n, c, f in (("a", 24, 0), ("b", 9, 500)))
    run_pretrain(folder, train.index, steps=3)
    return train, test, folder / "encoder.safetensors"


def scored(folder, test, what):
    """Predict and score; the seed mean of every metric."""
    table = folder / "p" / "predictions.tsv"
    predict({k: v for k, v in what.items() if k != "probe"}, [test.index], folder / "model.safetensors", table, 1)
    asked = EvaluateJob(run="x", task=TASK, seeds=(0,), evaluate=EvaluateConfig(resamples=50, permutations=0))
    evaluate(asked, test.labels, [table], folder / "cases.tsv", folder / "scores.parquet")
    return table, {r["metric"]: r["value"] for r in read_scores(folder / "scores.parquet") if r["seed"] == -1}


@pytest.mark.parametrize("method", ["pretrained", "scratch", "classical"])
def test_every_method_from_labels_to_scores_with_the_encoder_as_it_was(sets, tmp_path, method):
    train, test, encoder = sets
    what = job(method, epochs=60, batch_size=8)
    facts = fit(tmp_path, train, what, [encoder] if method == "pretrained" else [])
    records = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [r["rate"] for r in records] == list(RATES)
    tensors = read_tensors(tmp_path / "model.safetensors")
    if method == "pretrained":
        assert facts["weights"]["tensors"]["matched"] == len(read_tensors(encoder))
        assert all(torch.equal(tensors[f"encoder.{n}"], t) for n, t in read_tensors(encoder).items())
    table, values = scored(tmp_path, test, what)
    assert set(values) == {"auroc_ovr", "f1_macro"}
    assert values["auroc_ovr"] > (0.2 if method == "pretrained" else 0.6)  # three steps of pretraining teach nothing
    cases = read_cases(tmp_path / "cases.tsv")
    assert list(cases.parts) == ["p_young", "p_middle", "p_old"]
    np.testing.assert_allclose(sum(cases.parts.values()), 1, atol=1e-6)
    found = read_embeddings(table.parent / EMBEDDINGS)
    assert set(found) == {f"{s}/{n}" for s, n in cases.keys}
    assert len({e.shape for e in found.values()}) == 1


def test_equal_jobs_give_equal_bytes_and_another_seed_another_random_encoder(sets, tmp_path):
    train, _, _ = sets
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        fit(tmp_path / name, train, job(seed=seed))
    one, two, three = (sha256(tmp_path / n / "model.safetensors") for n in "abc")
    assert one == two != three


def test_an_embedding_depends_on_encoder_and_session_alone(sets, tmp_path):
    train, test, _ = sets
    found = []
    for name, made in (("all", test), ("few", make_set(tmp_path / "few", "regression", 2, first=500))):
        fit(tmp_path / name, train, job())
        table, _ = scored(tmp_path / name, made, job())
        found.append(read_embeddings(table.parent / EMBEDDINGS))
    assert set(found[1]) < set(found[0])
    for key, embedding in found[1].items():
        np.testing.assert_array_equal(embedding, found[0][key])


def test_a_session_without_a_sequence_is_worst(sets, tmp_path):
    train, _, _ = sets
    lacking = make_set(tmp_path / "lacking", "regression", 5, sequences=("FLAIR",), first=600)
    fit(tmp_path, train, job())
    _, values = scored(tmp_path, lacking, job())
    assert values == {"auroc_ovr": 0.0, "f1_macro": 0.0}


def test_a_label_that_is_no_class_is_refused_by_session(sets, tmp_path):
    train, _, _ = sets
    what = job() | {"task": {k: v for k, v in TASK.items() if k != "edges"}}
    with pytest.raises(CairnError, match=r"0000/1: label 20 is no class; there are 0 to 2 \(young, middle, old\)"):
        fit(tmp_path, train, what)
    rows = [row | {"value": str(i % 3)} for i, row in enumerate(read_table(train.labels))]
    write_table(tmp_path / "classes.tsv", rows, tuple(rows[0]))
    made = type(train)(train.index, tmp_path / "classes.tsv", {})
    assert fit(tmp_path / "ok", made, what)["fit"]["classes"]["train"] != [0, 0, 0]


def test_weights_belong_to_pretrained_runs_alone(sets, tmp_path):
    train, _, encoder = sets
    for method, weights in (("pretrained", []), ("scratch", [encoder])):
        with pytest.raises(CairnError, match="weights"):
            fit(tmp_path, train, job(method), weights)
