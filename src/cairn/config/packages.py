"""A pin. Its own module, so that an edit of the cohort fetches nothing again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cairn.config.base import Section


class Package(Section):
    """A pinned package of the Python registry, fetched as an archive and never installed."""

    version: str
    """Exact version."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Hex SHA-256 of the archive."""
    archive: Literal["whl", "tar.gz"]
    """Archive kind, which is also the suffix under which it is kept."""
    role: str
    """What Cairn takes from it."""
    licence: str
    """Licence that the package declares; the volumes inside rarely state their own."""
