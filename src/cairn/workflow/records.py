"""What Snakemake records of a job's parameters. It looks whether one is a pandas table, and imports pandas for that.

Our parameters are text, numbers and lists. Without that look a plan needs half a second and 90 MB less, wherever
something was made before (Snakemake 9.27, ``persistence``).
"""

from __future__ import annotations

from typing import Any


def plain_params(persistence: Any) -> None:
    """Let ``persistence``, Snakemake's class of such records, take parameters as they are; records stay the same."""
    persistence._serialize_param = property(lambda self: self._serialize_param_builtin)
