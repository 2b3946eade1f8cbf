"""The transducer playground: drag a path over γ, add noise, search step by step. Lesson 07."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from asrlib.errors import InputError
from asrlib.losses.alignment import rnnt_align
from asrlib.losses.textbook import rnnt_betas, rnnt_scores
from asrlib.recognizer import Recognizer, mono_samples
from asrlib.signal.resample import resample
from asrlib.teaching.playgrounds.floats import as_matrix, as_text, from_text
from asrlib.teaching.playgrounds.widget import Playground

# dB of speech over noise; None is no noise
SNRS = (None, 20, 15, 10, 5, 0, -5)


class TransducerPlayground(Playground):
    """The playground of lesson 07."""

    def __init__(self, options: dict[str, Any], recognizer: Recognizer):
        super().__init__("transducer", options)
        self._recognizer = recognizer

    @property
    def target(self) -> Int[Tensor, "U"]:
        """Return the label numbers of the text that the lattice is of."""
        return torch.tensor(self.options["target"])

    @property
    def logits(self) -> Float[Tensor, "T U1 V"]:
        """Return the joint's logits of the lattice as it is shown, with its noise and its blank penalty."""
        frames = self._frames(SNRS.index(self.value["snr_db"]))
        logits = joint_logits(self._recognizer, frames, self.options["target"])
        logits[..., 0] -= self.value["blank_penalty"]
        return logits

    def _frames(self, level: int) -> Float[Tensor, "T D"]:
        """Return what the encoder gave of the sound with the noise of a level."""
        numbers = from_text(self.options["levels"][level]["frames"])
        return numbers.view(-1, self._recognizer.model.joint.output.in_features)

    def _shown(self, value: dict[str, Any]) -> dict[str, Any]:
        if value["snr_db"] not in SNRS:
            raise InputError(f"snr_db is {value['snr_db']!r}; there are {', '.join(map(str, SNRS))}")
        frames, U, T = value["frames"], len(self.options["target"]), self._frames(0).shape[0]
        known = isinstance(frames, list) and len(frames) == U and all(t in range(T) for t in frames)
        if not known or frames != sorted(frames):
            raise InputError(f"frames is {frames}; give {U} frames from 0 to {T - 1} that do not decrease")
        return value


def transducer_playground(
    recognizer: Recognizer,
    samples: Any,
    sample_rate: int,
    text: str,
    words: Sequence[tuple[str, float, float]] = (),
) -> TransducerPlayground:
    """Return the playground for a notebook; the arguments are those of ``transducer_options``. Lesson 07."""
    options = transducer_options(recognizer, samples, sample_rate, text, words)
    return TransducerPlayground(options, recognizer)


