"""Write a run's losses for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from livebach.errors import UserError
from livebach.training.loop import Progress


def tensorboard_writer(folder: Path) -> Callable[[Progress], None]:
    """Return a function that writes the progress of an update to `folder`/tensorboard.

    Raises:
        UserError: If the extra `tensorboard` is not installed.

    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(f"--tensorboard needs pip install 'livebach[tensorboard]' ({error})") from error
    writer = SummaryWriter(str(folder / "tensorboard"))

    def show(progress: Progress) -> None:
        writer.add_scalar("loss", progress.loss, progress.update)
        writer.add_scalar("frames_per_s", progress.frames_per_s, progress.update)
        if progress.valid == progress.valid:  # nan before the first validation
            writer.add_scalar("validation", progress.valid, progress.update)

    return show
