"""The computed instruments: pitch, decay, loudness and layers, measured on rendered samples."""

from __future__ import annotations

import numpy as np
import pytest

from livebach.music.general_midi import instrument_of
from livebach.sound import harpsichord, organ, piano
from livebach.sound.instruments import BODY, BRIGHT, INSTRUMENTS, RELEASE
from livebach.sound.partials import RATE, damped, loudness_db
from livebach.sound.strings import Circle, delay_for, loop_for, plucked
from livebach.sound.temperaments import TEMPERAMENTS, cents, frequency
from livebach.sound.tone import KEYS, Tone
from tests.support.sound_measures import cents_between, decay_s, level_at, pitch_hz

TUNINGS = {"piano": ("equal", 440.0), "harpsichord": ("werckmeister3", 415.0), "organ": ("vallotti", 465.0)}


@pytest.fixture(scope="module", params=INSTRUMENTS)
def rendered(request: pytest.FixtureRequest) -> tuple[str, dict[int, Tone]]:
    """Every key of an instrument, in a tuning of its own."""
    name = request.param
    return name, {key: INSTRUMENTS[name].tone(key, frequency(key, *TUNINGS[name])) for key in KEYS}


def test_every_key_is_in_tune(rendered: tuple[str, dict[int, Tone]]) -> None:
    """The fundamental of each of the 88 keys is within one cent of its temperament."""
    name, tones = rendered
    for key, tone in tones.items():
        wanted = frequency(key, *TUNINGS[name])
        layer = tone[BODY]
        heard = pitch_hz(layer.samples[layer.loop_start or 0 :], wanted)
        assert abs(cents_between(heard, wanted)) < 1, f"{name}, key {key}"


def test_keys_are_equally_loud(rendered: tuple[str, dict[int, Tone]]) -> None:
    """From one key to the next the loudness changes by less than 1 dB: no key stands out."""
    name, tones = rendered
    gains = INSTRUMENTS[name].gains(100)
    levels = []
    for tone in tones.values():
        start = tone[BODY].loop_start or 0
        sound = np.zeros(round(0.3 * RATE))
        for layer in (BODY, BRIGHT):
            part = tone[layer].samples[start : start + len(sound)] if layer in tone else np.zeros(0)
            sound[: len(part)] += gains.get(layer, 0) * part
        levels.append(loudness_db(sound.astype(np.float32)))
    assert np.abs(np.diff(levels)).max() < 1
    assert abs(levels[60 - KEYS.start] - INSTRUMENTS[name].loudness_db) < 0.1


def test_every_layer_fits_its_length_and_begins_and_ends_at_zero(rendered: tuple[str, dict[int, Tone]]) -> None:
    """Layers are no longer than the table says, and start and end without a step; loops have no seam."""
    name, tones = rendered
    for key, tone in tones.items():
        lengths = INSTRUMENTS[name].lengths(key)
        assert set(tone) == set(lengths)
        for layer_name, layer in tone.items():
            samples, peak = layer.samples, np.abs(layer.samples).max()
            assert len(samples) <= round(lengths[layer_name] * RATE)
            assert abs(samples[0]) < 1e-3 * peak
            if layer.loop_start is None:
                assert abs(samples[-1]) < 1e-3 * peak
            else:
                across = np.concatenate([samples[-200:], samples[layer.loop_start : layer.loop_start + 200]])
                bend = np.abs(np.diff(across, 2))
                assert bend[195:205].max() <= 1.5 * np.abs(np.diff(samples[layer.loop_start :], 2)).max()


def test_a_key_is_always_rendered_alike() -> None:
    """Two renderings of one key are the same: banks of two processes agree."""
    for instrument in INSTRUMENTS.values():
        first, again = (instrument.tone(50, 146.8) for _ in range(2))
        for name in first:
            np.testing.assert_array_equal(first[name].samples, again[name].samples)


@pytest.mark.parametrize(("key", "least_s", "most_s"), [(36, 4.0, 12.0), (60, 2.0, 6.0), (84, 0.8, 3.0)])
def test_harpsichord_strings_decay_as_measured_ones(key: int, least_s: float, most_s: float) -> None:
    """A held harpsichord key decays by 60 dB within the range of measured instruments (Välimäki et al. 2004)."""
    sound = harpsichord.render(key, frequency(key))["body"].samples
    assert least_s < decay_s(sound, frequency(key), 0.1, 0.6) < most_s


