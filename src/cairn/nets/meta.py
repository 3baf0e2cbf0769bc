"""What a weights file says of itself: JSON under the metadata key ``cairn``. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.io.shard import read_safetensors_header


def pack_meta(meta: Mapping[str, Any]) -> dict[str, str]:
    """Metadata as safetensors takes them; equal content gives equal bytes."""
    return {"cairn": json.dumps(meta, sort_keys=True)}


def read_meta(path: Path) -> dict[str, Any]:
    """The ``cairn`` metadata of a weights file; no tensor is read.

    Raises:
        CairnError: when the file is missing, unreadable, or not made by Cairn.
    """
    header = read_safetensors_header(path)
    try:
        return json.loads(header["__metadata__"]["cairn"])  # type: ignore[no-any-return]
    except (KeyError, ValueError):
        raise CairnError(f"{path}: safetensors, but not Cairn's.", "Name weights made by Cairn.", "weights") from None
