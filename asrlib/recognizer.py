"""A trained model that transcribes: ``Recognizer.load(model_dir).transcribe(audio)``.

Lesson 00.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from asrlib import backend
from asrlib.config.schema import Config
from asrlib.data.audio import audio_blocks, audio_info, cut_audio, read_audio
from asrlib.decoding.beam import BeamOptions, beam_ctc, beam_rnnt
from asrlib.decoding.greedy import greedy_ctc, greedy_rnnt
from asrlib.decoding.hotwords import Hotwords, phrase_labels
from asrlib.decoding.hypothesis import Hypothesis, SearchResult
from asrlib.decoding.long_form import Listener, LongForm, cut_recording, scan, search
from asrlib.decoding.second_pass import second_pass
from asrlib.decoding.streaming import Stream, StreamingCTC, StreamingTransducer
from asrlib.decoding.words import search_words
from asrlib.errors import InputError
from asrlib.files import replacing
from asrlib.model_directory import LANGUAGE_MODEL, find_model, member_folders, read_model, write_model
from asrlib.models.transducer import Transducer
from asrlib.signal.features import FrontEnd
from asrlib.signal.frame_times import FrameTimes
from asrlib.signal.recording import Blocks, at_most, resampled
from asrlib.signal.resample import check_rate, resample
from asrlib.signal.streaming import mono_chunk
from asrlib.text.lexicon import Lexicon
from asrlib.text.ngram import NGram, load_arpa
from asrlib.text.tokenizers import PhoneTokenizer, Tokenizer

if TYPE_CHECKING:
    from lhotse import CutSet


class Recognizer:
    """A speech recognizer: configuration, front end, network (in evaluation mode) and tokenizer.

    These attributes may be changed at any time: ``config.decoding`` selects the search, ``lm`` is the
    language model of beam search, and ``members`` maps names to further recognizers that form an ensemble
    with this one. The CTC heads of an ensemble are combined by averaging their log-probabilities frame by
    frame, because networks that were trained differently seldom make the same mistake. A second pass
    (``decoding.rescore_weight``) averages the scores of whole texts. The transducer search does not use
    ``members``. ``frame_seconds`` is the duration of an encoder frame in seconds.
    """

    def __init__(
        self, config: Config, model: Transducer, tokenizer: Tokenizer, device: str | torch.device = "cpu"
    ):
        self.config, self.tokenizer, self.device = config, tokenizer, torch.device(device)
        self.lm: NGram | None = None
        self.members: dict[str, Recognizer] = {}
        self.model = model.to(self.device).eval()
        self.front_end = FrontEnd(**vars(config.features)).to(self.device)
        self.frame_seconds = config.features.hop_ms / 1000 * model.encoder.reduction
        self.frame_times = FrameTimes(self.frame_seconds, config.features.window_ms / 2000)

    @property
    def uses_ctc(self) -> bool:
        """Return whether the search uses the CTC head and not the transducer."""
        return self.model.joint is None or self.config.decoding.head == "ctc"

    @property
    def ensemble(self) -> list[Recognizer]:
        """Return the recognizers of this ensemble, this one first."""
        return [self, *self.members.values()]

    @property
    def warps(self) -> list[float]:
        """Return the frequency stretch factors over which the CTC head is averaged."""
        return self.config.decoding.warps or [1.0]

    @classmethod
    def load(cls, model_dir: str | Path | None = None, device: str | torch.device = "cpu") -> Recognizer:
        """Load a recognizer from a model directory, or a shipped model by its name.

        None loads the digit recognizer, ``"digits-model"``; ``"lessons-model"`` is the one that the lessons
        examine. A file ``lm.arpa`` in it becomes ``lm``. Raises ``InputError`` if a file is missing or
        damaged, a weight not finite, a member of an ensemble unfit, or ``device`` cannot be used here.
        """
        device = backend.usable_device(device)
        folder = find_model(model_dir)
        recognizer = cls(*read_model(folder), device)
        if (arpa := folder / LANGUAGE_MODEL).is_file():
            recognizer.lm = load_arpa(arpa, recognizer.tokenizer.labels)
        for member in member_folders(folder):
            recognizer._add_member(member)
        return recognizer

    def _add_member(self, folder: Path) -> None:
        """Load a member; its rates, its silence at the end and its labels must equal this recognizer's."""
        member = Recognizer.load(folder, self.device)
        for what, ours, theirs in (
            ("samples per second", self.front_end.sample_rate, member.front_end.sample_rate),
            ("seconds per frame", self.frame_seconds, member.frame_seconds),
            ("samples of silence after an utterance", self.front_end.tail, member.front_end.tail),
            ("labels", self.tokenizer.labels, member.tokenizer.labels),
        ):
            if ours != theirs:
                raise InputError(f"{folder}: its {what} ({theirs}) differ from its parent model's ({ours})")
        if None in (self.model.ctc_head, member.model.ctc_head):
            raise InputError(f"{folder}: an ensemble averages CTC heads, but one of its networks has none")
        self.members[folder.name] = member

    def save(self, folder: str | Path, metrics: dict[str, Any], half: bool = False) -> None:
        """Write a model directory, including the members of an ensemble and the language model.

        All files are written completely before the first one replaces an existing file. ``metrics`` are
        stored as JSON. ``half`` stores the weights in 16 bits.
        """
        folder = Path(folder)
        with contextlib.ExitStack() as drafts:
            for name, member in self.members.items():
                draft = drafts.enter_context(replacing(folder / "members" / name))
                write_model(draft, member.config, member.model, member.tokenizer, {}, half)
            draft = drafts.enter_context(replacing(folder))
            write_model(draft, self.config, self.model, self.tokenizer, metrics, half)
            if self.lm is not None:
                (draft / LANGUAGE_MODEL).write_text(self.lm.arpa(), encoding="utf-8")
        if self.lm is None:
            (folder / LANGUAGE_MODEL).unlink(missing_ok=True)  # of the model that was there
        for stale in member_folders(folder):  # of the model that was there
            if stale.name not in self.members:
                shutil.rmtree(stale)

    def transcribe(self, audio: Any, sample_rate: int | None = None) -> Hypothesis:
        """Transcribe one utterance and return its hypothesis.

        ``audio`` is a path to an audio file, or mono samples in [-1, 1] with their ``sample_rate`` in Hz.
        Raises ``InputError`` for samples without a rate, empty audio, more than one channel of samples,
        samples that are NaN or infinite, and a file that cannot be read as audio.
        """
        return self.transcribe_batch([mono_samples(audio, sample_rate)])[0]

    @torch.no_grad()
    def transcribe_long(
        self,
        audio: Any,
        sample_rate: int | None = None,
        window: float = LongForm.window,
        overlap: float = LongForm.overlap,
        join: str | None = None,
        cut: str | None = None,
    ) -> Hypothesis:
        """Transcribe a recording of any length piece by piece; a file is read in blocks.

        The options are those of `decoding.long_form.LongForm`: pieces last at most ``window`` seconds. A
        longer piece, or a recording cut into windows, has no second pass (``decoding.rescore_weight``).
        Raises ``InputError`` as ``transcribe`` does, and for values of the options that are not valid.
        """
        settings, ctc = LongForm(window, overlap, join, cut), self.uses_ctc
        rate, blocks = recording_blocks(audio, sample_rate)
        ensemble = self.ensemble if ctc else [self]
        warps = self.warps if ctc else [1.0]
        listeners = [Listener(member.front_end, member.model, warps) for member in ensemble]
        sound = resampled(blocks, rate, self.config.features.sample_rate, self.device)
        options = self._beam_options() if self.config.decoding.beam_width else None
        found = []
        rescored = ctc and settings.at_pauses and self.config.decoding.rescore_weight is not None
        # pieces between pauses last at most a window, rounded up to a frame of the encoder, and a hop
        longest = (window + self.frame_seconds) * self.front_end.sample_rate + self.front_end.hop
        most = int(longest) if rescored else 0
        for start, piece in cut_recording(listeners, sound, settings):
            if (samples := at_most(piece, most)) is not None:
                lengths = torch.tensor([len(samples)], device=self.device)
                [result] = self._search_ctc(samples[None], lengths)
            else:
                frames = scan(listeners, piece, settings, ctc)
                result = search(frames, self.model, ctc, self.config.decoding.max_symbols, options)
            found.append((start, self.hypothesis(result)))
        return Hypothesis.joined(found)

    @torch.no_grad()
    def transcribe_batch(self, utterances: Sequence[tuple[Tensor, int]]) -> list[Hypothesis]:
        """Transcribe several utterances, given as (samples, rate in Hz), in one batch.

        The hypotheses are the same as for each utterance alone.
        """
        search = self._search_ctc if self.uses_ctc else self._search_rnnt
        return [self.hypothesis(result) for result in search(*self._padded(utterances))]

    def transcribe_cuts(self, cuts: CutSet, batch_seconds: float = 120.0) -> Iterable[tuple[str, Hypothesis]]:
        """Yield (cut id, hypothesis) for all ``cuts``, in batches sorted by length, shortest first.

        A batch lasts at most ``batch_seconds`` with padding, unless a single cut is longer.
        """
        batch: list[tuple[str, Tensor, int]] = []
        for cut in sorted(cuts, key=lambda c: c.duration):
            if batch and (len(batch) + 1) * cut.duration > batch_seconds:
                yield from self._transcribe_named(batch)
                batch = []
            batch.append((cut.id, torch.from_numpy(cut_audio(cut)), cut.sampling_rate))
        if batch:
            yield from self._transcribe_named(batch)

    def _transcribe_named(self, batch: list[tuple[str, Tensor, int]]) -> list[tuple[str, Hypothesis]]:
        hypotheses = self.transcribe_batch([(samples, rate) for _, samples, rate in batch])
        return list(zip([name for name, _, _ in batch], hypotheses, strict=True))

    def stream(self, sample_rate: int | None = None) -> Stream:
        """Return a stream, which transcribes speech while it is spoken, with greedy search.

        ``sample_rate`` is the rate of the samples in Hz; None is the model's own. Raises ``InputError`` if
        the model cannot stream, naming the keys of the configuration that prevent it. Lesson 12.
        """
        self.check_streaming()
        search: StreamingCTC | StreamingTransducer
        if self.uses_ctc:
            search = StreamingCTC(self.model)
        else:
            search = StreamingTransducer(self.model, self.config.decoding.max_symbols, self.device)
        return Stream(self.front_end, self.model.encoder, search, self.hypothesis, sample_rate)

    def check_streaming(self) -> None:
        """Raise ``InputError``, naming the keys of the configuration at fault, if the model cannot stream."""
        if found := self.streaming_obstacles():
            raise InputError(f"this model cannot stream, it needs the whole utterance: {'; '.join(found)}")

    def streaming_obstacles(self) -> list[str]:
        """Return a description of each setting that prevents streaming; the list is empty if none does."""
        config, found = self.config, []
        features, decoding = config.features, config.decoding
        if features.normalize_signal:
            found.append("features.normalize_signal is true (use false)")
        if features.normalize not in ("none", "running"):
            found.append(f"features.normalize is {features.normalize} (use none or running)")
        if features.centered:
            found.append("features.centered is true (use false)")
        if features.top_db is not None:
            found.append(f"features.top_db is {features.top_db} (use null)")
        found += self.model.encoder.streaming_obstacles()
        if decoding.warps is not None:
            found.append("decoding.warps is set (use null)")
        if decoding.rescore_weight is not None:
            found.append("decoding.rescore_weight is set (use null: it compares whole texts)")
        if decoding.words is not None:
            found.append("decoding.words is set (use null: a word is chosen when all of it was heard)")
        if self.uses_ctc and self.members:
            found.append(f"it is an ensemble with {', '.join(self.members)} (clear recognizer.members)")
        if decoding.beam_width:
            found.append(f"decoding.beam_width is {decoding.beam_width} (use 0: streams use greedy search)")
        return found

    def hypothesis(self, result: SearchResult) -> Hypothesis:
        """Return a search result as text, with times in seconds."""
        return Hypothesis.from_search(result, self.tokenizer, self.frame_times)

    def reference(self, text: str) -> str:
        """Return a transcript in the form of hypotheses: words, or the tokenizer's normalized text."""
        if self.config.decoding.words is not None and isinstance(self.tokenizer, PhoneTokenizer):
            return self.tokenizer.words(text)
        return self.tokenizer.prepare(text)

    def word_list(self) -> Lexicon:
        """Return the closed list ``decoding.words`` with its pronunciations. Lesson 14.

        Raises ``InputError`` if there is no list, or if the tokenizer's lexicon lacks its words.
        """
        if self.config.decoding.words is None:
            raise InputError("decoding.words is null: list the words to choose from")
        return self._phone_tokenizer().lexicon.select(self.config.decoding.words)

    def _phone_tokenizer(self) -> PhoneTokenizer:
        if not isinstance(self.tokenizer, PhoneTokenizer):
            raise InputError("decoding.words needs a tokenizer of phones with a lexicon: set it to null")
        return self.tokenizer

    def _padded(self, utterances: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        """Return padded waveforms at the model's sample rate, (batch, samples), and lengths in samples."""
        rate = self.config.features.sample_rate
        checked = [mono_samples(samples, own) for samples, own in utterances]
        waveforms = [resample(samples, own, rate).to(self.device) for samples, own in checked]
        lengths = torch.tensor([w.shape[0] for w in waveforms], device=self.device)
        return torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True), lengths

    def _search_rnnt(self, waveforms: Tensor, lengths: Tensor) -> list[SearchResult]:
        encoder_out, frame_lengths = self.model.encoder(*self.front_end(waveforms, lengths))
        max_symbols = self.config.decoding.max_symbols
        if not self.config.decoding.beam_width:
            return greedy_rnnt(self.model, encoder_out, frame_lengths, max_symbols)
        ranked = beam_rnnt(self.model, encoder_out, frame_lengths, self._beam_options(), max_symbols)
        return [results[0] for results in ranked]

    def _search_ctc(self, waveforms: Tensor, lengths: Tensor) -> list[SearchResult]:
        decoding = self.config.decoding
        if decoding.rescore_weight and any(member.model.joint is None for member in self.ensemble):
            raise InputError("decoding.rescore_weight is set, but a network has no transducer to score with")
        views, frame_lengths = self._views(waveforms, lengths)
        log_probs = _mean_log_probs(views)
        if decoding.words is not None:
            return search_words(log_probs, frame_lengths, self._phone_tokenizer(), self.word_list())
        if not decoding.beam_width:
            return greedy_ctc(log_probs, frame_lengths)
        options = self._beam_options()
        ranked = beam_ctc(log_probs, frame_lengths, options)
        if decoding.rescore_weight is not None:
            ranked = second_pass(views, frame_lengths, ranked, decoding.rescore_weight, options)
        return [results[0] for results in ranked]

    @torch.no_grad()
    def ctc_log_probs(self, utterances: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        """Return the CTC head's natural log-probabilities (batch, T, V), and each utterance's frames.

        Each utterance is (samples, rate in Hz). `decoding.words` and `ctc_align` take the results. Lesson 14.
        Raises ``InputError`` for a model without a CTC head.
        """
        if self.model.ctc_head is None:
            raise InputError("this model has no CTC head (training.ctc_weight is 0)")
        views, frame_lengths = self._views(*self._padded(utterances))
        return _mean_log_probs(views), frame_lengths

    def _views(self, waveforms: Tensor, lengths: Tensor) -> tuple[list[tuple[Transducer, Tensor]], Tensor]:
        """Return each network with its encoder output at each of the warps, and lengths in frames."""
        views, frame_lengths = [], lengths
        for member in self.ensemble:
            for factor in self.warps:
                warp = None if factor == 1 else torch.full((len(lengths),), factor, device=self.device)
                encoder_out, frame_lengths = member.model.encoder(*member.front_end(waveforms, lengths, warp))
                views.append((member.model, encoder_out))
        return views, frame_lengths

    def _beam_options(self) -> BeamOptions:
        search, hotwords = self.config.decoding, None
        if phrases := search.hotwords:
            hotwords = Hotwords(phrase_labels(phrases, self.tokenizer.encode), search.hotword_bonus)
        fusion = self.lm, search.lm_weight, search.label_bonus
        return BeamOptions(search.beam_width, search.norm_score, *fusion, hotwords)


def _mean_log_probs(views: list[tuple[Transducer, Tensor]]) -> Tensor:
    """Return the CTC heads' log-probabilities averaged over networks and warps, (batch, T, V)."""
    each = []
    for model, encoder_out in views:
        assert model.ctc_head is not None  # configurations that decode without one are refused
        each.append(model.ctc_head(encoder_out).log_softmax(-1))
    return torch.stack(each).mean(0).log_softmax(-1)


def mono_samples(audio: Any, sample_rate: int | None) -> tuple[Tensor, int]:
    """Return mono float32 samples in [-1, 1] and their rate in Hz.

    ``audio`` is a path to an audio file, or mono samples with their ``sample_rate``. Raises ``InputError``
    for samples without a rate or with a rate that is none, empty audio, more than one channel of samples,
    samples that are NaN or infinite, and a file that cannot be read as audio.
    """
    if isinstance(audio, (str, Path)):
        audio, sample_rate = read_audio(audio)
    if sample_rate is None:
        raise InputError("sample_rate is missing: give the rate of the samples in Hz")
    samples = mono_chunk(audio)
    if not len(samples):
        raise InputError("audio has shape (0,); expected a non-empty 1-D array of mono samples")
    return samples, check_rate(sample_rate)


def recording_blocks(audio: Any, sample_rate: int | None) -> tuple[int, Blocks]:
    """Return the rate in Hz of an audio file or of samples, and a function that yields them in blocks.

    A file is read again at each call, and never as a whole. Raises ``InputError`` as ``mono_samples`` does.
    """
    if isinstance(audio, (str, Path)):
        path = Path(audio)
        return audio_info(path).samplerate, lambda: map(torch.from_numpy, audio_blocks(path))
    samples, rate = mono_samples(audio, sample_rate)
    return rate, lambda: samples.split(10 * rate)
