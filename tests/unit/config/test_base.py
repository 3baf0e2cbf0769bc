"""Guards configuration errors: a typing slip is told from the nearest known key, wherever it lies."""

from collections.abc import Mapping
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from cairn.config import Section, parse
from cairn.errors import CairnError


class Inner(Section):
    spacing_mm: float = Field(default=2.0, gt=0)


class Apple(Section):
    kind: Literal["apple"] = "apple"
    seed: int = 1


class Pear(Section):
    kind: Literal["pear"] = "pear"
    seeds: int = 1


class Outer(Section):
    inner: Inner = Inner()
    many: Mapping[str, Inner] = {}
    fruit: Mapping[str, Annotated[Apple | Pear, Field(discriminator="kind")]] = {}


def test_unknown_key_names_the_nearest():
    with pytest.raises(CairnError, match=r"unknown key 'inner\.spacing' \(did you mean 'spacing_mm'\?\)"):
        parse(Outer, {"inner": {"spacing": 1.0}})


def test_unknown_key_below_a_free_name():
    with pytest.raises(CairnError, match=r"many\.a\.spacin_mm.*spacing_mm"):
        parse(Outer, {"many": {"a": {"spacin_mm": 1.0}}})


@pytest.mark.parametrize("name", ["apple", "pear", "mine"])
def test_among_kinds_the_path_is_as_written_and_the_nearest_key_is_of_the_kind(name):
    with pytest.raises(CairnError, match=rf"unknown key 'fruit\.{name}\.seedss' \(did you mean 'seeds'\?\)"):
        parse(Outer, {"fruit": {name: {"kind": "pear", "seedss": 1}}})
    with pytest.raises(CairnError, match=rf"unknown key 'fruit\.{name}\.seedss' \(did you mean 'seed'\?\)"):
        parse(Outer, {"fruit": {name: {"kind": "apple", "seedss": 1}}})
    with pytest.raises(CairnError, match=rf"'fruit\.{name}'.*'peer'.*'apple', 'pear'"):
        parse(Outer, {"fruit": {name: {"kind": "peer"}}})


def test_bad_value_names_key_and_value():
    with pytest.raises(CairnError, match=r"inner\.spacing_mm.*greater than 0.*-1"):
        parse(Outer, {"inner": {"spacing_mm": -1}})


def test_sections_are_frozen():
    with pytest.raises(ValidationError):
        Outer().inner.spacing_mm = 3.0
