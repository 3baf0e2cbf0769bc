"""How many weights a network has, counted without memory; and the table of them in docs/reference/backbones.md.

Run ``python -m cairn.nets.size --fix`` after an edit of a backbone or of config/backbones.yaml; a test fails while the
table is out of step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from cairn.config.networks import Dinov2Config, NetworkConfig, parse_network
from cairn.io.atomic import write_text
from cairn.nets.blocks import parameters
from cairn.nets.decoders import LightDecoder
from cairn.nets.models import TaskModel
from cairn.nets.registry import build_encoder

SIZES, PAGE = Path("config/backbones.yaml"), Path("docs/reference/backbones.md")
BEGIN, END = "<!-- counts: python -m cairn.nets.size --fix -->\n", "<!-- end of counts -->\n"
HEAD = """\
| network | kind | channels | strides | encoder | + light decoder | + fusion, one number | + fusion, skip decoder |
|---|---|---|---|--:|--:|--:|--:|
"""
SLICES_HEAD = """\
| network of slices | kind | hidden size | blocks | heads | image, px | patch, px | encoder |
|---|---|--:|--:|--:|--:|--:|--:|
"""


def count(build: Callable[[], nn.Module]) -> int:
    """Weights of what ``build`` makes; on torch's meta device, so that nothing is allocated or drawn."""
    with torch.device("meta"):
        return parameters(build())


def counts(config: NetworkConfig) -> dict[str, int]:
    """Weights of the encoder, and of the whole as each use has it: reconstruction, one number a session, a mask.

    Of an encoder of slices that of the encoder: its heads stand on frozen features.
    """
    encoder = count(lambda: build_encoder(config))
    if config.dims == 2:
        return {"encoder": encoder}
    return {
        "encoder": encoder,
        "reconstruction": encoder + count(lambda: LightDecoder(config)),
        "pooled": count(lambda: TaskModel(config, dense=False)),
        "dense": count(lambda: TaskModel(config, dense=True)),
    }


def sizes(path: Path) -> dict[str, NetworkConfig]:
    """The networks of a configuration file, by name."""
    sections: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["networks"]
    return {name: parse_network(section, f"{path}: networks.{name}") for name, section in sections.items()}


def table(networks: dict[str, NetworkConfig]) -> str:
    """The counts in Markdown: of networks of volumes, then of slices."""
    rows, slices = [], []
    for name, config in networks.items():
        if isinstance(config, Dinov2Config):
            shape = (config.hidden_size, config.layers, config.heads, config.image_size, config.patch_size)
            numbers = " | ".join(f"{n:,}" for n in (*shape, counts(config)["encoder"]))
            slices.append(f"| {name} | {config.kind} | {numbers} |\n")
            continue
        channels, strides = (", ".join(map(str, v)) for v in (config.channels, config.strides))
        numbers = " | ".join(f"{n:,}" for n in counts(config).values())
        rows.append(f"| {name} | {config.kind} | {channels} | {strides} | {numbers} |\n")
    return HEAD + "".join(rows) + "\n" + SLICES_HEAD + "".join(slices)


def page(root: Path) -> str:
    """The page with the table as it should be."""
    text = (root / PAGE).read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return before + BEGIN + "\n" + table(sizes(root / SIZES)) + "\n" + END + after


def main() -> None:
    """Compare, or with ``--fix`` write, the page below the working directory."""
    text = page(Path())
    if "--fix" in sys.argv:
        write_text(PAGE, text)
    elif text != PAGE.read_text(encoding="utf-8"):
        sys.exit(f"out of step: {PAGE}. Run `python -m cairn.nets.size --fix`.")


if __name__ == "__main__":
    main()
