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
    parts, models = _walk(section, error["loc"])
    path = ".".join(parts)
    if error["type"] != "extra_forbidden":
        return f"{where}: '{path}': {error['msg']} (got {error['input']!r})"
    known = sorted({name for model in models for name in model.model_fields})
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(known))}"
    return f"{where}: unknown key '{path}' ({hint})"


def _walk(section: type[BaseModel], loc: tuple[Any, ...]) -> tuple[list[str], set[type[BaseModel]]]:
    """The path as the user wrote it, and the models that its last key may belong to.

    Through nested models, lists and dicts of models. Where sections are told apart by ``kind``, pydantic puts the kind
    into ``loc``: it narrows the models, and is no part of the path.
    """
    models, owners, path, free = {section}, {section}, [], False
    for part in loc:
        of_kind = {m for m in models if "kind" in m.model_fields and m.model_fields["kind"].default == part}
        if of_kind and len(models) > 1 and not free:
            models = of_kind
            continue
        path.append(str(part))
        fields = [m.model_fields[part] for m in models if part in m.model_fields and not free]
        owners = models
        models = {n for field in fields for n in _models_in(field.annotation)} or models
        free = any("Mapping" in str(field.annotation) for field in fields)
    return path, owners


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    found: set[type[BaseModel]] = set()
    for argument in getattr(annotation, "__args__", ()):
        found |= _models_in(argument)
    return found
