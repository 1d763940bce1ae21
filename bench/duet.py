"""Measure how well a duet fits: count minor seconds and tritones on strong beats.

    python -m bench.duet --data DIR [--takes 4] [--split valid] [--noise-ms 15] [--delay-ms 30]

The player's part is the top voice of a held-out piece: each note that has no note above it when it is struck. The real
loop and network play a duet with this voice. The clock is simulated, and each onset is early or late by chance. On each
strong beat (the downbeat, and the middle of a bar with an even number of beats), the bench counts all pairs of a note
by livebach and a sounding note of the player's, and the pairs that are a minor second (or ninth) or a tritone apart.
It compares the duet with

- Bach: the lower voices of the piece itself, against the same top voice;
- blind: the same network without given keys and without a look at the player's keys. It leaves the same register
  alone, samples in the same way, and remembers what the player played;
- deaf: as blind, but the network remembers only its own notes.

Ratios have 95 % intervals, from a bootstrap over sections of eight bars, the same for both sides. The bench also counts
keys that were doubled or cut and notes inside the player's register, and states livebach's density by the player's.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from livebach.commands.timing import load_average, machine
from livebach.config import Config, override
from livebach.controls import MODES, ModeRow
from livebach.live import assembly
from livebach.live.daemon import Daemon
from livebach.live.simulated_run import Score, rehearse
from livebach.music.events import Event, NoteOff, NoteOn, Realtime, to_bytes
from livebach.music.grid import Grid, Place
from livebach.music.metre import Metre
from livebach.music.roll import (
    KEYS,
    LOW_KEY,
    OFF,
    ONSET,
    UNKNOWN,
    Frame,
    Frames,
    Note,
    frames_from_notes,
    notes_from_frames,
)
from livebach.music.score_reader import piece_of, read_score
from livebach.music.texture import Texture
from livebach.musician.modes import Duet, TurnContext
from livebach.network.sampling import SamplingParams
from livebach.styles import DEFAULT
from livebach.system.clock import ManualClock
from livebach.training.corpus import load_corpus

QUARTERS = 90
"""Quarter notes a minute."""
EARLY_S = 0.02
"""The time by which the player releases a key before its written end, if there is noise."""
SHORTEST_UP_S = 0.005
STRETCH_BARS = 8
RESAMPLED = 2000
STEPS = 4
"""Ticks in a quarter note."""


@dataclass(frozen=True)
class Part:
    """A piece for two players: the top voice, the lower voices, and the bars. An upbeat is part of bar 0."""

    name: str
    top: list[Note]
    lower: Frames
    metre: Metre
    upbeat: int

    @classmethod
    def read(cls, path: Path) -> Part:
        """Split a file's notes. A note belongs to the top voice if no note sounds above it when it is struck."""
        score = read_score(path, STEPS)
        piece = piece_of(path.name, score)
        notes = notes_from_frames(piece.frames)
        highest = [LOW_KEY + KEYS - 1 - int(np.argmax(frame[::-1] != OFF)) for frame in piece.frames]
        top = [note for note in notes if note.key == highest[note.start]]
        lower = frames_from_notes([note for note in notes if note.key != highest[note.start]], len(piece.frames))
        return cls(path.name, top, lower, score.metres[0][1], int(piece.places[0, 0]))

    @property
    def played(self) -> Frames:
        """Return the top voice as frames."""
        return frames_from_notes(self.top, len(self.lower))

    @property
    def bar(self) -> int:
        """The number of ticks in a bar."""
        return self.metre.bar_ticks(STEPS)

    @property
    def strong_ticks(self) -> Iterator[int]:
        """Yield the ticks on strong beats."""
        beats = self.bar // self.metre.beat_ticks(STEPS)
        step = self.bar // 2 if beats % 2 == 0 and beats >= 4 else self.bar
        return (tick for tick in range(len(self.lower)) if (tick + self.upbeat) % self.bar % step == 0)


# --- players ---------------------------------------------------------------------------------------------------------


class Blind(Duet):
    """A duet whose network does not know the player's keys, only the register to leave alone."""

    def given(self, scene: TurnContext) -> Frame:
        """Return a frame without given keys."""
        return np.full(KEYS, UNKNOWN, np.uint8)

    def own(self, scene: TurnContext) -> Frame:
        """Return the frame unchanged: the player's keys decide nothing."""
        return np.full(KEYS, UNKNOWN, np.uint8)

    def params(self, params: SamplingParams, scene: TurnContext) -> SamplingParams:
        """Forbid the player's register."""
        return replace(params, forbidden=super().params(params, scene).forbidden)


