"""The systems whose checkpoints ``asrlib import CHECKPOINT --from SYSTEM`` reads.

A new system needs a module with a function ``read`` and one line in ``IMPORTERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from asrlib.config.schema import Config
from asrlib.errors import InputError
from asrlib.export.imports import csr, lcasr, tensorflowasr
from asrlib.recognizer import Recognizer
from asrlib.text.tokenizers import Tokenizer

# maps the paths of a checkpoint and, if given, of a tokenizer to the parts of a model directory
Importer = Callable[[Path, Path | None], tuple[Config, nn.Module, Tokenizer]]
IMPORTERS: dict[str, Importer] = {
    "lcasr": lcasr.read,
    "csr": csr.read,
}
# of systems whose checkpoints have no configuration: its path comes third, then the generation of the system
Configured = Callable[[Path, Path | None, Path, str | None], tuple[Config, nn.Module, Tokenizer]]
CONFIGURED: dict[str, Configured] = {
    "tensorflowasr": tensorflowasr.read,
}


def import_checkpoint(
    checkpoint: str | Path,
    system: str,
    folder: str | Path,
    tokenizer: str | Path | None = None,
    config: str | Path | None = None,
    generation: str | None = None,
) -> Recognizer:
    """Convert a checkpoint of ``system`` to the model directory ``folder``; return its recognizer.

    ``tokenizer`` is a file with the labels, for systems whose checkpoints have none, and ``config`` one with
    the configuration. ``generation`` says which code of the system it is for, if its keys do not tell.
    Raises ``InputError`` for an unknown system, and for a checkpoint that is missing, damaged, or has an
    unsupported network.
    """
    if system not in (*IMPORTERS, *CONFIGURED):
        raise InputError(f"--from {system}: use one of {', '.join((*IMPORTERS, *CONFIGURED))}")
    path, labels = Path(checkpoint), None if tokenizer is None else Path(tokenizer)
    if not path.is_file():
        raise InputError(f"{path}: there is no such checkpoint file")
    if system in CONFIGURED:
        if config is None:
            raise InputError(
                f"--from {system}: {path} has no configuration: give its file with --config FILE"
            )
        recognizer = Recognizer(*CONFIGURED[system](path, labels, Path(config), generation))
    elif config is not None or generation is not None:
        option = f"--generation {generation}" if config is None else f"--config {config}"
        raise InputError(f"{option}: a checkpoint of {system} needs none")
    else:
        recognizer = Recognizer(*IMPORTERS[system](path, labels))
    recognizer.save(folder, {"imported_from": {"system": system, "checkpoint": path.name}})
    return recognizer
