"""Scores, intervals, tests, ranks: numbers from predictions and truth. The only package that sees test labels."""
