"""The governor: density and polyphony stay near their targets, and there is no standstill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from livebach.music.idiom import Idiom
from livebach.music.roll import HOLD, KEYS, LOW_KEY, ONSET, Frame
from livebach.music.texture import DENSITY_CENTRES, POLYPHONY_CENTRES, TEXTURE_LEVELS, Texture, texture_of
from livebach.musician.governor import COMPASS_BIAS, MOST_BIAS, MOST_LET_GO, MOST_STILL_URGE, STILL_URGE, Governor
from livebach.musician.vetoes import playable
from livebach.network.sampling import SamplingParams

BAR = 16


def frame(onsets: int, holds: int = 0) -> Frame:
    """So many keys struck and held."""
    return np.array(([ONSET] * onsets + [HOLD] * holds + [0] * KEYS)[:KEYS], np.uint8)


def after(frames: list[Frame], texture: Texture) -> SamplingParams:
    """The params after these frames."""
    governor = Governor(BAR)
    governor.steer(SamplingParams(), texture)
    for played in frames:
        governor.observe(played)
    return governor.steer(SamplingParams(), texture)


def test_nothing_is_changed_at_first() -> None:
    """It begins as if all had been as asked, and a params's own biases stay in."""
    steered = Governor(BAR).steer(SamplingParams(onset_bias=0.5, hold_bias=0.25), Texture(4, 4))
    assert (steered.onset_bias, steered.hold_bias) == (0.5, 0.25)


def test_too_few_onsets_raise_them_and_too_many_lower_them() -> None:
    """By the logarithm of the ratio, within a limit."""
    assert after([frame(0), frame(1)] * 32, Texture(6)).onset_bias > 0.5
    assert after([frame(2), frame(3)] * 32, Texture(2)).onset_bias < -0.5
    assert after([frame(30)] * 200, Texture(0)).onset_bias == -MOST_BIAS
    assert abs(after([frame(1), frame(1), frame(1), frame(2)] * 16, Texture(5)).onset_bias) < 0.15


def test_too_full_lets_go_and_too_thin_holds_on() -> None:
    """Polyphony is steered by how long notes are held; ticks without any note do not count as thin."""
    assert after([frame(1, 5)] * 64, Texture(None, 2)).hold_bias < -0.5
    assert after([frame(1)] * 64, Texture(None, 5)).hold_bias > 0.5
    assert after([frame(0)] * BAR, Texture(None, 5)).hold_bias == 0
    assert after([frame(1, 5)] * 64, Texture(None, 2)).onset_bias == 0


def test_no_texture_is_no_rate() -> None:
    """Where nothing is asked for, only standing still is mended."""
    open_texture = Texture()
    assert after([frame(9)] * 100, open_texture).onset_bias == 0
    assert after([frame(0)] * BAR, open_texture).onset_bias == 0
    assert after([frame(0)] * (BAR + 2), open_texture).onset_bias == 2 * STILL_URGE
    assert after([frame(0)] * 1000, open_texture).onset_bias == MOST_STILL_URGE


def test_a_new_turn_counts_anew() -> None:
    """What was played before a takeover says nothing of the turn that begins."""
    governor = Governor(BAR)
    governor.steer(SamplingParams(), Texture(5, 5))
    for _ in range(100):
        governor.observe(frame(0, 1))
    governor.restart()
    steered = governor.steer(SamplingParams(), Texture(5, 5))
    assert (steered.onset_bias, steered.hold_bias) == (0, 0)


@pytest.mark.parametrize("level", range(TEXTURE_LEVELS))
def test_who_strikes_too_rarely_is_brought_to_the_level(level: int) -> None:
    """Someone who would strike half a key a tick, but follows the bias, comes to the rate that is asked for."""
    governor, rng, struck = Governor(BAR), np.random.default_rng(1), []
    for _ in range(4000):
        bias = governor.steer(SamplingParams(), Texture(level)).onset_bias
        struck.append(int(rng.poisson(min(4.0, 0.5 * np.exp(bias)))))
        governor.observe(frame(struck[-1]))
    assert abs(np.mean(struck[500:]) / DENSITY_CENTRES[level] - 1) < 0.1


def test_levels_and_their_centres_agree() -> None:
    """What a level stands for is of that level."""
    for level in range(TEXTURE_LEVELS):
        assert texture_of(DENSITY_CENTRES[level], POLYPHONY_CENTRES[level]) == Texture(level, level)


def test_lines_find_back_into_the_compass() -> None:
    """Beyond C2 to D6 each semitone makes an onset rarer; a key bias of the params's own stays in."""
    bias = Governor(BAR).steer(SamplingParams(), Texture()).key_bias
    assert bias is not None
    assert (bias[36 - LOW_KEY : 87 - LOW_KEY] == 0).all()
    assert (np.diff(bias[: 37 - LOW_KEY]) > 0).all()
    assert (np.diff(bias[86 - LOW_KEY :]) < 0).all()
    own = np.ones(KEYS, np.float32)
    both = Governor(BAR).steer(SamplingParams(key_bias=own), Texture()).key_bias
    assert np.array_equal(both, bias + own)


