"""What the network learns of a piece while it hears it: a layer of its own, trained as the music goes by.

The odds of every key's next state are shifted by a linear function, one for all keys, of what the layers over time say
of that key. It begins as nothing and takes one step of gradient descent after each frame that it is told to learn from:
dynamic evaluation (Mikolov et al. 2010; Krause et al. 2018) of an online logistic regression, with the step sizes of
AdaGrad (Duchi et al. 2011). That is convex, and the step of each weight is bounded, so it cannot run away. Each frame
is predicted before it is learnt from, so that likelihoods stay exact. While the network plays alone, what it learnt of
somebody else loses its say: a few bars are not enough to go by for minutes. A value beside the network; knows no layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS, STATES, Frame

Array = NDArray[np.float32]

RATE = np.float32(0.02)
"""Most that a weight changes by a frame, once much has been learnt; the first steps are smaller."""
CAUTION = np.float32(10.0)
"""The sum of squared gradients that is taken to have been seen before the first frame."""
KEPT = np.float32(1 - 1 / 2000)
"""What is left of all that was learnt after one frame more: a quarter of an hour is half forgotten, a piece is not."""
ALONE = 1 - 1 / 256
"""What is left of its say after one frame more that is not learnt from: after sixteen bars about a third."""


@dataclass(slots=True)
class Adaptation:
    """What was learnt so far, and what it has to say of the coming frame."""

    features: Array  # [F, 88]: what the coming frame is predicted from
    weights: Array  # [3, F]
    squares: Array  # [3, F]: sums of squared gradients
    shift: Array  # [3, 88]: added to the logits of the coming frame
    say: float = 1.0

    @classmethod
    def blank(cls, features: int) -> Adaptation:
        """Nothing learnt, of this many features a key."""
        zeros = [np.zeros(shape, np.float32) for shape in ((features, KEYS), (STATES, features), (STATES, KEYS))]
        return cls(zeros[0], zeros[1], np.full((STATES, features), CAUTION, np.float32), zeros[2])

    def look(self, features: Array) -> None:
        """Take in [F, 88], what there is to predict the next frame from."""
        np.copyto(self.features, features)
        np.matmul(self.weights, features, out=self.shift)
        self.shift *= np.float32(self.say)

    def fade(self) -> None:
        """A frame has come that there is nothing to learn from."""
        self.say *= ALONE

    def learn(self, chances: NDArray[np.floating], frame: Frame) -> None:
        """One step towards a frame that has come: [3, 88] how likely each state was, shifted, and the states [88]."""
        self.say = 1.0
        error = np.asarray(chances, np.float32).copy()
        error[frame, np.arange(KEYS)] -= 1
        gradient = error @ self.features.T
        self.squares += gradient * gradient - (self.squares - CAUTION) * (1 - KEPT)
        self.weights *= KEPT
        self.weights -= RATE * gradient / np.sqrt(self.squares)

    def copy(self) -> Adaptation:
        """An independent snapshot."""
        features, weights = self.features.copy(), self.weights.copy()
        return Adaptation(features, weights, self.squares.copy(), self.shift.copy(), self.say)

    def copy_from(self, other: Adaptation) -> None:
        """Become equal to another of the same size, without allocating."""
        np.copyto(self.features, other.features)
        np.copyto(self.weights, other.weights)
        np.copyto(self.squares, other.squares)
        np.copyto(self.shift, other.shift)
        self.say = other.say
