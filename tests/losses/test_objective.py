"""A configuration chooses its loss, and the model trains on what it chose."""

from dataclasses import dataclass

import pytest
import tiny
import torch
import yaml

from asrlib.config.parse import override, parse_config
from asrlib.config.schema import Config
from asrlib.errors import InputError
from asrlib.losses.ctc import ctc_loss
from asrlib.losses.objective import LossConfig
from asrlib.losses.registry import LOSSES, register_loss
from asrlib.models.build import build_model


@dataclass
class Doubled(LossConfig):
    """Both losses, ``factor`` times."""

    kind: str = "doubled"
    factor: float = 2.0

    def ctc(self, *arguments):
        return self.factor * super().ctc(*arguments)

    def transducer(self, *arguments):
        return self.factor * super().transducer(*arguments)


@pytest.fixture(autouse=True)
def registered():
    register_loss(Doubled)
    yield
    del LOSSES["doubled"]


def settings(**loss):
    return parse_config(yaml.safe_dump(tiny.settings() | {"loss": loss}), "f.yml")


def model_loss(config):
    torch.manual_seed(3)
    model = build_model(config, 4).eval()
    features, lengths = torch.randn(2, 50, 20), torch.tensor([50, 31])
    targets, target_lengths = torch.tensor([[1, 2, 3], [2, 1, 0]]), torch.tensor([3, 2])
    return model(features, lengths, targets, target_lengths)


def test_without_the_section_it_is_the_standard_loss():
    assert parse_config("name: plain", "f.yml").loss == LossConfig()
    assert settings(kind="standard").loss == LossConfig()


def test_the_configuration_chooses_by_kind_and_keeps_the_fields():
    config = settings(kind="doubled", factor=3)
    assert config.loss == Doubled(factor=3.0)
    assert parse_config(yaml.safe_dump(config.to_dict()), "saved.yml") == config
    assert override(Config(), ["loss.kind=doubled", "loss.factor=4"]).loss == Doubled(factor=4.0)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_model_trains_on_it(weight):
    plain = override(settings(kind="standard"), [f"training.ctc_weight={weight}"])
    tripled = override(settings(kind="doubled", factor=3), [f"training.ctc_weight={weight}"])
    assert model_loss(tripled).item() == pytest.approx(3 * model_loss(plain).item(), rel=1e-6)


def test_the_standard_ctc_is_ctc():
    log_probs = torch.randn(9, 2, 5).log_softmax(-1)
    targets, frames, labels = torch.tensor([[1, 2], [3, 3]]), torch.tensor([9, 2]), torch.tensor([2, 2])
    found = LossConfig().ctc(log_probs, targets, frames, labels, 0)
    # two equal labels need three frames: the second utterance has no path
    assert found.item() == pytest.approx(ctc_loss(log_probs[:, :1], targets[:1], (9,), (2,)).item() * 2)


def test_what_is_wrong_with_the_section_names_the_key():
    with pytest.raises(InputError, match="f.yml: key loss.kind is 'triplet'; use one of standard, doubled"):
        settings(kind="triplet")
    with pytest.raises(InputError, match="f.yml: key loss.factor is 'x'; expected float"):
        settings(kind="doubled", factor="x")


def test_what_cannot_be_registered_is_refused(unchecked_shapes):
    class Bare(LossConfig):
        kind: str = "bare"

    @dataclass
    class Taken(LossConfig):
        kind: str = "standard"

    for config, message in (
        (Bare, "Bare is not a @dataclass"),
        (Taken, "Taken: kind is 'standard'; use a name other than standard, doubled"),
        (Doubled(), "register_loss takes a subclass of LossConfig, not Doubled"),
        (dict, "register_loss takes a subclass of LossConfig, not dict"),
    ):
        with pytest.raises(InputError, match=message):
            register_loss(config)
    assert set(LOSSES) == {"standard", "doubled"}
