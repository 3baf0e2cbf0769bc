"""Write the configuration's reference from its models: commented defaults for people, a JSON schema for editors.

Run ``python -m cairn.config.reference --fix`` after an edit of a section; a test fails while the files are out of step.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cairn.config.base import _models_in
from cairn.config.experiment import ExperimentConfig
from cairn.io.atomic import write_text

WIDTH = 118
HEAD = """\
# Every key of an experiment's configuration, with its default. Written from src/cairn/config by
# `python -m cairn.config.reference --fix`; edit there. `<name>` stands for a name of your choice.
"""


def defaults_yaml() -> str:
    """Every key with its docstring and default, as YAML that reads as documentation."""
    return HEAD + "\n".join(_section(ExperimentConfig, 0)) + "\n"


def _section(model: type[BaseModel], depth: int) -> list[str]:
    lines: list[str] = []
    for name, field in model.model_fields.items():
        indent = "  " * depth
        text = " ".join((field.description or "").split())
        wrapped = textwrap.wrap(text, WIDTH - len(indent) - 2)
        lines += ["", *[f"{indent}# {line}" for line in wrapped]] if depth == 0 else [f"{indent}# {w}" for w in wrapped]
        lines += _value(name, field, depth)
    return lines


def _value(name: str, field: FieldInfo, depth: int) -> list[str]:
    indent = "  " * depth
    nested = sorted(_models_in(field.annotation), key=lambda m: m.__name__)
    default = field.get_default(call_default_factory=True, validated_data={})
    if nested and not isinstance(default, Mapping):
        mapping = getattr(field.annotation, "__origin__", None) is not None and "Mapping" in str(field.annotation)
        lines = [f"{indent}{name}:"]
        for model in nested:
            kind = f" of kind {model.model_fields['kind'].default}" if len(nested) > 1 else ""
            lines += [f"{indent}  <name{kind}>:"] if mapping else []
            lines += _section(model, depth + 1 + mapping)
        return lines
    if default is PydanticUndefined:
        return [f"{indent}{name}: # required"]
    if isinstance(default, BaseModel):
        default = default.model_dump(mode="json")
    plain = json.loads(json.dumps(default, default=lambda s: s.model_dump(mode="json")))
    flow = None if isinstance(plain, dict | list) else False
    dumped = yaml.safe_dump({name: plain}, sort_keys=False, width=WIDTH, allow_unicode=True, default_flow_style=flow)
    return [indent + line for line in dumped.rstrip().splitlines()]


def schema_json() -> str:
    """JSON schema of an experiment's configuration."""
    return json.dumps(ExperimentConfig.model_json_schema(), indent=1, sort_keys=True) + "\n"


def files(root: Path) -> dict[Path, str]:
    """The reference files and what they must hold."""
    return {root / "config/defaults.yaml": defaults_yaml(), root / "config/schema.json": schema_json()}


def main() -> None:
    """Compare, or with ``--fix`` write, the reference files below the working directory."""
    stale = {p: t for p, t in files(Path()).items() if not p.is_file() or p.read_text(encoding="utf-8") != t}
    if "--fix" in sys.argv:
        for path, text in stale.items():
            write_text(path, text)
    elif stale:
        sys.exit(f"out of step: {', '.join(map(str, stale))}. Run `python -m cairn.config.reference --fix`.")


if __name__ == "__main__":
    main()
