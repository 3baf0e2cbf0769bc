"""Templates of the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cairn.report.words import heading, number, span


def filled(name: str, content: Mapping[str, Any]) -> str:
    """The HTML of a template of this package; a name that ``content`` lacks is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cairn.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals |= {"number": number, "span": span, "heading": heading}
    return environment.get_template(name).render(content) + "\n"
