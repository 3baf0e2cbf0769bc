"""Skull stripping: head in, brain mask out. Nothing here knows a session, a template or a task."""
