"""A recognizer that forgets some of its labels, such as words that it only learned to tell from others.

Lesson 09.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.recognizer import Recognizer
from asrlib.text.labels import Tokenizer


def keep_labels(recognizer: Recognizer, labels: Sequence[str]) -> Recognizer:
    """Return a recognizer with the same weights, but with outputs for blank and these ``labels`` only.

    Its probabilities are those of the given one, renormalized over what is kept. The prediction network and
    the joint network, if any, forget the other labels too. Members and language model are left behind. Raises
    ``InputError`` for a label that it does not have, and for a tokenizer that is no plain list of labels.
    """
    tokenizer = recognizer.tokenizer
    if type(tokenizer) is not Tokenizer:
        raise InputError(f"keep_labels needs a tokenizer of words or characters, not of {tokenizer.kind}")
    if unknown := [label for label in labels if label not in tokenizer.labels]:
        raise InputError(f"keep_labels: the recognizer has no label {', '.join(map(repr, unknown))}")
    rows = torch.tensor([0, *(1 + tokenizer.labels.index(label) for label in labels)])
    config = copy.deepcopy(recognizer.config)
    config.tokenizer.vocabulary = len(rows)
    model = build_model(config, len(rows))
    old = recognizer.model.state_dict()
    model.load_state_dict(
        {
            name: old[name] if old[name].shape == own.shape else old[name][rows.to(old[name].device)]
            for name, own in model.state_dict().items()
        }
    )
    fewer = Tokenizer(tokenizer.kind, labels, tokenizer.normalize)
    return Recognizer(config, model, fewer, recognizer.device)
