"""Draw the sound of the built-in instruments: spectra, decays, decay times over the keyboard, and the temperaments.

    python bench/sound_pictures.py docs

The pictures are those of docs/sound.md. Needs matplotlib (pip install -e '.[plot]').
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from livebach.sound import piano
from livebach.sound.instruments import BODY, INSTRUMENTS, RELEASE
from livebach.sound.partials import RATE
from livebach.sound.temperaments import TEMPERAMENTS, cents, frequency

KEYS = {36: "C2", 60: "C4", 84: "C6"}
COLOURS = ("#33608c", "#c2562d", "#4d8a4f")
PARTIALS = 6
NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "G♯", "A", "B♭", "B")


def struck(name: str, key: int, velocity: int, length_s: float) -> np.ndarray:
    """Return a held key as it sounds, without the room."""
    gains = INSTRUMENTS[name].gains(velocity)
    out = np.zeros(round(length_s * RATE))
    for layer_name, layer in INSTRUMENTS[name].tone(key, frequency(key)).items():
        if layer_name != RELEASE:
            samples = layer.samples
            while layer.loop_start is not None and len(samples) < len(out):
                samples = np.concatenate([samples, layer.samples[layer.loop_start :]])
            part = samples[: len(out)]
            out[: len(part)] += gains[layer_name] * part
    return out


def levels_db(sound: np.ndarray, hz: float, width_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the level of one partial over time, and the times."""
    width = round(width_s * RATE)
    window = np.hanning(width) * np.exp(-2j * np.pi * hz * np.arange(width) / RATE)
    starts = np.arange(0, len(sound) - width, width // 4)
    return (starts + width / 2) / RATE, np.array(
        [20 * np.log10(abs(sound[at : at + width] @ window) * 4 / width + 1e-9) for at in starts]
    )


def draw_spectra(axes: Axes, name: str) -> None:
    """Draw the spectrum a fifth of a second after the stroke, for three keys."""
    for colour, (key, label) in zip(COLOURS, KEYS.items(), strict=True):
        sound = struck(name, key, 100, 0.6)[round(0.1 * RATE) :]
        spectrum = 20 * np.log10(np.abs(np.fft.rfft(sound * np.blackman(len(sound)))) / len(sound) * 4.8 + 1e-9)
        hz = np.fft.rfftfreq(len(sound), 1 / RATE)
        axes.plot(hz, spectrum, color=colour, lw=0.7, label=label)
    axes.set(
        xscale="log",
        xlim=(40, 16_000),
        ylim=(-120, -20),
        xlabel="Hz",
        ylabel="dB",
        title="0.1 to 0.6 s after the start",
    )
    axes.legend()


def draw_decay(axes: Axes, name: str) -> None:
    """Draw how the first partials of middle C rise and fall."""
    length_s = 0.4 if name == "organ" else 4.0
    sound = struck(name, 60, 100, length_s)
    f = frequency(60)
    for n in range(1, PARTIALS + 1):
        hz = piano.partials(60, f)[1][n - 1] if name == "piano" else n * f
        times, levels = levels_db(sound, hz, 0.02 if name == "organ" else 0.06)
        axes.plot(times, levels, lw=0.9, label=f"{n}", color=plt.cm.viridis((n - 1) / PARTIALS))
    axes.set(xlabel="s", ylabel="dB", ylim=(-110, -20))
    axes.set_title("partials of C4: the speech" if name == "organ" else "partials of C4")
    axes.legend(ncol=2, fontsize=7)


def fit_s(sound: np.ndarray, hz: float, start_s: float, end_s: float) -> float:
    """Return the time for 60 dB, from a line through the levels of a partial."""
    times, levels = levels_db(sound, hz, max(4 / hz, 0.03))
    part = (times >= start_s) & (times <= end_s)
    return float(-60 / np.polyfit(times[part], levels[part], 1)[0])


def draw_decay_times(axes: Axes, name: str) -> None:
    """Draw the decay time of each key's fundamental, at first and later; for the organ, the time of its speech."""
    keys = range(24, 109, 2)
    if name == "organ":
        times = []
        for key in keys:
            sound = struck(name, key, 100, 0.6)
            at, levels = levels_db(sound, frequency(key), max(3 / frequency(key), 0.004))
            times.append(at[np.argmax(levels > levels[-20:].mean() - 3)] * 1000)
        axes.plot(keys, times, color=COLOURS[0])
        axes.set(xlabel="MIDI key", ylabel="ms", yscale="log", title="until the fundamental is within 3 dB")
        return
    early, late = [], []
    for key in keys:
        length_s = len(INSTRUMENTS[name].tone(key, frequency(key))[BODY].samples) / RATE
        sound = struck(name, key, 100, length_s)
        early.append(fit_s(sound, frequency(key), 0.05, 0.15 * length_s + 0.05))
        late.append(fit_s(sound, frequency(key), 0.35 * length_s, 0.6 * length_s))
    axes.plot(keys, early, color=COLOURS[0], label="at first")
    axes.plot(keys, late, color=COLOURS[1], label="later")
    axes.set(xlabel="MIDI key", ylabel="s for 60 dB", yscale="log", title="decay of the fundamental")
    axes.legend()


def draw(name: str, folder: Path) -> None:
    """Draw one instrument."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    draw_spectra(axes[0], name)
    draw_decay(axes[1], name)
    draw_decay_times(axes[2], name)
    for each in axes:
        each.grid(alpha=0.25)
        each.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / f"sound-{name}.png", dpi=90)
    plt.close(figure)


def draw_temperaments(folder: Path) -> None:
    """Draw how far the major thirds of each temperament are from pure ones."""
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    fifths = [7 * n % 12 for n in range(-5, 7)]
    for marker, name in zip("o^sD", TEMPERAMENTS, strict=True):
        row = cents(name)
        thirds = [(row[(key + 4) % 12] - row[key]) % 1200 - 386.314 for key in fifths]
        axes.plot([NAMES[key] for key in fifths], thirds, marker=marker, label=name)
    axes.set(ylabel="cents wider than pure", ylim=(0, 24), title="Major thirds, along the circle of fifths")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "sound-temperaments.png", dpi=90)
    plt.close(figure)


def main() -> None:
    """Draw everything into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name in INSTRUMENTS:
        draw(name, folder)
    draw_temperaments(folder)
    print(f"four pictures in {folder}")


if __name__ == "__main__":
    main()
