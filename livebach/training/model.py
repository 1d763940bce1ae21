"""The two-axis WaveNet in torch: the parallel forward pass for training.

One block, `GatedLayer`, serves both axes: first time, with weights shared by all keys, then the keys of the coming
frame. The layer is that of van den Oord et al. 2016, "WaveNet: A Generative Model for Raw Audio". The factorisation of
a frame over its keys follows Boulanger-Lewandowski et al. 2012, "Modeling Temporal Dependencies in High-Dimensional
Sequences" (RNN-NADE). The module reads no file and does not know the training loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from livebach.music.roll import HOLD, KEYS, OFF, STATES, UNKNOWN
from livebach.network.checkpoint import Checkpoint
from livebach.network.quotes import NOTHING, Quotes
from livebach.network.spec import CONDITION_FEATURES, NetworkSpec


def shift(x: Tensor, by: int, dim: int) -> Tensor:
    """Return `x` delayed by `by` steps along `dim`. Zeros fill the first steps."""
    if by >= x.shape[dim]:
        return torch.zeros_like(x)
    pad = [0, 0] * (x.ndim - 1 - dim) + [by, 0]
    return F.pad(x.narrow(dim, 0, x.shape[dim] - by), pad)


def drop(x: Tensor, rate: float) -> Tensor:
    """Apply dropout to [B, T, 88, C] with one mask for all keys of a frame.

    A shared mask regularises like separate masks, and needs 88 times fewer random numbers.
    """
    if rate <= 0:
        return x
    keep = torch.rand(x.shape[0], x.shape[1], 1, x.shape[3], device=x.device) >= rate
    return x * (keep.to(x.dtype) / (1 - rate))


def forget(frames: Tensor, share: float) -> Tensor:
    """Return frames uint8 [B, T, 88] with a random share of the pressed keys set to OFF, drawn per key and frame."""
    return frames * (torch.rand(frames.shape, device=frames.device) >= share) if share > 0 else frames


class KeyMixing(nn.Module):
    """Mix the features of all 88 keys, with one learned weight per head and interval."""

    def __init__(self, channels: int, heads: int, keys: int) -> None:
        super().__init__()
        self.heads = heads
        self.by_interval = nn.Parameter(torch.randn(heads, 2 * keys - 1) * 0.1 / keys**0.5)
        index = torch.arange(keys)[:, None] - torch.arange(keys)[None, :] + keys - 1
        self.index: Tensor
        self.register_buffer("index", index, persistent=False)
        self.to_gates = nn.Linear(channels, 2 * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed features as gate inputs: [B, T, 88, C] -> [B, T, 88, 2C]."""
        b, t, k, c = x.shape
        matrix = self.by_interval[:, self.index]  # [H, 88, 88]
        heads = x.reshape(b * t, k, self.heads, c // self.heads).permute(2, 1, 0, 3).reshape(self.heads, k, -1)
        mixed = torch.bmm(matrix.to(heads.dtype), heads).reshape(self.heads, k, b * t, -1)
        gates: Tensor = self.to_gates(mixed.permute(2, 1, 0, 3).reshape(b, t, k, c))
        return gates


class GatedLayer(nn.Module):
    """A gated residual layer with a dilated causal convolution of two taps along one axis of [B, T, 88, C]."""

    def __init__(
        self, channels: int, skip: int, dilation: int, dim: int, condition: int = 0, heads: int = 0, keys: int = KEYS
    ) -> None:
        super().__init__()
        self.dilation, self.dim, self.channels = dilation, dim, channels
        self.past = nn.Linear(channels, 2 * channels, bias=False)
        self.present = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels + skip)
        self.condition = nn.Linear(condition, 2 * channels, bias=False) if condition else None
        self.mixing = KeyMixing(channels, heads, keys) if heads else None

    def forward(self, x: Tensor, condition: Tensor | None, dropout: float) -> tuple[Tensor, Tensor]:
        """Return the residual output [B, T, 88, C] and the skip output [B, T, 88, S].

        Args:
            x: float [B, T, 88, C].
            condition: float [B, T, D], or None.
            dropout: Dropout rate of the hidden features.

        """
        gates = self.past(shift(x, self.dilation, self.dim)) + self.present(x)
        if self.condition is not None and condition is not None:
            gates = gates + self.condition(condition).unsqueeze(2)
        if self.mixing is not None:
            gates = gates + self.mixing(x)
        signal, gate = gates.chunk(2, dim=-1)
        hidden = drop(torch.tanh(signal) * torch.sigmoid(gate), dropout)
        residual, skip = self.out(hidden).split([self.channels, self.out.out_features - self.channels], dim=-1)
        return x + residual, skip


def summed_skips(layers: nn.ModuleList, x: Tensor, condition: Tensor | None, dropout: float) -> Tensor:
    """Return the rectified sum of the skip outputs of a stack of gated layers, [B, T, 88, S]."""
    total: Tensor | float = 0.0
    for layer in layers:
        x, skip = layer(x, condition, dropout)
        total = total + skip
    assert isinstance(total, Tensor)
    return F.relu(total)


