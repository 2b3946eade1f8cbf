"""Training in several processes: the accelerator of each, and a clear error when one of them is lost.

torchrun or ``accelerate launch`` starts the processes. One process is the usual case. Lesson 09.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from asrlib.config.schema import TrainingConfig
from asrlib.errors import InputError
from asrlib.extras import extra

if TYPE_CHECKING:
    from accelerate import Accelerator


def make_accelerator(settings: TrainingConfig) -> Accelerator:
    """Return a new accelerator for ``settings``, independent of earlier training in this process."""
    with extra("train"):
        from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
        from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()  # a notebook may train twice, with different precision
    return Accelerator(
        mixed_precision=settings.precision,
        gradient_accumulation_steps=settings.accumulate,
        # accelerate must be told if several processes have no GPU
        cpu="LOCAL_RANK" in os.environ and not torch.cuda.is_available(),
        kwargs_handlers=[
            # while one process decodes the dev split, the others wait
            InitProcessGroupKwargs(timeout=timedelta(hours=6)),
            # batch norm already shares its statistics
            DistributedDataParallelKwargs(broadcast_buffers=False),
        ],
    )


def check_same_checkpoint(accelerator: Accelerator, last: Path | None, out: Path) -> None:
    """Raise ``InputError`` if the processes do not all find the checkpoint ``last`` in ``out``."""
    with extra("train"):
        from accelerate.utils import gather_object

    if accelerator.num_processes == 1 or accelerator.device.type == "xla":  # XLA cannot gather objects
        return
    if len(set(gather_object([last and last.name]))) > 1:
        raise InputError(
            f"{out}: not every process finds the same checkpoint; put --out on a disk that all of them share"
        )


@contextlib.contextmanager
def only_run_in(out: Path, main: bool) -> Iterator[None]:
    """Lock the folder ``out`` within the block, if this is the main process of a run.

    The lock ends with its process, whatever ends that. Windows has no such locks. Raises ``InputError`` if
    another run has it.
    """
    try:
        import fcntl
    except ImportError:
        main = False
    if not main:
        yield
        return
    folder = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process is training in {out}: wait until it has ended, or choose another --out"
            ) from None
        except OSError:  # some network disks have no locks
            pass
        yield
    finally:
        os.close(folder)


@contextlib.contextmanager
def reporting_lost_processes(accelerator: Accelerator) -> Iterator[None]:
    """Turn the loss of another process within the block into a one-line ``InputError``.

    At the end of the block, all processes end together.
    """
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        lost = isinstance(error, torch.distributed.DistError) or "gloo" in reason
        if accelerator.num_processes == 1 or not lost:
            raise
        raise InputError(
            f"process {accelerator.process_index} of {accelerator.num_processes} has lost the others; one"
            f" ended or cannot be reached ({reason[:120]}): the last checkpoint is intact, continue with"
            " --resume"
        ) from None
    if accelerator.num_processes > 1:
        accelerator.end_training()


def share_of_mean(accelerator: Accelerator, utterances: int) -> Tensor | float:
    """Return the factor that turns means per process into the mean over all utterances.

    A mean over the ``utterances`` of this process is multiplied by it; the average over processes is then
    the mean over the utterances of all processes.
    """
    if accelerator.num_processes == 1:
        return 1.0
    mine = torch.tensor([utterances], dtype=torch.float32, device=accelerator.device)
    return (mine / accelerator.reduce(mine, "mean"))[0]
