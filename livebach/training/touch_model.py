"""The touch network in torch: three perceptrons and their losses in nats."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livebach.network.touch import MAY_FOLLOW
from livebach.network.touch_checkpoint import PAIR_ABOVE, PAIR_ROWS, TouchCheckpoint
from livebach.network.touch_memory import VELOCITY_CENTRE, VELOCITY_UNIT
from livebach.network.touch_shape import (
    FREE,
    INPUTS,
    MIXTURE,
    MOMENTS,
    NEAREST_INPUT,
    NEAREST_SCALE,
    OUTPUTS,
    PAIRS,
    SCALED,
    TURN_SCALE,
    TouchShape,
)
from livebach.network.velocity_mixture import (
    LARGEST_SCALE,
    LEAST_LOG_VARIANCE,
    MOST_LOG_VARIANCE,
    OUT_OF_REACH,
    SMALLEST_SCALE,
)


class Perceptron(nn.Module):
    """A perceptron with two hidden layers.

    The first inputs are normalised to zero mean and about unit deviation.
    """

    def __init__(self, name: str, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(SCALED[name]))
        self.register_buffer("scale", torch.ones(SCALED[name]))
        self.first, self.second = nn.Linear(INPUTS[name], hidden), nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, OUTPUTS[name])
        self.dropout = nn.Dropout(dropout)

    def look_at(self, features: Tensor) -> None:
        """Set the mean and the scale of the normalised inputs from example features, float [n, SCALED]."""
        self.mean = features.mean(dim=0)
        self.scale = 1 / (features.std(dim=0) + 0.05)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, float [n, inputs] -> [n, outputs]."""
        wide = len(self.mean)
        x = torch.cat([(x[:, :wide] - self.mean) * self.scale, x[:, wide:]], dim=1)
        second = self.dropout(F.relu(self.second(self.dropout(F.relu(self.first(x))))))
        out: Tensor = self.out(second)
        return out


class OffsetPerceptron(Perceptron):
    """The perceptron of the offset. What a note's offset owes to that of the next higher note comes last."""

    def __init__(self, hidden: int, dropout: float = 0.0) -> None:
        super().__init__("offset", hidden, dropout)
        self.pairs = nn.Parameter(torch.zeros(PAIRS))

    def logits(self, features: Tensor, above: Tensor) -> Tensor:
        """Return the logits, float [n, OFFSETS].

        Args:
            features: float [n, OFFSET_FEATURES].
            above: int64 [n], the number of the next higher note's offset on the same tick; OFFSETS if there is none.

        """
        out: Tensor = self(features) + self.pairs[above]
        return out


