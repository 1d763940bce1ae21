"""Slow twins of the step engine, in torch, with the same weights: the cost of a frame without the engine's ideas.

`QueueTwin` generates like public fast WaveNets: a queue for each layer, one step at a time; over time once per frame,
then over the keys of the coming frame one after another, each drawn before the next. `RecomputeTwin` keeps no queues:
it computes the whole receptive field for each frame, with 88 passes over the keys.

Both call the layers of the training network (`livebach.training.model`) and share its weights.
"""

from __future__ import annotations

from collections import deque
from math import exp

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from livebach.music.roll import HOLD, KEYS, OFF, ONSET, UNKNOWN, Frame
from livebach.music.texture import Texture
from livebach.network.checkpoint import Checkpoint
from livebach.network.engine import Place, condition_row
from livebach.network.sampling import SamplingParams
from livebach.training.model import GatedLayer, TwoAxisWaveNet, from_checkpoint

Queues = list[deque[Tensor]]


def queues(dilations: tuple[int, ...], shape: tuple[int, ...]) -> Queues:
    """Return one queue of zeros per layer, as long as the layer's dilation."""
    return [deque([torch.zeros(shape)] * d, maxlen=d) for d in dilations]


def layer_step(layer: GatedLayer, queue: deque[Tensor], x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute one step of a gated layer: take the past from the queue, and put the present in."""
    gates = layer.past(queue[0]) + layer.present(x)
    queue.append(x)
    if layer.condition is not None and condition is not None:
        gates = gates + layer.condition(condition)
    if layer.mixing is not None:
        gates = gates + layer.mixing(x[None, None])[0, 0]
    signal, gate = gates.chunk(2, dim=-1)
    hidden = torch.tanh(signal) * torch.sigmoid(gate)
    residual, skip = layer.out(hidden).split([layer.channels, layer.out.out_features - layer.channels], dim=-1)
    return x + residual, skip


def run_step(layers: nn.ModuleList, past: Queues, x: Tensor, condition: Tensor | None) -> Tensor:
    """Compute one step of a stack, and return the rectified sum of the skips."""
    total: Tensor | float = 0.0
    for layer, queue in zip(layers, past, strict=True):
        assert isinstance(layer, GatedLayer)
        x, skip = layer_step(layer, queue, x, condition)
        total = total + skip
    assert isinstance(total, Tensor)
    return F.relu(total)


def pick(logits: NDArray[np.float32], was_off: bool, uniform: float, params: SamplingParams) -> int:
    """Draw one key's state from its three logits, with temperature and min-p."""
    off, onset, hold = (float(x) / params.temperature for x in logits)
    top = max(off, onset) if was_off else max(off, onset, hold)
    odds = [exp(off - top), exp(onset - top), 0.0 if was_off else exp(hold - top)]
    odds = [x if x >= params.min_p else 0.0 for x in odds]
    mark = uniform * sum(odds)
    if mark < odds[0]:
        return OFF
    return ONSET if mark < odds[0] + odds[1] or not odds[2] else HOLD


class QueueTwin:
    """A twin with a queue per layer, one state, and the methods of `engine.Engine` that `reference.Player` uses."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.model: TwoAxisWaveNet = from_checkpoint(checkpoint).eval()
        self.spec = checkpoint.spec
        self.below = self.model.from_below.weight.detach().T.contiguous()  # [3, K]

    def new_state(self) -> QueueTwin:
        """Reset the state to one empty frame."""
        self.time = queues(self.spec.time_dilations, (KEYS, self.spec.time_channels))
        self.frames = queues(self.spec.frame_dilations, (self.spec.frame_channels,))
        self.push(self, np.zeros(KEYS, np.uint8), (15, 4, 16), (0, 4, 16), Texture())
        return self

    @torch.inference_mode()
    def push(self, _state: QueueTwin, frame: Frame, place: Place, coming: Place, texture: Texture) -> None:
        """Remember a frame."""
        m, reach = self.model, self.spec.reach
        self.frame = frame.copy()
        states = torch.from_numpy(self.frame)
        present = torch.stack([states == 1, states == 2, states <= 2], dim=-1).float()
        windows = F.pad(present, (0, 0, reach, reach)).unfold(0, 2 * reach + 1, 1)
        x = m.embed(windows.reshape(KEYS, -1)) + m.place
        shared = torch.tanh(m.condition(torch.from_numpy(condition_row(place, coming, texture))))
        context = run_step(m.time_layers, self.time, x, shared)
        if m.frame is not None:
            vector = torch.cat([states == 1, states == 2]).float()
            said = m.frame.to_keys(run_step(m.frame.layers, self.frames, m.frame.embed(vector), shared))
            context = torch.cat([context, said.reshape(KEYS, -1)], dim=-1)
        self.context = m.from_context(context)

    @torch.inference_mode()
    def draw(self, _state: QueueTwin, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        """Sample the coming frame, one key after another."""
        m = self.model
        base = self.context + m.from_given(m.given(torch.from_numpy(given)[None, None]))[0, 0]
        keys = queues(self.spec.key_dilations, (self.spec.key_channels,))
        frame = np.zeros(KEYS, np.uint8)
        below = torch.zeros(self.spec.key_channels)
        for key in range(KEYS):
            frame[key] = self._key(base[key] + below, keys, key, given, uniforms, params)
            below = self.below[frame[key]]
        return frame

    def _key(
        self, y: Tensor, keys: Queues, key: int, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams
    ) -> int:
        said = run_step(self.model.key_layers, keys, y, None)
        if given[key] != UNKNOWN:
            return int(given[key])
        logits = self.model.to_logits(said).numpy()
        return pick(logits, bool(self.frame[key] == OFF), float(uniforms[key]), params)


class RecomputeTwin:
    """A twin without queues, which recomputes everything that a prediction depends on."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.model: TwoAxisWaveNet = from_checkpoint(checkpoint).eval()
        self.spec = checkpoint.spec

    def new_state(self) -> RecomputeTwin:
        """Reset the state to one empty frame."""
        self.frames: deque[Frame] = deque(maxlen=self.spec.receptive_field)
        self.rows: deque[NDArray[np.float32]] = deque(maxlen=self.spec.receptive_field)
        self.push(self, np.zeros(KEYS, np.uint8), (15, 4, 16), (0, 4, 16), Texture())
        return self

    def push(self, _state: RecomputeTwin, frame: Frame, place: Place, coming: Place, texture: Texture) -> None:
        """Remember a frame; `draw` does the work."""
        self.frames.append(frame.copy())
        self.rows.append(condition_row(place, coming, texture))

    @torch.inference_mode()
    def draw(self, _state: RecomputeTwin, given: Frame, uniforms: NDArray[np.float64], params: SamplingParams) -> Frame:
        """Sample the coming frame: compute the whole past, then 88 passes over all keys."""
        frames = torch.from_numpy(np.stack(self.frames))[None]
        context = self.model.context(frames, torch.from_numpy(np.stack(self.rows))[None])[:, -1:]
        known = torch.from_numpy(given)[None, None]
        frame = np.where(given == UNKNOWN, OFF, given).astype(np.uint8)
        for key in range(KEYS):
            logits = self.model.logits(context, torch.from_numpy(frame)[None, None], known)[0, 0, key].numpy()
            if given[key] == UNKNOWN:
                frame[key] = pick(logits, bool(self.frames[-1][key] == OFF), float(uniforms[key]), params)
        return frame
