"""Strangers' programs, run without trust: one policy, rendered for several engines, enforced from outside."""
