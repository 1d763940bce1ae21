"""`livebach train`: train a network on a folder of MIDI files."""

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
from livebach.music.idiom import idiom_of
from livebach.music.score_reader import CorpusError, Piece
from livebach.network import checkpoint as checkpoints
from livebach.network.quotes import MOST_RUNS, Quotes
from livebach.network.spec import NetworkSpec
from livebach.network.touch_checkpoint import TouchError
from livebach.training.corpus import Corpus, load_corpus, load_pieces

if TYPE_CHECKING:
    from livebach.training.distributed import Ranks
    from livebach.training.loop import Trainer
    from livebach.training.run_files import TrainConfig

ERRORS = (CorpusError, checkpoints.CheckpointError, TouchError)
Spec = TypeVar("Spec")
Config = TypeVar("Config")
"""Dataclasses: the shape of a network, and the settings of its training."""
QUOTES_HELP = "protect this network's training music from quotation too, instead of that of --init-from"
NEEDS_TORCH = "training needs PyTorch: pip install 'livebach[train]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "--data", type=user_path, required=True, metavar="DIR", help="read every MIDI file below this folder"
    )
    parser.add_argument("--index", type=user_path, metavar="FILE", help=INDEX_HELP)
    parser.add_argument(
        "--touch", action="store_true", help="train the touch network (velocity, offset, pedal) on performances"
    )
    parser.add_argument(
        "--out", type=user_path, default=Path("runs/livebach"), metavar="DIR", help="the folder of the run"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in --out exactly where it stopped")
    start = "start from the weights of a style or checkpoint, with fine-tuning settings; --set may enlarge the network"
    parser.add_argument("--init-from", dest="start", type=path_of, metavar="FILE", help=start)
    group = parser.add_argument_group(
        "learning from other networks", "--set label_weight=0.5 weighs the scores against the teachers' predictions."
    )
    group.add_argument(
        "--teacher",
        type=user_path,
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint to learn from; may be repeated",
    )
    group.add_argument(
        "--played",
        type=user_path,
        metavar="DIR",
        help="music that networks played, learnt from the teachers alone; synthetic_share sets its share",
    )
    parser.add_argument(
        "--cache", type=user_path, metavar="DIR", help="share the cache of frames between runs (default: OUT/frames)"
    )
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="stop and save after this many minutes; --resume continues"
    )
    parser.add_argument("--updates", type=int, metavar="N", help="the length of the whole run")
    parser.add_argument("--seed", type=int, metavar="N", help="the seed of all random numbers")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="train on this device")
    parser.add_argument("--licence", default="unstated", help="the licence of the weights, stored in the checkpoint")
    parser.add_argument("--half", action="store_true", help="store the weights in half precision, in a smaller file")
    parser.add_argument("--quotes", type=path_of, metavar="FILE", help=QUOTES_HELP)
    parser.add_argument("--tensorboard", action="store_true", help="write logs for TensorBoard too")
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change settings of the run or of the network",
    )


def run(args: argparse.Namespace) -> int:
    """Train. Return 0 at the end or after --minutes, 130 after Ctrl-C. --resume can continue the run in both cases."""
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
    except loop.RankLost:
        return 1  # `_train` has said why
    except run_files.TrainingError as error:
        raise UserError(str(error)) from error


_NOT_WITH_TOUCH = ("teacher", "played", "updates", "device", "tensorboard")


def _run_touch(args: argparse.Namespace) -> int:
    """Train the touch network. It is small enough to train on the processor."""
    from livebach.training import touch_run

    other = next((name for name in _NOT_WITH_TOUCH if getattr(args, name)), None)
    if other is not None:
        raise UserError(f"--{other} does not go with --touch; use --set KEY=VALUE for its settings")
    order = touch_run.Run(args.data, args.out, args.cache, args.resume, args.minutes, args.start, args.licence)
    flags = {} if args.seed is None else {"seed": args.seed}
    begun = touch_run.begun(order)
    shape, config = settled(*begun, args.set, flags)
    if order.start is not None and shape != begun[0]:
        raise UserError(
            "--init-from: a touch network keeps its shape; --set velocity, offset and pedal do not go with it"
        )
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
        raise UserError(
            f"{args.out}: holds a run already; continue it with --resume, or start a new run with another --out"
        )
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
    """Return the best validation, or None before the first validation and without validation pieces."""
    return trainer.best if math.isfinite(trainer.best) else None


def _nothing(_: str) -> None:
    """Print nothing: only the first process reports."""


