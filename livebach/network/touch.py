"""The touch network at play: predicts velocities, offsets within the tick, and the sustain pedal.

It consists of three small perceptrons over the features of `touch_memory` and `velocity_memory`, in numpy. What the
outputs for a velocity mean is in `velocity_mixture`.
"""

from __future__ import annotations

import copy
import itertools
import math
from bisect import bisect
from collections.abc import Mapping, Sequence
from operator import add
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from livebach.music.grid import Place
from livebach.music.touch import LATEST, OFFSETS, Pedal
from livebach.network.touch_checkpoint import PAIR_ABOVE, TouchCheckpoint, TouchError
from livebach.network.touch_memory import OFFSET_ROW, ONE_OFFSET, Array, TouchMemory, write
from livebach.network.touch_shape import HEARD_INPUTS, MOMENTS, NEAREST_INPUT, VELOCITY_INPUTS
from livebach.network.velocity_kernels import REFERENCE
from livebach.network.velocity_memory import VelocityMemory
from livebach.network.velocity_mixture import OUT_OF_REACH, Velocities, deviation, velocities_of

PAIR_TOLERANCE = 2e-3
PRIOR = 8.0
"""How many observations the network's chances of offsets weigh, for each kind that was observed."""
ZERO = np.zeros((), np.float32)
MAY_FOLLOW: NDArray[np.bool_] = np.array(
    [[kind in (Pedal.UP, Pedal.PRESSED) for kind in Pedal], [kind not in (Pedal.UP, Pedal.PRESSED) for kind in Pedal]]
)
"""[down before, PEDALS]: what the pedal can do next."""
_MAY_FOLLOW: list[list[bool]] = MAY_FOLLOW.tolist()


