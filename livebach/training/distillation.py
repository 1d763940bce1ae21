"""Distillation: the mean prediction of several networks is the target of a new one.

The mean of some networks' probabilities is better than any of them, and one network can learn most of it: Hinton,
Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network"; of equals, Furlanello et al. 2018, "Born-Again
Neural Networks". What they say of music that they were trained on is half learnt by heart. So they are best asked of
music that is new to them, too: such as networks play, of which nothing but the teachers' word counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from livebach.network.checkpoint import Checkpoint
from livebach.training.model import TwoAxisWaveNet, from_checkpoint, log_odds, one_hot


class Teachers(nn.Module):
    """Networks that are asked, and do not change."""

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(from_checkpoint(checkpoint) for checkpoint in checkpoints)
        self.requires_grad_(requires_grad=False).eval()

    def forward(self, frames: Tensor, condition: Tensor, coming: Tensor, given: Tensor) -> Tensor:
        """The mean of their probabilities of each state: float [B, T, 88, 3], for the model's own inputs."""
        said = []
        for network in self.networks:
            assert isinstance(network, TwoAxisWaveNet)
            logits = network.logits(network.context(frames, condition), coming, given)
            said.append(log_odds(logits, frames).exp())
        return torch.stack(said).mean(dim=0)


def digest(teacher: Checkpoint) -> str:
    """What a teacher is known by: the SHA-256 of its weights, in hex."""
    found = hashlib.sha256()
    for name in sorted(teacher.weights):
        found.update(teacher.weights[name].tobytes())
    return found.hexdigest()


def wanted(said: Tensor, coming: Tensor, written: Tensor) -> Tensor:
    """Return the target probabilities [B, T, 88, 3]; the score's states have the weight `written` [B] of each crop.

    The rest is what the teachers said, [B, T, 88, 3].
    """
    share = written.view(-1, 1, 1, 1)
    return share * one_hot(coming) + (1 - share) * said
