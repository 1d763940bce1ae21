"""What each setting does, in words; and config.yaml and docs/settings.md, which are written from these words.

`python -m livebach.setting_texts`, in a checkout, writes both files again. A test holds them equal to the table: the
settings, their rules and defaults are those of `config`, the controls and modes those of `controls`.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from livebach.config import Config, Setting, table, to_dict
from livebach.controls import CONTROLS, MODES

WIDTH, COLUMN = 120, 26
HEAD = """\
# livebach: every setting with its default. docs/settings.md has the same on a page. Copy this file, change the copy,
# and start with `livebach --config FILE`; or set one value for one session: `livebach --set time.bpm=72`. An unknown
# name or an invalid value is an error and never ignored.
"""
SECTIONS = {
    "midi": "Ports and channels.",
    "time": "Tempo, metre, count-in and click.",
    "turns": "Who plays when.",
    "sampling": "How the network's probabilities become notes.",
    "sound": "How livebach's notes are played, and the built-in instruments.",
    "control": (
        "What you do while playing, by controllers, keys or programs: cc 21, note 36, note 36 channel 10, program "
        "5; several with commas between. `= VALUE` sets that value: «program 1 = duet, program 2 = listen». Without "
        "a value a controller moves a dial all its way, and a key or a program takes the next position. `livebach "
        "learn NAME` finds the number. A message that is bound is not played."
    ),
    "take": "Where what you play is kept.",
    "engine": "The network.",
    "web": "The page in the browser (`livebach web`, or `--web`).",
}
TEXTS = {
    "midi.input": (
        "the keyboard's port, or a part of its name; `livebach ports` lists the ports. virtual: a port of "
        "livebach's own"
    ),
    "midi.output": "the synth's port, likewise",
    "midi.api": "the MIDI system; null: all that run on this machine",
    "midi.wait": "on: wait until both ports are there; off: give up",
    "midi.input_channel": "listen to this channel only; null: to all channels",
    "midi.output_channel": "livebach's own channel. Choose one that you do not play on",
    "midi.program": "the program of livebach's channel (General MIDI: 1 grand piano, 7 harpsichord, 20 church organ)",
    "midi.thru": "what you play goes to the synth too; off for a keyboard with a sound of its own",
    "midi.feedback_filter": "livebach ignores its own notes where a cable brings them back; off: they count as yours",
    "midi.latency_ms": "milliseconds by which livebach's notes leave early for a slow synth, at most .45 of a 16th",
    "time.bpm": "beats a minute; the metre says what a beat is (6/8: a dotted quarter)",
    "time.metre": "the time signature",
    "time.clock": (
        "internal: livebach keeps the tempo. external: the MIDI clock that comes in on midi.input does, with start, "
        "stop and song position. player: livebach follows the beat of your free playing; time.bpm is about your "
        "tempo"
    ),
    "time.send_clock": (
        "on: a MIDI clock goes to midi.output, for a drum machine or another program: 24 pulses a quarter note, "
        "start with your downbeat, stop when livebach waits for you"
    ),
    "time.count_in_bars": "bars of clicks before the first downbeat; 0: your first note is the downbeat",
    "time.click": "a metronome while you play",
    "time.click_channel": "the channel of count-in and click (General MIDI has drums on 10)",
    "turns.silence_ticks": "livebach takes over at the next beat after so many silent ticks (16th notes)",
    "turns.pedal_counts": "a pedal that is held down is not silence",
    "turns.mode": "; ".join(f"{name}: {row.summary}" for name, row in MODES.items()),
    "turns.register_margin": "semitones that livebach stays away from your register in a duet",
    "turns.delay_ms": (
        "milliseconds; in a duet livebach's notes come so long after the tick: they answer what you strike on it"
    ),
    "turns.takeover": "silence: livebach continues when you pause. control: only when you ask (control.takeover)",
    "turns.bars": (
        "livebach plays this number of bars and then listens; phrase: as many as yours; null: until you play again"
    ),
    "turns.ending": "how these bars end. cadence: the last bar is the closing chord. cut: they stop",
    "sampling.temperature": "lower is more predictable, higher is wilder",
    "sampling.min_p": "choices less likely than this share of the likeliest are left out",
    "sampling.density": (
        "how many notes, from 0, few, to 7. follow: as many as you play. off: as the network likes. In a duet both "
        "players' notes count"
    ),
    "sampling.polyphony": "how many notes at once, from 0, few, to 7; follow and off likewise",
    "sampling.register": "the MIDI key that livebach plays around (60 is middle C); off: as the network likes",
    "sampling.key": "pitches outside this key become rare; auto: the key that you play in; null: any pitch",
    "sampling.max_quote_notes": (
        "the most notes in a row, in any key, that livebach takes from the music it was trained on; so many do "
        "Bach's own pieces have in common. off: any number"
    ),
    "sampling.seed": "the same seed and the same playing give the same notes; null: a new seed each time",
    "sound.instrument": "the built-in instrument that sounds without a synth",
    "sound.temperament": "the tuning of the built-in instruments",
    "sound.pitch_hz": "hertz of the A above middle C. 415 is the pitch of many baroque ensembles, 465 of many organs",
    "sound.latency_ms": "milliseconds from a key to the built-in instruments' sound; longer where the sound breaks up",
    "sound.device": "a part of the loudspeakers' name; null: the system's usual ones; silent: none",
    "sound.soundfont": "a file FILE.sf2: FluidSynth plays with these sounds instead; FluidSynth must be installed",
    "sound.touch": (
        "learned: as pianists play and as you do, with dynamics note by note, swing and triplets. follow: as loud "
        "as you play, on the 16ths. A number: always this velocity"
    ),
    "sound.pedal": "livebach's own sustain pedal. follow: livebach pedals if you do. Never on harpsichord and organ",
    "sound.velocity_default": "the velocity of livebach's notes until you have played",
    "sound.articulation": "how much of its last tick a note fills; 1: legato",
    "sound.humanize_ms": "milliseconds; each note starts up to so much late, by chance",
    "sound.voices": (
        "so many voices, each on a channel of its own: the highest on midi.output_channel, the others on the "
        "channels after it; null: all on one channel"
    ),
    "take.folder": "each take gets a folder of its own in this folder; nothing is ever overwritten",
    "take.save": "off: keep nothing",
    "engine.checkpoint": "the network: a style (`livebach styles` lists the styles) or a checkpoint's file",
    "engine.touch_checkpoint": (
        "how livebach's keys are struck: a file that `livebach train --touch` wrote; null: the network that comes with "
        "livebach"
    ),
    "engine.lead_ms": "milliseconds before a tick at which the network is asked. Raise it if deadlines are missed",
    "engine.fast": (
        "numba compiles the choice of a frame and its touch (pip install numba): faster, but ready 0.8 s later and "
        "130 MB larger; the first start compiles for half a minute"
    ),
    "engine.reload_on_change": (
        "when the checkpoint's file changes while livebach plays, the new network plays on; off: when asked "
        "(control.swap)"
    ),
    "engine.adapt": (
        "the network learns your style from what you play, until a reset or the end; off: it stays as it is"
    ),
    "web.port": "the port of the page, on this machine alone; 0: any free port",
    "web.delay_ms": (
        "milliseconds; on the page livebach's notes sound so long after they are due, so that all are on time"
    ),
    "web.open": "the browser is opened; off: only the address is printed",
}
"""What each setting does; those of the section `control` are in the table of controls."""


def text_of(key: str) -> str:
    """Return what a setting does, by «section.key»."""
    section, _, name = key.partition(".")
    return CONTROLS[name].summary if section == "control" else TEXTS[key]


def written(value: Any) -> str:
    """Return a default as YAML has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def allowed(key: str, setting: Setting) -> str:
    """Return what is allowed, in few words; nothing where the description says all."""
    words = setting.rule.allowed.replace("a whole number in ", "").replace("a number in ", "").replace(", or null", "")
    known = all(word in text_of(key) for word in words.split(" or "))
    if key.startswith("control.") or isinstance(setting.default, bool) or words.startswith("a text") or known:
        return ""
    return words


