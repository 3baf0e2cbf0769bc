"""Challenges: what an entry is asked and answers with, and how it is checked and run."""
