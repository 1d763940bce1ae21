"""The shape of the touch network: what goes into each of its perceptrons, and what comes out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from livebach.music.touch import OFFSETS, PEDALS
from livebach.network.touch_memory import NOTE_FEATURES, OFFSET_FEATURES, PEDAL_FEATURES
from livebach.network.velocity_memory import VELOCITY_FEATURES

FREE = 5
"""Parts of the velocity's mixture that are anywhere."""
MIXTURE = FREE + 3
"""With those at the velocities of the same turn (a short and a long one) and of the nearest note."""
TURN_SCALE, NEAREST_SCALE = -4.0, -3.0
"""Log scales from which those begin."""
VELOCITY_INPUTS = NOTE_FEATURES + OFFSETS + VELOCITY_FEATURES + 6
OFFSET_INPUTS = OFFSET_FEATURES + OFFSETS + 1
INPUTS = {"velocity": VELOCITY_INPUTS, "offset": OFFSET_INPUTS, "pedal": PEDAL_FEATURES}
OUTPUTS = {"velocity": 2 * MIXTURE + FREE, "offset": OFFSETS, "pedal": PEDALS}
SCALED = {"velocity": VELOCITY_INPUTS - 6, "offset": OFFSET_FEATURES, "pedal": PEDAL_FEATURES}
"""How many of the inputs are brought to one scale."""
MOST_HIDDEN = 512


@dataclass(frozen=True, slots=True)
class TouchShape:
    """Channels of the hidden layers of each perceptron; the last layer has half as many."""

    velocity: int = 128
    offset: int = 64
    pedal: int = 64

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, int) or not 2 <= value <= MOST_HIDDEN or value % 2:
                raise ValueError(f"{item.name} must be an even number in 2..{MOST_HIDDEN}, got {value!r}")

    def to_dict(self) -> dict[str, int]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> TouchShape:
        """The inverse. Raises ValueError."""
        if not isinstance(values, dict) or set(values) != {item.name for item in fields(cls)}:
            raise ValueError(f"the shape must be {', '.join(item.name for item in fields(cls))}")
        return cls(**values)

    def weights(self) -> dict[str, tuple[int, ...]]:
        """Every weight, by its name in the torch model."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, hidden in self.to_dict().items():
            layers = (
                ("first", INPUTS[name], hidden),
                ("second", hidden, hidden),
                ("third", hidden, hidden // 2),
                ("out", hidden + hidden // 2, OUTPUTS[name]),
            )
            for part, inputs, outputs in layers:
                shapes[f"{name}.{part}.weight"] = outputs, inputs
                shapes[f"{name}.{part}.bias"] = (outputs,)
            shapes[f"{name}.mean"] = shapes[f"{name}.scale"] = (SCALED[name],)
        return shapes
