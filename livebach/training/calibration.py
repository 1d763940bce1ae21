"""Calibrate a network on validation pieces: a scale and an offset for the logit of each state.

A network that overfits is too confident on other pieces, and pays for that: Guo et al. 2017, "On Calibration of Modern
Neural Networks". Six numbers are fitted to the validation pieces, too few to learn anything else about them. They
become part of the weights of the last layer.
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
"""The most frames to fit to, of all processes together: more would only fill the memory."""
PULL = 100.0
"""The penalty, in nats, of a squared deviation of 1: large for dozens of frames, small for thousands."""
_ITERATIONS = 40


@dataclass(frozen=True, slots=True)
class Calibration:
    """Logits of the last layer times `scale` [3], plus `offset` [3]."""

    scale: Tensor
    offset: Tensor

    @torch.no_grad()
    def apply(self, model: TwoAxisWaveNet) -> None:
        """Fold the calibration into the weights of the last layer."""
        model.to_logits.weight.mul_(self.scale[:, None])
        model.to_logits.bias.mul_(self.scale).add_(self.offset)


class CalibrationData:
    """Logits of a network and the states that came: the data that a calibration is fitted to."""

    def __init__(self) -> None:
        self._logits: list[Tensor] = []
        self._coming: list[Tensor] = []
        self.frames = 0

    def add(self, logits: Tensor, frames: Tensor, coming: Tensor) -> None:
        """Add a piece: logits [1, T, 88, 3], states [1, T, 88] before and at each frame."""
        possible = logits.float().clone()
        possible[..., HOLD].masked_fill_(frames == OFF, -1e9)
        self._logits.append(possible.reshape(-1, STATES))
        self._coming.append(coming.reshape(-1).long())
        self.frames += logits.shape[1]

    def fit(self, ranks: Ranks, device: torch.device) -> Calibration:
        """Return the calibration of least cost, equal in all processes. With little data it stays near the identity."""
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
        """Return the penalty for leaving the identity, in nats, of all processes together."""
        return PULL * ((numbers[0] - 1).square() + numbers[1].square()).sum()

    def _cost(self, numbers: Tensor) -> Tensor:
        """Return the nats of the data of this process."""
        total = 0.0 * numbers.sum()
        for logits, coming in zip(self._logits, self._coming, strict=True):
            total = total + F.cross_entropy(logits * numbers[0] + numbers[1], coming, reduction="sum")
        return total
