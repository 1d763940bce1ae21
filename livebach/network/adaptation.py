"""The learning layer: adapts the network to a piece while the piece is played.

The layer shifts the logits of every key by a linear function of the time layers' features of that key. The function is
the same for all keys. Its weights begin at zero, and take one step of gradient descent after each frame from the
player. This is dynamic evaluation (Mikolov et al. 2010; Krause et al. 2018) of an online logistic regression, with the
step sizes of AdaGrad (Duchi et al. 2011). The problem is convex and each weight's step is bounded, so the layer cannot
diverge. Each frame is predicted before the layer learns from it, so likelihoods stay exact. While the network plays
alone the shift fades, because a few bars of the player's are a weak guide for minutes of music. The state is a value
apart from the network. This module knows no layer of the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livebach.music.roll import KEYS, STATES, Frame

Array = NDArray[np.float32]

RATE = np.float32(0.02)
"""Learning rate: the largest change of a weight in one frame after many frames. The first steps are smaller."""
CAUTION = np.float32(10.0)
"""Initial sum of squared gradients, which keeps the first steps small."""
KEPT = np.float32(1 - 1 / 2000)
"""Decay of the weights per learnt frame. The half-life is 1386 frames."""
ALONE = 1 - 1 / 256
"""Decay per frame of the shift's strength while the layer is not learning: to about a third in sixteen bars."""


@dataclass(slots=True)
class Adaptation:
    """The weights of the learning layer, and its shift of the coming frame's logits.

    Attributes:
        features: [F, 88] the layer's input for the coming frame.
        weights: [3, F].
        squares: [3, F] sums of squared gradients.
        shift: [3, 88] added to the logits of the coming frame, in nats.
        say: Strength of the shift, 0..1.

    """

    features: Array
    weights: Array
    squares: Array
    shift: Array
    say: float = 1.0

    @classmethod
    def blank(cls, features: int) -> Adaptation:
        """Return an untrained layer with this number of features per key."""
        zeros = [np.zeros(shape, np.float32) for shape in ((features, KEYS), (STATES, features), (STATES, KEYS))]
        return cls(zeros[0], zeros[1], np.full((STATES, features), CAUTION, np.float32), zeros[2])

    def look(self, features: Array) -> None:
        """Take in the features [F, 88] of the coming frame, and compute its shift."""
        np.copyto(self.features, features)
        np.matmul(self.weights, features, out=self.shift)
        self.shift *= np.float32(self.say)

    def fade(self) -> None:
        """Weaken the shift, for a frame that the layer does not learn from."""
        self.say *= ALONE

    def learn(self, chances: NDArray[np.floating], frame: Frame) -> None:
        """Take one step of gradient descent towards a frame.

        Args:
            chances: [3, 88] predicted probabilities of the states.
            frame: [88] states that were played.

        """
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
        """Copy another layer of the same size into this one, without allocating."""
        np.copyto(self.features, other.features)
        self.copy_learnt(other)

    def copy_learnt(self, other: Adaptation) -> None:
        """Copy everything but the features of another layer."""
        np.copyto(self.weights, other.weights)
        np.copyto(self.squares, other.squares)
        np.copyto(self.shift, other.shift)
        self.say = other.say
