"""`livebach generate`: write music to a MIDI file, offline."""

from __future__ import annotations

import argparse
from dataclasses import replace

from livebach.commands.flags import add_settings, check_used, is_set, settings, user_path, whole
from livebach.config import Config
from livebach.files import check_new, write_new
from livebach.live.assembly import configured_network, seeded, sound_source
from livebach.music.metre import Metre
from livebach.music.midi_writer import Ruler, score_to_midi
from livebach.music.performed_score import performance_of
from livebach.music.prime import Prime, prime_of
from livebach.music.score_reader import CorpusError, read_score
from livebach.music.touch import PARTS, STEPS_PER_QUARTER
from livebach.musician.rollout import PRIME_BARS, music
from livebach.musician.rollout_touch import FINE, touched_tracks

ERRORS = (CorpusError,)
MAX_BARS = 100_000
UNSTATED_QUARTER_US = 500_000
"""The tempo of a MIDI file that states none: 120 quarter notes a minute."""
_SETTINGS = (
    *("--bpm", "--metre", "--checkpoint", "--temperature", "--min-p", "--seed"),
    *("--instrument", "--temperament", "--pitch-hz", "--soundfont"),
)
USED = (
    *("time.bpm", "time.metre", "engine.checkpoint", "engine.fast", "engine.adapt", "sampling.temperature"),
    *("sampling.min_p", "sampling.density", "sampling.polyphony", "sampling.max_quote_notes", "sampling.seed"),
    *("sampling.key", "sampling.register"),
    *("engine.touch_checkpoint", "sound.touch", "sound.velocity_default", "sound.pedal"),
    *("sound.instrument", "sound.temperament", "sound.pitch_hz", "sound.soundfont"),
)
"""The settings that `generate` uses."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "--bars",
        type=whole(1, MAX_BARS),
        default=32,
        metavar="N",
        help="write this many bars after the prime (default: 32)",
    )
    parser.add_argument(
        "--prime", type=user_path, metavar="FILE.mid", help="continue this file, in its metre and tempo"
    )
    parser.add_argument(
        "--prime-bars",
        type=whole(1, MAX_BARS),
        default=PRIME_BARS,
        metavar="N",
        help=f"read this many full bars of the prime (default: {PRIME_BARS})",
    )
    parser.add_argument("-o", "--out", type=user_path, required=True, metavar="OUT.mid")
    parser.add_argument("--wav", type=user_path, metavar="FILE.wav", help="write the music as sound too")
    add_settings(parser, _SETTINGS)


def run(args: argparse.Namespace) -> int:
    """Write the file, and print its name."""
    check_new(args.out)
    config = seeded(settings(args))
    check_used(args, lambda key: key in USED, f"generate uses {', '.join(USED)}")
    source = None
    if args.wav is not None:
        check_new(args.wav)
        source = sound_source(config)
    network = configured_network(config)
    engine = network.engine
    steps = engine.spec.steps_per_quarter
    prime = _prime(args, config, steps) if args.prime else None
    frames, _ = music(engine, config, args.bars, prime)
    touched = touched_tracks(frames, steps, prime, network.touch, config)
    metres, tempos = _conducted(args, config, prime)
    tracks = [(name, notes) for name, notes in touched.notes.items() if prime is not None or name != "prime"]
    metres_at = [(tick * FINE, metre) for tick, metre in metres]
    tempos_at = [(tick * FINE, quarter_us) for tick, quarter_us in tempos]
    write_new(args.out, score_to_midi(tracks, metres_at, tempos_at, steps * FINE, touched.pedals))
    print(f"wrote {args.out}: {args.bars} bars of {metres[-1][1]}")
    if source is not None:
        print(f"wrote {source.render(args.out, args.wav)}: {source.title}")
    return 0


def _prime(args: argparse.Namespace, config: Config, steps_per_quarter: int) -> Prime:
    """Return the beginning of the prime's file. The metre of the command line overrides that of the file."""
    score = read_score(args.prime, steps_per_quarter)
    played = None
    if steps_per_quarter == STEPS_PER_QUARTER:
        played = performance_of(args.prime.name, read_score(args.prime, STEPS_PER_QUARTER * PARTS))
    if is_set(args, "time.metre"):
        score = replace(score, metres=((0, config.time.metre),))
    prime = prime_of(score, args.prime_bars, played)
    if prime.lost:
        print(f"{args.prime}: left out {prime.lost} notes whose key is struck twice in one 16th")
    return prime


def _conducted(
    args: argparse.Namespace, config: Config, prime: Prime | None
) -> tuple[tuple[tuple[int, Metre], ...], tuple[tuple[int, int], ...]]:
    """Return the metres and tempos: those of the prime, unless the command line sets the tempo."""
    metres = prime.metres if prime else ((0, config.time.metre),)
    if prime and not is_set(args, "time.bpm"):
        return metres, prime.tempos or ((0, UNSTATED_QUARTER_US),)
    return metres, ((0, Ruler(config.time.bpm, metres[-1][1]).quarter_us),)