def quick_rows(n: int) -> int:
    """Return how many rows to compute for n notes: OpenBLAS takes longer for two or three rows than for four."""
    return n if n == 1 else -(-n // 4) * 4


class Perceptron:
    """A perceptron with two hidden layers, of which the first includes the normalisation.

    With so few notes, the number of numpy calls decides how long this takes. So both hidden layers have one more unit,
    which is always 1, and the biases are rows of the weights.
    """

    def __init__(self, weights: dict[str, Array], name: str) -> None:
        def layer(part: str) -> tuple[Array, Array]:
            return weights[f"{name}.{part}.weight"].T.copy(), weights[f"{name}.{part}.bias"].copy()

        first, bias = layer("first")
        scale, mean = weights[f"{name}.scale"], weights[f"{name}.mean"]
        first[: len(scale)] *= scale[:, None]
        bias -= mean @ first[: len(mean)]
        hidden = len(bias)
        self.first: Array = np.pad(first, ((0, 0), (0, 1)))
        self.bias: Array = np.append(bias, np.float32(1))
        second = np.pad(np.vstack(layer("second")), ((0, 0), (0, 1)))
        second[hidden, hidden] = 1
        self.second: Array = second
        self.out: Array = np.vstack(layer("out"))

    def begin(self, features: Array) -> Array:
        """Return the first layer before its ReLU: [n, at most inputs] to [n, hidden + 1]. Missing inputs count as 0."""
        begun: Array = features.dot(self.first[: features.shape[-1]])
        begun += self.bias
        return begun

    def finish(self, begun: Array) -> Array:
        """Return the outputs [n, outputs] from the result of `begin`."""
        second = np.maximum(begun, ZERO).dot(self.second)
        np.maximum(second, ZERO, out=second)
        out: Array = second.dot(self.out)
        return out

    def __call__(self, features: Array) -> Array:
        """Return the outputs [n, outputs] from all features [n, inputs]."""
        return self.finish(self.begin(features))

    def last(self, outputs: int) -> Perceptron:
        """Return a perceptron that has only the last ones of these outputs."""
        fewer = copy.copy(self)
        fewer.out = self.out[:, -outputs:].copy()
        return fewer


def log_softmax(logits: Array) -> Array:
    """Return the log probabilities along the last axis."""
    top = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(top - np.log(np.exp(top).sum(axis=-1, keepdims=True)))


class NextTick(NamedTuple):
    """A tick that is about to be played."""

    struck: Sequence[int]
    """Keys 0..87 to be struck, the highest first."""
    held: Sequence[int]
    """Keys 0..87 that are down from before."""
    place: Place


def drawn(weights: Sequence[float], uniform: float) -> int:
    """Draw an index by a number in [0, 1): what `random.choices` would choose, in half the time."""
    sums = list(itertools.accumulate(weights))
    return bisect(sums, uniform * sums[-1], 0, len(sums) - 1)


def with_habits(chances: Array, habits: Array) -> Array:
    """Return the probabilities [n, OFFSETS] of offsets, from the network's and from counts in the same circumstances.

    The network's are the prior of a Dirichlet distribution, whose weight grows with the number of kinds that were
    played (Witten and Bell, The zero-frequency problem, 1991).
    """
    weight = PRIOR * np.maximum(1, np.count_nonzero(habits, axis=-1, keepdims=True))
    mixed: Array = (habits + weight * chances) / (habits.sum(axis=-1, keepdims=True) + weight)
    return mixed


def _draw_offset(logits: Sequence[float], habits: Sequence[float], usual: Mapping[int, float], uniform: float) -> int:
    """Draw one of the usual offsets, from the logits and counts of all offsets and the shares of the usual ones."""
    top, exp = max(logits), math.exp
    chances = [exp(logit - top) for logit in logits]
    weight = PRIOR * max(1, len(habits) - habits.count(0)) / sum(chances)
    weights = [share * (habits[n + LATEST] + weight * chances[n + LATEST]) for n, share in usual.items()]
    if not any(weights):
        return max(usual, key=usual.__getitem__)
    return list(usual)[drawn(weights, uniform)]


class TouchNetwork:
    """A trained touch network. It has no state: a `TouchMemory` and a `VelocityMemory` remember what was played."""

    new_memory = TouchMemory
    """What makes a memory that it can read."""

    def __init__(self, checkpoint: TouchCheckpoint) -> None:
        """Take the weights, and compare the stored output with the network's.

        Raises:
            TouchError: An output differs from the stored one by PAIR_TOLERANCE or more.

        """
        self.meta = checkpoint.meta
        parts = [Perceptron(checkpoint.weights, name) for name in ("velocity", "offset", "pedal")]
        self._velocity, self._offset, self._pedal = parts
        self._pairs: Array = checkpoint.weights["offset.pairs"]
        self._pair_rows: list[list[float]] = self._pairs.tolist()
        self._moments = self._velocity.last(MOMENTS)
        for name, part in zip(("velocity", "offset", "pedal"), parts, strict=True):
            with np.errstate(all="ignore"):  # damaged weights may give any numbers
                out = part(checkpoint.pair[f"pair.{name}.in"])
                if part is self._offset:
                    out += self._pairs[PAIR_ABOVE]
                worst = float(np.abs(out - checkpoint.pair[f"pair.{name}.out"]).max())
            if not worst < PAIR_TOLERANCE:  # also true of NaN
                raise TouchError(f"the stored output of its part {name} differs by {worst:.2g}: the file is damaged")

    def velocities(self, features: Array, mean: Array, matched: Array) -> Velocities:
        """Return the distributions of the velocities of n notes.

        Args:
            features: [n, VELOCITY_INPUTS - MATCH_INPUTS]: note features, offsets (one-hot), and those of the heard
                velocities.
            mean: [n] mean of the heard velocities, in units.
            matched: [n, 2] velocities of these notes in an earlier turn, in units; NaN where there is none.

        """
        inputs = np.zeros((len(features), VELOCITY_INPUTS), np.float32)
        inputs[:, : features.shape[1]] = features
        above, known = _write_matches(inputs, matched - mean[:, None])
        return velocities_of(self._velocity(inputs), mean, above + mean[:, None], known, inputs[:, NEAREST_INPUT])

    def velocity_moments(self, inputs: Array, mean: float, matched: Array | None) -> tuple[list[float], list[float]]:
        """Return what to expect of the velocities of n notes, in units: the fast twin of `velocities`.

        Args:
            inputs: [n or more, VELOCITY_INPUTS] features, with zeros in the last MATCH_INPUTS columns.
            mean: Mean of the heard velocities, in units.
            matched: As in `velocities`. None means that no note was in an earlier turn, which is usual and faster.

        Returns:
            How far each is expected to be above `mean`, and its standard deviation, [n or more] each.

        """
        if matched is not None:
            _write_matches(inputs[: len(matched)], matched - np.float32(mean))
        above, log_variances = self._moments(inputs).T.tolist()
        return above, [deviation(log_variance) for log_variance in log_variances]

    def expected(
        self,
        memory: TouchMemory,
        heard: VelocityMemory,
        tick: NextTick,
        offsets: Sequence[int],
        mean: float,
    ) -> tuple[list[float], list[float]]:
        """Return what to expect of the velocities of a tick's n notes, in units, if `mean` were the mean heard so far.

        Returns:
            How far above `mean` each is expected to be, and its standard deviation, [n] each.

        """
        struck, held, place = tick
        n = len(struck)
        inputs = np.zeros((quick_rows(n), VELOCITY_INPUTS), np.float32)
        for note, features in enumerate(memory.note_features(struck, held, place)):
            write((*features, *ONE_OFFSET[offsets[note] + LATEST]), inputs, note * VELOCITY_INPUTS)
        heard.write_features(struck, memory.tick, place, inputs, HEARD_INPUTS)
        inputs[:, HEARD_INPUTS + REFERENCE] = mean
        matched = heard.matched(n, memory.matches(struck))
        above, deviations = self.velocity_moments(inputs, heard.mean, matched)
        return above[:n], deviations[:n]

    def offset_logits(self, shared: Array, rows: Array) -> list[list[float]]:
        """Return the offsets' logits [n or more][OFFSETS], without what they owe to the next higher note.

        Args:
            shared: [OFFSET_FEATURES - OFFSET_ROW] the features that all notes of a tick have.
            rows: [n or more, OFFSET_ROW] those that differ.

        """
        begun = rows.dot(self._offset.first[len(shared) :])
        begun += self._offset.begin(shared)
        logits: list[list[float]] = self._offset.finish(begun).tolist()
        return logits

    def draw_offsets(
        self,
        memory: TouchMemory,
        tick: NextTick,
        given: Sequence[int | None],
        usual: Mapping[int, float],
        uniforms: Sequence[float],
    ) -> list[int]:
        """Draw the offsets of a tick's n notes one after another, each after that of the next higher note.

        The chance of an offset is the network's, as habits change it, times its share of the usual ones. If the highest
        note is to be drawn, it follows a given offset of a lower one.

        Args:
            memory: The music so far.
            tick: The tick.
            given: The offset of each note that has one already, and None for each to be drawn.
            usual: The offsets that can be drawn, with their shares.
            uniforms: [n] numbers in [0, 1) that decide.

        Returns:
            [n] offsets.

        """
        rows = np.zeros((quick_rows(len(given)), OFFSET_ROW), np.float32)
        for note, features in enumerate(memory.offset_rows(tick.struck)):
            write(features, rows, note * OFFSET_ROW)
        logits = self.offset_logits(memory.shared_offset_features(len(given), tick.place), rows)
        habits, known = memory.offset_habits(tick.place), [offset for offset in given if offset is not None]
        above, out = known[0] + LATEST if known else OFFSETS, list[int]()
        for offset, mine, uniform in zip(given, logits, uniforms):  # noqa: B905 - there may be more logits than notes
            if offset is not None:
                out.append(offset)
            else:
                whole = list(map(add, mine, self._pair_rows[above]))
                out.append(_draw_offset(whole, habits[above].tolist(), usual, uniform))
            above = out[-1] + LATEST
        return out

    def offsets(self, features: Array, above: NDArray[np.int64]) -> Array:
        """Return log probabilities [n, OFFSETS] of offsets.

        Args:
            features: [n, OFFSET_FEATURES].
            above: [n] the number of the next higher note's offset on the same tick; OFFSETS if there is none.

        """
        return log_softmax(self._offset(features) + self._pairs[above])

    def pedal_chances(self, memory: TouchMemory, tick: NextTick) -> list[float]:
        """Return the chances [PEDALS] of the pedal's move on a tick, up to a factor: the fast twin of `pedals`."""
        logits = self._pedal(memory.pedal_features(*tick)).tolist()
        may_follow = _MAY_FOLLOW[memory.pedal_down]
        top = max(itertools.compress(logits, may_follow))
        return [math.exp(x - top) if may else 0.0 for x, may in zip(logits, may_follow, strict=True)]

    def pedals(self, features: Array, down: NDArray[np.bool_]) -> Array:
        """Return log probabilities [n, PEDALS] of the pedal's next moves on n ticks.

        Args:
            features: [n, PEDAL_FEATURES].
            down: [n] whether the pedal is down before.

        """
        return log_softmax(np.where(MAY_FOLLOW[down.astype(np.int64)], self._pedal(features), OUT_OF_REACH))


def _write_matches(inputs: Array, above: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Write the features of the velocities in earlier turns: the last MATCH_INPUTS.

    Args:
        inputs: [n, VELOCITY_INPUTS].
        above: [n, 2] these velocities above the heard mean, NaN where unknown.

    Returns:
        The same with 0 where unknown, and whether each is known.

    """
    known = above == above
    above = np.where(known, above, ZERO)
    inputs[:, -5:-3], inputs[:, -3:-1] = above, known
    inputs[:, -1] = np.where(known[:, 0] & known[:, 1], above[:, 0] - above[:, 1], ZERO)
    return above, known
