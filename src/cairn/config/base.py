"""Base of every configuration section: frozen, no unknown keys, errors that name the nearest known key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cairn.errors import CairnError

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A configuration section. Units stand in the field names: ``_mm``, ``_s``, ``_years``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)


def parse(section: type[S], data: Mapping[str, Any], where: str = "config") -> S:
    """Validate ``data`` as ``section``.

    Raises:
        CairnError: naming every offending key by its full path, and for an unknown key the nearest known one.
    """
    try:
        return section.model_validate(data)
    except ValidationError as error:
        lines = [_explain(section, dict(e), where) for e in error.errors()]
        raise CairnError("; ".join(lines) + ".", f"Mend {where} and run again.", code="config") from None


def _explain(section: type[BaseModel], error: dict[str, Any], where: str) -> str:
    path = ".".join(str(p) for p in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{where}: '{path}': {error['msg']} (got {error['input']!r})"
    known = _fields_at(section, error["loc"][:-1])
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(known))}"
    return f"{where}: unknown key '{path}' ({hint})"


def _fields_at(section: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the model that ``loc`` leads to, through nested models, lists and dicts of models."""
    models = {section}
    for part in loc:
        nested: set[type[BaseModel]] = set()
        for model in models:
            if part in model.model_fields:
                nested |= _models_in(model.model_fields[part].annotation)
        models = nested or models
    return sorted({name for model in models for name in model.model_fields})


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    found: set[type[BaseModel]] = set()
    for argument in getattr(annotation, "__args__", ()):
        found |= _models_in(argument)
    return found
