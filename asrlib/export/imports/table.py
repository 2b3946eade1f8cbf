"""The systems whose checkpoints ``asrlib import CHECKPOINT --from SYSTEM`` reads.

A new system needs a module with a function ``read`` and one line in ``IMPORTERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from asrlib.config.schema import Config
from asrlib.errors import InputError
from asrlib.export.imports import csr, lcasr
from asrlib.recognizer import Recognizer
from asrlib.text.tokenizers import Tokenizer

# maps the paths of a checkpoint and, if given, of a tokenizer to the parts of a model directory
Importer = Callable[[Path, Path | None], tuple[Config, nn.Module, Tokenizer]]
IMPORTERS: dict[str, Importer] = {
    "lcasr": lcasr.read,
    "csr": csr.read,
}


def import_checkpoint(
    checkpoint: str | Path, system: str, folder: str | Path, tokenizer: str | Path | None = None
) -> Recognizer:
    """Convert a checkpoint of ``system`` to the model directory ``folder``; return its recognizer.

    ``tokenizer`` is a file with the labels, for systems whose checkpoints have none. Raises ``InputError``
    for an unknown system, and for a checkpoint that is missing, damaged, or has an unsupported network.
    """
    if system not in IMPORTERS:
        raise InputError(f"--from {system}: use one of {', '.join(IMPORTERS)}")
    path = Path(checkpoint)
    if not path.is_file():
        raise InputError(f"{path}: there is no such checkpoint file")
    recognizer = Recognizer(*IMPORTERS[system](path, None if tokenizer is None else Path(tokenizer)))
    recognizer.save(folder, {"imported_from": {"system": system, "checkpoint": path.name}})
    return recognizer