class GivenStack(nn.Module):
    """Features of the given keys of the coming frame, non-causal over the keys."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        c = spec.given_channels
        self.dilations = spec.given_dilations
        self.embed = nn.Linear(STATES, c)
        self.layers = nn.ModuleList(nn.Conv1d(c, c, 3, padding=d, dilation=d) for d in spec.given_dilations)

    def forward(self, given: Tensor) -> Tensor:
        """Return features of the given states: uint8 [B, T, 88], UNKNOWN where not given -> [B, T, 88, Cg]."""
        b, t, k = given.shape
        x: Tensor = self.embed(one_hot(given)).reshape(b * t, k, -1).transpose(1, 2)
        for layer in self.layers:
            x = x + F.relu(layer(x))
        return x.transpose(1, 2).reshape(b, t, k, -1)


def one_hot(states: Tensor) -> Tensor:
    """Return the one-hot encoding of states: uint8 [...] -> float [..., 3]. UNKNOWN becomes zeros."""
    return torch.stack([states == s for s in range(STATES)], dim=-1).float()


class FrameStack(nn.Module):
    """A WaveNet over time that reads each frame as one vector of its keys.

    This stack can tell absolute pitches apart. The other stack cannot, because all keys share its weights.
    """

    def __init__(self, spec: NetworkSpec, keys: int) -> None:
        super().__init__()
        c = spec.frame_channels
        self.embed = nn.Linear(2 * keys, c)
        self.layers = nn.ModuleList(GatedLayer(c, c, d, 1, spec.condition_channels) for d in spec.frame_dilations)
        self.to_keys = nn.Linear(c, keys * spec.frame_features)

    def forward(self, present: Tensor, condition: Tensor, dropout: float) -> Tensor:
        """Return the features of each key, [B, T, 88 * features].

        Args:
            present: float [B, T, 2 * 88], struck and held keys.
            condition: float [B, T, D].
            dropout: Dropout rate.

        """
        context = summed_skips(self.layers, self.embed(present).unsqueeze(2), condition, dropout)  # [B, T, 1, C]
        features: Tensor = self.to_keys(drop(context, dropout).squeeze(2))
        return features


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise rates against overfitting, 0..1. Outside training there is no noise."""

    dropout: float = 0.0
    frame_dropout: float = 0.0
    """Dropout of the stack that reads frames as vectors."""
    input_dropout: float = 0.0
    """Share of the past's pressed keys that are hidden from the network, drawn separately for each frame."""


QUIET = Noise()


