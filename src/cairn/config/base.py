"""Base of every configuration section: frozen, no unknown keys, errors that name the nearest known key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Discriminator, ValidationError

from cairn.errors import CairnError

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A configuration section. Units stand in the field names: ``_mm``, ``_s``, ``_years``."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, defer_build=True
    )


def by_kind(default: str) -> Discriminator:
    """Tells the members of a union of sections apart by ``kind``; data without it are of kind ``default``."""
    return Discriminator(lambda v: v.get("kind", default) if isinstance(v, Mapping) else v.kind)


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
    path, _ = _walk(section, error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{where}: '{path}': {error['msg']} (got {error['input']!r})"
    _, models = _walk(section, error["loc"][:-1])
    known = sorted({name for model in models for name in model.model_fields})
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
    return f"{where}: unknown key '{path}' ({hint})"


def _walk(section: type[BaseModel], loc: tuple[Any, ...]) -> tuple[str, set[type[BaseModel]]]:
    """The key that ``loc`` means, and the models found there: through nested models, lists, mappings and unions.

    Pydantic puts the kind of a union's member into ``loc``; the user's file has no such key.
    """
    models, path, free = {section}, [], False
    for part in loc:
        members = {m for m in models if "kind" in m.model_fields and m.model_fields["kind"].default == part}
        if members and not free:
            models = members
            continue
        path.append(str(part))
        fields = [] if free else [m.model_fields[part] for m in models if part in m.model_fields]
        models = {n for f in fields for n in _models_in(f.annotation)} or models
        free = any(get_origin(f.annotation) in (Mapping, dict, tuple, list) for f in fields)
    return ".".join(path), models


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    found: set[type[BaseModel]] = set()
    for argument in getattr(annotation, "__args__", ()):
        found |= _models_in(argument)
    return found
