"""The CTC playground: drag y, and α, β, γ and the gradient follow. Lesson 06."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.errors import InputError, first_line
from asrlib.losses.alignment import ctc_align
from asrlib.losses.ctc import ctc_loss
from asrlib.teaching.playgrounds.widget import Playground

# what the picture has room for
_MOST_FRAMES, _MOST_LABELS, _MOST_TARGET = 12, 5, 6
# how one may type blank in the page
_ALSO_BLANK = set("∅-_")


class CTCPlayground(Playground):
    """The playground of lesson 06."""

    @property
    def probabilities(self) -> Float[Tensor, "T V"]:
        """Return y as it is shown, the label probabilities of each frame, blank first, in float64."""
        return torch.tensor(self.value["y"], dtype=torch.float64)

    @property
    def target(self) -> Int[Tensor, "U"]:
        """Return the numbers of the labels of the target that is shown."""
        labels = self.options["labels"]
        return torch.tensor([labels.index(label) for label in self.value["target"]], dtype=torch.long)

    def _shown(self, value: dict[str, Any]) -> dict[str, Any]:
        options = ctc_options("".join(self.options["labels"]), value["target"], value["y"])
        return {**value, "loss": options["value"]["loss"]}


def ctc_playground(
    labels: str = "∅abc", target: str = "ab", probabilities: Any = None, frames: int = 6
) -> CTCPlayground:
    """Return the playground for a notebook; the arguments are those of ``ctc_options``. Lesson 06."""
    return CTCPlayground("ctc", ctc_options(labels, target, probabilities, frames))


def ctc_options(
    labels: str = "∅abc",
    target: str = "ab",
    probabilities: Any = None,
    frames: int = 6,
) -> dict[str, Any]:
    """Return the options of the CTC playground. Lesson 06.

    ``labels`` are single characters, blank first. ``probabilities`` is y, (T, V); without it, all labels are
    equally probable in ``frames`` frames. The path is the most probable one. Raises ``InputError`` for more
    frames or labels than the picture has room for, a target of other labels, and rows that do not sum to 1.
    """
    V = len(labels)
    if not 2 <= V <= _MOST_LABELS or len(set(labels)) < V:
        raise InputError(f"labels are {labels!r}; give 2 to {_MOST_LABELS} different characters, blank first")
    if _ALSO_BLANK & set(labels[1:]):
        raise InputError(f"labels are {labels!r}; in paths, {' '.join(sorted(_ALSO_BLANK))} stand for blank")
    y = _numbers(probabilities, frames, V)
    if y.ndim != 2 or y.shape[1] != V or not 1 <= len(y) <= _MOST_FRAMES:
        raise InputError(
            f"probabilities have shape {y.shape}; give (T, {V}) with at most {_MOST_FRAMES} frames"
        )
    if not (y >= 0).all() or not np.allclose(y.sum(1), 1, atol=1e-6):
        raise InputError("probabilities must be 0 or more and sum to 1 in each frame")
    if len(target) > _MOST_TARGET or not set(target) <= set(labels[1:]):
        raise InputError(f"target is {target!r}; give at most {_MOST_TARGET} of the labels {labels[1:]}")
    log_y = torch.from_numpy(y).log()
    numbers = torch.tensor([labels.index(label) for label in target], dtype=torch.long)
    states = ctc_align(log_y, numbers).path.tolist()
    loss = float(ctc_loss(log_y, numbers[None], len(y), [len(target)], reduction="sum"))
    path = "".join(target[s // 2] if s % 2 else labels[0] for s in states)
    value = {"y": y.tolist(), "target": target, "path": path, "shown": "γ"}
    return {"labels": list(labels), "value": {**value, "loss": loss if math.isfinite(loss) else None}}


def _numbers(probabilities: Any, frames: int, V: int) -> np.ndarray:
    """Return y as an array of numbers; without it, all labels are equally probable in all frames."""
    if probabilities is None:
        if frames not in range(1, _MOST_FRAMES + 1):
            raise InputError(f"frames is {frames}; give 1 or more, and at most {_MOST_FRAMES} frames")
        return np.full((int(frames), V), 1 / V)
    if isinstance(probabilities, Tensor):
        probabilities = probabilities.detach().cpu()
    try:
        return np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"probabilities are no matrix of numbers ({first_line(error)})") from None
