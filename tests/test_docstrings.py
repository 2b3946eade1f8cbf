"""The English of the library: public names have docstrings, and nothing uses a turn that is no English."""

import ast
import importlib
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import asrlib

ROOT = Path(asrlib.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if "assets" not in path.parts)
Definition = ast.FunctionDef | ast.ClassDef

# a summary that starts with one of these is no imperative sentence
NOT_IMPERATIVE = set(
    "a an the all any as at each every for from how if in it its like no none not of on one only same some"
    " that their there these this those to what when where whether which with without".split()
)
# nouns that are no verbs, as in "a sampler samples a batch"
COUNTED = (
    "bytes|characters|epochs|frames|hours|logits|multiplications|nats|nodes|operations|seconds|tokens|words"
)
# pattern -> what to write
BANNED = {
    r"behaviour|colour|favour|flavour|honour|labour|neighbour": "-or",
    r"(characteri|emphasi|generali|initiali|maximi|memori|minimi|normali|optimi|organi|penali|quanti|reali"
    r"|recogni|regulari|seriali|speciali|standardi|summari|synchroni|synthesi|tokeni|utili|visuali)"
    r"s(e|ed|er|ers|es|ing|ation|ations|able)\b|\banalys(e|ed|ing)\b": "-ize",
    r"\bcatalogue|\bprogramme\b|\bwhilst\b|\bamongst\b": "catalog, program, while, among",
    r"\b(un)?centred?\b|\bfibre\b|\blitre": "center",
    r"\b(un)?(label|model|cancel|travel|signal)l(ed|ing)\b": "a single l",
    r"\b(artefact|judgement|licence|spelt|learnt)\b": "the American spelling",
    r"\bper cent\b": "percent",
    rf"\b({COUNTED}|samples|steps|times|utterances) an? (second|minute|hour)\b(?! (time|utterance))": "per",
    rf"\b({COUNTED}) an? (batch|byte|channel|epoch|frame|label|line|node|step|utterance|word)\b": "per",
    r"\bSaid of\b|\bits hearing\b|\bWhat was heard\b|\bnothing more being\b": "plain words",
    r"\bwhoever\b|\blest\b|\bnobody needs\b|\bto be had\b": "plain words",
    r"\banew\b": "again",
    r"\bin the place of\b": "in place of",
    r"^(Came|Told|Said|Heard)\b": "a verb in the imperative",
}


def definitions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Yield the public functions and classes of a module, and the public methods of these classes."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node.name, node
            for member in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    yield f"{node.name}.{member.name}", member


def needs_docstring(node: Definition) -> bool:
    """Return whether a definition is documented itself, not by its class or its module.

    Those are ``forward`` of a network, both methods of a ``torch.autograd.Function``, and Triton's kernels.
    """
    if isinstance(node, ast.ClassDef):
        return True
    first = node.args.args[0].arg if node.args.args else ""
    kernel = node.name.endswith("_kernel") and any("jit" in ast.unparse(d) for d in node.decorator_list)
    return node.name != "forward" and first != "ctx" and not kernel


def is_property(node: Definition) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def faults_of_docstrings(source: str) -> list[str]:
    """Return what is wrong with the docstrings of a module and its public names, one line each."""
    tree = ast.parse(source)
    faults = []
    named = [("the module", tree), *((n, d) for n, d in definitions(tree) if needs_docstring(d))]
    for name, node in named:
        summary = (ast.get_docstring(node) or "").split("\n")[0]
        first = re.split(r"[\s,.:]", summary)[0]
        if not summary:
            faults.append(f"{name} has no docstring")
        elif not summary.endswith("."):
            faults.append(f"{name}: the first line is no whole sentence: {summary}")
        elif isinstance(node, ast.FunctionDef) and not is_property(node) and not is_imperative(first):
            faults.append(f"{name}: the first line does not say what to do: {summary}")
    return faults


def is_imperative(word: str) -> bool:
    """Return whether a word may be a verb in the imperative: "Return", and not "Returns" or "The"."""
    third_person = word.endswith("s") and not word.endswith("ss") and word.lower() != "focus"
    return word[:1].isupper() and word.isalpha() and not third_person and word.lower() not in NOT_IMPERATIVE


def prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield comments, docstrings and messages of errors and warnings, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and (
            text := ast.get_docstring(node)
        ):
            yield node.body[0].lineno, text
        warns = isinstance(node, ast.Call) and ast.unparse(node.func) in ("warnings.warn", "InputError")
        if isinstance(node, ast.Raise) or warns:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


def faults_of_prose(source: str) -> list[str]:
    """Return the banned turns of a module, one line each."""
    return [
        f"line {line}: {found[0]!r}: write {better}"
        for line, text in prose(source)
        for pattern, better in BANNED.items()
        if (found := re.search(pattern, " ".join(text.split()), re.IGNORECASE))
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_public_names_are_documented_in_plain_american_english(path):
    source = path.read_text(encoding="utf-8")
    # what a function of a checker is to return is told by its exercise
    documented = path.parent.name != "checks"
    faults = faults_of_prose(source) + (faults_of_docstrings(source) if documented else [])
    assert not faults, "\n".join(faults)


def test_every_exported_name_has_a_docstring_of_its_own():
    for name in asrlib.__all__:
        thing = getattr(asrlib, name)
        assert inspect.getdoc(thing), name
        # a dataclass without one gets its signature as docstring
        assert not thing.__doc__.startswith(f"{name}("), name
    assert len(MODULES) > 100 and importlib.import_module("asrlib.signal").__doc__


@pytest.mark.parametrize(
    "source, fault",
    [
        ('"""Module."""\ndef f(): pass', "f has no docstring"),
        ("def f(): pass", "the module has no docstring"),
        ('"""Module"""', "no whole sentence"),
        ('"""M."""\ndef f():\n    """Returns x."""', "does not say what to do"),
        ('"""M."""\ndef f():\n    """The sum of x."""', "does not say what to do"),
        ('"""M."""\ndef f():\n    """``x`` as text."""', "does not say what to do"),
        ('"""M."""\nclass C:\n    """A C."""\n    def m(self): pass', "C.m has no docstring"),
    ],
)
def test_a_missing_or_a_vague_docstring_is_found(source, fault):
    assert fault in "\n".join(faults_of_docstrings(source))


@pytest.mark.parametrize(
    "text",
    ["the colour of noise", "normalised features", "100 frames a second", "5 per cent", "centred frames"],
)
def test_a_banned_turn_is_found_in_comments_docstrings_and_errors_and_not_in_data(text):
    for source in (
        f"# {text}",
        f'"""{text.capitalize()}."""',
        f'def f(x):\n    raise ValueError(f"{{x}}: {text}")',
    ):
        assert faults_of_prose(source), source
    assert not faults_of_prose(f'GRAMMAR = "{text}"')


def test_what_is_right_is_left_alone():
    functions = '"""Sounds."""\ndef f():\n    """Pass on x."""\ndef _g(): pass\n'
    methods = 'class C:\n    """A C."""\n    @property\n    def p(self):\n        """The p."""\n'
    assert not faults_of_docstrings(functions + methods + "    def forward(self): pass")
    assert not faults_of_prose("# the analyses of a synthesis; it samples a second utterance, centered")
