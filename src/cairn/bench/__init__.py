"""Benchmark of frozen encoders (CuriaBench): items, features computed once, small heads. No encoder learns here."""
