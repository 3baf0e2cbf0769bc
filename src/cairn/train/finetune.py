"""Fine-tuning: one recipe for every encoder, pretrained or not, to a task's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cairn.config.networks import NetworkConfig
from cairn.errors import CairnError
from cairn.io.atomic import remove_left_overs, sha256, write_text
from cairn.io.sessions import open_sessions
from cairn.nets.adapt import adapt, merged, trained
from cairn.nets.blocks import parameters
from cairn.nets.meta import read_meta
from cairn.nets.models import build_model
from cairn.nets.weights import load_weights, save_weights
from cairn.ssl.draws import derived_seed, generator, shuffled
from cairn.tasks.cases import LabelledSet, common_box, labelled_cases
from cairn.tasks.registry import build_task
from cairn.train.cases import collate, training_sample
from cairn.train.devices import describe, for_speed, numerics, set_up
from cairn.train.history import lines
from cairn.train.inference import Predictor
from cairn.train.jobs import FinetuneJob
from cairn.train.loop import Loop, Problem, Result
from cairn.train.split import split_subjects
from cairn.train.state import open_states, state_key


class FinetuneProblem(Problem):
    """Labelled cases and a task, as the loop wants them.

    Args:
        job: configuration.
        labelled: labelled cases of the training data set.
    """

    keep_best = True

    def __init__(self, job: FinetuneJob, labelled: LabelledSet) -> None:
        self.name = f"finetune {job.run} on {job.task.name}, seed {job.seed}"
        self.job, self.recipe, self.seed = job, job.finetune, job.seed
        self.network = network_of(job)
        self.task = build_task(job.task)
        self.cases = labelled.cases
        pairs = zip(labelled.cases, labelled.labels, strict=True)
        self.targets = [self.task.target(case, label) for case, label in pairs]
        strata = self.task.strata(self.targets)
        self.train, self.val = split_subjects(labelled.subjects, self.recipe.val_share, job.seed, strata)
        self.task.fit([self.targets[i] for i in self.train])
        self.box = common_box([case.extent for case in self.cases], self.network.stride)
        self.patch = self.recipe.patch_voxels if self.task.dense else None
        if self.patch and any(n % self.network.stride for n in self.patch):
            reason = f"finetune: patch_voxels {self.patch} does not divide by the network's stride."
            raise CairnError(reason, f"Take multiples of {self.network.stride}.", code="config")
        self.module = build_model(self.network, self.task.dense, derived_seed(job.seed, "weights"), self.task.outputs)
        self.module.set_prior(*self.task.prior_logits)

    def batch(self, step: int) -> dict[str, Tensor]:
        """Augmented samples of the step: shuffled epochs, each drawn by (seed, step, sample)."""
        size = self.recipe.batch_size
        samples = []
        for sample in range(size):
            place = self.train[shuffled(self.seed, "finetune order", len(self.train), step * size + sample)]
            draw = generator(self.seed, "finetune sample", step, sample)
            what = (self.cases[place], self.targets[place], self.box, self.recipe, draw)
            samples.append(training_sample(*what, classes=max(1, len(self.job.task.classes))))
        return collate(samples)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The task's."""
        return self.task.loss(self.module(batch["volumes"], batch["sequences"]), batch["target"])

    def validate(self, device: torch.device) -> dict[str, float]:
        """The task's metric, then the negative loss, over the held-back cases."""
        predictor = Predictor(self.module, self.box, self.patch, device)
        predictions, targets, losses = [], [], []
        for place in self.val:
            logits, target = predictor.logits(self.cases[place]), self.targets[place]
            answer = torch.from_numpy(target).float()
            losses.append(float(self.task.loss(logits[None], answer[None])))
            predictions.append(self.task.predict(logits).numpy())
            targets.append(target)
        score = self.task.score(predictions, targets)
        return {"val_score": score, "val_negative_loss": -sum(losses) / len(losses)}


class Started(Protocol):
    """What starts from an encoder."""

    @property
    def network(self) -> NetworkConfig:
        """The encoder's section."""

    @property
    def module(self) -> nn.Module:
        """A module with an ``encoder``."""


