"""Calibrate a network on validation pieces: a scale and an offset for the logit of each state.

An overfitted network is overconfident on new pieces, which raises its loss: Guo et al. 2017, "On Calibration of Modern
Neural Networks". The calibration fits six numbers to the validation pieces. Six numbers are too few to memorise those
pieces. The numbers are folded into the weights of the last layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from livebach.music.roll import HOLD, OFF, STATES
from livebach.training.distributed import Ranks
from livebach.training.model import TwoAxisWaveNet

MOST_FRAMES = 100_000
"""Maximum number of frames in the fit, over all processes. It limits the memory of the fit."""
PULL = 100.0
"""Penalty in nats for a squared deviation of 1 from the identity. It dominates with dozens of frames, not thousands."""
_ITERATIONS = 40


@dataclass(frozen=True, slots=True)
class Calibration:
    """Scale and offset, each float [3]: the calibrated logits are `logits * scale + offset`."""

    scale: Tensor
    offset: Tensor

    @torch.no_grad()
    def apply(self, model: TwoAxisWaveNet) -> None:
        """Fold the calibration into the weights of the last layer."""
        model.to_logits.weight.mul_(self.scale[:, None])
        model.to_logits.bias.mul_(self.scale).add_(self.offset)


class CalibrationData:
    """Logits of a network and the actual states: the data to which a calibration is fitted."""

    def __init__(self) -> None:
        self._logits: list[Tensor] = []
        self._coming: list[Tensor] = []
        self.frames = 0

    def add(self, logits: Tensor, frames: Tensor, coming: Tensor) -> None:
        """Add a piece.

        Args:
            logits: float [1, T, 88, 3].
            frames: uint8 [1, T, 88], the states before each predicted frame.
            coming: uint8 [1, T, 88], the states of each predicted frame.

        """
        possible = logits.float().clone()
        possible[..., HOLD].masked_fill_(frames == OFF, -1e9)
        self._logits.append(possible.reshape(-1, STATES))
        self._coming.append(coming.reshape(-1).long())
        self.frames += logits.shape[1]

    def fit(self, ranks: Ranks, device: torch.device) -> Calibration:
        """Return the calibration with the lowest cost, by L-BFGS.

        All processes get the same calibration. With little data the calibration stays near the identity.
        """
        numbers = torch.stack([torch.ones(STATES), torch.zeros(STATES)]).to(device).requires_grad_()
        frames = float(ranks.total(torch.tensor(float(self.frames), device=device)))
        if not frames:
            return Calibration(*numbers.detach())
        optimizer = torch.optim.LBFGS([numbers], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

        def cost() -> Tensor:
            optimizer.zero_grad()
            found = self._cost(numbers) / frames + self._pull(numbers) / frames / ranks.size
            torch.autograd.backward(found)
            assert numbers.grad is not None
            ranks.total(numbers.grad)
            return ranks.total(found.detach())

        optimizer.step(cost)  # type: ignore[no-untyped-call]
        return Calibration(*numbers.detach())

    @staticmethod
    def _pull(numbers: Tensor) -> Tensor:
        """Return the penalty in nats for the distance from the identity, once for all processes."""
        return PULL * ((numbers[0] - 1).square() + numbers[1].square()).sum()

    def _cost(self, numbers: Tensor) -> Tensor:
        """Return the cross-entropy of this process's data, in nats."""
        total = 0.0 * numbers.sum()
        for logits, coming in zip(self._logits, self._coming, strict=True):
            total = total + F.cross_entropy(logits * numbers[0] + numbers[1], coming, reduction="sum")
        return total
