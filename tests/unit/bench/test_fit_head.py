"""Guards heads: the sweep is plain SGD of each rate, attention is the textbook's, and the test set chooses nothing."""

import math
import time
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from made_items import made_features
from torch import nn

from cairn.bench.answers import answers
from cairn.bench.features import Features, write_features
from cairn.bench.fit import HeadData, choose, fit_head
from cairn.bench.heads import attention, attention_params, linear, linear_params
from cairn.bench.predict import predict_head
from cairn.bench.sgd import descend, loss_of
from cairn.bench.targets import Targets, write_targets
from cairn.config.bench import BenchTarget, BenchTask, FrozenConfig, HeadJob, ItemForm, SweepConfig
from cairn.errors import CairnError
from cairn.io.tables import read_table
from cairn.ssl.draws import generator

FORM = ItemForm(kind="finding", sequence="CT", mask="m")
CLASSES = {"probe": ("a", "b", "c"), "findings": ("x", "y")}


def task(kind, head="linear", **sweep):
    frozen = {"items": FORM, "sweep": sweep}
    if head != "linear":
        volume = ItemForm(kind="volume", sequence="CT")
        frozen = {"items": volume, "sweep": sweep, "input": "window", "head": head, "window_slices": 2}
    return BenchTask(name=kind, kind=kind, classes=CLASSES.get(kind, ()), frozen=FrozenConfig(**frozen))


def signal(kind, n, seed=0, width=12):
    """Features of which the first two columns tell the target."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width)).astype(np.float32)
    score = 2 * x[:, 0] + 0.3 * rng.normal(size=n)
    nothing, findings = np.zeros(n), np.zeros((n, 0))
    if kind == "classification":
        return x, Targets((score > 0).astype(float), nothing, findings)
    if kind == "probe":
        return x, Targets(np.digitize(score, [-1, 1]).astype(float), nothing, findings)
    if kind == "regression":
        return x, Targets(50 + 10 * score, nothing, findings)
    if kind == "findings":
        return x, Targets(nothing, nothing, np.stack([score > 0, x[:, 1] > 0.5], axis=1).astype(float))
    death, censor = rng.exponential(np.exp(-score)), rng.uniform(0.2, 5, n)
    return x, Targets(np.minimum(death, censor), (death <= censor).astype(float), findings)


def data(kind, n, seed=0):
    x, targets = signal(kind, n, seed)
    return HeadData(x, targets, [f"s{i}" for i in range(n)])


def test_a_sweep_is_torchs_sgd_at_every_rate():
    """Against nn.Linear, torch's SGD and its cosine schedule, with batches that do not divide the items."""
    x, targets = signal("probe", 50)
    config = SweepConfig(rates=(0.05, 2.0), epochs=3, batch_size=16)
    start = linear_params(12, 3, 0.01, generator(7, "head"))
    y = torch.from_numpy(targets.value)
    found = descend(torch.from_numpy(x), y, start, linear, loss_of("probe"), config.rates, config, 7)
    for member, rate in enumerate(config.rates):
        layer = nn.Linear(12, 3)
        layer.load_state_dict({"weight": start["weight"][0], "bias": start["bias"][0]})
        optimiser = torch.optim.SGD(layer.parameters(), lr=rate * 16 / 256, momentum=0.9)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: 0.5 * (1 + math.cos(math.pi * s / 12)))
        for epoch in range(3):
            order = torch.from_numpy(generator(7, "head order", epoch).permutation(50))
            for rows in order.split(16):
                loss = nn.functional.cross_entropy(layer(torch.from_numpy(x)[rows]), y[rows].long())
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        torch.testing.assert_close(found["weight"][member], layer.weight.detach(), rtol=1e-4, atol=1e-6)


def test_attention_is_torchs_multihead_attention_of_one_head():
    width, x = 6, torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0))
    params = attention_params(width, 3, 0.01, generator(0, "head"))
    params["self.q.bias"] = torch.randn(1, width, generator=torch.Generator().manual_seed(1))

    def block(name):
        layer = nn.MultiheadAttention(width, 1, batch_first=True)
        weights = torch.cat([params[f"{name}.{n}"][0] for n in "qkv"])
        biases = torch.cat([params[f"{name}.{n}.bias"][0] for n in "qkv"])
        layer.load_state_dict({
            "in_proj_weight": weights, "in_proj_bias": biases, "out_proj.weight": params[f"{name}.out"][0],
            "out_proj.bias": params[f"{name}.out.bias"][0],
        })  # fmt: skip
        return lambda q, k: layer(q, k, k)[0]

    normed = nn.functional.layer_norm(x, [width])
    mixed = x + block("self")(normed, normed)
    query = params["query"].expand(4, 1, width)
    pooled = query + block("cross")(query, nn.functional.layer_norm(mixed, [width]))
    wanted = pooled[:, 0] @ params["weight"][0].T + params["bias"][0]
    torch.testing.assert_close(attention(params, x)[0], wanted)