def network_of(job: FinetuneJob) -> NetworkConfig:
    """The job's network; classical runs alone have none."""
    if job.network is None:
        raise CairnError(f"run '{job.run}': method '{job.method}' needs a network.", "Name one.", code="config")
    return job.network


def start_weights(job: FinetuneJob, weights: Sequence[Path], problem: Started) -> dict[str, Any]:
    """Load the pretrained encoder, exactly or not at all; a report for the card.

    Raises:
        CairnError: when a pretrained run has no weights, another has some, or they do not fit.
    """
    if len(weights) != (job.method == "pretrained"):
        reason = f"run '{job.run}': method '{job.method}' with {len(weights)} weights file(s)."
        raise CairnError(reason, "A pretrained run starts from one encoder, others from none.", code="weights")
    if not weights:
        return {"start": "random"}
    meta = read_meta(weights[0])
    made_with = meta.get("network")
    if made_with != problem.network.model_dump(mode="json"):
        reason = f"{weights[0]}: an encoder of network {made_with}, not {problem.network.model_dump(mode='json')}."
        raise CairnError(reason, "Use the network section that it was made with.", code="weights")
    report = load_weights(weights[0], problem.module.encoder, "encoder")
    return {"start": "encoder", "encoder_step": meta.get("step"), "tensors": report.to_json()}


def finetune(
    job: FinetuneJob, shards: Sequence[Path], labels: Path, weights: Sequence[Path], state: Path, model: Path,
    history: Path, threads: int, code: str,
) -> dict[str, Any]:  # fmt: skip
    """Fine-tune one model, from the newest state if there is one; returns facts for the card.

    Args:
        job: configuration.
        shards: indexes of the training data set.
        labels: its labels.
        weights: the encoder to start from, or none.
        state: folder of the training state.
        model: the best model by validation, written once at the end.
        history: JSON lines of step, loss, lr, validation.
        threads: of torch.
        code: hash of the code; a state of other code is not continued.

    Raises:
        CairnError: for bad configuration, data, labels or weights, or a loss that is not finite.
    """
    device = set_up(job.device, threads, job.finetune.deterministic)
    labelled = labelled_cases(job.task, open_sessions(shards), labels)
    problem = FinetuneProblem(job, labelled)
    loaded = start_weights(job, weights, problem)
    adapt(problem.module, job.finetune, derived_seed(job.seed, "adapters"))
    learning = {"mode": job.finetune.mode, "trained_parameters": trained(problem.module)}
    for_speed(problem.module, device, job.finetune)
    plain = job.model_dump(mode="json", exclude={"run": True, "probe": True, "finetune": {"steps", "state_every"}})
    data = sorted(sha256(p) for p in [*shards, labels, *weights])
    masks = sorted(sha256(label.mask) for label in labelled.labels if label.mask)
    key = state_key(job=plain, code=code, data=data, masks=masks, **numerics(device))
    with open_states(state, key) as states:
        result = Loop(problem, job.finetune, states, device).run()
        remove_left_overs(model.parent)
        save_weights(model, merged(problem.module, result.tensors), model_meta(job, problem, result))
        write_text(history, lines(result.records))
    return {
        "best": result.best, "weights": loaded, "model_sha256": sha256(model),
        "subjects": {"train": _subjects(problem, problem.train), "val": _subjects(problem, problem.val)},
        "skipped": labelled.skipped, "task": problem.task.facts, "parameters": parameters(problem.module),
        "samples_per_s": round(result.samples_per_s, 2), "loader_share": round(result.loader_share, 3),
        **learning, **describe(device, job.finetune.deterministic),
    }  # fmt: skip


def model_meta(job: FinetuneJob, problem: FinetuneProblem, result: Result) -> dict[str, Any]:
    """What prediction must know: task, network, box, what the task learned, and which step this is."""
    return {
        "kind": "model", "method": job.method, "task": job.task.model_dump(mode="json"),
        "network": problem.network.model_dump(mode="json"), "facts": problem.task.facts, "box": problem.box,
        "patch": problem.patch, "step": result.step,
    }  # fmt: skip


def _subjects(problem: FinetuneProblem, places: Sequence[int]) -> list[str]:
    return sorted({problem.cases[i].session.subject for i in places})
