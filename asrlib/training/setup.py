"""Preparation of a run: tokenizer, labels, initial weights and batches. Lesson 09."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from asrlib.config.schema import Config, check_vocabulary
from asrlib.data import shar
from asrlib.data.batches import encode_corpus
from asrlib.data.chunks import ChunkLengths, ChunkSampler
from asrlib.data.samplers import BatchSampler, StaticBatchSampler
from asrlib.data.shard_sampler import ShardBatchSampler
from asrlib.errors import InputError
from asrlib.model_directory import read_weights
from asrlib.models.encoder import Encoder
from asrlib.signal.features import FrontEnd
from asrlib.text.lexicon import Lexicon, Phones
from asrlib.text.tokenizer_files import load_tokenizer, read_tokenizer
from asrlib.text.tokenizers import PhoneTokenizer, Tokenizer, train_phones, train_tokenizer

if TYPE_CHECKING:
    from accelerate import Accelerator
    from lhotse import CutSet

Sampler = BatchSampler | StaticBatchSampler | ShardBatchSampler | ChunkSampler


def prepare_cpu() -> None:
    """Speed up training on a CPU: flush denormal numbers to zero, and keep freed memory in the process."""
    torch.set_flush_denormal(True)  # otherwise steps become 2 to 3 times slower as weights decay
    with contextlib.suppress(OSError, AttributeError):  # not glibc, or not Linux
        libc = ctypes.CDLL("libc.so.6")
        # malloc.h: allocations below 32 MB (the maximum) come from the heap, which never shrinks
        trim_threshold, mmap_threshold = -1, -3
        libc.mallopt(mmap_threshold, 32 << 20)
        libc.mallopt(trim_threshold, 2**31 - 1)


def choose_tokenizer(config: Config, cuts: CutSet, init: str | Path | None) -> Tokenizer:
    """Return the tokenizer of a new run.

    It is that of the model directory ``init`` if that has the configured kind, else the one in the
    configured file, else one trained on the transcripts of ``cuts``. With phones, the labels are those of
    ``init``, and its lexicon is extended by the words of ``cuts``. Raises ``InputError`` if the
    vocabulary of a tokenizer that is read is not of the configured size.
    """
    settings = config.tokenizer
    if init is not None and Path(init, "tokenizer.json").is_file():
        tokenizer = load_tokenizer(init)
        if tokenizer.kind == settings.kind:
            if tokenizer.kind == "wordpieces":  # words and characters have no configured size
                check_vocabulary(config, tokenizer.vocabulary, f"tokenizer of {init}")
            if isinstance(tokenizer, PhoneTokenizer):
                return _with_words_of(tokenizer, config, cuts)
            return tokenizer
    if settings.file is not None:
        tokenizer = read_tokenizer(settings.kind, settings.file, settings.normalize)
        check_vocabulary(config, tokenizer.vocabulary, settings.file)
        return tokenizer
    if settings.lexicon is not None:
        return _train_phones(config, cuts)
    return train_tokenizer(
        settings.kind,
        _texts(cuts),
        settings.vocabulary,
        settings.model_type,
        settings.normalize,
        settings.max_piece_length,
        settings.reserved,
    )


def _with_words_of(tokenizer: PhoneTokenizer, config: Config, cuts: CutSet) -> PhoneTokenizer:
    """Return ``tokenizer`` with the words of ``cuts`` added to its lexicon."""
    if config.tokenizer.lexicon is None:
        return tokenizer
    ways: dict[str, list[Phones]] = {}
    for lexicon in (tokenizer.lexicon, _train_phones(config, cuts).lexicon):
        for word, way in lexicon.flat():
            ways.setdefault(word, []).append(way)
    return PhoneTokenizer(tokenizer.labels, Lexicon(ways), config.tokenizer.normalize)


def _train_phones(config: Config, cuts: CutSet) -> PhoneTokenizer:
    settings = config.tokenizer
    assert settings.lexicon is not None
    texts = itertools.chain(_texts(cuts), config.decoding.words or ())
    return train_phones(texts, settings.lexicon, settings.stress, settings.normalize)


def _texts(cuts: CutSet) -> Iterator[str]:
    return (cut.supervisions[0].text for cut in shar.without_audio(cuts))


def encode_transcripts(
    cuts: CutSet, tokenizer: Tokenizer, chunked: bool = False
) -> dict[str, list[int]] | None:
    """Return the labels of every utterance by its id; None if ``cuts`` come from shards or are ``chunked``.

    Shards have too many transcripts to keep, and chunks are cut again in every epoch; both are encoded again
    batch by batch. Raises ``InputError`` for a transcript that cannot be encoded, in these too.
    """
    if shar.shards_of(cuts) is None:
        labels = encode_corpus(cuts, tokenizer)
        return None if chunked else labels
    if chunked:
        raise InputError("training.chunk_seconds cuts recordings into chunks, and shards cannot be cut")
    for part in shar.parts(shar.without_audio(cuts)):
        encode_corpus(part, tokenizer)
    return None


def warn_of_short_recordings(
    config: Config, encoder: Encoder, cuts: CutSet, labels: dict[str, list[int]]
) -> None:
    """Warn about utterances with fewer encoder frames than labels plus repeats, from which CTC cannot learn.

    Such an utterance has no path, and its loss counts as 0.
    """
    if config.training.ctc_weight == 0:
        return
    rate, slowest = config.features.sample_rate, (config.augment.speed or [1.0])[0]
    front_end = FrontEnd(**vars(config.features))
    short = []
    for cut in cuts:
        frames = math.ceil(front_end.frame_count(int(cut.duration * rate / slowest)) / encoder.reduction)
        label = labels[cut.id]
        if frames < len(label) + sum(a == b for a, b in itertools.pairwise(label)):
            short.append(cut.id)
    if short:
        named = ", ".join(short[:3]) + (", …" if short[3:] else "")
        warnings.warn(
            f"{len(short):,} of {len(labels):,} utterances have fewer encoder frames than labels, so that CTC"
            f" learns nothing from them ({named}): compare their transcripts with their recordings, or choose"
            f" an encoder that keeps more than one of {encoder.reduction} frames",
            stacklevel=3,
        )


def initialize_weights(model: nn.Module, folder: Path) -> None:
    """Copy the weights of the model directory ``folder`` into ``model`` wherever name and shape agree.

    Raises ``InputError`` if they cannot be read, or if no encoder weight fits.
    """
    path = folder / "model.safetensors"
    weights = read_weights(path)
    own = model.state_dict()
    fitting = {
        name: weight.to(own[name].dtype)
        for name, weight in weights.items()
        if name in own and own[name].shape == weight.shape
    }
    if not any(name.startswith("encoder.") for name in fitting):
        raise InputError(f"{path} has no encoder weights of this configuration's shapes")
    model.load_state_dict(own | fitting)


def make_sampler(
    config: Config,
    cuts: CutSet,
    labels: dict[str, list[int]] | None,
    accelerator: Accelerator,
    few_shapes: bool,
) -> Sampler:
    """Return the sampler of this process' batches.

    ``labels`` None selects a sampler for shards or chunks. ``few_shapes`` selects batches of a few fixed
    shapes.
    """
    settings = config.training
    if settings.chunk_seconds is not None:
        lengths = ChunkLengths(
            settings.chunk_seconds, settings.chunk_warmup_seconds, settings.chunk_double_every
        )
        process = accelerator.process_index, accelerator.num_processes
        return ChunkSampler(cuts, lengths, settings.batch_seconds, settings.seed, *process)
    sharing = (
        settings.batch_seconds,
        settings.seed,
        accelerator.process_index,
        accelerator.num_processes,
        settings.batch_utterances,
    )
    if labels is None:
        return ShardBatchSampler(cuts, *sharing)
    if few_shapes:
        rate, speed = config.features.sample_rate, config.augment.speed
        return StaticBatchSampler(cuts, labels, rate, *sharing, slowest=speed and speed[0])
    return BatchSampler(cuts.to_eager(), *sharing)