class Deaf:
    """A network that remembers only its own notes. `played` is the player's music from the first onset."""

    def __init__(self, engine: Any, played: Frames) -> None:
        self._engine = engine
        self._players = iter(played[int(np.argmax(played.any(axis=1))) :])
        self.spec, self.quotes, self.idiom = engine.spec, engine.quotes, engine.idiom
        self.new_state, self.draw = engine.new_state, engine.draw

    def push(self, state: Any, frame: Frame, place: Place, next_place: Place, texture: Texture, *learn: bool) -> None:
        """Remember the frame without the player's keys."""
        own = np.where(next(self._players) == OFF, frame, OFF).astype(np.uint8)
        self._engine.push(state, own, place, next_place, texture, *learn)


@dataclass
class Heard:
    """An output that keeps livebach's notes with their times."""

    clock: ManualClock
    sent: list[tuple[float, Event]] = field(default_factory=list)

    def send(self, event: Event, due_s: float | None = None) -> None:
        """Keep an event."""
        self.sent.append((self.clock.now(), event))


def hands(part: Part, grid: Grid, noise_s: float, seed: int) -> Score:
    """Return the top voice as played: nearly on time, each key released a little before its end."""
    chance = np.random.default_rng(seed)
    late = np.clip(chance.normal(0, 1, (len(part.top), 2)), -2, 2) * noise_s
    early_s = EARLY_S if noise_s else 0.0
    events: list[tuple[float, int, Event]] = []
    again_s: dict[int, float] = {}  # the next stroke of each key: the key must be released before it
    for note, (on_s, off_s) in reversed(list(zip(part.top, late.tolist(), strict=True))):
        start_s = grid.time_s(note.start + part.upbeat) + on_s
        end_s = grid.time_s(note.end + part.upbeat) - early_s + off_s
        end_s = max(start_s + 0.01, min(end_s, again_s.get(note.key, math.inf) - SHORTEST_UP_S))
        again_s[note.key] = start_s
        events += [(start_s, 1, NoteOn(note.key, 70, 0)), (end_s, 0, NoteOff(note.key, 0, 0))]
    return [(time_s, to_bytes(event)) for time_s, _, event in sorted(events, key=lambda item: item[:2])]


def perform(part: Part, network: assembly.Loaded, config: Config, noise_s: float, seed: int) -> list[Note]:
    """Play the top voice live, and return livebach's notes on the grid of the piece."""
    bpm = QUARTERS * STEPS / part.metre.beat_ticks(STEPS)
    config = override(config, f"sampling.seed={seed}")
    config = replace(config, time=replace(config.time, metre=part.metre, bpm=bpm, count_in_bars=1))
    clock = ManualClock()
    output = Heard(clock)
    grid = Grid.of(bpm, part.metre, STEPS).moved(-part.bar, 0.0)
    daemon = Daemon(assembly.musician(network, config, 0.0), clock, output)
    rehearse(daemon, clock, hands(part, grid, noise_s, seed), grid.close_s(len(part.lower) - 1 + part.upbeat))
    daemon.finish()
    channel = config.midi.output_channel - 1
    own = [(at, event) for at, event in output.sent if not isinstance(event, Realtime) and event.channel == channel]
    return on_grid(own, grid, part.upbeat)


def on_grid(sent: Sequence[tuple[float, Event]], grid: Grid, upbeat: int) -> list[Note]:
    """Return the notes by their ticks. A note that ends within its tick has length 0."""
    notes: list[Note] = []
    begun: dict[int, int] = {}
    for time_s, event in sent:
        tick = grid.nearest(time_s) - upbeat
        if isinstance(event, NoteOn):
            begun[event.key] = tick
        elif isinstance(event, NoteOff):
            notes.append(Note(event.key, begun.pop(event.key), tick))
    return notes


# --- counting --------------------------------------------------------------------------------------------------------


