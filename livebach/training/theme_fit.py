"""Fit the weights of the theme memory to validation pieces.

On its training pieces the network is overconfident, so a theme memory could not improve the prediction there. The
fit therefore uses pieces that the network was not trained on. `cross_validated` measures the weights on pieces outside
the fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from livebach.music.roll import KEYS, OFF, STATES, UNKNOWN
from livebach.music.score_reader import Piece
from livebach.music.texture import Texture
from livebach.network.checkpoint import Checkpoint
from livebach.network.engine import Engine
from livebach.network.sampling import masked
from livebach.network.theme_evidence import FEATURES, ThemeWeights, evidence
from livebach.network.themes import ThemeMemory

UNITS = 16
"""Units of the hidden layer."""
EPOCHS = 16
BATCH = 4096
"""Keys per update."""
RATE = 1e-2
WEIGHT_DECAY = 0.03
PLAIN = 1e-3
"""Nats. Silent keys with a lower cost are left out of the fit, unless the theme memory has evidence for them."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Keys of the frames of one piece: the data of a fit.

    Attributes:
        logits: float [n, 3], log probabilities of the network, which adapts during the piece.
        features: float [n, FEATURES], evidence of the theme memory.
        states: int [n], the actual states.
        left_out: Cost of the keys left out, in nats.
        frames: Number of frames.

    """

    logits: Tensor
    features: Tensor
    states: Tensor
    left_out: float
    frames: int


def examples(checkpoint: Checkpoint, piece: Piece) -> Examples:
    """Feed a piece to the network and to a theme memory, and collect predictions and evidence for each key."""
    engine, memory = Engine(replace(checkpoint, themes=None)), ThemeMemory.blank()
    places = [(int(p), int(beat), int(bar)) for p, beat, bar in piece.places]
    rows: list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]] = []
    left_out, nothing, state = 0.0, np.full(KEYS, UNKNOWN, np.uint8), engine.new_state(places[0])
    for t, frame in enumerate(piece.frames):
        if t:
            last = piece.frames[t - 1]
            engine.push(state, last, places[t - 1], places[t], Texture(), adapt=True)
            memory.observe(last, places[t - 1], places[t], True)
        scores = masked(engine.logits(state, frame, nothing), state.frame)
        log_odds = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        found = evidence(memory).T
        kept = (log_odds[:, OFF] < -PLAIN) | (frame != OFF) | (found[:, :6].max(axis=1) > 0)
        left_out -= float(log_odds[~kept, OFF].sum())
        rows.append((np.maximum(log_odds[kept], -1e4), found[kept], frame[kept]))
    logits, features, states = (torch.from_numpy(np.concatenate(part)) for part in zip(*rows, strict=True))
    return Examples(logits, features, states.long(), left_out, len(piece.frames))


def fit(found: Sequence[Examples], seed: int = 0) -> ThemeWeights:
    """Fit the weights to the examples of some pieces, with AdamW and cross-entropy."""
    logits, features, states = (
        torch.cat([getattr(one, name) for one in found]) for name in ("logits", "features", "states")
    )
    torch.manual_seed(seed)
    first, last = nn.Linear(len(FEATURES), UNITS), nn.Linear(UNITS, STATES)
    net = nn.Sequential(first, nn.ReLU(), last)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    batches = max(1, len(states) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * batches)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(states)).chunk(batches):
            loss = nn.functional.cross_entropy(logits[rows] + net(features[rows]), states[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    hidden, out = (
        torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach().numpy().astype(np.float32)
        for layer in (first, last)
    )
    return ThemeWeights(hidden, out)


def nats(found: Examples, weights: ThemeWeights | None) -> float:
    """Return the cost of a piece in nats. Without weights, return the cost for the network alone."""
    shift = 0 if weights is None else torch.from_numpy(weights.shift(found.features.numpy().T).T.copy())
    cost = nn.functional.cross_entropy(found.logits + shift, found.states, reduction="sum")
    return float(cost) + found.left_out


def cross_validated(found: Sequence[Examples], folds: int = 5) -> list[float]:
    """Return the cost of each piece in nats, with weights fitted to the pieces of the other folds."""
    costs = [0.0] * len(found)
    for fold in range(folds):
        inside = [i for i in range(len(found)) if i % folds == fold]
        weights = fit([one for i, one in enumerate(found) if i not in inside])
        for i in inside:
            costs[i] = nats(found[i], weights)
    return costs
