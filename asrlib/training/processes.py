"""What training in several processes needs: one accelerator each, and clear words when one is lost.

Processes are started by torchrun or ``accelerate launch``; one process is the usual case. Lesson 09.
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
    """Return a new accelerator for ``settings``, whatever was trained in this process before."""
    with extra("train"):
        from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
        from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()  # a notebook may train twice, with different precision
    return Accelerator(
        mixed_precision=settings.precision,
        gradient_accumulation_steps=settings.accumulate,
        # one of several processes without a GPU: accelerate wants to be told
        cpu="LOCAL_RANK" in os.environ and not torch.cuda.is_available(),
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=timedelta(hours=6)),  # for which one of them decodes the dev split
            DistributedDataParallelKwargs(broadcast_buffers=False),  # batch norm's are all processes' already
        ],
    )


def check_same_checkpoint(accelerator: Accelerator, last: Path | None, out: Path) -> None:
    """Raise ``InputError`` if the processes do not all find the checkpoint ``last`` in ``out``."""
    with extra("train"):
        from accelerate.utils import gather_object

    if accelerator.num_processes == 1 or accelerator.device.type == "xla":  # where it cannot be asked
        return
    if len(set(gather_object([last and last.name]))) > 1:
        raise InputError(
            f"{out}: not every process finds the same checkpoint there; put --out on a disk that all share"
        )


@contextlib.contextmanager
def reporting_lost_processes(accelerator: Accelerator) -> Iterator[None]:
    """Say in one line that another process has ended; end the processes together at the block's end."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        lost = isinstance(error, torch.distributed.DistError) or "gloo" in reason
        if accelerator.num_processes == 1 or not lost:
            raise
        raise InputError(
            f"process {accelerator.process_index} of {accelerator.num_processes} has lost the others, one has"
            f" ended or cannot be reached ({reason[:120]}): the last checkpoint is intact, continue with"
            " --resume"
        ) from None
    if accelerator.num_processes > 1:
        accelerator.end_training()


def share_of_mean(accelerator: Accelerator, utterances: int) -> Tensor | float:
    """Return what this process' mean over its utterances counts in the mean over all processes'."""
    if accelerator.num_processes == 1:
        return 1.0
    mine = torch.tensor([utterances], dtype=torch.float32, device=accelerator.device)
    return (mine / accelerator.reduce(mine, "mean"))[0]
