"""The playgrounds as widgets of a notebook: what is moved in them can be read in the next cell."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from asrlib.extras import extra
from asrlib.recognizer import Recognizer
from asrlib.teaching.playgrounds.floats import from_text
from asrlib.teaching.playgrounds.scripts import bundle
from asrlib.teaching.playgrounds.transducer import SNRS, joint_logits

with extra("lab"):
    import anywidget
    import traitlets


class Playground(anywidget.AnyWidget):
    """A playground. ``value`` is what it shows, as plain numbers and text; a new value is shown."""

    options = traitlets.Dict().tag(sync=True)
    value = traitlets.Dict().tag(sync=True)
    sound = traitlets.Dict().tag(sync=True)

    def __init__(self, options: dict[str, Any]):
        super().__init__(options=options, value=options["value"], sound=options.get("sound", {}))

    def __repr__(self) -> str:
        # the same in every run, for notebooks store it
        return f"{type(self).__name__}: run this cell in JupyterLab or Colab to move it"


class CTCPlayground(Playground):
    """The playground of lesson 06, made by ``ctc_playground``."""

    _esm = bundle("ctc")

    @property
    def probabilities(self) -> Float[Tensor, "T V"]:
        """Return y as it is shown, the label probabilities of each frame, blank first, in float64."""
        return torch.tensor(self.value["y"], dtype=torch.float64)

    @property
    def target(self) -> Int[Tensor, "U"]:
        """Return the numbers of the labels of the target that is shown."""
        labels = self.options["labels"]
        return torch.tensor([labels.index(label) for label in self.value["target"]], dtype=torch.long)


class TransducerPlayground(Playground):
    """The playground of lesson 07, made by ``transducer_playground``."""

    _esm = bundle("transducer")

    def __init__(self, options: dict[str, Any], recognizer: Recognizer):
        super().__init__(options)
        self._recognizer = recognizer

    @property
    def target(self) -> Int[Tensor, "U"]:
        """Return the label numbers of the text that the lattice is of."""
        return torch.tensor(self.options["target"])

    @property
    def logits(self) -> Float[Tensor, "T U1 V"]:
        """Return the joint's logits of the lattice that is shown: with its noise and its blank penalty."""
        level = self.options["levels"][SNRS.index(self.value["snr_db"])]
        frames = from_text(level["frames"]).view(-1, self._recognizer.model.joint.output.in_features)
        logits = joint_logits(self._recognizer, frames, self.options["target"])
        logits[..., 0] -= self.value["blank_penalty"]
        return logits


class SpectrogramPlayground(Playground):
    """The playground of lesson 01, made by ``spectrogram_playground``."""

    _esm = bundle("spectrogram")

    @property
    def samples(self) -> Float[Tensor, "samples"]:
        """Return the sound that is shown, which may have been recorded, in [-1, 1]."""
        return from_text(self.sound["samples"])

    @property
    def sample_rate(self) -> int:
        """Return the samples per second of the sound."""
        return self.sound["rate"]

    @property
    def settings(self) -> dict[str, float]:
        """Return the settings as keywords of ``asrlib.log_mel``."""
        return {name: self.value[name] for name in ("window_ms", "hop_ms", "mels", "preemphasis")}
