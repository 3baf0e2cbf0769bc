"""Slices of volumes: the published orientations, and the input that slice encoders are made for."""
