"""The one error that Cairn raises on bad input: what is wrong, where, and what to do about it."""

from __future__ import annotations


class CairnError(Exception):
    """Bad input or configuration. The message names the file or key, the reason and the remedy.

    Args:
        message: what is wrong, naming the file or key.
        remedy: what the user can do about it, as a sentence.
        code: short stable identifier, such as ``truncated``; quarantine rows carry it.
    """

    def __init__(self, message: str, remedy: str = "", code: str = "invalid") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.reason = message
        self.remedy = remedy
        self.code = code
