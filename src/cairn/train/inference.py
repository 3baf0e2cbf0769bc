"""Inference on a case: the whole brain in one box, or a sliding window where the model was trained on crops."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cairn.nets.lean import lean
from cairn.tasks.cases import Box, Case, common_box
from cairn.tasks.targets import Array
from cairn.train.cases import case_tensors, crop
from cairn.train.devices import precision


class Predictor:
    """Logits of cases; the same for validation and test.

    Args:
        model: a `TaskModel`.
        box: the box of the training set; a larger brain gets a larger one.
        patch: window of a sliding-window inference, or None.
        device: where the model is.
    """

    def __init__(self, model: nn.Module, box: Box, patch: Box | None, device: torch.device) -> None:
        self.model, self.box, self.patch, self.device = model, box, patch, device

    def case_box(self, case: Case) -> Box:
        """The box for a case."""
        return common_box([self.box, case.extent], self.model.encoder.config.stride)

    def logits(self, case: Case) -> Tensor:
        """Logit of the case, or logits on its session's grid ``[X, Y, Z]`` (several outputs: ``[C, X, Y, Z]``).

        Float32, on the CPU.
        """
        box = self.case_box(case)
        volumes, ids = case_tensors(case, box)
        volumes, ids = volumes.to(self.device), ids.to(self.device)[None]
        self.model.eval()
        with torch.no_grad(), precision(self.device):
            out = self._slide(volumes, ids, self.patch) if self.patch else self.model(volumes[None], ids)[0]
        out = out.float().cpu()
        return out if out.ndim == 0 else torch.from_numpy(self._to_grid(out.numpy(), case, box))

    def _slide(self, volumes_SXYZ: Tensor, ids_1S: Tensor, patch: Box) -> Tensor:
        with lean():
            from monai.inferers import sliding_window_inference

        def window(x_BSXYZ: Tensor) -> Tensor:
            out = self.model(x_BSXYZ, ids_1S.expand(len(x_BSXYZ), -1))
            return out[:, None] if out.ndim == 4 else out

        out = sliding_window_inference(volumes_SXYZ[None], patch, 1, window, overlap=0.5, mode="gaussian")[0]
        return out[0] if len(out) == 1 else out

    @staticmethod
    def _to_grid(out: Array, case: Case, box: Box) -> Array:
        """From the box to the session's grid; outside the box there is no brain, so background."""
        back, shape = [-o for o in case.origin(box)], case.session.geometry.shape
        low = np.float32(-30.0)  # a logit of nothing
        if out.ndim == 3:
            return crop(out - low, back, shape) + low
        background = crop(out[0], back, shape)  # 0 outside: all of the probability, beside what is low
        return np.stack([background, *(crop(o - low, back, shape) + low for o in out[1:])])
