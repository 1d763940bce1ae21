"""`livebach train`: build a network from a folder of MIDI files."""

from __future__ import annotations

import argparse
import math
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from livebach.commands.flags import INDEX_HELP, user_path
from livebach.errors import UserError
from livebach.files import check_folder
from livebach.live.assembly import path_of
from livebach.music.score_reader import CorpusError, Piece
from livebach.network import checkpoint as checkpoints
from livebach.network.quotes import MOST_RUNS, Quotes
from livebach.network.spec import NetworkSpec
from livebach.training.corpus import Corpus, load_corpus, load_pieces

if TYPE_CHECKING:
    from livebach.training.distributed import Ranks
    from livebach.training.loop import Trainer
    from livebach.training.run_files import TrainConfig

ERRORS = (CorpusError, checkpoints.CheckpointError)
Spec = TypeVar("Spec")
Config = TypeVar("Config")
"""Dataclasses of a network's shape and of the settings of its training."""
QUOTES_HELP = "a network whose training music must not be quoted either, in place of the one that it starts from"
NEEDS_TORCH = "training needs PyTorch: pip install 'livebach[train]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--data", type=user_path, required=True, metavar="DIR", help="every MIDI file below it is read")
    parser.add_argument("--index", type=user_path, metavar="FILE", help=INDEX_HELP)
    parser.add_argument(
        "--touch", action="store_true", help="train the touch network (velocity, offset, pedal) on performances"
    )
    parser.add_argument("--out", type=user_path, default=Path("runs/livebach"), metavar="DIR", help="the run's folder")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, exactly where it stopped")
    start = "start from the weights of a style or a checkpoint, with settings for that; --set may make it larger"
    parser.add_argument("--init-from", dest="start", type=path_of, metavar="FILE", help=start)
    group = parser.add_argument_group(
        "learning from other networks", "with --set written=0.5: how much what is written counts against their word"
    )
    group.add_argument(
        "--teacher",
        type=user_path,
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint; several times for several",
    )
    group.add_argument(
        "--played",
        type=user_path,
        metavar="DIR",
        help="music that networks played: only the teachers' word counts on it (--set played=0.3: share of the crops)",
    )
    parser.add_argument("--cache", type=user_path, metavar="DIR", help="of drawn frames, for several runs (OUT/frames)")
    parser.add_argument("--minutes", type=float, metavar="N", help="stop after so long, saved; --resume goes on")
    parser.add_argument("--updates", type=int, metavar="N", help="length of the whole run")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--licence", default="unstated", help="of the resulting weights; goes into the checkpoint")
    parser.add_argument("--half", action="store_true", help="write the weights in half precision: a smaller file")
    parser.add_argument("--quotes", type=path_of, metavar="FILE", help=QUOTES_HELP)
    parser.add_argument("--tensorboard", action="store_true", help="also write logs for TensorBoard")
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="any settings of the run or of the network",
    )


def run(args: argparse.Namespace) -> int:
    """Train; 0 when finished or stopped by --minutes, 130 after Ctrl-C. Both leave a run that --resume goes on with."""
    try:
        from livebach.training import distributed, loop, run_files
    except ImportError as error:
        raise UserError(f"{NEEDS_TORCH} ({error})") from error
    _check_minutes(args)
    for folder in (args.out, args.cache):
        if folder is not None:
            check_folder(folder)
    try:
        if args.touch:
            return _run_touch(args)
        spec, config = _settings(args)
        with distributed.joined(config.device) as joined:
            return _run(args, spec, config, joined)
    except loop.RankLost as error:
        print(f"livebach train: {error}", file=sys.stderr)
        return 1
    except run_files.TrainingError as error:
        raise UserError(str(error)) from error


_NOT_WITH_TOUCH = ("start", "teacher", "played", "updates", "device", "tensorboard")


def _run_touch(args: argparse.Namespace) -> int:
    """Train the touch network; it is small, and the processor is enough."""
    from livebach.training import touch_run

    other = next((name for name in _NOT_WITH_TOUCH if getattr(args, name)), None)
    if other is not None:
        flag = {"start": "from"}.get(other, other)
        raise UserError(f"--{flag} does not go with --touch: settings of its training are given by --set KEY=VALUE")
    order = touch_run.Run(args.data, args.out, args.cache, args.resume, args.minutes, args.licence)
    flags = {} if args.seed is None else {"seed": args.seed}
    shape, config = settled(*touch_run.begun(order), args.set, flags)
    with _interruptible() as stop:
        stopped = touch_run.train(order, shape, config, lambda line: print(line, flush=True), stop)
    return 130 if stopped else 0


def _check_minutes(args: argparse.Namespace) -> None:
    if args.minutes is not None and not args.minutes > 0:
        raise UserError(f"--minutes must be more than 0, got {args.minutes}")


