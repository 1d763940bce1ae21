"""The learning layer: what the network learns of a piece while the piece is played.

The logits of every key are shifted by a linear function of the features that the time layers have of that key. The
function is the same for all keys. Its weights begin at zero and take one step of gradient descent after each frame
that is learnt from: dynamic evaluation (Mikolov et al. 2010; Krause et al. 2018) of an online logistic regression,
with the step sizes of AdaGrad (Duchi et al. 2011). The problem is convex and the step of each weight is bounded, so
the layer cannot diverge. Each frame is predicted before it is learnt from, so likelihoods stay exact. While the
network plays alone, the shift fades: a few bars of somebody else's are not enough to go by for minutes. The state is
a value beside the network. Knows no layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS, STATES, Frame

Array = NDArray[np.float32]

RATE = np.float32(0.02)
"""Largest change of a weight in one frame, once much has been learnt; the first steps are smaller."""
CAUTION = np.float32(10.0)
"""Sum of squared gradients at the start: it keeps the first steps small."""
KEPT = np.float32(1 - 1 / 2000)
"""Part of a weight that is left after one more frame: a quarter of an hour is half forgotten, a piece is not."""
ALONE = 1 - 1 / 256
"""Part of the shift that is left after one more frame that is not learnt from: about a third after sixteen bars."""


@dataclass(slots=True)
class Adaptation:
    """The weights learnt so far, and their shift of the logits of the coming frame."""

    features: Array  # [F, 88]: what the coming frame is predicted from
    weights: Array  # [3, F]
    squares: Array  # [3, F]: sums of squared gradients
    shift: Array  # [3, 88]: added to the logits of the coming frame
    say: float = 1.0

    @classmethod
    def blank(cls, features: int) -> Adaptation:
        """Return a layer that has learnt nothing, for so many features a key."""
        zeros = [np.zeros(shape, np.float32) for shape in ((features, KEYS), (STATES, features), (STATES, KEYS))]
        return cls(zeros[0], zeros[1], np.full((STATES, features), CAUTION, np.float32), zeros[2])

    def look(self, features: Array) -> None:
        """Take in the features [F, 88] of the coming frame, and compute its shift."""
        np.copyto(self.features, features)
        np.matmul(self.weights, features, out=self.shift)
        self.shift *= np.float32(self.say)

    def fade(self) -> None:
        """Let the shift fade: a frame has come that is not learnt from."""
        self.say *= ALONE

    def learn(self, chances: NDArray[np.floating], frame: Frame) -> None:
        """Take one step towards a frame: the probabilities [3, 88] that its states had, and the states [88]."""
        self.say = 1.0
        error = np.asarray(chances, np.float32).copy()
        error[frame, np.arange(KEYS)] -= 1
        gradient = error @ self.features.T
        self.squares += gradient * gradient - (self.squares - CAUTION) * (1 - KEPT)
        self.weights *= KEPT
        self.weights -= RATE * gradient / np.sqrt(self.squares)

    def copy(self) -> Adaptation:
        """Return an independent snapshot."""
        features, weights = self.features.copy(), self.weights.copy()
        return Adaptation(features, weights, self.squares.copy(), self.shift.copy(), self.say)

    def copy_from(self, other: Adaptation) -> None:
        """Become equal to another of the same size, without allocating."""
        np.copyto(self.features, other.features)
        np.copyto(self.weights, other.weights)
        np.copyto(self.squares, other.squares)
        np.copyto(self.shift, other.shift)
        self.say = other.say