def _teachers(args: argparse.Namespace, spec: NetworkSpec) -> list[checkpoints.Checkpoint]:
    if args.played is not None and not args.teacher:
        raise UserError("--played needs a --teacher: that music is learnt from the teachers' predictions alone")
    found = [checkpoints.load(path) for path in args.teacher]
    for path, teacher in zip(args.teacher, found, strict=True):
        if teacher.spec.steps_per_quarter != spec.steps_per_quarter:
            other = f"has {teacher.spec.steps_per_quarter} steps a quarter note, the run {spec.steps_per_quarter}"
            raise UserError(f"--teacher {path}: {other}")
    return found


def _corpus(args: argparse.Namespace, spec: NetworkSpec, say: Callable[[str], None]) -> tuple[Corpus, list[Piece]]:
    """Return the corpus and the pieces that networks played, memory-mapped from the cache."""
    cache, steps = args.cache or args.out / "frames", spec.steps_per_quarter
    corpus = load_corpus(args.data, steps, report=say, cache=cache, index=args.index)
    played = load_pieces(args.played, steps, report=say, cache=cache) if args.played is not None else []
    args.out.mkdir(parents=True, exist_ok=True)
    say(corpus.summary().split("\nleft out")[0])
    if not corpus.splits["valid"]:
        say("no piece is for validation: the run keeps the last weights, without calibration")
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
    """Train, and return whether the run was interrupted in any process."""
    from livebach.training import loop

    def show_all(progress: Any) -> None:
        for listen in listeners:
            listen(progress)

    with _interruptible() as stop, _bar(trainer) as show:
        from livebach.training.tensorboard import tensorboard_writer

        listeners = [show] + ([tensorboard_writer(args.out)] if args.tensorboard else [])
        try:
            return loop.run(trainer, show_all if trainer.ranks.first else lambda _: None, stop, args.minutes)
        except loop.RankLost as error:
            # Said while SIGTERM is held back: torchrun sends it to the processes that are left, at any moment now.
            print(f"livebach train: {error}", file=sys.stderr)
            raise


def _settings(args: argparse.Namespace) -> tuple[NetworkSpec, TrainConfig]:
    """Return the settings: the defaults, then those of --resume or --init-from, then the flags and --set."""
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
    """Apply the flags and then the KEY=VALUE texts to both settings; raise UserError for an unknown or invalid one."""
    values = dict(flags)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set takes KEY=VALUE, got {assignment!r}")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UserError(f"--set {key}: not a value in YAML: {text!r}") from None
    ours, theirs = _parted(values, spec, config)
    return _replaced(spec, ours), _replaced(config, theirs)


def _parted(values: dict[str, Any], spec: Any, config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    from livebach.training.run_files import RENAMED

    names = [{f.name for f in fields(x)} for x in (spec, config)]
    unknown = sorted(set(values) - names[0] - names[1])
    if unknown and unknown[0] in RENAMED:
        raise UserError(f"--set: {unknown[0]!r} is now called {RENAMED[unknown[0]]!r}")
    if unknown:
        raise UserError(f"--set: no setting {unknown[0]!r}; the settings are {', '.join(sorted(names[0] | names[1]))}")
    return {k: v for k, v in values.items() if k in names[0]}, {k: v for k, v in values.items() if k in names[1]}


def _replaced(settings: Any, values: dict[str, Any]) -> Any:
    """Return `settings` with these values, each converted to the type of its default."""
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
    """Make Ctrl-C and SIGTERM stop the run after the current update; a second signal ends the process at once."""
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
    """Yield a reporter: a progress bar on a terminal if rich is installed, otherwise a line for each validation."""
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
    """Write the best weights so far as a checkpoint for playing, and return its path."""
    from livebach.training.model import to_checkpoint
    from livebach.training.run_files import CHECKPOINT_FILE

    path: Path = args.out / CHECKPOINT_FILE
    earlier = checkpoints.load(args.quotes).quotes if args.quotes is not None else trainer.quotes
    quotes = Quotes.of([piece.frames for piece in corpus.splits["train"]]).joined(earlier)
    model = trainer.best_model()
    if args.half:
        model = model.half().float()  # the stored input and output are computed with the rounded weights
    idiom = idiom_of(piece.frames for piece in corpus.splits["train"])
    found = replace(to_checkpoint(model, _meta(args, trainer, corpus), quotes), themes=trainer.themes, idiom=idiom)
    checkpoints.save(path, found, half=args.half)
    if not len(quotes.notes):
        print(f"quotations are not prevented: the training music has no run of 13 notes, or more than {MOST_RUNS}")
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
