"""Small Conformers, and where the fixtures of the original code are."""

from pathlib import Path

import pytest
import torch

from asrlib.config.schema import Config
from asrlib.models.conformer import ConformerConfig
from asrlib.models.layers.batch_norm import MaskedBatchNorm
from asrlib.models.layers.batch_renorm import MaskedBatchRenorm

FIXTURES = Path(__file__).resolve().parents[2] / "shared" / "data" / "fixtures"
needs_fixtures = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"needs {FIXTURES}")
SMALL = dict(layers=3, dim=24, heads=2, head_dim=12, kernel=5, subsampling_channels=8)
MELS, V = 20, 7


def small(**options):
    """An encoder and its head, in evaluation mode; its running statistics are not those of new ones."""
    torch.manual_seed(3)
    encoder = ConformerConfig(**(SMALL | options)).build(MELS)
    head = encoder.make_ctc_head(V)
    for module in encoder.modules():
        if isinstance(module, (MaskedBatchNorm, MaskedBatchRenorm)):
            module.running_mean.normal_(0, 0.3)
            spread = module.running_std if isinstance(module, MaskedBatchRenorm) else module.running_var
            spread.uniform_(0.5, 2)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    return encoder.eval(), head.eval()


def config(**sections):
    """A configuration of a small Conformer for the tones of `tiny`."""
    import tiny
    import yaml

    from asrlib.config.parse import parse_config

    content = tiny.settings() | {
        "encoder": {"kind": "conformer", **SMALL},
        "prediction": None,
        "joint": None,
        "training": tiny.CONFIG["training"] | {"ctc_weight": 1.0},
        "decoding": {"head": "ctc"},
    }
    for name, section in sections.items():
        content[name] = (content.get(name) or {}) | section
    result = parse_config(yaml.safe_dump(content), "conformer.yml")
    assert isinstance(result, Config)
    return result
