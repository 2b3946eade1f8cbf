"""Checks of settings name the file, the key and its value, and let pass what is right or left out."""

from types import SimpleNamespace

import pytest

from asrlib import validate
from asrlib.errors import InputError

SETTINGS = SimpleNamespace(size=0, rate=-0.5, share=1.5, none=None, kind="x", nan=float("nan"))


@pytest.mark.parametrize(
    "check, key, message",
    [
        (validate.positive, "size", "f.yml: key part.size is 0; it must be positive"),
        (validate.positive, "nan", "f.yml: key part.nan is nan; it must be positive"),
        (validate.not_negative, "rate", "f.yml: key part.rate is -0.5; it must not be negative"),
        (validate.fractions, "share", "f.yml: key part.share is 1.5; it must be between 0 and 1"),
    ],
)
def test_a_number_out_of_range_is_named(check, key, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        check("f.yml", "part", SETTINGS, key)


def test_what_is_in_range_or_left_out_passes():
    validate.positive("f.yml", "part", SETTINGS, "share", "none")
    validate.not_negative("f.yml", "part", SETTINGS, "size", "none")
    validate.fractions("f.yml", "part", SETTINGS, "size")
    validate.choice("f.yml", "part", SETTINGS, "kind", ("x", "y"))


def test_a_choice_lists_what_is_allowed():
    with pytest.raises(InputError, match="f.yml: key part.kind is 'x'; use one of a, b"):
        validate.choice("f.yml", "part", SETTINGS, "kind", ("a", "b"))


def test_the_file_and_section_stand_in_front_of_a_functions_own_message():
    with pytest.raises(InputError, match="^f.yml: part: too wide$"), validate.named("f.yml", "part"):
        raise InputError("too wide")
