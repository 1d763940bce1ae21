"""The shape of a network: what the torch model, the numpy engine and a checkpoint must agree on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from livebach.music.metre import METRE_FEATURES
from livebach.music.texture import TEXTURE_LEVELS

TEXTURE_FEATURES = 2 * (TEXTURE_LEVELS + 1)
CONDITION_FEATURES = 2 * METRE_FEATURES + TEXTURE_FEATURES
"""Metre of frame t, metre of frame t+1, texture (density and polyphony, one-hot, the last bin for unknown)."""

_LATER = {"frame_channels", "frame_dilations", "frame_features"}


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """Sizes of the two-axis WaveNet. Channels are counts of features, dilations are in ticks or in keys."""

    steps_per_quarter: int = 4
    time_channels: int = 64
    time_dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 4, 16, 48, 1)
    mixing_layers: tuple[int, ...] = (1, 3, 5, 7, 9, 11)
    """Time layers that also look across all keys of their frame."""
    mixing_heads: int = 8
    context_channels: int = 64
    condition_channels: int = 48
    key_channels: int = 32
    key_dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    given_channels: int = 16
    given_dilations: tuple[int, ...] = (1, 3, 9, 27, 54)
    reach: int = 12
    """Keys to either side that the first layer sees of a frame."""
    frame_channels: int = 0
    """Of the stack that takes each frame as one vector of its keys; 0 where there is none."""
    frame_dilations: tuple[int, ...] = ()
    frame_features: int = 8
    """How many numbers that stack has for each key."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) != isinstance(field.default, tuple):
                kind = "a list" if isinstance(field.default, tuple) else "one number"
                raise ValueError(f"{field.name} must be {kind}, got {value!r}")
            numbers = value if isinstance(value, tuple) else (value,)
            low = 0 if field.name in ("mixing_layers", "reach", "frame_channels") else 1
            if not all(type(n) is int and low <= n <= 4096 for n in numbers):
                raise ValueError(f"{field.name} must be {low}..4096, got {value!r}")
        for name in ("time_dilations", "key_dilations"):
            if not getattr(self, name):
                raise ValueError(f"{name} must have at least one layer, got none")
        if bool(self.frame_channels) != bool(self.frame_dilations):
            raise ValueError(
                f"frame_channels and frame_dilations go together, got {self.frame_channels} and {self.frame_dilations}"
            )
        if self.time_channels % self.mixing_heads:
            raise ValueError(
                f"mixing_heads must divide time_channels, got {self.mixing_heads} and {self.time_channels}"
            )
        if any(layer >= len(self.time_dilations) for layer in self.mixing_layers):
            raise ValueError(f"mixing_layers must be below {len(self.time_dilations)}, got {self.mixing_layers}")

    @property
    def receptive_field(self) -> int:
        """How many frames, the newest included, a prediction depends on."""
        return 1 + max(sum(self.time_dilations), sum(self.frame_dilations))

    @property
    def context_width(self) -> int:
        """Features that a key has of the past."""
        return self.context_channels + (self.frame_features if self.frame_channels else 0)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NetworkSpec:
        """From plain JSON values; an unknown or missing name is a ValueError, but for what older files do not know."""
        known = {f.name for f in fields(cls)}
        if not isinstance(data, dict) or not known - _LATER <= set(data) <= known:
            odd = sorted(set(data) ^ known) if isinstance(data, dict) else data
            raise ValueError(f"architecture must name exactly {', '.join(sorted(known))}; differs in {odd}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)
