"""How foreign weights become ours: which name is which, what is left, what stays open. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, field_validator

from cairn.config.base import Section, parse
from cairn.config.networks import NetworkConfig
from cairn.errors import CairnError


class Rename(Section):
    """One rule for many names."""

    match: str
    """Regular expression over a whole foreign name."""
    to: str
    r"""Our name; ``\1`` is what the first group took."""

    @field_validator("match")
    @classmethod
    def _compiles(cls, value: str) -> str:
        return expression(value)


class MappingConfig(Section):
    """A mapping file. Every entry must have an effect, and every tensor of either side must be accounted for."""

    source: str = ""
    """Where the weights come from: a paper, an address, a licence. It goes into the card."""
    revision: str = Field(default="", pattern="^([0-9a-f]{40}|[0-9a-f]{64})?$")
    """Which version of the weights: the SHA-256 of their file (64 digits), or the commit of the repository that they
    were downloaded from (40), in full. It goes into the card, and another file is refused. A network of kind dinov2
    needs one."""
    exact: Mapping[str, str] = {}
    """Foreign name to ours."""
    rename: tuple[Rename, ...] = ()
    """Rules for the names that ``exact`` does not have; the first that matches counts. The rest keep their names."""
    drop: tuple[str, ...] = ()
    """Foreign tensors that are not ours (a decoder, a head): regular expressions over their whole names."""
    new: tuple[str, ...] = ()
    """Tensors of ours that the file lacks and that start at random: regular expressions over their whole names."""
    inflate: Mapping[str, Literal["mean", "repeat", "first"]] = {}
    """Our name of a convolution over several foreign input channels, and what our one channel gets of it: their mean;
    ``repeat``: their sum, as if our image were repeated over them; or the first."""

    @field_validator("drop", "new")
    @classmethod
    def _compile(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(expression, values))


class ImportJob(Section):
    """Configuration of one import."""

    run: str
    """The run."""
    seed: int
    """Decides the start of what the weights leave open."""
    network: NetworkConfig
    """The encoder that they are for."""


def expression(value: str) -> str:
    """``value``, refused where it is no regular expression."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    return value


def read_mapping(path: Path) -> MappingConfig:
    """A mapping file.

    Raises:
        CairnError: when it is missing, no YAML, or has a wrong entry.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CairnError(f"{path}: no readable mapping ({error}).", "Mend the file or its path.", "mapping") from None
    if not isinstance(data, dict):
        raise CairnError(f"{path}: no mapping of keys to values.", "Write it as docs/how-to/foreign-weights.md says.")
    return parse(MappingConfig, data, str(path))
