"""The sides of a split, and which pairs of them must be disjoint."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Literal

Side = Literal["pretraining", "fine-tuning", "test"]
SIDES: tuple[Side, ...] = ("pretraining", "fine-tuning", "test")
PAIRS = tuple(combinations(SIDES, 2))


def side_of(role: str) -> Side:
    """Side of a use of a data set (``pretrain``, ``finetune``, ``validation``, ``indomain``, ``test``)."""
    return "test" if role == "test" else "pretraining" if role == "pretrain" else "fine-tuning"


def sides_of(roles: Iterable[str]) -> list[Side]:
    """Sides of a data set with these uses, in the order of ``SIDES``."""
    found = {side_of(role) for role in roles}
    return [side for side in SIDES if side in found]


def refused(one: str, other: str, pretrain_finetune: str) -> bool:
    """Whether the workflow stops when these two sides share something; if not, and they differ, it is reported."""
    return one != other and ("test" in (one, other) or pretrain_finetune == "refuse")
