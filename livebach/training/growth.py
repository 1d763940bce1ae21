"""Grow a network: make a wider or deeper network with exactly the predictions of a smaller network.

The method follows Chen, Goodfellow and Shlens 2016, "Net2Net: Accelerating Learning via Knowledge Transfer", with one
difference: new channels are not copies of old channels. Weights into a new channel are random. Weights out of a new
channel are zero. The output weights of a new layer are zero. So the larger network keeps all that the smaller network
has learned.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from livebach.network.checkpoint import Checkpoint
from livebach.network.spec import NetworkSpec
from livebach.training.model import TwoAxisWaveNet, from_checkpoint

_WIDTHS = ("time_channels", "context_channels", "condition_channels", "key_channels", "given_channels")
_STACKS = ("time_dilations", "key_dilations")
_LEFT_ALONE = ("steps_per_quarter", "mixing_heads", "reach", "given_dilations")
_FRAME = ("frame_channels", "frame_dilations", "frame_features")
"""Growth may add the stack that reads frames as vectors, but cannot change an existing stack."""

Places = Sequence[int]


def grown(checkpoint: Checkpoint, spec: NetworkSpec) -> TwoAxisWaveNet:
    """Return a network of shape `spec` with the same logits as the network of the checkpoint.

    Raises:
        ValueError: If the network of the checkpoint cannot grow into `spec`.

    """
    old = from_checkpoint(checkpoint)
    if spec == checkpoint.spec:
        return old
    check_larger(checkpoint.spec, spec)
    new = TwoAxisWaveNet(spec)
    taken, fresh = old.state_dict(), new.state_dict()
    places = _widths(checkpoint.spec, spec)
    for name, value in fresh.items():
        if name in taken:
            rows, columns = _axes(name, places)
            fresh[name] = _embedded(taken[name], value, rows, columns)
        elif name.startswith("frame."):
            continue  # the weights that read this stack, in `from_context`, are zero
        elif ".out." in name or ".mixing.to_gates" in name:  # output of a new layer or of a new key mixing
            fresh[name] = torch.zeros_like(value)
    new.load_state_dict(fresh)
    return new


def check_larger(old: NetworkSpec, new: NetworkSpec) -> None:
    """Check that a network of shape `old` can grow into shape `new`.

    Raises:
        ValueError: If the network cannot grow. The message names the field.

    """
    for name in _LEFT_ALONE + (_FRAME if old.frame_channels else ()):
        if getattr(old, name) != getattr(new, name):
            raise ValueError(f"{name} cannot change from {getattr(old, name)} to {getattr(new, name)} in growing")
    for name in _WIDTHS:
        if getattr(new, name) < getattr(old, name):
            raise ValueError(f"{name} cannot shrink from {getattr(old, name)} to {getattr(new, name)}")
    for name in _STACKS:
        before, after = getattr(old, name), getattr(new, name)
        if after[: len(before)] != before:
            raise ValueError(f"{name} must begin with {before}, got {after}")
    if not set(old.mixing_layers) <= set(new.mixing_layers):
        raise ValueError(f"mixing_layers must keep {old.mixing_layers}, got {new.mixing_layers}")


def _widths(old: NetworkSpec, new: NetworkSpec) -> dict[str, Places]:
    """Return the indices of the old channels among the new channels, for each kind of channel."""
    heads, before, after = old.mixing_heads, old.time_channels, new.time_channels
    time = [h * (after // heads) + i for h in range(heads) for i in range(before // heads)]  # a head keeps its channels
    skip, keys = old.context_channels, old.key_channels
    return {
        "time": time,
        "time_gates": [*time, *(after + i for i in time)],
        "time_out": [*time, *range(after, after + skip)],
        "context": [*range(skip), *range(new.context_channels, new.context_channels + old.context_width - skip)],
        "condition": range(old.condition_channels),
        "key": range(keys),
        "key_gates": [*range(keys), *range(new.key_channels, new.key_channels + keys)],
        "key_out": [*range(keys), *range(new.key_channels, new.key_channels + keys)],
        "given": range(old.given_channels),
    }


_AXES = {  # for each parameter that grows: the kind of channel of its rows and of its columns
    "embed.weight": ("time", None),
    "embed.bias": ("time", None),
    "place": (None, "time"),
    "condition.weight": ("condition", None),
    "condition.bias": ("condition", None),
    "given.embed.weight": ("given", None),
    "given.embed.bias": ("given", None),
    "from_context.weight": ("key", "context"),
    "from_context.bias": ("key", None),
    "from_given.weight": ("key", "given"),
    "from_below.weight": ("key", None),
    "to_logits.weight": (None, "key"),
}


def _axes(name: str, places: dict[str, Places]) -> tuple[Places | None, Places | None]:
    rows, columns = _AXES[name] if name in _AXES else _layer_axes(name)
    return places[rows] if rows else None, places[columns] if columns else None


def _layer_axes(name: str) -> tuple[str | None, str | None]:
    if name.startswith("given.layers"):
        return "given", "given" if name.endswith("weight") else None
    if name.startswith("frame."):
        return None, "condition" if name.endswith("condition.weight") else None
    axis = {"time_layers": "time", "key_layers": "key"}.get(name.split(".", maxsplit=1)[0])
    if axis is None or name.endswith("by_interval"):
        return None, None
    part = name.split(".", 2)[2]
    reads = {"condition.weight": "condition"}.get(part, axis if part.endswith("weight") else None)
    return f"{axis}_out" if part.startswith("out.") else f"{axis}_gates", reads


def _embedded(old: Tensor, fresh: Tensor, rows: Places | None, columns: Places | None) -> Tensor:
    """Return a copy of `fresh` with the values of `old` at the given rows and columns.

    Old rows have zero weights for new columns. New rows keep the values of `fresh` in the old columns.
    """
    result = fresh.clone()
    into = torch.arange(old.shape[0]) if rows is None else torch.as_tensor(list(rows))
    if columns is None:
        result[into] = old
        return result
    seen = torch.as_tensor(list(columns))
    unread = torch.ones(fresh.shape[1], dtype=torch.bool)
    unread[seen] = False
    result[:, unread] = 0
    result[into[:, None], seen[None, :]] = old
    return result