def transducer_options(
    recognizer: Recognizer,
    samples: Any,
    sample_rate: int,
    text: str,
    words: Sequence[tuple[str, float, float]] = (),
) -> dict[str, Any]:
    """Return the options of the transducer playground: a recognizer and what it hears in a sound. Lesson 07.

    ``samples`` are mono in [-1, 1] at ``sample_rate`` Hz, as a tensor or an array; ``words`` are the true
    (word, start, end) of ``text`` in seconds. The encoder runs here, with white noise at each of ``SNRS``.
    Prediction and joint network run in the page, with the recognizer's weights. Raises ``InputError`` for a
    recognizer whose networks the page does not know, for an empty text, and for samples that are empty, not
    mono, or not finite.
    """
    _check_networks(recognizer)
    samples, sample_rate = mono_samples(samples, sample_rate)
    target = recognizer.tokenizer.encode(text)
    if not target:
        raise InputError(f"text is {text!r}; the recognizer needs one label or more of it")
    rate = recognizer.config.features.sample_rate
    noise = torch.randn(len(samples), generator=torch.Generator().manual_seed(0))
    loudness, levels = samples.square().mean(), []
    speech, noise = (resample(sound, sample_rate, rate) for sound in (samples, noise))
    for level in SNRS:
        gain = 0.0 if level is None else float((loudness / 10 ** (level / 10)).sqrt())
        frames = encoder_projections(recognizer, speech + gain * noise)
        levels.append({"snr_db": level, "gain": gain, "frames": as_text(frames)})
    first = joint_logits(recognizer, encoder_projections(recognizer, speech), target)
    scores = rnnt_scores(first.double(), torch.tensor(target), blank=0)
    best = rnnt_align(first[None], torch.tensor([target]), blank=0)[0]
    value = {
        "snr_db": SNRS[0],
        "blank_penalty": 0.0,
        "frames": best.starts.tolist(),
        "cursor": len(first) - 1,
        "search": "greedy",
        "beam_width": 4,
        "step": 0,
        "log_path": best.score,
        "log_total": float(rnnt_betas(*scores)[0, 0]),
        "text": "",
    }
    times = recognizer.frame_times
    return {
        "labels": ["∅", *(recognizer.tokenizer.decode([k]) for k in range(1, first.shape[-1]))],
        "target": target,
        "words": [list(word) for word in words],
        "seconds": times.seconds,
        "first": times.center,
        "rate": rate,
        "speech": as_text(speech),
        "noise": as_text(noise),
        "levels": levels,
        "weights": {name: as_matrix(weight) for name, weight in _weights(recognizer).items()},
        "most": recognizer.config.decoding.max_symbols,
        "value": value,
    }


def _check_networks(recognizer: Recognizer) -> None:
    """Raise ``InputError`` unless the page can compute the recognizer's prediction and joint network."""
    prediction, joint = recognizer.model.prediction, recognizer.model.joint
    if prediction is None or joint is None:
        raise InputError("the playground needs a transducer; this recognizer has a CTC head alone")
    known = (
        isinstance(prediction.rnn, nn.LSTM)
        and isinstance(prediction.norm, nn.LayerNorm)
        and isinstance(prediction.embedding, nn.Embedding)
        and isinstance(prediction.projection, nn.Identity)
        and not len(prediction.deeper)
        and isinstance(joint.prediction_linear, nn.Linear)
        and isinstance(joint.post_linear, nn.Identity)
        and (joint.mode, joint.activation) == ("add", "tanh")
    )
    if not known:
        raise InputError(
            "the playground needs a prediction network of embedding, one LSTM layer and layer norm, and a"
            " joint network that adds and applies tanh; this recognizer has others"
        )


@torch.no_grad()
def encoder_projections(recognizer: Recognizer, samples: Float[Tensor, "samples"]) -> Float[Tensor, "T D"]:
    """Return the encoder's output for samples at the recognizer's rate, as the joint network adds it."""
    model = recognizer.model
    features = recognizer.front_end(samples[None], torch.tensor([len(samples)]))
    return model.joint.encoder_linear(model.encoder(*features)[0])[0]


@torch.no_grad()
def joint_logits(
    recognizer: Recognizer, projections: Float[Tensor, "T D"], target: Sequence[int]
) -> Float[Tensor, "T U1 V"]:
    """Return the joint's logits for all frames and all prefixes of a target."""
    model = recognizer.model
    prefixes = model.joint.prediction_linear(model.prediction(torch.tensor([list(target)])))
    return model.joint.scores(projections[:, None], prefixes)


def _weights(recognizer: Recognizer) -> dict[str, Tensor]:
    prediction, joint = recognizer.model.prediction, recognizer.model.joint
    rnn, norm = prediction.rnn, prediction.norm
    return {
        "embedding": prediction.embedding.weight,
        "input": rnn.weight_ih_l0,
        "input_bias": rnn.bias_ih_l0,
        "recurrent": rnn.weight_hh_l0,
        "recurrent_bias": rnn.bias_hh_l0,
        "norm": norm.weight,
        "norm_bias": norm.bias,
        "prediction": joint.prediction_linear.weight,
        "output": joint.output.weight,
        "output_bias": joint.output.bias,
    }