@pytest.mark.parametrize("kind", ["classification", "probe", "regression", "findings", "survival"])
def test_a_head_learns_what_is_plain_on_new_items(kind):
    from cairn.bench.fit import validate

    head, facts = choose(task(kind), data(kind, 200), seed=0)
    score, _ = validate(task(kind), head, data(kind, 200, seed=9))
    assert score > {"regression": -6.0, "survival": 0.8}.get(kind, 0.85)
    assert facts["items"] == {"train": 150, "val": 50} or kind == "regression"


def test_without_a_comparable_pair_a_survival_cannot_be_validated():
    from cairn.bench.fit import validate

    head, _ = choose(task("survival"), data("survival", 60), seed=0)
    held = data("survival", 20, seed=9)
    censored = Targets(held.targets.value, np.zeros(20), held.targets.findings)
    assert np.isnan(validate(task("survival"), head, HeadData(held.x, censored, held.subjects))[0])


def test_attention_finds_the_token_that_tells(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(160) % 2
    x = 0.3 * rng.normal(size=(160, 6, 8)).astype(np.float32)
    x[np.arange(160), rng.integers(0, 6, 160), 0] += np.where(y, 3, -3)
    whole = HeadData(x, Targets(y.astype(float), np.zeros(160), np.zeros((160, 0))), [str(i) for i in range(160)])
    what = task("classification", "attention", rates=(0.1, 0.5), epochs=60)
    head, facts = choose(what, whole.rows(range(100)), seed=0)
    found = answers(what, head, whole.x[100:])
    assert ((found > 0.5) == y[100:]).mean() > 0.9
    assert facts["best"]["val_score"] > 0.9


def test_linear_heads_are_fast():
    rng = np.random.default_rng(0)
    whole = HeadData(
        rng.normal(size=(200, 192)).astype(np.float32),
        Targets(rng.integers(0, 8, 200).astype(float), np.zeros(200), np.zeros((200, 0))), [str(i) for i in range(200)],
    )  # fmt: skip
    many = task("probe").model_copy(update={"classes": tuple("abcdefgh")})
    choose(many, whole, seed=0)
    start = time.process_time()
    choose(many, whole, seed=0)
    assert time.process_time() - start < 2


def fitted(folder, kind, test_seed=5, **sweep):
    """Fit and predict through files; the test items are drawn from ``test_seed``."""
    folder.mkdir(parents=True, exist_ok=True)
    x, targets = signal(kind, 80)
    what = HeadJob(run="r", task=task(kind, **sweep), seed=0)
    write_targets(folder / "train.tsv", what.task, rows_of(what.task, targets))
    train = made_features(folder / "train.safetensors", x)
    test = made_features(folder / "test.safetensors", signal(kind, 30, test_seed)[0])
    facts = fit_head(what, train, folder / "train.tsv", folder / "head.safetensors")
    predict_head(what, test, folder / "head.safetensors", folder / "predictions.tsv")
    return facts, folder


def rows_of(target, targets):
    rows = []
    for n, value in enumerate(targets.value):
        row = {"subject": f"s{n:04d}", "session": "1", "value": int(value) if target.kind != "regression" else value}
        if target.kind == "survival":
            row |= {"time": value, "event": int(targets.event[n])}
        row |= {name: int(b) for name, b in zip(target.classes, targets.findings[n], strict=False)}
        rows.append(row)
    return rows


@pytest.mark.parametrize("kind", ["classification", "probe", "regression", "findings", "survival"])
def test_predictions_have_the_format_of_their_kind_and_repeat(tmp_path, kind):
    _, folder = fitted(tmp_path / "a", kind)
    _, again = fitted(tmp_path / "b", kind)
    assert (folder / "head.safetensors").read_bytes() == (again / "head.safetensors").read_bytes()
    values = [[float(v) for v in r["value"].split()] for r in read_table(folder / "predictions.tsv")]
    assert len(values) == 30
    assert {len(v) for v in values} == {len(CLASSES.get(kind, "1"))}
    if kind == "probe":
        np.testing.assert_allclose(np.sum(values, axis=1), 1)
    if kind in ("classification", "probe", "findings"):
        assert np.min(values) >= 0
        assert np.max(values) <= 1
    if kind == "findings":
        assert np.ptp(np.sum(values, axis=1)) > 0.5  # independent of each other


def test_test_items_have_no_part_in_the_choice(tmp_path):
    """Other test items, even absurd ones, leave head and choice as they are; the job has no test input at all."""
    first, a = fitted(tmp_path / "a", "probe", test_seed=5)
    second, b = fitted(tmp_path / "b", "probe", test_seed=99)
    assert first == second
    assert (a / "head.safetensors").read_bytes() == (b / "head.safetensors").read_bytes()


def test_the_rate_is_that_of_the_best_validation_and_a_diverged_one_is_never_chosen():
    head, facts = choose(task("regression", rates=(1e-6, 0.3, 1e6)), data("regression", 100), seed=0)
    assert facts["best"]["rate"] == 0.3
    assert facts["sweep"][2]["val_score"] is None
    assert np.isfinite(head["weight"]).all()
    assert not facts["at_border"]


@pytest.mark.parametrize("kind", ["probe", "survival", "regression"])
def test_several_splits_are_averaged_and_the_best_is_fitted_on_all(kind):
    whole = data(kind, 60)
    head, facts = choose(task(kind, splits=4), whole, seed=0)
    assert facts["items"] == {"train": 60, "val": 0}
    setting = "ridge" if kind == "survival" else "rate"
    alone = {"ridges" if kind == "survival" else "rates": (facts["best"][setting],)}
    again, _ = choose(task(kind, **alone), whole, seed=0, held=whole)
    np.testing.assert_array_equal(head["weight"], again["weight"])
    single = [choose(task(kind, splits=1), whole, seed=s)[1]["best"]["val_score"] for s in range(3)]
    assert len(set(single)) > 1  # which is why they are averaged


def test_a_validation_part_of_its_own_is_used_and_none_of_training_is_held_back(tmp_path):
    x, targets = signal("classification", 60)
    what = HeadJob(run="r", task=task("classification", rates=(0.3,)))
    write_targets(tmp_path / "t.tsv", what.task, rows_of(what.task, targets))
    train = made_features(tmp_path / "f.safetensors", x)
    facts = fit_head(what, train, tmp_path / "t.tsv", tmp_path / "h.safetensors", train, tmp_path / "t.tsv")
    assert facts["items"] == {"train": 60, "val": 60}


def test_people_of_a_published_test_set_may_not_be_in_training(tmp_path):
    """The workflow's own sets have names of their own: there equal names are other people."""
    x, targets = signal("classification", 40)
    what = HeadJob(run="r", task=task("classification"))
    write_targets(tmp_path / "t.tsv", what.task, rows_of(what.task, targets))
    made_features(tmp_path / "own.safetensors", x)
    embedded = Features(tmp_path / "own.safetensors", "items")
    write_features(tmp_path / "p.safetensors", {"published": map(embedded.item, embedded.keys)}, embedded.facts)
    published = Features(tmp_path / "p.safetensors", "published")
    for features, ok in ((embedded, True), (published, False)):
        fit_head(what, features, tmp_path / "t.tsv", tmp_path / "h.safetensors")
        with nullcontext() if ok else pytest.raises(CairnError, match=r"40 people of the test.*such as s0000"):
            predict_head(what, features, tmp_path / "h.safetensors", tmp_path / "p.tsv")


def test_what_does_not_fit_is_refused(tmp_path):
    _, folder = fitted(tmp_path / "a", "classification")
    what = HeadJob(run="r", task=task("classification"))
    other = made_features(tmp_path / "o.safetensors", signal("probe", 4)[0], who="other")
    with pytest.raises(CairnError, match="differ from the head's in run"):
        predict_head(what, other, folder / "head.safetensors", tmp_path / "p.tsv")
    with pytest.raises(CairnError, match="task differs in"):
        predict_head(HeadJob(run="r", task=task("regression")), other, folder / "head.safetensors", tmp_path / "p.tsv")
    few = made_features(tmp_path / "few.safetensors", signal("probe", 4)[0])
    with pytest.raises(CairnError, match=r"80 targets, of which .* has 4"):
        fit_head(what, few, folder / "train.tsv", tmp_path / "h.safetensors")
    rows = [{"subject": f"s{n:04d}", "session": "1", "value": 1} for n in range(4)]
    write_targets(tmp_path / "one.tsv", BenchTarget(kind="classification"), rows)
    with pytest.raises(CairnError, match="one value of the target"):
        fit_head(what, few, tmp_path / "one.tsv", tmp_path / "h.safetensors")
    assert few.keys[0] == "s0000/1"
