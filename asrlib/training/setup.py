"""What a run needs before its first step: labels, a tokenizer, initial weights, batches. Lesson 09."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from asrlib.config.schema import Config, check_vocabulary
from asrlib.data import shar
from asrlib.data.batches import encode_corpus
from asrlib.data.samplers import BatchSampler, StaticBatchSampler
from asrlib.data.shard_sampler import ShardBatchSampler
from asrlib.errors import InputError
from asrlib.text.tokenizers import Tokenizer, load_tokenizer, read_tokenizer, train_phones, train_tokenizer

if TYPE_CHECKING:
    from accelerate import Accelerator
    from lhotse import CutSet

Sampler = BatchSampler | StaticBatchSampler | ShardBatchSampler


def prepare_cpu() -> None:
    """Make steps on a CPU faster: denormal numbers are zero, and memory stays with the process."""
    torch.set_flush_denormal(True)  # without it a step slows down 2 to 3 times as weights decay
    with contextlib.suppress(OSError, AttributeError):  # not glibc, or not Linux
        libc = ctypes.CDLL("libc.so.6")
        # from malloc.h: what is below 32 MB (no more is allowed) comes from the heap, which never shrinks
        trim_threshold, mmap_threshold = -1, -3
        libc.mallopt(mmap_threshold, 32 << 20)
        libc.mallopt(trim_threshold, 2**31 - 1)


def choose_tokenizer(config: Config, cuts: CutSet, init: str | Path | None) -> Tokenizer:
    """Return the tokenizer of the model directory ``init`` if it is of the configured kind, else that of the
    configured file, else one trained on the transcripts of ``cuts``.

    Raises ``InputError`` if its vocabulary is not the configured one.
    """
    settings = config.tokenizer
    if init is not None and Path(init, "tokenizer.json").is_file():
        tokenizer = load_tokenizer(init)
        if tokenizer.kind == settings.kind:
            if tokenizer.kind == "wordpieces":  # of words and characters there are as many as there are
                check_vocabulary(config, tokenizer.vocabulary, f"tokenizer of {init}")
            return tokenizer
    if settings.file is not None:
        tokenizer = read_tokenizer(settings.kind, settings.file, settings.normalize)
        check_vocabulary(config, tokenizer.vocabulary, settings.file)
        return tokenizer
    texts = (cut.supervisions[0].text for cut in shar.without_audio(cuts))
    if settings.lexicon is not None:
        texts = itertools.chain(texts, config.decoding.words or ())
        return train_phones(texts, settings.lexicon, settings.stress, settings.normalize)
    return train_tokenizer(
        settings.kind,
        texts,
        settings.vocabulary,
        settings.model_type,
        settings.normalize,
        settings.max_piece_length,
        settings.reserved,
    )


def encode_transcripts(cuts: CutSet, tokenizer: Tokenizer) -> dict[str, list[int]] | None:
    """Return the labels of every utterance, by id; None of shards, which have too many to keep.

    Those are encoded again, batch by batch. Raises ``InputError`` for a transcript that cannot be encoded.
    """
    if shar.shards_of(cuts) is None:
        return encode_corpus(cuts, tokenizer)
    for part in shar.parts(shar.without_audio(cuts)):
        encode_corpus(part, tokenizer)
    return None


def initialize_weights(model: nn.Module, folder: Path) -> None:
    """Copy the weights of the model directory ``folder`` wherever name and shape agree.

    Raises ``InputError`` if they cannot be read, or if none of the encoder's fit.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        raise InputError(f"{path} is missing: there are no weights to start from")
    try:
        weights = safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged: {error}") from None
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
    """Return the batches of this process: from shards, or from a corpus, if need be of few fixed shapes."""
    settings = config.training
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
