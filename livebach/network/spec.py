"""The shape of a network, shared by the torch model, the numpy engine and the checkpoint."""

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
    """Sizes of the two-axis WaveNet. Channels are numbers of features; dilations are in ticks or in keys.

    Raises:
        ValueError: A size is out of range, or two sizes do not fit together. The message names the field.

    """

    steps_per_quarter: int = 4
    time_channels: int = 64
    time_dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 4, 16, 48, 1)
    mixing_layers: tuple[int, ...] = (1, 3, 5, 7, 9, 11)
    """Indices of time layers that also mix all keys of a frame."""
    mixing_heads: int = 8
    context_channels: int = 64
    condition_channels: int = 48
    key_channels: int = 32
    key_dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    given_channels: int = 16
    given_dilations: tuple[int, ...] = (1, 3, 9, 27, 54)
    reach: int = 12
    """Keys on either side that the first layer sees."""
    frame_channels: int = 0
    """Channels of the stack that takes a frame as one vector; 0 without this stack."""
    frame_dilations: tuple[int, ...] = ()
    frame_features: int = 8
    """Features per key that this stack puts out."""

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
        """The number of frames that a prediction depends on, the newest included."""
        return 1 + max(sum(self.time_dilations), sum(self.frame_dilations))

    @property
    def context_width(self) -> int:
        """The number of features of the past per key."""
        return self.context_channels + (self.frame_features if self.frame_channels else 0)

    def to_dict(self) -> dict[str, Any]:
        """Return the sizes as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NetworkSpec:
        """Return the shape from JSON values. Names in `_LATER` may be missing, as in older files.

        Raises:
            ValueError: A name is unknown or missing, or a size is out of range.

        """
        known = {f.name for f in fields(cls)}
        if not isinstance(data, dict) or not known - _LATER <= set(data) <= known:
            odd = sorted(set(data) ^ known) if isinstance(data, dict) else data
            raise ValueError(f"architecture must name exactly {', '.join(sorted(known))}; differs in {odd}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)