def _run(args: argparse.Namespace, spec: NetworkSpec, config: TrainConfig, ranks: Ranks) -> int:
    from livebach.training.devices import reuse_freed_memory
    from livebach.training.loop import Trainer
    from livebach.training.run_files import STATE_FILE

    if (args.out / STATE_FILE).exists() and not args.resume:
        raise UserError(f"{args.out}: holds a run already: --resume goes on with it, another --out starts a new one")
    teachers = _teachers(args, spec)
    say = print if ranks.first else _nothing
    with ranks.first_goes_first():
        corpus, played = _corpus(args, spec, say)
    reuse_freed_memory()
    trainer = Trainer(spec, config, corpus, args.out, ranks, teachers, played)
    _take_up(args, trainer)
    interrupted = _train(args, trainer)
    if ranks.first:
        path = _export(args, trainer, corpus)
        best = _best(trainer)
        found = "no validation yet" if best is None else f"best validation {best:.4f} nats per frame"
        say(f"update {trainer.update} of {config.updates}; {found}; wrote {path}")
        if trainer.pace.moved:
            say(str(trainer.pace))
    return 130 if interrupted else 0


def _best(trainer: Trainer) -> float | None:
    """None before there was a validation, and where there is nothing to validate on."""
    return trainer.best if math.isfinite(trainer.best) else None


def _nothing(_: str) -> None:
    """What the other processes say."""


def _teachers(args: argparse.Namespace, spec: NetworkSpec) -> list[checkpoints.Checkpoint]:
    if args.played is not None and not args.teacher:
        raise UserError("--played needs a --teacher: only the teachers' word counts on that music")
    found = [checkpoints.load(path) for path in args.teacher]
    for path, teacher in zip(args.teacher, found, strict=True):
        if teacher.spec.steps_per_quarter != spec.steps_per_quarter:
            other = f"has {teacher.spec.steps_per_quarter} steps a quarter note, the run {spec.steps_per_quarter}"
            raise UserError(f"--teacher {path}: {other}")
    return found


def _corpus(args: argparse.Namespace, spec: NetworkSpec, say: Callable[[str], None]) -> tuple[Corpus, list[Piece]]:
    """The pieces, and those that networks played, memory-mapped from a cache: in the run's folder if nowhere else."""
    cache, steps = args.cache or args.out / "frames", spec.steps_per_quarter
    corpus = load_corpus(args.data, steps, report=say, cache=cache, index=args.index)
    played = load_pieces(args.played, steps, report=say, cache=cache) if args.played is not None else []
    args.out.mkdir(parents=True, exist_ok=True)
    say(corpus.summary().split("\nleft out")[0])
    if not corpus.splits["valid"]:
        say("no piece is for validation: the last weights will count, and will not be calibrated")
    if played:
        say(f"played by networks: {len(played)} pieces, {sum(len(p.frames) for p in played)} frames")
    return corpus, played


def _take_up(args: argparse.Namespace, trainer: Trainer) -> None:
    if args.resume:
        trainer.resume()
        if trainer.other_music and trainer.ranks.first:
            print(f"note: {trainer.other_music}")
    elif args.start is not None:
        weights = checkpoints.load(args.start)
        try:
            trainer.start_from(weights, args.start.name)
        except ValueError as error:
            raise UserError(f"--init-from {args.start}: {error}") from error


def _train(args: argparse.Namespace, trainer: Trainer) -> bool:
    """Whether it was interrupted, in whichever process."""
    from livebach.training import loop

    def show_all(progress: Any) -> None:
        for listen in listeners:
            listen(progress)

    with _interruptible() as stop, _bar(trainer) as show:
        from livebach.training.tensorboard import tensorboard_writer

        listeners = [show] + ([tensorboard_writer(args.out)] if args.tensorboard else [])
        return loop.run(trainer, show_all if trainer.ranks.first else lambda _: None, stop, args.minutes)


def _settings(args: argparse.Namespace) -> tuple[NetworkSpec, TrainConfig]:
    """Defaults, then what --resume or --init-from bring, then flags and --set."""
    from livebach.training import run_files

    spec, config = NetworkSpec(), run_files.TrainConfig()
    if args.resume:
        header = run_files.read_state_header(args.out / run_files.STATE_FILE)
        spec, config = NetworkSpec.from_dict(header["spec"]), run_files.TrainConfig(**header["config"])
    elif args.start is not None:
        spec = checkpoints.load(args.start).spec
        if not any(assignment.partition("=")[0] in spec.to_dict() for assignment in args.set):
            config = replace(config, **run_files.FINE_TUNING)
    flags = {k: v for k in ("updates", "seed", "device") if (v := getattr(args, k)) is not None}
    return settled(spec, config, args.set, flags)


