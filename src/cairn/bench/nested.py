"""Images as nested lists in Arrow, as CuriaBench stores them: to arrays and back, without a Python object a pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cairn.errors import CairnError

Array = npt.NDArray[Any]
DIMENSIONS = (2, 3)


def nested_type(ndim: int, value: Any) -> Any:
    """Arrow type of ``ndim`` nested lists of ``value``."""
    import pyarrow as pa

    for _ in range(ndim):
        value = pa.list_(value)
    return value


def to_nested(arrays: list[Array], value: Any) -> Any:
    """One Arrow array whose rows are ``arrays`` (all of 2, or all of 3 axes), as nested lists."""
    import pyarrow as pa

    flat = np.concatenate([np.ravel(a) for a in arrays])
    found = pa.array(flat, value)
    for axis in reversed(range(arrays[0].ndim)):
        lengths = np.concatenate([np.full(int(np.prod(a.shape[:axis])), a.shape[axis]) for a in arrays])
        found = pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32()), found)
    return found


def from_nested(column: Any, row: int, where: str) -> Array:
    """One row of a column of nested lists as an array of 2 or 3 axes.

    Raises:
        CairnError: when it is missing, ragged, empty, or not 2 or 3 lists deep (code ``item``).
    """
    import pyarrow as pa

    values = column.storage if isinstance(column, pa.ExtensionArray) else column
    if not values[row].is_valid:
        raise CairnError(f"{where}: is missing.", "Every row needs one.", "item")
    values = values[row].values
    sides = [len(values)]
    while _is_list(values.type):
        fixed = pa.types.is_fixed_size_list(values.type)
        lengths = {values.type.list_size} if fixed else set(np.diff(values.offsets.to_numpy()).tolist())
        if values.null_count or len(lengths) != 1:
            lines = ", ".join(map(str, sorted(lengths)[:4]))
            raise CairnError(f"{where}: is ragged (lines of {lines} values).", "An image is a full grid.", "item")
        sides.append(int(lengths.pop()))
        values = values.flatten()
    if len(sides) not in DIMENSIONS or 0 in sides:
        raise CairnError(f"{where}: has {len(sides)} axes {sides}.", "An image has 2 or 3, none empty.", "item")
    if values.null_count:
        raise CairnError(f"{where}: has values that are missing.", "An image is a full grid.", "item")
    return np.array(values.to_numpy(zero_copy_only=False)).reshape(sides)  # a copy: Arrow's memory is read-only


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
