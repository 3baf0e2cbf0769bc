"""What counts as a leak between pretraining, fine-tuning and test."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cairn.config.base import Section


class LeakageConfig(Section):
    """Rules of the split. Test data are disjoint from all training data, whatever stands here."""

    pretrain_finetune: Literal["refuse", "report"] = "refuse"
    """Subjects and scans that are both in pretraining and in labelled training data. refuse: the workflow stops; an
    encoder has then met no head of the few-shot set, and a validation held back from it stays unseen. report: they are
    listed and training goes on, for a study that pretrains on its own task's scans on purpose. Labelled sets may share
    subjects among themselves: a run is trained on one of them."""
    similar_names: Literal["refuse", "report"] = "refuse"
    """Identifiers of one name space that differ in leading zeros, case or separators alone (``sub-01``, ``sub-1``), on
    two sides. report: they are listed and training goes on, where these are different people."""
    near_duplicate_distance: float = Field(default=0.18, gt=0, lt=0.5)
    """Share of differing bits of the hashes of two volumes up to which they are one scan. Copies, and people who
    are not one, were measured on both sides of it: docs/reference/leakage.md has the table."""
    canary_permutations: int = Field(default=20, ge=5, le=1000)
    """Permutations of the training labels, each with its complement, that the plain baseline is fitted to, for every
    task of two classes told from sessions; the interval of the mean AUROC on the test must cover 0.5. It watches the
    classical path, not the training of networks."""
