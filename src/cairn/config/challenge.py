"""Challenges: how entries are run (`cairn.sandbox`), and by whose contract they are called."""

from __future__ import annotations

import os
import shutil
from typing import Literal

from pydantic import Field

from cairn.challenge.contract import SECONDS, ContractName
from cairn.config.base import Section
from cairn.config.tasks import TaskSpec
from cairn.config.training import ProbeConfig
from cairn.sandbox.policy import Policy


class OfflineBuild(Section):
    """What images are built from where there is no network."""

    base: str
    """A base image, ``.sif``: any Debian with Python 3.11 and its venv."""
    wheels: str
    """A folder with the wheels that ``torch.txt`` and ``requirements.txt`` of an entry name."""


class ChallengeConfig(Section):
    """How runs of method ``container`` are run: strangers' images, each case in a sandbox of its own."""

    contract: ContractName = "fomo25"
    """What an image is called with: ``fomo25`` or ``fomo26`` (docs/how-to/enter-a-challenge.md)."""
    engine: Literal["auto", "bubblewrap", "apptainer", "docker", "podman"] = "auto"
    """What makes the sandbox; ``auto``: what the image needs and the machine has."""
    build: Literal["auto", "context", "sif"] = Field(default="auto", exclude_if=lambda v: v == "auto")
    """What the target ``submission`` makes of a row: folders to build images from, or with ``sif`` also the images, by
    Apptainer; ``auto``: the images where Apptainer is installed."""
    offline: OfflineBuild | None = Field(default=None, exclude_if=lambda v: v is None)
    """Build these images without a network. Default: from python:3.11-slim and the package index."""
    repeat_cases: int = Field(default=1, ge=0)
    """Test cases of each task, from the first on, that an entry is asked twice: one that it does not answer alike
    counts as not answered (``changing``). 0 for entries that compute on a GPU and differ in the last digits."""
    policy: Policy = Policy()
    """What an entry may use. It never has a network, a label, or another case."""
    base: tuple[str, ...] = Field(default=(), exclude_if=lambda v: not v)
    """Folders of this machine that every image which is a folder sees, read-only, for images that bring no system of
    their own; only for images that you made. Default: none."""

    @property
    def builds_images(self) -> bool:
        """Whether the target ``submission`` makes images: as it is set, or where Apptainer is found now."""
        command = os.environ.get("APPTAINER_COMMAND") or "apptainer"
        return self.build == "sif" or (self.build == "auto" and shutil.which(command) is not None)

    @property
    def seconds_of_contract(self) -> float:
        """Wall time of a case that the contract's own validator allows; a challenge may allow less."""
        return SECONDS[self.contract]


class EntryJob(Section):
    """Configuration of the job that runs one entry on one task."""

    run: str
    """The run."""
    task: TaskSpec
    """The task."""
    seed: int = 0
    """Decides split and order where the organiser fits a probe's head; the entry draws what it likes."""
    challenge: ChallengeConfig
    """Contract, engine, policy."""
    follow_links: bool = False
    """Whether scans may lie behind links out of the data set's folder (``preprocess.guard``)."""
    probe: ProbeConfig | None = None
    """Of a probe: how its head is fitted."""
