"""Guards tracks with tasks of their own, kinds on frozen features, and that neither changes what names none of them."""

import pytest

from cairn.config.base import parse
from cairn.config.evaluate import DEFAULT_METRICS, EvaluateConfig
from cairn.config.tasks import TaskInputs
from cairn.config.tracks import DEFAULT_TRACKS, TrackConfig, tasks_of
from cairn.errors import CairnError


def test_a_track_takes_the_tasks_that_it_names_in_their_order_or_all():
    tracks = {"a": TrackConfig(tasks=("age", "stroke", "off")), "b": TrackConfig()}
    assert tasks_of(tracks, "a", ["stroke", "infarct", "age"]) == ["stroke", "age"]  # one that is not enabled is none
    assert tasks_of(tracks, "b", ["stroke", "age"]) == tasks_of({}, "b", ["stroke", "age"]) == ["stroke", "age"]


def test_what_names_nothing_new_is_written_as_before():
    assert set(TrackConfig().model_dump()) == {"pretrain_data", "foreign_weights"}
    assert all(set(track.model_dump()) == {"pretrain_data", "foreign_weights"} for track in DEFAULT_TRACKS.values())
    assert set(EvaluateConfig().model_dump()["metrics"]) == set(DEFAULT_METRICS)
    assert EvaluateConfig().for_kind("probe")["metrics"] == {
        "probe": [{"name": "auroc_ovr", "title": "auroc_ovr"}, {"name": "f1_macro", "title": "f1_macro"}]
    }


@pytest.mark.parametrize(
    ("kind", "metric"), [("survival", "concordance"), ("findings", "auroc_mean"), ("registration", "dice")]
)
def test_kinds_on_frozen_features_have_a_metric_and_keep_it_in_a_job(kind, metric):
    (found,) = EvaluateConfig().of_kind(kind)
    assert found.name == metric
    again = EvaluateConfig.model_validate(EvaluateConfig().for_kind(kind))
    assert [m.name for m in again.of_kind(kind)] == [metric]


def test_accuracy_and_r2_are_to_be_had_and_suit_their_kind_alone():
    metrics = {"probe": [{"name": "accuracy", "title": "Accuracy"}], "regression": [{"name": "r2", "title": "R²"}]}
    assert [m.name for m in EvaluateConfig(metrics=metrics).of_kind("regression")] == ["r2"]
    with pytest.raises(CairnError, match=r"metrics\.survival: takes one or more of concordance"):
        parse(EvaluateConfig, {"metrics": {"survival": metrics["regression"]}}, "c.yaml")


@pytest.mark.parametrize(
    ("task", "said"),
    [({"kind": "findings"}, "findings names its findings"), ({"kind": "registration"}, "names its structures"),
     ({"kind": "findings", "classes": ("time",)}, "no finding may be called time"),
     ({"kind": "survival", "classes": ("a", "b")}, "a survival takes none"),
     ({"kind": "probe", "classes": ("a",)}, "two to 100")],
)  # fmt: skip
def test_classes_belong_to_kinds_that_have_them(task, said):
    with pytest.raises(CairnError, match=said):
        parse(TaskInputs, {"required": ["CT"], **task}, "c.yaml")


def test_one_finding_or_structure_is_enough():
    for kind in ("findings", "registration"):
        assert TaskInputs(kind=kind, required=("CT",), classes=("bleed",)).classes == ("bleed",)