def settled(spec: Spec, config: Config, assignments: Sequence[str], flags: Mapping[str, Any]) -> tuple[Spec, Config]:
    """A network's and its training's settings with flags put in, then KEY=VALUE; UserError for what is none of them."""
    values = dict(flags)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set takes KEY=VALUE, got {assignment!r}")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UserError(f"--set {key}: not a value: {text!r}") from None
    ours, theirs = _parted(values, spec, config)
    return _replaced(spec, ours), _replaced(config, theirs)


def _parted(values: dict[str, Any], spec: Any, config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    from livebach.training.run_files import RENAMED

    names = [{f.name for f in fields(x)} for x in (spec, config)]
    unknown = sorted(set(values) - names[0] - names[1])
    if unknown and unknown[0] in RENAMED:
        raise UserError(f"--set: {unknown[0]!r} is now called {RENAMED[unknown[0]]!r}")
    if unknown:
        raise UserError(f"--set: no setting {unknown[0]!r}; there are {', '.join(sorted(names[0] | names[1]))}")
    return {k: v for k, v in values.items() if k in names[0]}, {k: v for k, v in values.items() if k in names[1]}


def _replaced(settings: Any, values: dict[str, Any]) -> Any:
    """`settings` with the values put in, each of the type of its default."""
    for key, value in values.items():
        old = getattr(settings, key)
        if isinstance(old, tuple) and isinstance(value, list):
            values[key] = tuple(value)
        elif isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
            values[key] = float(value)
        elif type(value) is not type(old):
            kind = "list" if isinstance(old, tuple) else type(old).__name__
            raise UserError(f"{key} must be {kind}, as its default {old!r}, got {value!r}")
    try:
        return replace(settings, **values)
    except ValueError as error:
        raise UserError(f"--set: {error}") from error


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask the run to stop after the update it is in; a second one ends it at once."""
    asked: list[int] = []

    def ask(number: int, _: Any) -> None:
        asked.append(number)
        for kind, handler in before.items():
            signal.signal(kind, handler)

    before = {kind: signal.signal(kind, ask) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def _bar(trainer: Trainer) -> Iterator[Callable[[Any], None]]:
    """A progress bar on a terminal where rich is installed; elsewhere a line whenever there is a new validation."""
    if not sys.stdout.isatty() or not trainer.ranks.first or find_spec("rich") is None:
        yield _line_printer(trainer)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    count = TextColumn("{task.completed}/{task.total}")
    with Progress(TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn()) as progress:
        task = progress.add_task("starting", total=trainer.config.updates, completed=trainer.update)
        yield lambda p: progress.update(task, completed=p.update, description=_words(p))


def _words(p: Any) -> str:
    return f"loss {p.loss:.3f}  validation {p.valid:.3f} (best {p.best:.3f})  {p.frames_per_s:.0f} frames/s"


def _line_printer(trainer: Trainer) -> Callable[[Any], None]:
    def show(p: Any) -> None:
        if p.update % trainer.config.validate_every == 0 or p.update == p.updates:
            print(f"update {p.update}/{p.updates}  {_words(p)}  {p.seconds_left / 60:.0f} min left", flush=True)

    return show


def _export(args: argparse.Namespace, trainer: Trainer, corpus: Corpus) -> Path:
    """The best weights so far as a checkpoint that the daemon plays."""
    from livebach.training.model import to_checkpoint
    from livebach.training.run_files import CHECKPOINT_FILE

    path: Path = args.out / CHECKPOINT_FILE
    earlier = checkpoints.load(args.quotes).quotes if args.quotes is not None else trainer.quotes
    quotes = Quotes.of([piece.frames for piece in corpus.splits["train"]]).joined(earlier)
    model = trainer.best_model()
    if args.half:
        model = model.half().float()  # the stored pair is that of the rounded weights
    found = replace(to_checkpoint(model, _meta(args, trainer, corpus), quotes), themes=trainer.themes)
    checkpoints.save(path, found, half=args.half)
    if not len(quotes.notes):
        print(f"it is not kept from quoting: its music has no run of 13 notes, or more than {MOST_RUNS} of them")
    return path


def _meta(args: argparse.Namespace, trainer: Trainer, corpus: Corpus) -> dict[str, Any]:
    return {
        "data": {k: {"pieces": len(v), "frames": sum(len(p.frames) for p in v)} for k, v in corpus.splits.items()},
        "licence": args.licence,
        "metrics": {"valid_nats_per_frame": _best(trainer), "update": trainer.update, "seconds": trainer.seconds},
        "config": asdict(trainer.config),
        "started_from": trainer.started_from,
        "teachers": [path.name for path in args.teacher],
    }