def config_yaml() -> str:
    """Return the text of config.yaml."""
    parts = [HEAD]
    defaults = to_dict(Config())
    for section, settings in table().items():
        parts.append(_commented(f"{section}:", SECTIONS[section]))
        for name, setting in settings.items():
            key = f"{section}.{name}"
            said, words = text_of(key), allowed(key, setting)
            if words:
                said = f"{said}, {words}" if ":" in words else f"{words}: {said}"
            parts.append(_commented(f"  {name}: {written(defaults[section][name])}", said))
        parts.append("")
    return "\n".join(parts)


def _commented(line: str, comment: str) -> str:
    """Return a line of YAML with its comment, wrapped."""
    indent = " " * COLUMN
    wrapped = textwrap.wrap(comment, WIDTH - COLUMN - 2, break_long_words=False, break_on_hyphens=False)
    first = f"{line:<{COLUMN}}" if len(line) < COLUMN else f"{line}  "
    if len(first) + len(wrapped[0]) + 2 > WIDTH:
        return "\n".join([line, *(f"{indent}# {text}" for text in wrapped)])
    return "\n".join([f"{first}# {wrapped[0]}", *(f"{indent}# {text}" for text in wrapped[1:])])


def settings_page() -> str:
    """Return the text of docs/settings.md."""
    parts = [
        "# Settings",
        "",
        "<!-- `python -m livebach.setting_texts` writes this page from the tables of the code. -->",
        "",
        "A file of settings has the form of [config.yaml](../config.yaml): `livebach --config FILE` reads the file.",
        "`livebach --set time.bpm=72` sets one value for one session. An unknown name or an invalid value is reported",
        "in one line, and nothing starts.",
    ]
    defaults = to_dict(Config())
    for section, settings in table().items():
        parts += ["", f"## {section}", "", SECTIONS[section], ""]
        if section == "control":
            parts += ["| setting | what it does | keys of the terminal |", "|---|---|---|"]
            parts += [f"| `control.{name}` | {text_of(f'control.{name}')} | {_keys(name)} |" for name in settings]
            continue
        parts += ["| setting | default | allowed | what it does |", "|---|---|---|---|"]
        for name, setting in settings.items():
            cells = [f"`{section}.{name}`", f"`{written(defaults[section][name])}`", setting.rule.allowed]
            parts.append(f"| {' | '.join(cells)} | {text_of(f'{section}.{name}')} |")
    return "\n".join([*parts, ""])


def _keys(name: str) -> str:
    return ", ".join(f"`{'space' if key == ' ' else key}`" for key in CONTROLS[name].keys)


def main() -> None:
    """Write both files of this checkout again."""
    top = Path(__file__).parent.parent
    (top / "config.yaml").write_text(config_yaml(), "utf-8")
    (top / "docs" / "settings.md").write_text(settings_page(), "utf-8")


if __name__ == "__main__":
    main()
