"""The training loop: updates, validation, averaged weights, saving and exact resumption.

Every draw of an update comes from the run's seed and the number of the update: there is no random state to save.
Knows the network and the pieces; where they come from and how progress is shown is the caller's.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from livebach.music.roll import UNKNOWN
from livebach.music.score_reader import Piece
from livebach.network.checkpoint import Checkpoint
from livebach.network.quotes import NOTHING, Quotes
from livebach.network.spec import NetworkSpec
from livebach.network.theme_evidence import ThemeWeights
from livebach.training.batches import Batch, Sampler
from livebach.training.corpus import Corpus
from livebach.training.devices import matmul_peak, pick_device, training_flops, worthwhile
from livebach.training.distillation import Teachers, digest, wanted
from livebach.training.distributed import Ranks
from livebach.training.growth import grown
from livebach.training.model import Noise, TwoAxisWaveNet
from livebach.training.run_files import (
    BEST_FILE,
    LOG_FILE,
    STATE_FILE,
    TrainConfig,
    TrainingError,
    read_state_header,
    under,
    write_tensors,
)
from livebach.training.validation import evidence, likelihood, on_device


@dataclass(slots=True)
class Progress:
    """Where a run is: what a progress bar shows."""

    update: int
    updates: int
    loss: float
    valid: float
    best: float
    frames_per_s: float
    seconds_left: float


class RankLost(TrainingError):
    """Another process of the run is gone, or its device has failed: nothing more can be done together."""


def adamw(model: nn.Module, rate: float, weight_decay: float) -> torch.optim.AdamW:
    """The optimizer of a model that is where it will be trained: on a graphics card one kernel for all weights."""
    weights = list(model.parameters())
    return torch.optim.AdamW(weights, lr=rate, weight_decay=weight_decay, fused=weights[0].device.type == "cuda")


def averaging(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]:
    """An exponential average that forgets the random weights it began with: its decay rises to `decay`."""

    @torch.no_grad()
    def take_in(average: Sequence[Tensor], weights: Sequence[Tensor], taken: Any) -> None:
        kept = min(decay, (1 + int(taken)) / (10 + int(taken)))
        for old, new in zip(average, weights, strict=True):
            old.lerp_(new, 1 - kept)

    return take_in


def seed_of(*numbers: int) -> int:
    """One seed for torch of several numbers: another for each of their combinations."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Trainer:
    """A run: model, optimizer and averages. `step` until `finished`, `save` at any time.

    Of several processes each takes its share of the crops of an update, and all come to the same weights. With
    teachers, the network learns what they expect, too, and of pieces that were `played` by networks only that.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        config: TrainConfig,
        corpus: Corpus,
        folder: Path,
        ranks: Ranks | None = None,
        teachers: Sequence[Checkpoint] = (),
        played: Sequence[Piece] = (),
    ) -> None:
        self.spec, self.config, self.folder, self.ranks = spec, config, folder, ranks or Ranks()
        if config.batch % self.ranks.size:
            raise TrainingError(f"batch must be a multiple of the {self.ranks.size} processes, got {config.batch}")
        self.device = pick_device(config.device, None if self.ranks.size == 1 else self.ranks.local)
        if self.ranks.size > 1 and self.device.type == "mps":
            raise TrainingError("several processes train on cpu or cuda, not on mps: give --device cpu")
        torch.manual_seed(config.seed)
        self.model = TwoAxisWaveNet(spec).to(self.device)
        self._parallel = self.ranks.parallel(self.model)
        self._noise = Noise(config.dropout, config.frame_dropout, config.input_dropout)
        self.average = AveragedModel(self.model, multi_avg_fn=averaging(config.ema_decay))
        self.averaged: TwoAxisWaveNet = cast(TwoAxisWaveNet, self.average.module)
        self.optimizer = adamw(self.model, config.learning_rate, config.weight_decay)
        self.sampler = Sampler(
            corpus.splits["train"], config.crop, config.batch, config.augment, played, config.synthetic_share
        )
        self._drawer = ThreadPoolExecutor(1)
        self._ahead: tuple[int, Future[Batch] | None] = 0, None
        self.held_out = corpus.splits["valid"]
        self.update, self.best, self.valid, self.seconds = 0, float("inf"), float("nan"), 0.0
        compiled, self.bf16 = worthwhile(config, self.device)
        self.pace = Pace(self)
        self._loss: Callable[..., Tensor] = torch.compile(self._forward) if compiled else self._forward
        self.teachers = Teachers(teachers).to(self.device) if teachers else None
        self._sources = {"--teacher": [digest(t) for t in teachers], "--played": sum(len(p.frames) for p in played)}
        self.quotes = NOTHING
        """Of the music behind the network that it started from."""
        self.themes: ThemeWeights | None = None
        """Weights of the theme memory of the network that it started from."""
        self.started_from: str | None = None
        self._music = {name: _digest_of(pieces) for name, pieces in corpus.splits.items()}
        self.other_music = ""
        """After `resume`: what is said where the pieces are not those that the run was begun with."""
        self._ask: Callable[..., Tensor] = torch.compile(self._asked) if compiled else self._asked

    @property
    def finished(self) -> bool:
        """Whether every update has been made."""
        return self.update >= self.config.updates

    def _forward(
        self,
        frames: Tensor,
        condition: Tensor,
        coming: Tensor,
        given: Tensor,
        counted: Tensor,
        wanted: Tensor | None = None,
    ) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            nats = self._parallel(frames, condition, coming, given, self._noise, wanted)
        loss: Tensor = nats.sum() / counted
        return loss

    @torch.no_grad()
    def _asked(self, frames: Tensor, condition: Tensor, coming: Tensor, given: Tensor, written: Tensor) -> Tensor:
        """What is to be learnt where there are teachers: [B, T, 88, 3]."""
        assert self.teachers is not None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            said = self.teachers(frames, condition, coming, given)
        return wanted(said, coming, written)

    def _wanted(self, batch: Batch, inputs: Sequence[Tensor]) -> Tensor | None:
        """What is to be learnt of a batch; None where it is simply what is there."""
        if self.teachers is None:
            return None
        written = torch.from_numpy(np.where(batch.played, 0.0, self.config.label_weight).astype(np.float32))
        return self._ask(*inputs, written.to(self.device))

    def step(self) -> float:
        """One update; the loss in nats per frame of what was not given."""
        started = time.monotonic()
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate_at(self.update)
        torch.manual_seed(seed_of(self.config.seed, self.update, self.ranks.rank))
        batch = self._batch()
        inputs = on_device(batch, self.device)
        counted = self.ranks.total((inputs[3] == UNKNOWN).any(dim=-1).sum()).clamp(min=1)
        targets = self._wanted(batch, inputs)
        loss = self._loss(*inputs, counted / self.ranks.size, targets)  # the gradients of all processes are averaged
        torch.autograd.backward(loss)
        total = self.ranks.total(loss.detach()) / self.ranks.size
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.model)
        self.update += 1
        self.seconds += time.monotonic() - started
        return float(total)

    def _batch(self) -> Batch:
        """The share of the update's batch; that of the next update is drawn while the device computes."""
        (number, ahead), coming = self._ahead, self.update + 1
        batch = ahead.result() if ahead is not None and number == self.update else self._draw(self.update)
        self._ahead = coming, self._drawer.submit(self._draw, coming)
        return batch

    def _draw(self, update: int) -> Batch:
        rng = np.random.default_rng((self.config.seed, update))
        return self.sampler.draw(rng, self.ranks.share(self.config.batch))

    def validate(self) -> float:
        """Return nats per frame of the averaged weights on the validation pieces, pooled; keep the best weights.

        They are calibrated on these pieces first, as they are in the checkpoint.
        """
        calibrated = copy.deepcopy(self.averaged)
        evidence(calibrated, self.held_out, self.device, self.ranks).fit(self.ranks, self.device).apply(calibrated)
        self.valid = likelihood(calibrated, self.held_out, self.device, self.ranks)
        if self.valid < self.best:
            self.best = self.valid
            if self.ranks.first:
                write_tensors(self.folder / BEST_FILE, dict(calibrated.state_dict()), {})
        return self.valid

    def start_from(self, checkpoint: Checkpoint, name: str) -> None:
        """Begin with a checkpoint's weights instead of random ones, grown where the run's network is larger."""
        weights = grown(checkpoint, self.spec).state_dict()
        for model in (self.model, self.averaged):
            model.load_state_dict(weights)
        self.quotes, self.themes, self.started_from = checkpoint.quotes, checkpoint.themes, name

    def best_model(self) -> TwoAxisWaveNet:
        """The averaged weights that validated best; before any validation those of now."""
        model = TwoAxisWaveNet(self.spec)
        validated = self.best < float("inf")  # else a file of that name is another run's
        model.load_state_dict(load_file(self.folder / BEST_FILE) if validated else self.averaged.state_dict())
        return model

    # -- saving and going on ------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the whole state of the run, or nothing: the file before stays until the new one is complete.

        Every process has the same; the first one writes it.
        """
        if not self.ranks.first:
            return
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": value for name, value in moments.items()}
        numbers = {"update": self.update, "best": self.best, "valid": self.valid, "seconds": self.seconds}
        sources = {**self._sources, "started_from": self.started_from, "music": self._music}
        header = {**numbers, **sources, "spec": self.spec.to_dict(), "config": asdict(self.config)}
        tensors |= {f"quotes.{k}": torch.from_numpy(v.astype(np.int64)) for k, v in asdict(self.quotes).items()}
        if self.themes is not None:
            tensors |= {f"themes.{k}": torch.from_numpy(v) for k, v in asdict(self.themes).items()}
        write_tensors(self.folder / STATE_FILE, tensors, {"state": json.dumps(header)})

    def resume(self) -> None:
        """Take up what `save` wrote. Raises TrainingError where it is missing, damaged or of another network."""
        path = self.folder / STATE_FILE
        header = read_state_header(path)
        try:
            self._same_run(path, header)
            self._take_up(header, load_file(path))
        except TrainingError:
            raise
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise TrainingError(f"{path}: not a whole saved run: {' '.join(str(error).split())}") from error

    def _same_run(self, path: Path, header: dict[str, Any]) -> None:
        if NetworkSpec.from_dict(header["spec"]) != self.spec:
            raise TrainingError(f"{path}: is of a network of another shape; give the same options or another --out")
        for name, here in self._sources.items():
            if header.get(name, here) != here:
                raise TrainingError(
                    f"{path}: is of a run with other music or networks to learn from: give {name} as then"
                )

    def _take_up(self, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.started_from = header.get("started_from")
        hashes = {k: v.numpy().astype(np.uint32) for k, v in under(tensors, "quotes.").items()}
        self.quotes = Quotes(**hashes)
        themes = {k: v.numpy() for k, v in under(tensors, "themes.").items()}
        self.themes = ThemeWeights(**themes) if themes else None
        self.model.load_state_dict(under(tensors, "model."))
        self.average.load_state_dict(under(tensors, "average."))
        self._resume_optimizer(under(tensors, "optimizer."))
        self.update, self.best, self.valid, self.seconds = (header[k] for k in ("update", "best", "valid", "seconds"))
        self.pace = Pace(self)
        self._compare_music(header.get("music", self._music))

    def _compare_music(self, before: dict[str, str]) -> None:
        """See whether the pieces are those of the saved run; what was best on other pieces is best no longer."""
        changed = [name for name, digest_ in self._music.items() if before.get(name) != digest_]
        if not changed:
            return
        self.other_music = f"the pieces are not those that the run was begun with ({', '.join(changed)})"
        if "valid" in changed:
            self.best = float("inf")
            self.other_music += ": validation begins anew"

    def _resume_optimizer(self, moments: dict[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in moments.items():
            index, key = name.split(".", 1)
            state.setdefault(int(index), {})[key] = value
        if any(set(part) != {"step", "exp_avg", "exp_avg_sq"} for part in state.values()):
            raise KeyError("a part of the optimizer's state")
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})


def _digest_of(pieces: Sequence[Piece]) -> str:
    """Return a hash of the names and frames of some pieces."""
    found = hashlib.blake2b(digest_size=16)
    for piece in pieces:
        found.update(f"{piece.name} {len(piece.frames)} ".encode("utf-8", "surrogateescape"))
        found.update(piece.frames.tobytes())
    return found.hexdigest()


def run(
    trainer: Trainer,
    show: Callable[[Progress], None],
    stop: Callable[[], bool] = lambda: False,
    minutes: float | None = None,
) -> bool:
    """Train until finished, until `stop()`, or for so many minutes; validate, log and save on the way and at the end.

    Whether `stop` has ended it. Of several processes all stop where one is asked to; where one is lost, what was done
    is saved and RankLost raised.
    """
    try:
        return _run(trainer, show, stop, minutes)
    except RuntimeError as error:
        if trainer.ranks.size == 1:
            raise
        trainer.save()
        why = " ".join(str(error).split())[:200]
        raise RankLost(f"another process is lost; saved at update {trainer.update}, --resume goes on: {why}") from error


def _run(trainer: Trainer, show: Callable[[Progress], None], stop: Callable[[], bool], minutes: float | None) -> bool:
    began, smooth, pace = time.monotonic(), float("nan"), trainer.pace
    if not trainer.update:
        trainer.save()  # whatever happens from here on, there is a run to go on with

    def asked_to_end() -> tuple[bool, bool]:
        """By a person, by the minutes: of any process."""
        over = minutes is not None and time.monotonic() - began >= minutes * 60
        asked = trainer.ranks.total(torch.tensor([stop(), over], dtype=torch.float32, device=trainer.device))
        return bool(asked[0]), bool(asked[1])

    asked = asked_to_end()
    while not trainer.finished and not any(asked):
        loss = trainer.step()
        smooth = loss if smooth != smooth else 0.95 * smooth + 0.05 * loss
        if trainer.update % trainer.config.validate_every == 0 or trainer.finished:
            trainer.validate()
            trainer.save()
            _log(trainer, smooth, pace)
        left = (trainer.config.updates - trainer.update) / pace.updates_per_s
        left = left if minutes is None else min(left, minutes * 60 - (time.monotonic() - began))
        numbers = trainer.valid, trainer.best, pace.frames_per_s, max(0.0, left)
        show(Progress(trainer.update, trainer.config.updates, smooth, *numbers))
        asked = asked_to_end()
    if pace.moved and trainer.update % trainer.config.validate_every and not trainer.finished and not asked[0]:
        trainer.validate()  # the last updates count too; Ctrl-C does not wait for it
        _log(trainer, smooth, pace)
    trainer.save()
    return asked[0]


class Pace:
    """How fast a run has been since it was begun or resumed; validation does not count."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.update, self.seconds = trainer, trainer.update, trainer.seconds
        self._peak: float | None = None

    @property
    def updates_per_s(self) -> float:
        """After at least one update."""
        return (self.trainer.update - self.update) / (self.trainer.seconds - self.seconds)

    @property
    def moved(self) -> bool:
        """Whether there has been an update, and there is anything to say."""
        return self.trainer.update > self.update

    @property
    def frames_per_s(self) -> float:
        """Of all processes together."""
        return self.updates_per_s * self.trainer.config.batch * self.trainer.config.crop

    @property
    def share_of_peak(self) -> float:
        """The arithmetic that the model needs for the frames of one device, over the best that the device does."""
        if self._peak is None:
            self._peak = matmul_peak(self.trainer.device, torch.bfloat16 if self.trainer.bf16 else torch.float32)
        return self.frames_per_s / self.trainer.ranks.size * training_flops(self.trainer.spec) / self._peak

    def __str__(self) -> str:
        size, kind = self.trainer.ranks.size, self.trainer.device.type
        return f"{self.frames_per_s / size:.0f} frames/s on each {kind} of {size}, {self.share_of_peak:.1%} of its peak"


def _log(trainer: Trainer, loss: float, pace: Pace) -> None:
    if not trainer.ranks.first:
        return
    row = {
        "update": trainer.update,
        "loss": round(loss, 4),
        "valid": round(trainer.valid, 4),
        "best": round(trainer.best, 4),
        "seconds": round(trainer.seconds, 1),
        "devices": trainer.ranks.size,
        "frames_per_s_and_device": round(pace.frames_per_s / trainer.ranks.size, 1),
        "share_of_peak": round(pace.share_of_peak, 4),
    }
    with (trainer.folder / LOG_FILE).open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(row) + "\n")
