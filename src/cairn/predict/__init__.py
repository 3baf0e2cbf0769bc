"""Prediction: a model on a data set without labels."""
