"""All sections of learning, for the experiment. A job imports the narrow module, to rerun no more than it must."""

from cairn.config.networks import NetworkConfig
from cairn.config.objectives import MaeConfig, ObjectiveConfig
from cairn.config.tasks import TaskConfig, TaskInputs, TaskSpec
from cairn.config.training import FinetuneConfig, OptimConfig, PretrainConfig, ProbeConfig

__all__ = [
    "FinetuneConfig",
    "MaeConfig",
    "NetworkConfig",
    "ObjectiveConfig",
    "OptimConfig",
    "PretrainConfig",
    "ProbeConfig",
    "TaskConfig",
    "TaskInputs",
    "TaskSpec",
]  # fmt: skip
