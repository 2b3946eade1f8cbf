"""Reports of a training run: a progress bar on standard output, and TensorBoard files. Lesson 09."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from asrlib.extras import extra


class RunLog:
    """A progress bar and TensorBoard files in ``folder``; a context manager.

    Only the ``main`` process reports. ``step`` of ``total_steps`` steps are already done. Points that a
    killed run logged after ``step`` are hidden.
    """

    def __init__(self, folder: Path, step: int, total_steps: int, main: bool, show_progress: bool):
        with extra("train"):
            from torch.utils.tensorboard import SummaryWriter
        from tqdm import tqdm

        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None) if main else None
        self._bar = tqdm(
            total=total_steps,
            initial=step,
            unit="step",
            mininterval=1.0,
            file=sys.stdout,  # standard error is for problems
            disable=not (show_progress and main),
        )

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._writer is not None:
            with contextlib.suppress(OSError):  # a full disk has been reported already
                self._writer.close()

    def advance(self) -> None:
        """Advance the progress bar by one step."""
        self._bar.update()

    def point(self, point: dict[str, float]) -> None:
        """Report loss, learning rate and utterances per second at ``point["step"]``."""
        speed = point["utterances_per_second"]
        self._bar.set_postfix(loss=f"{point['loss']:.3f}", lr=f"{point['lr']:.2e}", utt_s=f"{speed:.0f}")
        for key in ("loss", "lr", "utterances_per_second"):
            self._write(key, point[key], int(point["step"]))

    def dev_wer(self, rate: float, step: int) -> None:
        """Report the WER on the dev split, in percent, at ``step``."""
        self._write("dev_wer", rate, step)

    def _write(self, key: str, value: float, step: int) -> None:
        if self._writer is not None:
            self._writer.add_scalar(key, value, step)
