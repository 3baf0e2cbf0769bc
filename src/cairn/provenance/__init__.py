"""Where a result comes from: cards (`run.json`), code hashes, pins, and the frame that every job runs in."""

from cairn.provenance.code import code_hash
from cairn.provenance.environment import pins_hash
from cairn.provenance.job import Job, script

__all__ = ["Job", "code_hash", "pins_hash", "script"]