class TwoAxisWaveNet(nn.Module):
    """Predict P(coming frame | past frames, metre, texture, given keys), key by key from the lowest key.

    The keyboard has 88 keys. A benchmark with fewer keys can set `keys` to save time.
    """

    def __init__(self, spec: NetworkSpec, keys: int = KEYS) -> None:
        super().__init__()
        self.spec, self.keys = spec, keys
        c, k = spec.time_channels, spec.key_channels
        self.embed = nn.Linear((2 * spec.reach + 1) * STATES, c)
        self.register_parameter("place", nn.Parameter(torch.randn(keys, c) * 0.1))
        self.condition = nn.Linear(CONDITION_FEATURES, spec.condition_channels)
        self.time_layers = nn.ModuleList(
            GatedLayer(
                c,
                spec.context_channels,
                d,
                1,
                spec.condition_channels,
                spec.mixing_heads if i in spec.mixing_layers else 0,
                keys,
            )
            for i, d in enumerate(spec.time_dilations)
        )
        self.given = GivenStack(spec)
        self.frame = FrameStack(spec, keys) if spec.frame_channels else None
        self.from_context = nn.Linear(spec.context_width, k)
        self.from_given = nn.Linear(spec.given_channels, k, bias=False)
        self.from_below = nn.Linear(STATES, k, bias=False)
        self.key_layers = nn.ModuleList(GatedLayer(k, k, d, 2) for d in spec.key_dilations)
        self.to_logits = nn.Linear(k, STATES)

    def context(self, frames: Tensor, condition: Tensor, noise: Noise = QUIET) -> Tensor:
        """Return the features of the past, float [B, T, 88, S]. Row t serves the prediction of frame t + 1.

        Args:
            frames: uint8 [B, T, 88].
            condition: float [B, T, F], metre and texture.
            noise: Noise rates.

        """
        b, t, _ = frames.shape
        reach = self.spec.reach
        visible = forget(frames, noise.input_dropout)
        present = torch.stack([visible == 1, visible == 2, visible <= 2], dim=-1).float()  # struck, held, key exists
        windows = F.pad(present, (0, 0, reach, reach)).unfold(2, 2 * reach + 1, 1)  # [B, T, 88, 3, 25]
        x = self.embed(windows.reshape(b, t, self.keys, -1)) + self.place
        shared = torch.tanh(self.condition(condition))
        context = drop(summed_skips(self.time_layers, x, shared, noise.dropout), noise.dropout)
        if self.frame is None:
            return context
        struck_and_held = present[..., :2].transpose(2, 3).flatten(2)
        features = self.frame(struck_and_held, shared, noise.frame_dropout).reshape(b, t, self.keys, -1)
        return torch.cat([context, features], dim=-1)

    def logits(self, context: Tensor, coming: Tensor, given: Tensor, noise: Noise = QUIET) -> Tensor:
        """Return teacher-forced logits of the coming frames, float [B, T, 88, 3].

        Args:
            context: float [B, T, 88, S], the features of the past.
            coming: uint8 [B, T, 88]. The logits of a key depend on the lower keys of `coming` only.
            given: uint8 [B, T, 88], states of the given keys; UNKNOWN elsewhere.
            noise: Noise rates.

        """
        y = self.from_context(context) + self.from_given(self.given(given))
        y = y + self.from_below(shift(one_hot(coming), 1, 2))
        logits: Tensor = self.to_logits(summed_skips(self.key_layers, y, None, noise.dropout))
        return logits

    def forward(
        self,
        frames: Tensor,
        condition: Tensor,
        coming: Tensor,
        given: Tensor,
        noise: Noise = QUIET,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of each key in nats, float [B, T, 88]; 0 for given keys.

        Args:
            frames: uint8 [B, T, 88], the frames before the coming frames.
            condition: float [B, T, F], metre and texture.
            coming: uint8 [B, T, 88], the frames to predict.
            given: uint8 [B, T, 88], states of the given keys; UNKNOWN elsewhere.
            noise: Noise rates in training.
            wanted: float [B, T, 88, 3], target probabilities. Without them the states of `coming` are the target.

        """
        noise = noise if self.training else QUIET
        logits = self.logits(self.context(frames, condition, noise), coming, given, noise)
        if wanted is None:
            return nats(logits, frames, coming, given)
        return -(wanted * log_odds(logits, frames)).sum(dim=-1) * (given == UNKNOWN)


def log_odds(logits: Tensor, frames: Tensor) -> Tensor:
    """Return log probabilities [B, T, 88, 3]. HOLD after OFF is impossible and gets probability 0."""
    impossible = torch.zeros_like(logits, dtype=torch.bool)
    impossible[..., HOLD] = frames == OFF
    return F.log_softmax(logits.float().masked_fill(impossible, -1e9), dim=-1)


def nats(logits: Tensor, frames: Tensor, coming: Tensor, given: Tensor) -> Tensor:
    """Return -log P of `coming` for each key, float [B, T, 88]; 0 for given keys."""
    picked = log_odds(logits, frames).gather(-1, coming.long().unsqueeze(-1)).squeeze(-1)
    return -picked * (given == UNKNOWN)


PAIR_FRAMES = 24
"""Frames of the input/output pair in a checkpoint. The pair proves that an engine loads the weights correctly."""


@torch.no_grad()
def to_checkpoint(model: TwoAxisWaveNet, meta: dict[str, Any], quotes: Quotes = NOTHING) -> Checkpoint:
    """Return the network as a checkpoint, with an input/output pair: random frames, and their logits.

    Args:
        model: The network. This function switches the network to evaluation mode.
        meta: Metadata of the checkpoint, plain JSON values.
        quotes: Hashes of the training music.

    """
    model = model.eval()
    rng = np.random.default_rng(0)
    states = rng.choice(4, (PAIR_FRAMES + 1, KEYS), p=[0.85, 0.06, 0.06, 0.03]).astype(np.uint8)
    frames, coming = np.minimum(states[:-1], 2), np.minimum(states[1:], 2)
    given = np.where(rng.random((PAIR_FRAMES, 1)) < 0.5, UNKNOWN, states[1:]).astype(np.uint8)
    condition = (rng.random((PAIR_FRAMES, CONDITION_FEATURES)) < 0.05).astype(np.float32)
    where = next(model.parameters()).device
    on = [torch.from_numpy(a)[None].to(where) for a in (frames, condition, coming, given)]
    logits = model.logits(model.context(on[0], on[1]), on[2], on[3])[0].float().cpu().numpy()
    arrays = {"frames": frames, "condition": condition, "coming": coming, "given": given, "logits": logits}
    weights = {k: v.detach().float().cpu().numpy() for k, v in model.state_dict().items()}
    return Checkpoint(model.spec, weights, meta, {f"pair.{k}": v for k, v in arrays.items()}, quotes)


def from_checkpoint(checkpoint: Checkpoint) -> TwoAxisWaveNet:
    """Return a torch network with the weights of a checkpoint."""
    model = TwoAxisWaveNet(checkpoint.spec)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in checkpoint.weights.items()})
    return model
