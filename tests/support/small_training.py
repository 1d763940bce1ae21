"""Training runs of a network so small that an update takes milliseconds."""

from __future__ import annotations

from pathlib import Path

from livebach.cli import main
from livebach.training.corpus import Corpus
from livebach.training.loop import Progress, Trainer
from livebach.training.run_files import TrainConfig
from tests.support.small_network import SMALL, corpus

SMALL_SETTINGS = [
    "time_channels=8", "time_dilations=[1,2,4]", "mixing_layers=[1]", "mixing_heads=2", "context_channels=8",
    "condition_channels=8", "key_channels=8", "key_dilations=[1,4]", "given_channels=4", "given_dilations=[1,9]",
    "crop=32", "batch=2", "compile=false", "bf16=false", "validate_every=2", "warmup=2",
]  # fmt: skip


def train(data: Path, out: Path, *more: str) -> int:
    """Run the command with the small network."""
    settings = [word for pair in SMALL_SETTINGS for word in ("--set", pair)]
    return main(["train", "--data", str(data), "--out", str(out), "--device", "cpu", *more, *settings])


CONFIG = TrainConfig(
    updates=6,
    batch=2,
    crop=24,
    warmup=2,
    validate_every=2,
    device="cpu",
    bf16=False,
    compile=False,
    dropout=0.2,
    input_dropout=0.1,
    onset_dropout=0.3,
)


def trainer(folder: Path, config: TrainConfig = CONFIG, pieces: Corpus | None = None) -> Trainer:
    """A run of a small network on small pieces."""
    folder.mkdir(exist_ok=True)
    return Trainer(SMALL, config, pieces or corpus(), folder)


def quiet(_: Progress) -> None:
    """Show nothing."""