def test_music_that_lies_too_low_is_tilted_up() -> None:
    """And the other way; in the middle nothing is tilted."""
    low, middle = np.zeros(KEYS, np.uint8), np.zeros(KEYS, np.uint8)
    low[40 - LOW_KEY], middle[62 - LOW_KEY] = ONSET, ONSET
    plain = after([middle] * 64, Texture()).key_bias
    up, down = after([low] * 64, Texture()).key_bias, after([low[::-1]] * 64, Texture()).key_bias
    assert plain is not None
    assert up is not None
    assert down is not None
    assert (np.diff(up - plain) > 0).all()
    assert (np.diff(down - plain) < 0).all()


def test_a_chord_is_within_reach() -> None:
    """A frame with too many onsets is drawn again with fewer; one that hands can strike is left as it is."""
    asked: list[float] = []

    def draw(params: SamplingParams) -> Frame:
        asked.append(params.onset_bias)
        return frame(int(20 + 5 * params.onset_bias))

    assert (playable(draw, SamplingParams(), []) == ONSET).sum() == 5
    assert asked == [0, -1, -2, -3]
    asked.clear()
    assert (playable(draw, SamplingParams(onset_bias=-2.5), []) == ONSET).sum() == 7
    assert asked == [-2.5]


def test_long_notes_are_let_go() -> None:
    """Where far too many keys stay down, HOLD becomes much rarer, more so than ONSET where too many are struck."""
    full = after([frame(0, 12)] * 60, Texture(density=None, polyphony=2))
    busy = after([frame(5)] * 60, Texture(density=2, polyphony=None))
    assert full.hold_bias < busy.onset_bias == -MOST_BIAS
    governor, texture = Governor(BAR), Texture(density=None, polyphony=2)
    for _ in range(1000):
        params = governor.steer(SamplingParams(), texture)
        governor.observe(frame(0, 6))
    assert params.hold_bias == -MOST_LET_GO


def keys_down(*keys: int) -> Frame:
    """These MIDI keys, held."""
    out = np.zeros(KEYS, np.uint8)
    out[np.array(keys) - LOW_KEY] = HOLD
    return out


@pytest.mark.parametrize(("asked", "sign"), [(40, -1), (80, 1)])
def test_a_register_that_is_asked_for(asked: int, sign: int) -> None:
    """Its own part is drawn there, whatever the player's keys are; once there it is left alone."""
    governor, there = Governor(BAR), Governor(BAR)
    for _ in range(BAR):
        governor.observe(keys_down(60, asked), keys_down(60))
        there.observe(keys_down(60, asked), keys_down(asked))
    bias = governor.steer(SamplingParams(), Texture(), asked).key_bias
    assert bias is not None
    assert np.sign(bias[76 - LOW_KEY] - bias[50 - LOW_KEY]) == sign
    np.testing.assert_array_equal(there.steer(SamplingParams(), Texture(), asked).key_bias, COMPASS_BIAS)


def biased(idiom: Idiom, *keys: int) -> NDArray[np.float32]:
    """The bias of keys after these MIDI keys were struck in turn, one a tick."""
    governor = Governor(BAR)
    governor.restart(idiom)
    for _ in range(40):
        for key in keys:
            struck = np.zeros(KEYS, np.uint8)
            struck[key - LOW_KEY] = ONSET
            governor.observe(struck)
    bias = governor.steer(SamplingParams(), Texture()).key_bias
    assert bias is not None
    return bias


def test_keys_that_spread_too_far_are_drawn_to_the_middle() -> None:
    """Both ends become rarer alike; a spread as in the idiom is left alone, and so is counterpoint."""
    free = Idiom(lowest=21, highest=108, middle=64, parallels=0.2, spread=10)
    bias = biased(free, 44, 84)
    assert bias[44 - LOW_KEY] < -0.5
    assert bias[44 - LOW_KEY] == pytest.approx(bias[84 - LOW_KEY], abs=0.3)
    assert bias[64 - LOW_KEY] > 0
    assert np.abs(biased(free, 57, 71)).max() < 1e-6
    assert np.abs(biased(replace(free, parallels=0), 44, 84)).max() < 1e-6


def test_outside_counterpoint_far_keys_are_tilted_no_more_than_those_an_octave_away() -> None:
    """Too low music is brought up by near keys; otherwise a wide compass would be left at its ends."""
    bias = biased(Idiom(lowest=21, highest=108, middle=64, parallels=0.2, spread=30), 44)
    assert bias[76 - LOW_KEY] > bias[64 - LOW_KEY] > bias[52 - LOW_KEY]
    assert bias[100 - LOW_KEY] == bias[76 - LOW_KEY]
