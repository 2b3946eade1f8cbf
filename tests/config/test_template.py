"""Templates: what a configuration needs is rendered, and everything else is refused in one line."""

import time

import pytest

from asrlib.config.template import MAX_CHARACTERS, is_template, render
from asrlib.errors import InputError


@pytest.mark.parametrize(
    "text, rendered",
    [
        ('{% set repo = "/a/b" %}path: {{repo}}/c\n', "path: /a/b/c\n"),
        ('{% set a = "x" %}{% set b = a ~ "-" ~ 3 %}{{ b }}', "x-3"),
        ("{% for i in range(3) %}[{{ 2 * i + 1 }}]{% endfor %}", "[1][3][5]"),
        ("{% for name, size in [('a', 1), ('b', 2)] %}{{name}}{{size}}{% endfor %}", "a1b2"),
        ("{% if alpha is defined %}{{ alpha }}{% else %}1{% endif %}", "1"),
        (
            "{{ alpha | default(0.5) }} {{ 'A' | lower }} {{ 7 // 2 }} {{ 'x' if 2 < 3 else 'y' }}",
            "0.5 a 3 x",
        ),
        ("filepath: {epoch:02d}.h5 {# a comment #}\n", "filepath: {epoch:02d}.h5 \n"),
    ],
)
def test_what_a_configuration_needs_is_rendered(text, rendered):
    assert render(text, "f.j2") == rendered


def test_templates_are_told_by_their_content():
    assert is_template("{% set a = 1 %}") and is_template("a: {{ b }}")
    assert not is_template("encoder: {blocks: [{filters: 8}]}\nfilepath: {epoch:02d}.h5")


@pytest.mark.parametrize(
    "text, message",
    [
        ("\n{{ ''.__class__.__mro__ }}", "f.j2, line 2: the template uses the attribute '__mro__'"),
        ("{{ ''['__class__'] }}", "f.j2, line 1: the template uses the attribute '__class__'"),
        ("{{ 'a'.upper() }}", "uses the attribute 'upper'; it may use only its own variables"),
        ("{{ (x if x else y)() }}", "the template calls 'condexpr'; it may call only range"),
        ("{{ lipsum() }}", "the template calls 'lipsum'; it may call only range"),
        ("{{ ''|attr('__class__') }}", "uses the filter 'attr'; use one of default, float"),
        ("{{ 'x'|center(1000000000) }}", "uses the filter 'center'"),
        ("{% include '/etc/passwd' %}", "uses 'include', which is not allowed in a configuration"),
        ("{% import 'a' as b %}", "f.j2: a template can import files only if it is itself a file"),
        ("{% from 'a' import b %}", "uses 'fromimport'"),
        ("{% if 3 is divisibleby(2) %}{% endif %}", "uses the test 'divisibleby'; use one of boolean, defi"),
        ("{% macro a() %}{% endmacro %}", "uses 'macro'"),
        ("{% set a %}x{% endset %}", "uses 'assignblock'"),
        ("{{ 9 ** 9 ** 9 }}", "uses 'pow'"),
        ("{{ '%999999999d' % 1 }}", "uses 'mod'"),
        ("{% for i in range(1000000000) %}{% endfor %}", "cannot be rendered: Range too big"),
        ("{% for i in [1] %}{% for j in [2] %}{% endfor %}{% endfor %}", "nests loops; use one level of for"),
        ("{% for i in range(99999) %}" + 99 * "x" + "{% endfor %}", "produces more than 1000000 characters"),
        ("{{ 'a' * 1000000000 }}", r"cannot be rendered: the result of \* is too large"),
        ("{% set a = 'abc' %}" + 99 * "{% set a = a ~ a %}" + "{{ a }}", r"the result of \+ is too large"),
        ("{% set a = 9 %}" + 99 * "{% set a = a * a %}" + "{{ a }}", r"the result of \* is too large"),
        ("{% set a = [1] %}" + 99 * "{% set a = a + a %}" + "{{ a }}", r"the result of \+ is too large"),
        ("{{ repodir }}", "cannot be rendered: 'repodir' is undefined"),
        ("{{ 1 / 0 }}", "cannot be rendered: division by zero"),
        ("{{ 'a' + 1 }}", "cannot be rendered: can only concatenate str"),
        ("{% for a, b in [(1, 2, 3)] %}{% endfor %}", "cannot be rendered: too many values"),
        ("{{ " + 9999 * "(" + "1" + 9999 * ")" + " }}", "cannot be rendered: maximum recursion depth"),
        ("a\n{% if %}", "f.j2, line 2: not a valid Jinja template: Expected an expression"),
        ("{% set a = %}", "not a valid Jinja template"),
        ("{{ a ", "not a valid Jinja template"),
    ],
)
def test_everything_else_is_refused_in_one_line(text, message):
    start = time.monotonic()
    with pytest.raises(InputError, match=message) as error:
        render(text, "f.j2")
    assert str(error.value).startswith("f.j2") and "\n" not in str(error.value)
    assert time.monotonic() - start < 5 and len(str(error.value)) < 300