@pytest.mark.parametrize("key", [40, 60, 72])
def test_piano_decays_in_two_stages(key: int) -> None:
    """A piano's fundamental at first decays 1.4 times as fast as later, or more (Weinreich 1977)."""
    hz = frequency(key)
    sound = piano.render(key, hz)["body"].samples
    length_s = len(sound) / RATE
    assert decay_s(sound, hz, 0.4 * length_s, 0.64 * length_s) > 1.4 * decay_s(sound, hz, 0.05, 0.15 * length_s)


@pytest.mark.parametrize("key", [21, 40, 60, 80])
def test_piano_partials_are_stretched(key: int) -> None:
    """Partial 4 is where a stiff string has it (Fletcher 1964), and sharper than four times the fundamental."""
    hz = frequency(key)
    numbers, partials = piano.partials(key, hz)
    assert partials[0] == pytest.approx(hz)
    sound = INSTRUMENTS["piano"].tone(key, hz)["bright"].samples
    assert numbers[3] == 4
    assert abs(cents_between(pitch_hz(sound, partials[3], width=0.01), partials[3])) < 1.5
    assert partials[3] > 4 * hz


def test_piano_is_brighter_when_struck_harder() -> None:
    """The share of the power above 2 kHz grows with velocity, at every key of the middle."""
    for key in (48, 60, 72):
        tone = INSTRUMENTS["piano"].tone(key, frequency(key))
        shares = []
        for velocity in (20, 60, 100, 127):
            gains = INSTRUMENTS["piano"].gains(velocity)
            sound = sum(gains[name] * tone[name].samples[:RATE] for name in (BODY, BRIGHT))
            power = np.abs(np.fft.rfft(sound)) ** 2
            shares.append(power[2000:].sum() / power.sum())
        assert shares == sorted(shares)
        assert shares[-1] > 2.5 * shares[0]


