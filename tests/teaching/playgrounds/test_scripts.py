"""The playgrounds' JavaScript as one module and as a page."""

import json
import re
from importlib import resources
from pathlib import Path

import pytest
from javascript import ENGINES, evaluate

from asrlib.errors import InputError
from asrlib.teaching import playgrounds
from asrlib.teaching.playgrounds import NAMES, bundle, ctc_options, page

SCRIPTS = {
    path.name: path.read_text("utf-8")
    for path in resources.files(playgrounds).iterdir()
    if path.suffix == ".mjs"
}
IMPORT = re.compile(r'^import \{ ([^}]*) \} from "\./(\w+\.mjs)";$', re.MULTILINE)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_the_bundle_is_one_module(engine, name, tmp_path):
    """It loads, so no name is defined twice, and it holds whatever a playground needs."""
    text = bundle(name)
    assert not re.search(r"^import", text, re.MULTILINE)
    assert len(re.findall(r"^export", text, re.MULTILINE)) >= 2  # mount and anywidget's default
    assert (
        evaluate(engine, name, "[typeof mount, typeof widget(mount).render]", {}, tmp_path)
        == ["function"] * 2
    )


def test_imports_are_in_the_form_that_the_bundle_reads_and_name_what_is_exported():
    for name, text in SCRIPTS.items():
        lines = [line for line in text.splitlines() if line.startswith("import")]
        assert len(lines) == len(IMPORT.findall(text)), name
        for names, module in IMPORT.findall(text):
            exported = re.findall(
                r"^export (?:async )?(?:function|const) (\w+)", SCRIPTS[module], re.MULTILINE
            )
            missing = set(names.split(", ")) - set(exported)
            assert not missing, (name, module)
            body = IMPORT.sub("", text)
            assert all(re.search(rf"\b{one}\b", body) for one in names.split(", ")), (
                name,
                "imports too much",
            )


def test_scripts_ask_no_other_host_and_are_short():
    for name, text in SCRIPTS.items():
        addresses = set(re.findall(r"https?://[^\s\"']+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, name
        assert len(text.splitlines()) <= 300 and max(map(len, text.splitlines())) <= 180, name


def test_no_text_of_the_options_ends_the_script_of_a_page():
    options = {**ctc_options(), "note": "</script><b>"}
    found = re.search(r'id="options">(.*?)</script>', page("ctc", options), re.DOTALL)
    assert json.loads(found[1]) == options


def test_an_unknown_playground_is_refused():
    with pytest.raises(InputError, match="there are ctc, transducer, spectrogram"):
        bundle("piano")


def test_the_wheel_is_told_of_the_scripts():
    settings = Path(__file__).parents[3] / "pyproject.toml"
    assert '"asrlib.teaching.playgrounds" = ["*.mjs"]' in settings.read_text(encoding="utf-8")