# each is short, and would take minutes or more memory than there is
LONG, LISTS = "{% set a = 'a' * 499999 %}", "{% set a = [1] %}" + 99 * "{% set a = [a, a] %}"
BOMBS = {
    "a loop of texts": "{% for i in range(99999) %}{% set s = ('a' * 999999)|upper %}{% endfor %}",
    "a loop of sums": LONG + "{% for i in range(99999) %}{% set b = a ~ i %}{% endfor %}",
    "a loop that only counts": "{% for i in range(99999) %}" + 200 * "{% set b = i %}" + "{% endfor %}",
    "a loop of comparisons": LONG + "{% for i in range(99999) %}{% if a == a %}{% endif %}{% endfor %}",
    "a loop of searches": LONG + "{% for i in range(99) %}{% if a in a %}{% endif %}{% endfor %}",
    "a list that doubles": LISTS + "{{ a }}",
    "a text of a list that doubles": LISTS + "{% set b = a|string %}",
    "lists that are compared": LISTS + "{% if a == a %}{% endif %}",
    "a dictionary": "{% set a = {} %}" + 99 * "{% set a = {'x': a, 'y': a} %}" + "{{ a }}",
}


@pytest.mark.parametrize("kind", BOMBS)
def test_work_is_bounded(kind):
    with pytest.raises(InputError, match="f.j2: the template (takes too much work|produces more than)"):
        render(BOMBS[kind], "f.j2")


def folder(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


PARTS = {
    "repo/parts/labels.yml.j2": "{% set size = 7 %}{% set table = repodir ~ '/t' ~ size %}"
    "labels: {{ table }}\n"
    "{% import 'parts/data.yml.j2' as data with context %}{{ data }}",
    "repo/parts/data.yml.j2": "data: {{ datadir }}-{{ size }}\n",
}


@pytest.mark.parametrize("name", ["'parts/labels.yml.j2'", "repodir ~ '/parts/labels.yml.j2'"])
@pytest.mark.parametrize("place", ["repo", "repo/models/transducer"])
def test_files_of_the_templates_project_are_imported(name, place, tmp_path):
    folder(tmp_path, PARTS)
    text = f"{{% import {name} as labels with context %}}{{{{ labels }}}}size: {{{{ labels.size }}}}\n"
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    rendered = render(text, "f.j2", tmp_path / place)
    root = (tmp_path / "repo").resolve()
    assert rendered.splitlines() == [f"labels: {root}/t7", "data: datadir-7", "size: 7"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("{% import 'parts/none.j2' as a %}", "imports 'parts/none.j2', which is no .j2 or .jinja2"),
        ("{% import '../secret.yml' as a %}", "imports '../secret.yml', which is no"),
        ("{% import '/etc/passwd' as a %}", "imports '/etc/passwd', which is no"),
        ("{% import 'notes.txt' as a %}", "imports 'notes.txt', which is no"),
        ("{% import 'link.yml' as a %}", "imports 'link.yml', which is no"),
        ("{% import 3 as a %}", "imports '3', which is no .j2"),
        ("{% import 'x' * 999 as a %}", "which is no .j2"),
        ("{% import 'bad.j2' as a %}", "bad.j2, line 2: not a valid Jinja template"),
        ("{% import 'reach.j2' as a %}", "reach.j2, line 1: the template uses the attribute '__class__'"),
        ("{% import 'again.j2' as a with context %}", "f.j2: the template"),
        ("{% import 'a.j2' as a %}{{ a.__class__ }}", "f.j2, line 1: the template uses the attribute '__cla"),
        ("{% import 'a.j2' as a %}{{ a._body_stream }}", "uses the attribute '_body_stream'"),
        ("{% import 'a.j2' as a %}{{ a['x'] }}", "uses the attribute 'x'"),
        ("{% import 'a.j2' as a %}{{ a.x() }}", "calls 'getattr'"),
        ("{% import 'a.j2' as a %}{{ a.nothing }}", "cannot be rendered: .*nothing"),
        ("{% import 'a.j2' as a %}{% set a = 'x' %}{{ a.upper }}", "only imported files have attributes"),
        ("{% for i in [1] %}{% import 'a.j2' as a %}{% endfor %}", "imports a file in a loop"),
        ("{% import 'latin.j2' as a %}", "latin.j2 is not a UTF-8 text file"),
    ],
)
def test_no_other_file_is_read(text, message, tmp_path):
    files = {"in/a.j2": "{% set x = 1 %}", "secret.yml": "password: 1", "in/notes.txt": "1"}
    files |= {"in/bad.j2": "\n{% if", "in/reach.j2": "{{ ''.__class__ }}"}
    files |= {"in/again.j2": "{% import 'again.j2' as a with context %}"}
    folder(tmp_path, files)
    (tmp_path / "in" / "link.yml").symlink_to("/etc/passwd")
    (tmp_path / "in" / "latin.j2").write_bytes(b"\xe9")
    with pytest.raises(InputError, match=message) as error:
        render(text, "f.j2", tmp_path / "in")
    assert "\n" not in str(error.value)


def test_imports_of_imports_are_bounded(tmp_path):
    files = {"0.j2": 1000 * "x"}
    for n in range(1, 40):
        files[f"{n}.j2"] = 2 * f"{{% import '{n - 1}.j2' as a with context %}}"
    folder(tmp_path, files)
    with pytest.raises(InputError, match="takes too much work"):
        render("{% import '39.j2' as a with context %}", "f.j2", tmp_path)


def test_a_template_sees_no_globals_but_range():
    for name in ("self", "loop", "dict", "namespace", "cycler", "joiner", "lipsum"):
        found = render(f"{{% if {name} is defined %}}{{{{ {name} }}}}{{% endif %}}", "f.j2")
        assert found in ("", "<TemplateReference None>")


def test_the_longest_text_is_allowed():
    assert len(render("{{ 'x' * 999999 }}y", "f.j2")) == MAX_CHARACTERS
