"""Data sets as they come: trees of scans, their indexes, labels and the check that no subject leaks."""
