"""Run a torch network over whole pieces, for their likelihood and for the data of a calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from livebach.music.roll import KEYS, UNKNOWN
from livebach.music.score_reader import Piece
from livebach.training.batches import UNKNOWN_TEXTURE, Batch, before, condition_rows
from livebach.training.calibration import MOST_FRAMES, CalibrationData
from livebach.training.distributed import Ranks
from livebach.training.model import TwoAxisWaveNet


def on_device(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the arrays of a batch as tensors on a device, in the order of the model's `forward`."""
    arrays = (batch.frames, batch.condition, batch.coming, batch.given)
    tensors = [torch.from_numpy(np.array(a, order="C")).to(device, non_blocking=True) for a in arrays]
    return tensors[0], tensors[1], tensors[2], tensors[3]


def whole_piece(piece: Piece) -> Batch:
    """Return a batch of one whole piece, without given keys and with unknown texture.

    All reported likelihoods use such batches.
    """
    texture = np.full((len(piece.frames), 2), UNKNOWN_TEXTURE, np.int8)
    inputs = np.concatenate([np.zeros((1, KEYS), np.uint8), piece.frames[:-1]])
    condition = condition_rows(piece.places, before(piece.places), texture)
    nothing = np.full_like(inputs, UNKNOWN)
    return Batch(inputs[None], condition[None], piece.frames[None], nothing[None], np.zeros(1, bool))


@torch.no_grad()
def evidence(model: TwoAxisWaveNet, pieces: Sequence[Piece], device: torch.device, ranks: Ranks) -> CalibrationData:
    """Return the logits of whole pieces for a calibration.

    Each process takes its share of the pieces, and stops at its share of `MOST_FRAMES`.
    """
    model.eval()
    found = CalibrationData()
    for piece in pieces[ranks.rank :: ranks.size]:
        if found.frames >= MOST_FRAMES // ranks.size:
            break
        frames, condition, coming, given = on_device(whole_piece(piece), device)
        found.add(model.logits(model.context(frames, condition), coming, given), frames, coming)
    return found


@torch.no_grad()
def likelihood(
    model: TwoAxisWaveNet, pieces: Sequence[Piece], device: torch.device, ranks: Ranks | None = None
) -> float:
    """Return the negative log-likelihood in nats per frame, pooled over whole pieces; nan if there is no piece.

    No keys are given, and the texture is unknown.
    """
    model.eval()
    ranks = ranks or Ranks()
    found = torch.zeros(2, dtype=torch.float64, device=device)  # nats, frames
    for piece in pieces[ranks.rank :: ranks.size]:
        found[0] += model(*on_device(whole_piece(piece), device)).double().sum()
        found[1] += len(piece.frames)
    nats, frames = ranks.total(found).tolist()
    return nats / frames if frames else float("nan")
