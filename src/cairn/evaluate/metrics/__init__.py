"""Dice, NSD, AUROC, macro AUROC and F1, absolute error, Pearson r, R², concordance: own code, checked in the tests
against libraries or plain references.
"""

from cairn.evaluate.metrics.discrimination import auroc
from cairn.evaluate.metrics.multiclass import auroc_ovr, f1_macro
from cairn.evaluate.metrics.overlap import dice
from cairn.evaluate.metrics.regression import mae, pearson_r, r2
from cairn.evaluate.metrics.surface import nsd
from cairn.evaluate.metrics.survival import concordance

__all__ = ["auroc", "auroc_ovr", "concordance", "dice", "f1_macro", "mae", "nsd", "pearson_r", "r2"]
