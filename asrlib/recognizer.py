"""A trained model in a directory, ready to transcribe.

A model directory holds ``config.yml``, ``model.safetensors``, the tokenizer and
``metrics.json``; and, where several networks listen together, the other ones' directories in
``members``. Lesson 00.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
import torchaudio.functional
from safetensors import SafetensorError
from torch import Tensor, nn

from asrlib.config.schema import Config, build_model, check_vocabulary, load_config
from asrlib.decoding import beam, greedy
from asrlib.decoding.streaming import Stream
from asrlib.errors import InputError
from asrlib.signal.features import FrontEnd
from asrlib.text.ngram import NGram
from asrlib.text.tokenizers import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from lhotse import CutSet


@dataclass(frozen=True)
class Hypothesis:
    """``times``: the second at which each token was emitted; ``score``: natural log of the path's
    probability (of all its alignments' that a beam search has found); ``confidences``:
    each token's probability when it was emitted.
    """

    text: str
    tokens: list[str]
    times: list[float]
    score: float
    confidences: list[float]


class Recognizer:
    """Configuration, front end, network and tokenizer together, in evaluation mode.

    ``config.decoding`` says how to search, and may be changed at any time; so may ``lm``, the
    language model that beam search asks, and ``members``: further recognisers by name, with which
    the CTC head listens together. Log-probabilities are averaged, frame by frame, before the search:
    two networks trained in different ways seldom make the same mistake. A transducer listens alone.
    """

    def __init__(
        self, config: Config, model: nn.Module, tokenizer: Tokenizer, device: str | torch.device = "cpu"
    ):
        self.config, self.tokenizer, self.device = config, tokenizer, torch.device(device)
        self.lm: NGram | None = None
        self.members: dict[str, Recognizer] = {}
        self.model = model.to(self.device).eval()
        self.front_end = FrontEnd(**vars(config.features)).to(self.device)
        self.frame_seconds = config.features.hop_ms / 1000 * model.encoder.reduction

    @property
    def uses_ctc(self) -> bool:
        """Does the CTC head answer, or the transducer?"""
        return self.model.joint is None or self.config.decoding.head == "ctc"

    @property
    def listeners(self) -> list[Recognizer]:
        """The recognisers whose CTC heads answer together: this one first."""
        return [self, *self.members.values()]

    @property
    def warps(self) -> list[float]:
        """The frequency stretches at which the CTC head listens."""
        return self.config.decoding.warps or [1.0]

    @classmethod
    def load(cls, model_dir: str | FilePath | None = None, device: str | torch.device = "cpu") -> Recognizer:
        """``model_dir`` None loads the digit recogniser that ships with the kit, ``"lessons-model"`` the one
        that the lessons look into.

        Raises ``InputError`` if a file of the directory is missing or damaged.
        """
        folder = shipped_model() if model_dir is None else FilePath(model_dir)
        if model_dir == "lessons-model" and not folder.is_dir():
            folder = shipped_model(model_dir)
        if not folder.is_dir():
            raise InputError(f"there is no model directory {folder}")
        for name in ("config.yml", "model.safetensors"):
            if not (folder / name).is_file():
                raise InputError(f"{folder / name} is missing: {folder} is not a complete model directory")
        config = load_config(folder / "config.yml")
        tokenizer = load_tokenizer(folder)
        check_vocabulary(config, tokenizer.vocabulary, str(folder / "config.yml"))
        model = build_model(config, tokenizer.vocabulary)
        try:
            weights = safetensors.torch.load_file(folder / "model.safetensors")
            model.load_state_dict(
                {
                    name: weight.float() if weight.is_floating_point() else weight
                    for name, weight in weights.items()
                }
            )
        except SafetensorError as error:
            raise InputError(f"{folder / 'model.safetensors'} is damaged: {error}") from None
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{folder / 'model.safetensors'} does not fit {folder / 'config.yml'}: {reason}"
            ) from None
        recognizer = cls(config, model, tokenizer, device)
        for member in _members(folder):
            recognizer._join(member)
        return recognizer

    def _join(self, folder: FilePath) -> None:
        """Load a member, which must hear the same samples and say the same labels at the same times."""
        member = Recognizer.load(folder, self.device)
        for what, ours, theirs in (
            ("samples a second", self.front_end.sample_rate, member.front_end.sample_rate),
            ("seconds a frame", self.frame_seconds, member.frame_seconds),
            ("labels", self.tokenizer.labels, member.tokenizer.labels),
        ):
            if ours != theirs:
                raise InputError(f"{folder}: its {what} ({theirs}) differ from its parent model's ({ours})")
        if None in (self.model.ctc_head, member.model.ctc_head):
            raise InputError(f"{folder}: networks listen together through their CTC heads, and one has none")
        self.members[folder.name] = member

    def save(self, folder: str | FilePath, metrics: dict[str, Any], half: bool = False) -> None:
        """Write a model directory: all of its files are complete before the first one replaces
        what was there. ``half`` stores the weights in 16 bits.
        """
        folder = FilePath(folder)
        with contextlib.ExitStack() as drafts:
            for name, member in self.members.items():
                member._write(drafts.enter_context(replacing(folder / "members" / name)), {}, half)
            self._write(drafts.enter_context(replacing(folder)), metrics, half)
        for stale in _members(folder):  # of the model that was there
            if stale.name not in self.members:
                shutil.rmtree(stale)

    def _write(self, draft: FilePath, metrics: dict[str, Any], half: bool) -> None:
        weights = {
            name: (weight.half() if half and weight.is_floating_point() else weight)
            .detach()
            .cpu()
            .contiguous()
            for name, weight in self.model.state_dict().items()
        }
        self.tokenizer.save(draft)
        (draft / "model.safetensors").write_bytes(safetensors.torch.save(weights))
        self.config.save(draft / "config.yml")
        (draft / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")

    def transcribe(self, audio: Any, sample_rate: int | None = None) -> Hypothesis:
        """One utterance: a path to an audio file, or mono samples in [-1, 1] with their rate."""
        if isinstance(audio, (str, FilePath)):
            from asrlib.data.audio import read_audio

            audio, sample_rate = read_audio(audio)
        if sample_rate is None:
            raise InputError(
                "sample_rate is missing: samples alone do not say how fast they are to be played"
            )
        samples = torch.as_tensor(np.asarray(audio, dtype=np.float32))
        if samples.dim() != 1 or samples.numel() == 0:
            raise InputError(
                f"audio has shape {tuple(samples.shape)}; expected one row of mono samples, not empty"
            )
        return self.transcribe_batch([(samples, sample_rate)])[0]

    def stream(self, sample_rate: int | None = None) -> Stream:
        """To transcribe speech while it is spoken, for a model that does not need the future.

        ``sample_rate`` is that of the samples to come, the model's own if None. Raises
        ``InputError`` naming the configuration's keys because of which a model cannot stream.
        """
        return Stream(self, sample_rate)

    @torch.no_grad()
    def transcribe_batch(self, utterances: Sequence[tuple[Tensor, int]]) -> list[Hypothesis]:
        """Several (samples, rate) at once; the same results as one by one."""
        rate = self.config.features.sample_rate
        waveforms = [
            (w if r == rate else torchaudio.functional.resample(w, r, rate)).to(self.device)
            for w, r in utterances
        ]
        lengths = torch.tensor([w.shape[0] for w in waveforms], device=self.device)
        padded = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
        search = self._search_ctc if self.uses_ctc else self._search_rnnt
        return [self._hypothesis(path) for path in search(padded, lengths)]

    def _search_rnnt(self, waveforms: Tensor, lengths: Tensor) -> list[greedy.Path]:
        encoder_out, frame_lengths = self.model.encoder(*self.front_end(waveforms, lengths))
        max_symbols = self.config.decoding.max_symbols
        if not self.config.decoding.beam_width:
            return greedy.greedy_rnnt(self.model, encoder_out, frame_lengths, max_symbols)
        found = beam.beam_rnnt(self.model, encoder_out, frame_lengths, self._beam_options(), max_symbols)
        return [paths[0] for paths in found]

    def _search_ctc(self, waveforms: Tensor, lengths: Tensor) -> list[greedy.Path]:
        heard = [listener._listen(waveforms, lengths, self.warps) for listener in self.listeners]
        frame_lengths = heard[0][1]
        log_probs = torch.stack([log_probs for log_probs, _ in heard]).mean(0).log_softmax(-1)
        if not self.config.decoding.beam_width:
            return greedy.greedy_ctc(log_probs, frame_lengths)
        return [paths[0] for paths in beam.beam_ctc(log_probs, frame_lengths, self._beam_options())]

    def _listen(self, waveforms: Tensor, lengths: Tensor, warps: Sequence[float]) -> tuple[Tensor, Tensor]:
        """The CTC head's log-probabilities (batch, T, V), averaged over the warps, and the T of each."""
        together = []
        for factor in warps:
            warp = None if factor == 1 else torch.full((len(lengths),), factor, device=self.device)
            encoder_out, frame_lengths = self.model.encoder(*self.front_end(waveforms, lengths, warp))
            together.append(self.model.ctc_head(encoder_out).log_softmax(-1))
        return torch.stack(together).mean(0), frame_lengths

    def _beam_options(self) -> beam.BeamOptions:
        settings = self.config.decoding
        return beam.BeamOptions(
            settings.beam_width, settings.norm_score, self.lm, settings.lm_weight, settings.label_bonus
        )

    def transcribe_cuts(self, cuts: CutSet, batch_seconds: float = 120.0) -> Iterable[tuple[str, Hypothesis]]:
        """(cut id, hypothesis) for a whole corpus, batched by length, shortest first."""
        from asrlib.data.audio import cut_audio

        batch: list[Any] = []
        for cut in sorted(cuts, key=lambda c: c.duration):
            if batch and (len(batch) + 1) * cut.duration > batch_seconds:
                yield from self._transcribe_some(batch)
                batch = []
            batch.append((cut.id, torch.from_numpy(cut_audio(cut)), cut.sampling_rate))
        if batch:
            yield from self._transcribe_some(batch)

    def _transcribe_some(self, batch: list[tuple[str, Tensor, int]]) -> list[tuple[str, Hypothesis]]:
        hypotheses = self.transcribe_batch([(samples, rate) for _, samples, rate in batch])
        return list(zip([name for name, _, _ in batch], hypotheses, strict=True))

    def _hypothesis(self, path: greedy.Path) -> Hypothesis:
        return Hypothesis(
            text=self.tokenizer.decode(path.labels),
            tokens=[self.tokenizer.labels[label - 1] for label in path.labels],
            times=[frame * self.frame_seconds for frame in path.frames],
            score=path.score,
            confidences=[float(np.exp(p)) for p in path.log_probs],
        )


def shipped_model(name: str = "digits-model") -> FilePath:
    """The folder of a recogniser that comes with the kit: ``digits-model``, or ``lessons-model``, a single
    network whose weights never change, so that what the lessons print stays what it was.
    """
    data = os.environ.get("ASRLIB_DATA") or FilePath(__file__).resolve().parent.parent / "data"
    return FilePath(data) / name


def _members(folder: FilePath) -> list[FilePath]:
    return sorted(config.parent for config in folder.glob("members/*/config.yml"))


@contextlib.contextmanager
def replacing(folder: FilePath) -> Iterator[FilePath]:
    """A draft folder, whose files replace those of ``folder`` once all of them are written."""
    draft = folder / "draft.partial"
    try:
        shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
        draft.mkdir(parents=True)
        yield draft
        for file in sorted(draft.iterdir()):
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        for file in sorted(draft.iterdir()):
            os.replace(file, folder / file.name)
    except OSError as error:
        error.filename = error.filename or str(folder)  # a failed write does not say where
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_atomically(path: FilePath, content: bytes) -> None:
    """The old file stays until the new one is complete."""
    partial = path.with_name(path.name + ".partial")
    try:
        # /dev/stdout, a pipe, a link: written to, never replaced
        if path.is_symlink() or (path.exists() and not path.is_file()):
            path.write_bytes(content)
            return
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        error.filename = str(path)
        raise