class TouchModel(nn.Module):
    """The three perceptrons of the touch network: velocity, offset and pedal."""

    def __init__(self, shape: TouchShape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.velocity = Perceptron("velocity", shape.velocity, dropout)
        self.offset = OffsetPerceptron(shape.offset, dropout)
        self.pedal = Perceptron("pedal", shape.pedal, dropout)
        with torch.no_grad():
            self.velocity.out.weight.mul_(0.3)
            self.velocity.out.bias.zero_()
            self.velocity.out.bias[2 * MIXTURE : -MOMENTS] = torch.linspace(-0.4, 0.4, FREE)

    def velocity_nats(self, features: Tensor, mean: Tensor, matched: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """Return -log P of MIDI velocities, and the loss of their moments, float [n] each.

        Args:
            features: float [n, …].
            mean: float [n], mean of the known velocities, in the units of `touch_memory`.
            matched: float [n, 2], velocities at earlier occurrences of the same note sequence; NaN if unknown.
            velocity: float [n], MIDI velocities 1..127.

        """
        known = ~matched.isnan()
        filled = torch.where(known, matched, torch.zeros_like(matched))
        above = torch.where(known, filled - mean[:, None], torch.zeros_like(filled))
        differ = (above[:, :1] - above[:, 1:]) * known.all(dim=1, keepdim=True)
        out = self.velocity(torch.cat([features, above, known.float(), differ], dim=1))
        nats = mixture_nats(out[:, :-MOMENTS], mean, filled, known, features[:, NEAREST_INPUT], velocity)
        return nats, moments_loss(out[:, -MOMENTS:], mean, velocity)

    def offset_nats(self, features: Tensor, above: Tensor, offset: Tensor) -> Tensor:
        """Return -log P of the offsets, float [n]."""
        return F.cross_entropy(self.offset.logits(features, above), offset, reduction="none")

    def pedal_nats(self, features: Tensor, was_down: Tensor, pedal: Tensor) -> Tensor:
        """Return -log P of the pedal states, float [n]. States that cannot follow `was_down` have probability 0."""
        may = torch.from_numpy(MAY_FOLLOW)[was_down.long()]
        return F.cross_entropy(self.pedal(features).masked_fill(~may, OUT_OF_REACH), pedal, reduction="none")


def mixture_nats(
    out: Tensor, mean: Tensor, matched: Tensor, known: Tensor, nearest: Tensor, velocity: Tensor
) -> Tensor:
    """Return -log P under a mixture of discretised logistic distributions, float [n].

    The mixture is that of Salimans et al. 2017, "PixelCNN++". The slow twin of this function is
    `network.velocity_mixture.Mixture`.
    """
    weights = out[:, :MIXTURE]
    weights = torch.cat(
        [
            weights[:, :FREE],
            weights[:, FREE : FREE + 2].masked_fill(~known, OUT_OF_REACH),
            weights[:, FREE + 2 :],
        ],
        dim=1,
    )
    bias = torch.tensor([-1.0] * FREE + [TURN_SCALE] * 2 + [NEAREST_SCALE])
    narrow = torch.exp(-(out[:, MIXTURE : 2 * MIXTURE] + bias).clamp(SMALLEST_SCALE, LARGEST_SCALE))
    means = torch.cat([out[:, 2 * MIXTURE :] + mean[:, None], matched, (nearest + mean)[:, None]], dim=1)
    x, half = ((velocity - VELOCITY_CENTRE) / VELOCITY_UNIT)[:, None], 0.5 / VELOCITY_UNIT
    high = torch.sigmoid((x + half - means) * narrow).masked_fill(velocity[:, None] >= 127, 1.0)
    low = torch.sigmoid((x - half - means) * narrow).masked_fill(velocity[:, None] <= 1, 0.0)
    log_parts = torch.log((high - low).clamp(min=1e-9))
    return -torch.logsumexp(F.log_softmax(weights, dim=-1) + log_parts, dim=-1)


def moments_loss(out: Tensor, mean: Tensor, velocity: Tensor) -> Tensor:
    """Return -log P of the velocities under a normal distribution, up to a constant, float [n].

    Args:
        out: float [n, MOMENTS], the mean above `mean`, and the log variance.
        mean: float [n], mean of the known velocities, in units.
        velocity: float [n], MIDI velocities.

    """
    error = (velocity - VELOCITY_CENTRE) / VELOCITY_UNIT - mean - out[:, 0]
    log_variance = out[:, 1].clamp(LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE)
    return 0.5 * (log_variance + error * error * torch.exp(-log_variance))


@torch.no_grad()
def to_checkpoint(model: TouchModel, meta: dict[str, Any]) -> TouchCheckpoint:
    """Return the network as a checkpoint, with an input/output pair: random inputs and the outputs of each part."""
    model = model.eval()
    rng, pair = np.random.default_rng(0), {}
    for name, part in (("velocity", model.velocity), ("offset", model.offset), ("pedal", model.pedal)):
        inputs = rng.normal(size=(PAIR_ROWS, INPUTS[name])).astype(np.float32)
        pair[f"pair.{name}.in"] = inputs
        outputs = part(torch.from_numpy(inputs))
        if part is model.offset:
            outputs = outputs + model.offset.pairs[PAIR_ABOVE]
        pair[f"pair.{name}.out"] = outputs.numpy()
    weights = {name: value.detach().float().numpy().copy() for name, value in model.state_dict().items()}
    return TouchCheckpoint(model.shape, weights, meta, pair)


def from_checkpoint(checkpoint: TouchCheckpoint) -> TouchModel:
    """Return a torch network with the weights of a checkpoint."""
    model = TouchModel(checkpoint.shape)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in checkpoint.weights.items()})
    return model
