"""The shape of the touch network: inputs, hidden channels and outputs of its three perceptrons."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from livebach.music.touch import OFFSETS, PEDALS
from livebach.network.touch_memory import NOTE_FEATURES, OFFSET_FEATURES, PEDAL_FEATURES
from livebach.network.velocity_kernels import NEAREST_VELOCITY, VELOCITY_FEATURES

FREE = 5
"""Components of the velocity's mixture with free means."""
MIXTURE = FREE + 3
"""All components: the free ones, two at the velocities in the same turn of notes (a short and a long turn), and one at
the velocity of the nearest note."""
TURN_SCALE, NEAREST_SCALE = -4.0, -3.0
"""Initial log scales of the last three components."""
MATCH_INPUTS = 5
"""The last inputs of the velocity: the velocities in a short and a long earlier turn, whether each is known, and their
difference."""
VELOCITY_INPUTS = NOTE_FEATURES + OFFSETS + VELOCITY_FEATURES + MATCH_INPUTS
HEARD_INPUTS = NOTE_FEATURES + OFFSETS
"""The first input of the velocity that comes from the heard velocities."""
NEAREST_INPUT = HEARD_INPUTS + NEAREST_VELOCITY
"""The input with the velocity of the nearest note, minus the mean."""
INPUTS = {"velocity": VELOCITY_INPUTS, "offset": OFFSET_FEATURES, "pedal": PEDAL_FEATURES}
PAIRS = OFFSETS + 1, OFFSETS
"""The shape of what is added to the offset's logits: a row for each offset of the next higher note of the same tick,
and the last row if there is none."""
MOMENTS = 2
"""The last outputs of the velocity: its mean above the heard mean, and its log variance. Play needs only these."""
OUTPUTS = {"velocity": 2 * MIXTURE + FREE + MOMENTS, "offset": OFFSETS, "pedal": PEDALS}
SCALED = {"velocity": VELOCITY_INPUTS - MATCH_INPUTS, "offset": OFFSET_FEATURES, "pedal": PEDAL_FEATURES}
"""Numbers of inputs that are normalised."""
MOST_HIDDEN = 512


@dataclass(frozen=True, slots=True)
class TouchShape:
    """Hidden channels of each perceptron, in each of its two hidden layers.

    Raises:
        ValueError: A number is no whole number in 1..MOST_HIDDEN.

    """

    velocity: int = 64
    offset: int = 48
    pedal: int = 32

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if type(value) is not int or not 1 <= value <= MOST_HIDDEN:
                raise ValueError(f"{item.name} must be a whole number in 1..{MOST_HIDDEN}, got {value!r}")

    def to_dict(self) -> dict[str, int]:
        """Return the numbers as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> TouchShape:
        """Return the shape from JSON values. Raises ValueError for unknown or missing names and for wrong numbers."""
        if not isinstance(values, dict) or set(values) != {item.name for item in fields(cls)}:
            raise ValueError(f"the shape must be {', '.join(item.name for item in fields(cls))}")
        return cls(**values)

    def weights(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight, by its name in the torch model."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, hidden in self.to_dict().items():
            layers = (
                ("first", INPUTS[name], hidden),
                ("second", hidden, hidden),
                ("out", hidden, OUTPUTS[name]),
            )
            for part, inputs, outputs in layers:
                shapes[f"{name}.{part}.weight"] = outputs, inputs
                shapes[f"{name}.{part}.bias"] = (outputs,)
            shapes[f"{name}.mean"] = shapes[f"{name}.scale"] = (SCALED[name],)
        shapes["offset.pairs"] = PAIRS
        return shapes
