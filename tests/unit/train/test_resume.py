"""Guards resume: interrupted anywhere, a run ends with the bytes of one that was not; what differs never goes on."""

from contextlib import contextmanager

import pytest
from killing import same, states, train
from made import make_set

from cairn.nets.meta import read_meta
from cairn.nets.weights import read_tensors, save_weights
from cairn.train.finetune import FinetuneProblem
from cairn.train.pretrain import PretrainProblem


@contextmanager
def interrupted(monkeypatch, problem, step):
    """Interrupt, as by the keyboard, before the update that follows ``step``."""
    original = problem.batch

    def batch(self, number):
        if number == step:
            raise KeyboardInterrupt
        return original(self, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(problem, "batch", batch)
        yield


@pytest.mark.parametrize("step", [1, 2, 5, 8])
def test_interrupted_pretraining_ends_with_the_same_bytes(labelled, uninterrupted, tmp_path, monkeypatch, capsys, step):
    with interrupted(monkeypatch, PretrainProblem, step):
        train("pretrain", tmp_path, labelled)
    assert not (tmp_path / "encoder.safetensors").exists()
    train("pretrain", tmp_path, labelled)
    assert same(tmp_path, uninterrupted("pretrain"))
    if step >= 2:
        assert f"goes on after step {step // 2 * 2}" in capsys.readouterr().err


def test_interrupted_where_the_device_augments_it_ends_with_the_same_bytes(
    labelled, uninterrupted, tmp_path, monkeypatch
):
    with interrupted(monkeypatch, PretrainProblem, 5):
        train("pretrain", tmp_path, labelled, augment_on="device")
    facts = train("pretrain", tmp_path, labelled, augment_on="device")
    assert facts["augment_on"] == "device"
    assert same(tmp_path, uninterrupted("pretrain", augment_on="device"))
    assert not same(tmp_path, uninterrupted("pretrain"))  # noise is another


def test_interrupted_finetuning_keeps_its_best_validation(labelled, tmp_path, monkeypatch):
    facts = train("finetune", tmp_path / "whole", labelled)
    with interrupted(monkeypatch, FinetuneProblem, 7):
        train("finetune", tmp_path / "cut", labelled)
    again = train("finetune", tmp_path / "cut", labelled)
    assert same(tmp_path / "whole", tmp_path / "cut", "finetune")
    assert again["best"] == facts["best"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def zeroed(path):
    data = path.read_bytes()
    path.write_bytes(data[:-5000] + bytes(5000))


def no_header(path):
    path.write_bytes(bytes(path.stat().st_size))


def without_past(path):
    meta = {k: v for k, v in read_meta(path).items() if k != "history"}
    save_weights(path, read_tensors(path), meta)


def foreign(path):
    save_weights(path, read_tensors(path), {"step": "9"})


def emptied(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, zeroed, no_header, without_past, foreign, emptied])
def test_a_damaged_newest_state_falls_back_to_the_one_before(labelled, uninterrupted, tmp_path, capsys, damage):
    train("pretrain", tmp_path, labelled)
    assert [p.name[:15] for p in states(tmp_path)] == ["state-000000007", "state-000000008", "state-000000009"]
    damage(states(tmp_path)[-1])
    train("pretrain", tmp_path, labelled)
    assert same(tmp_path, uninterrupted("pretrain"))
    said = capsys.readouterr().err
    assert said.count("falling back") == 1
    assert "goes on after step 8" in said


def test_with_every_state_damaged_it_starts_anew(labelled, uninterrupted, tmp_path, capsys):
    train("pretrain", tmp_path, labelled)
    for path in states(tmp_path):
        zeroed(path)
    train("pretrain", tmp_path, labelled)
    assert same(tmp_path, uninterrupted("pretrain"))
    assert capsys.readouterr().err.count("falling back") == 3


@pytest.mark.parametrize("content", ['{"step": 7, "lo', "", "nonsense\n", None])
def test_the_history_in_the_state_folder_is_only_for_watching(labelled, uninterrupted, tmp_path, monkeypatch, content):
    with interrupted(monkeypatch, PretrainProblem, 7):
        train("pretrain", tmp_path, labelled)
    (history,) = (tmp_path / "state").glob("*/history.jsonl")
    history.unlink() if content is None else history.write_text(content)
    train("pretrain", tmp_path, labelled)
    assert same(tmp_path, uninterrupted("pretrain"))
    assert history.read_bytes() == (tmp_path / "history.jsonl").read_bytes()


@pytest.mark.parametrize("change", [{"code": "new"}, {"threads": 2}, {"learning_rate": 0.01}, {"decay_share": 0.5}])
def test_a_state_of_other_code_or_configuration_is_not_continued(labelled, tmp_path, capsys, change):
    train("pretrain", tmp_path, labelled, steps=2)
    assert "another configuration" not in capsys.readouterr().err
    train("pretrain", tmp_path, labelled, steps=2, **change)
    said = capsys.readouterr().err
    assert "another configuration, code or data" in said
    assert "goes on" not in said
    assert len([p for p in (tmp_path / "state").iterdir() if p.is_dir()]) == 2


def test_a_state_of_other_data_is_not_continued(labelled, tmp_path, capsys):
    other = make_set(tmp_path / "other", "classification", 8, first=100)
    train("pretrain", tmp_path, labelled, steps=2)
    train("pretrain", tmp_path, other, steps=2)
    assert "goes on" not in capsys.readouterr().err
