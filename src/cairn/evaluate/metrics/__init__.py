"""Dice, NSD, AUROC, macro AUROC and F1, absolute error, Pearson r: own code, checked against libraries in the tests."""

from cairn.evaluate.metrics.discrimination import auroc
from cairn.evaluate.metrics.multiclass import auroc_ovr, f1_macro
from cairn.evaluate.metrics.overlap import dice
from cairn.evaluate.metrics.regression import mae, pearson_r
from cairn.evaluate.metrics.surface import nsd

__all__ = ["auroc", "auroc_ovr", "dice", "f1_macro", "mae", "nsd", "pearson_r"]
