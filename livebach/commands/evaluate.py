"""`livebach evaluate`: measure the likelihood of MIDI files, or the music that a network plays alone."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from livebach.commands.flags import INDEX_HELP, add_settings, settings, user_path, whole
from livebach.config import Config
from livebach.errors import UserError
from livebach.evaluation import musical_report, rollout_report, rollout_runs, touch
from livebach.evaluation.likelihood import MarkovKeys, Tally, tally
from livebach.evaluation.roll_statistics import WINDOW
from livebach.files import check_new_folder, new_folder
from livebach.live.assembly import path_of
from livebach.music.score_reader import CorpusError, Piece
from livebach.network.checkpoint import CheckpointError, load
from livebach.network.engine import Engine
from livebach.network.touch import TouchNetwork
from livebach.network.touch_checkpoint import TouchError
from livebach.network.touch_checkpoint import load as load_touch
from livebach.training.corpus import Corpus, load_corpus
from livebach.training.licence_index import SPLITS
from livebach.training.performances import load_performances, lost_line, split_performances

ERRORS = (CorpusError, CheckpointError, TouchError)
MOST_ROLLOUTS = 1000
MOST_FRAMES = 1_000_000
MOST_JOBS = 256
_SETTINGS = ("--temperature", "--min-p", "--seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("checkpoint", type=path_of, metavar="CHECKPOINT", help="the name of a style, or a file")
    parser.add_argument(
        "--data", type=user_path, required=True, metavar="DIR", help="read every MIDI file below this folder"
    )
    parser.add_argument("--index", type=user_path, metavar="FILE", help=INDEX_HELP)
    parser.add_argument(
        "--split",
        choices=("train", "valid", "test", "all"),
        default="valid",
        help="the pieces to measure (default: valid)",
    )
    parser.add_argument("--json", action="store_true", help="print every figure as JSON")
    parser.add_argument(
        "--given", action="store_true", help="measure how much a given top voice helps to predict the keys below it"
    )
    parser.add_argument("--touch", action="store_true", help="measure a touch network: velocities, offsets and pedal")
    group = parser.add_argument_group(
        "roll-outs", "With --rollouts the network plays alone, and its music is measured."
    )
    group.add_argument(
        "--rollouts",
        type=whole(1, MOST_ROLLOUTS),
        metavar="N",
        help="play this many roll-outs, each primed with 4 bars of a piece",
    )
    group.add_argument(
        "--frames",
        type=whole(WINDOW, MOST_FRAMES),
        default=7200,
        metavar="N",
        help="the length of each roll-out in ticks (default: 7200)",
    )
    group.add_argument(
        "--out", type=user_path, metavar="DIR", help="write notes, figures and pictures to this new folder"
    )
    group.add_argument("--sweep", action="store_true", help="repeat at low, middle and high density and polyphony")
    group.add_argument(
        "--jobs", type=whole(1, MOST_JOBS), default=1, metavar="N", help="play this many roll-outs at once (default: 1)"
    )
    add_settings(parser, _SETTINGS)


def run(args: argparse.Namespace) -> int:
    """Measure, and print a table or JSON. Return 0 for any figures."""
    if args.rollouts is None and (args.out is not None or args.sweep):
        raise UserError("--out and --sweep need --rollouts N")
    if args.out is not None:
        check_new_folder(args.out)
    config = settings(args)
    if args.touch:
        return _touch(args, config)
    engine = Engine(load(args.checkpoint))
    corpus = load_corpus(args.data, engine.spec.steps_per_quarter, report=_aside, index=args.index)
    pieces = chosen(corpus, args.split, args.data)
    if args.rollouts is None:
        report, table = likelihood(engine, corpus, pieces, args.given), likelihood_table
    else:
        report, table = _rollouts(args, config, corpus, pieces, engine.spec.steps_per_quarter), rollout_table
    report = {"checkpoint": str(args.checkpoint), "split": args.split, **report}
    print(json.dumps(report, indent=1) if args.json else table(report))
    return 0


def _touch(args: argparse.Namespace, config: Config) -> int:
    """Measure a touch network on performances. The split is by work."""
    if args.rollouts is not None or args.given:
        raise UserError("--rollouts and --given do not go with --touch")
    network = TouchNetwork(load_touch(args.checkpoint))
    performances = load_performances(args.data, report=_aside)
    parts = {"all": performances, "train": performances} if args.split == "all" else split_performances(performances)
    pieces = parts[args.split]
    if not pieces:
        raise UserError(f"{args.data}: none of its works is in the split {args.split}; --split all measures all pieces")
    _aside(lost_line(pieces))
    found = touch.report(network, parts["train"], pieces, config.sampling.seed or 0, _aside)
    found = {"checkpoint": str(args.checkpoint), "split": args.split, **found}
    print(json.dumps(found, indent=1) if args.json else touch.table(found))
    return 0


def _aside(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def chosen(corpus: Corpus, split: str, folder: Path) -> list[Piece]:
    """Return the pieces of a split; raise UserError if the split is empty."""
    names = SPLITS if split == "all" else (split,)
    pieces = [piece for name in names for piece in corpus.splits[name]]
    if not pieces:
        total = sum(len(p) for p in corpus.splits.values())
        raise UserError(
            f"{folder}: none of its {total} pieces is in the split {split}; --split all measures all pieces"
        )
    return pieces


# -- likelihood -------------------------------------------------------------------------------------------------------


def likelihood(engine: Engine, corpus: Corpus, pieces: Sequence[Piece], given: bool) -> dict[str, Any]:
    """Return the figures, pooled and by piece, as plain JSON values."""
    naive = MarkovKeys(corpus.splits["train"])
    tallies = {piece.name: tally(engine, piece, naive, given) for piece in pieces}
    return {
        "pooled": sum(tallies.values(), Tally()).to_dict(),
        "pieces": [{"name": name, **one.to_dict()} for name, one in tallies.items()],
    }


def likelihood_table(report: dict[str, Any]) -> str:
    """Return the figures as a table for people."""
    pooled = report["pooled"]
    rows = [f"{'':32} {'frames':>7} {'onsets':>7} {'nats/frame':>11} {'nats/onset':>11}"]
    rows += [_row(piece["name"], piece) for piece in report["pieces"]]
    rows.append(_row(f"all {len(report['pieces'])} pieces", pooled))
    for label, figures in (
        ("  frames that change", pooled["changing"]),
        ("  frames that repeat", pooled["repeating"]),
        ("  without adaptation", pooled["without_adaptation"]),
        ("  texture given", pooled["with_texture"]),
        ("  each key a Markov chain", pooled["naive"]),
    ):
        rows.append(_row(label, figures))
    rows.append(f"  expected onsets, as a share of the real onsets: {_number(pooled['expected_onsets'])}")
    if below := pooled.get("below_the_top_voice"):
        rows.append(_row("  keys below the top voice", below))
        for label, name in (("given", ""), ("its key given", "only_its_key_")):
            kept = {"nats_per_frame": below[f"{name or ''}given_nats_per_frame"], "frames": below["frames"]}
            rows.append(f"{_row('    ' + label, kept)}  lower by {100 * (below[name + 'lower_by'] or 0):.1f} %")
    return "\n".join(rows)


def _row(label: str, figures: dict[str, Any]) -> str:
    counts = "".join(f" {figures.get(name, ''):>7}" for name in ("frames", "onsets"))
    return f"{label:32}{counts}" + "".join(
        f" {_number(figures.get(n, '')):>11}" for n in ("nats_per_frame", "nats_per_onset")
    )


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else str(value)


# -- roll-outs --------------------------------------------------------------------------------------------------------


def _rollouts(
    args: argparse.Namespace, config: Config, corpus: Corpus, pieces: Sequence[Piece], steps_per_quarter: int
) -> dict[str, Any]:
    real = rollout_report.reference(corpus)
    tasks = rollout_runs.tasks(config, pieces, args.frames, args.rollouts)
    played = rollout_runs.play_all(args.checkpoint, tasks, args.jobs, _progress(args.rollouts))
    report = {"settings": rollout_runs.described(config, args.frames), **rollout_report.report(real, played)}
    report["memory_and_style"] = musical_report.compared(played, pieces)
    if args.sweep:
        report["sweep"] = {knob: _swept(args, config, pieces, real, knob) for knob in rollout_runs.KNOBS}
    if args.out is not None:
        with new_folder(args.out) as folder:
            _write(folder, report, real, played)
            for number, record in enumerate(played, 1):
                record.save(folder / f"rollout{number:02}", config.time.bpm, steps_per_quarter)
        _aside(f"wrote {args.out}")
    return report


def _swept(
    args: argparse.Namespace, config: Config, pieces: Sequence[Piece], real: rollout_report.Reference, knob: str
) -> dict[str, Any]:
    found = {}
    for name, turned in rollout_runs.turned(config, knob).items():
        tasks = rollout_runs.tasks(turned, pieces, args.frames, args.rollouts)
        played = rollout_runs.play_all(args.checkpoint, tasks, args.jobs, _progress(args.rollouts, f"{knob} {name}, "))
        found[name] = rollout_report.summary(real, played, rollout_runs.KNOBS[knob])
    return found


def _progress(count: int, label: str = "") -> Callable[[int], None]:
    """Return a function that reports each finished roll-out on standard error."""
    return lambda done: _aside(f"{label}roll-out {done} of {count}")


def _write(
    folder: Path, report: dict[str, Any], real: rollout_report.Reference, played: Sequence[rollout_runs.RollOutRecord]
) -> None:
    """Write the report, and pictures if matplotlib is installed."""
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    try:
        rollout_report.draw(folder, report, real, played)
    except UserError as error:
        _aside(f"no pictures: {error}")


def rollout_table(report: dict[str, Any]) -> str:
    """Return the figures with their bounds, and the sweeps, as a table for people."""
    rows = [f"{'':44} {'found':>9} {'from':>9} {'to':>9}"]
    for one in report["checks"]:
        numbers = "".join(f" {'' if one[k] is None else _short(one[k]):>9}" for k in ("value", "low", "high"))
        rows.append(f"{one['name']:44}{numbers}  {'' if one['ok'] else 'out of bounds'}")
    rows += ["", *musical_report.table(report["memory_and_style"]), ""]
    for knob, settings_ in report.get("sweep", {}).items():
        for name, found in settings_.items():
            rows.append(f"{knob} {name}: onset rate {found['onset_rate']:.3f}, polyphony {found['polyphony']:.2f}")
            rows.append(f"  {_alike(found['alike'])}")
    return "\n".join(rows)


def _alike(found: dict[str, Any]) -> str:
    """Describe how a sweep's roll-outs compare with real music of the same density or polyphony."""
    if "overlaps" not in found:
        return f"too little comparable real music: {found['windows']} windows of {found['pieces']} pieces"
    shares = ", ".join(f"{name} {_short(found['overlaps'][name]['share'])}" for name in rollout_report.ALIKE)
    return (
        f"overlap relative to real music, {found['windows']} comparable windows of {found['pieces']} pieces: {shares}"
    )


def _short(value: float) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