def test_organ_pipes_speak() -> None:
    """A pipe reaches its level within a few hundredths of a second: low pipes later than high ones, none at once."""
    times = []
    for key in (36, 60, 84):
        layer = organ.render(key, frequency(key))["body"]
        steady = level_at(layer.samples, len(layer.samples) - RATE, RATE // 2)
        window = round(0.008 * RATE)
        levels = [level_at(layer.samples, at, window) for at in range(0, RATE // 2, window)]
        times.append(next(n for n, level in enumerate(levels) if level > 0.7 * steady) * 0.008)
    assert times[0] > times[1] >= times[2]
    assert times[0] < 0.25
    assert times[1] > 0.008


def test_organ_loop_repeats_for_ever() -> None:
    """After the speech, the sound of a pipe is periodic: it goes on where the loop began."""
    layer = INSTRUMENTS["organ"].tone(45, frequency(45))["body"]
    assert layer.loop_start is not None
    around = np.concatenate([layer.samples[-2400:], layer.samples[layer.loop_start : layer.loop_start + 2400]])
    alone = np.abs(np.diff(layer.samples[layer.loop_start :]))
    assert abs(around[2400] - around[2399]) <= alone.max()


def test_waveguide_is_the_string_computed_sample_by_sample() -> None:
    """The string solved in the frequency domain equals the loop of Karplus and Strong computed in time."""
    loop = loop_for(300.0, 1.2, 0.5, 4000.0, -0.3, 2)
    delay = float(round(delay_for(loop, 300.0)))
    circle = Circle(1 << 16)
    burst = np.random.default_rng(1).standard_normal(32)
    burst = np.convolve(burst, np.hanning(24))  # little above 16 kHz, where the fast way stops
    fast = circle.signal(plucked(loop, delay, circle.spectrum(burst), circle.log_z))
    slow = _by_samples(loop, int(delay), burst, 24_000)
    assert np.abs(fast[:24_000] - slow).max() < 2e-3 * np.abs(slow).max()


def _by_samples(loop: object, delay: int, excitation: np.ndarray, samples: int) -> np.ndarray:
    """Run the loop: out = excitation + loss(ripple(allpass(out, delayed)))."""
    out = np.zeros(samples)
    allpass_in, allpass_out = np.zeros(loop.allpasses), np.zeros(loop.allpasses)
    passed = np.zeros(samples)  # what came out of the allpass chain: the ripple filter looks back on it
    loss = 0.0
    for n in range(samples):
        x = out[n - delay] if n >= delay else 0.0
        for stage in range(loop.allpasses):
            y = loop.stiffness * x + allpass_in[stage] - loop.stiffness * allpass_out[stage]
            allpass_in[stage], allpass_out[stage] = x, y
            x = y
        passed[n] = x
        back = passed[n - loop.ripple_delay] if n >= loop.ripple_delay else 0.0
        uneven = (x + loop.ripple * back) / (1 + abs(loop.ripple))
        loss = loop.gain * (1 - loop.pole) * uneven + loop.pole * loss
        out[n] = (excitation[n] if n < len(excitation) else 0.0) + loss
    return out


def test_sum_of_sinusoids_is_the_sum_computed_one_by_one() -> None:
    """The matrix product gives what each decaying sine, computed by itself, adds up to."""
    rng = np.random.default_rng(2)
    hz, t60, amplitude, phase = rng.uniform(50, 9000, 20), rng.uniform(0.1, 3, 20), rng.random(20), rng.random(20)
    time_s = np.arange(5000) / RATE
    slow = sum(
        a * np.exp(-np.log(1000) / t * time_s) * np.sin(2 * np.pi * f * time_s + p)
        for f, t, a, p in zip(hz, t60, amplitude, phase, strict=True)
    )
    np.testing.assert_allclose(damped(hz, t60, amplitude, phase, 5000), slow, atol=2e-5)


def test_a_sine_at_full_scale_is_as_loud_as_the_standard_says() -> None:
    """A full-scale sine at 997 Hz measures -3.01 LKFS, the calibration of ITU-R BS.1770."""
    sine = np.sin(2 * np.pi * 997 * np.arange(RATE) / RATE).astype(np.float32)
    assert loudness_db(sine) == pytest.approx(-3.01, abs=0.05)


def test_temperaments_close_the_circle() -> None:
    """The twelve fifths of each temperament are narrowed by exactly one Pythagorean comma together."""
    for name, fifths in TEMPERAMENTS.items():
        assert sum(fifths) == pytest.approx(23.460, abs=0.001), name


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("equal", [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100]),
        ("werckmeister3", [0, 90.22, 192.18, 294.13, 390.22, 498.04, 588.27, 696.09, 792.18, 888.27, 996.09, 1092.18]),
        ("kirnberger3", [0, 90.22, 193.16, 294.13, 386.31, 498.04, 590.22, 696.58, 792.18, 889.74, 996.09, 1088.27]),
        ("vallotti", [0, 94.13, 196.09, 298.04, 392.18, 501.96, 592.18, 698.04, 796.09, 894.13, 1000.0, 1090.22]),
    ],
)  # fmt: skip
def test_temperaments_are_the_published_ones(name: str, known: list[float]) -> None:
    """Each temperament has the cents that its tables in the literature (Barbour 1951) give."""
    assert cents(name) == pytest.approx(known, abs=0.01)


def test_the_pitch_standard_is_the_a_above_middle_c() -> None:
    """Key 69 sounds at the pitch that was asked for, whatever the temperament."""
    for name in TEMPERAMENTS:
        assert frequency(69, name, 415.0) == pytest.approx(415.0)
        assert frequency(57, name, 415.0) == pytest.approx(207.5)


def test_programs_choose_instruments() -> None:
    """General MIDI's grand piano, harpsichord and church organ (1, 7 and 20 as it counts) are here; a flute is not."""
    assert [instrument_of(number - 1) for number in (1, 7, 20, 74)] == ["piano", "harpsichord", "organ", None]


def test_release_sounds_exist_only_where_jacks_fall() -> None:
    """Only the harpsichord has a sound at the end of a key."""
    has = [name for name, instrument in INSTRUMENTS.items() if RELEASE in instrument.lengths(60)]
    assert has == ["harpsichord"]
