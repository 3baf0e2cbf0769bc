"""Configuration as validated code: one frozen model per section."""

from cairn.config.base import Section, parse

__all__ = ["Section", "parse"]