def clashes(part: Part, other: Frames) -> NDArray[np.int64]:
    """Count the pairs on strong beats, the minor seconds and the tritones among them, [sections, 3]."""
    found = np.zeros((len(part.lower) // (STRETCH_BARS * part.bar) + 2, 3), np.int64)
    player = part.played
    for tick in part.strong_ticks:
        steps = np.abs(np.flatnonzero(other[tick])[:, None] - np.flatnonzero(player[tick]))
        steps = steps[steps > 0] % 12
        stretch = (tick + part.upbeat) // (STRETCH_BARS * part.bar)
        found[stretch] += (len(steps), int((steps == 1).sum()), int((steps == 6).sum()))
    return found


def rates(found: NDArray[np.int64]) -> dict[str, float]:
    """Return the number of pairs and the shares of both intervals, from counts [sections, 3]."""
    pairs, seconds, tritones = found.sum(axis=0).tolist()
    return {
        "pairs": pairs,
        "minor_seconds": seconds / pairs,
        "tritones": tritones / pairs,
        "both": (seconds + tritones) / pairs,
    }


def ratio(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> dict[str, float]:
    """Return the ratio of the rates of two ways of playing, with its interval, from [takes, sections, 3]."""

    def of(chosen: Any) -> float:
        (a, b, c), (d, e, f) = (side[:, chosen].sum(axis=(0, 1)).tolist() for side in (ours, theirs))
        return float((b + c) / a / ((e + f) / d))

    chance = np.random.default_rng(0)
    again = [of(chance.integers(0, ours.shape[1], ours.shape[1])) for _ in range(RESAMPLED)]
    low, high = np.percentile(again, [2.5, 97.5]).tolist()
    return {"ratio": of(slice(None)), "low": low, "high": high}


def manners(part: Part, notes: list[Note], distance: int) -> NDArray[np.int64]:
    """Count livebach's notes in a take: all, on the player's held keys, in the player's last register."""
    player = part.played
    doubled = inside = 0
    for note in notes:
        recent = np.flatnonzero(player[max(0, note.start - part.bar) : note.start].any(axis=0)) + LOW_KEY
        doubled += note.end > note.start and bool(player[note.start, note.key - LOW_KEY])
        inside += len(recent) > 0 and recent[0] - distance <= note.key <= recent[-1] + distance
    return np.array([len(notes), doubled, inside])


def by_density(parts: list[Part], takes: list[list[Frames]]) -> list[dict[str, float]]:
    """Return the onsets per tick of both players, for each third of all bars, sorted by the player's density."""
    bars: list[list[float]] = []
    for part, several in zip(parts, takes, strict=True):
        player = (part.played == ONSET).sum(axis=1)
        own = np.mean([(frames == ONSET).sum(axis=1) for frames in several], axis=0)
        lower = (part.lower == ONSET).sum(axis=1)
        starts = range(part.bar, len(player) - part.bar, part.bar)
        bars += [[float(x[at : at + part.bar].mean()) for x in (player, own, lower)] for at in starts]
    thirds = np.array_split(np.array(sorted(bars)), 3)
    return [dict(zip(("player", "livebach", "bach"), third.mean(axis=0).tolist(), strict=True)) for third in thirds]


# --- the whole measurement -------------------------------------------------------------------------------------------


def measure(parts: list[Part], network: assembly.Loaded, config: Config, takes: int, noise_s: float) -> dict[str, Any]:
    """Play every piece `takes` times in all three ways."""
    played: dict[str, list[list[list[Note]]]] = {"duet": [], "blind": [], "deaf": []}
    for part in parts:
        for way, several in played.items():
            mode = Duet if way == "duet" else Blind
            with patch.dict(MODES, duet=ModeRow(mode, way)):
                several.append(
                    [perform(part, _heard(network, part, way), config, noise_s, seed) for seed in range(takes)]
                )
    frames = {
        way: [[frames_from_notes(n, len(p.lower)) for n in t] for p, t in zip(parts, several, strict=True)]
        for way, several in played.items()
    }
    counted = {
        way: np.stack(
            [np.concatenate([clashes(p, f[n]) for p, f in zip(parts, several, strict=True)]) for n in range(takes)]
        )
        for way, several in frames.items()
    }
    counted["bach"] = np.concatenate([clashes(part, part.lower) for part in parts])[None]
    distance = config.turns.register_margin
    struck, doubled, inside = sum(
        (manners(p, n, distance) for p, t in zip(parts, played["duet"], strict=True) for n in t), np.zeros(3, np.int64)
    ).tolist()
    return {
        "noise_ms": noise_s * 1000,
        "delay_ms": config.turns.delay_ms,
        "rates": {way: rates(each.sum(axis=0)) for way, each in counted.items()},
        "duet_to": {way: ratio(counted["duet"], counted[way]) for way in ("bach", "blind", "deaf")},
        "notes": {"struck": struck, "on_keys_the_player_holds": doubled, "in_the_players_register": inside},
        "onsets_a_tick_by_the_players": by_density(parts, frames["duet"]),
    }


def _heard(network: assembly.Loaded, part: Part, way: str) -> assembly.Loaded:
    return replace(network, engine=Deaf(network.engine, part.played)) if way == "deaf" else network  # type: ignore[arg-type]


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--split", choices=("valid", "test", "train"), default="valid")
    parser.add_argument("--takes", type=int, default=4, metavar="N", help="takes of each piece, each with its own seed")
    parser.add_argument("--noise-ms", type=float, default=15.0, help="standard deviation of the player's onsets")
    parser.add_argument("--delay-ms", type=float, default=Config().turns.delay_ms, help="turns.delay_ms")
    parser.add_argument("--checkpoint", default=DEFAULT, help="use another network than the shipped one")
    args = parser.parse_args()
    pieces = load_corpus(args.data, STEPS).splits[args.split]
    parts = [Part.read(args.data / piece.name) for piece in pieces]
    config = override(override(Config(), "turns.mode=duet"), f"turns.delay_ms={args.delay_ms}")
    network = assembly.with_touch(assembly.load_network(args.checkpoint))
    found = measure(parts, network, config, args.takes, args.noise_ms / 1000)
    print(json.dumps({"duet": found, "machine": machine(), "load_after": load_average()}, indent=1))


if __name__ == "__main__":
    main()
