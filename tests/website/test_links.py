"""The checker of a built site's links: each kind of fault is found, and what is right is left alone."""

import pytest
from website.links import problems

PAGE = '<link rel="stylesheet" href="site.css"><h1 id="top">T</h1><a href="sub/other.html#there">o</a>{}'
OTHER = '<h2 id="there">O</h2><a href="../index.html#top">i</a><a href="#there">t</a>'


@pytest.fixture
def site(tmp_path):
    def build(index="", style="body { color: black }"):
        (tmp_path / "sub").mkdir(exist_ok=True)
        (tmp_path / "index.html").write_text(PAGE.format(index), encoding="utf-8")
        (tmp_path / "sub" / "other.html").write_text(OTHER, encoding="utf-8")
        (tmp_path / "site.css").write_text(style, encoding="utf-8")
        (tmp_path / "a b.png").touch()
        return problems(tmp_path)

    return build


@pytest.mark.parametrize(
    "right",
    [
        '<a href="https://colab.research.google.com/github/x">Colab</a>',
        '<a href="mailto:a@example.org">a</a>',
        '<img src="a%20b.png">',
        '<audio controls><source src="data:audio/wav;base64,AAAA"></audio>',
        '<a href="a b.png">a file</a>',
        '<link rel="next" href="sub/other.html">',
    ],
)
def test_what_is_right_is_left_alone(site, right):
    assert site(right) == []


@pytest.mark.parametrize(
    "wrong, said",
    [
        ('<a href="gone.html">g</a>', "gone.html leads nowhere"),
        ('<a href="sub">a folder</a>', "sub leads nowhere"),
        ('<a href="/index.html">root</a>', "/index.html leads nowhere"),
        ('<a href="../outside.html">o</a>', "../outside.html leads nowhere"),
        ('<a href="sub/other.html#gone">g</a>', "sub/other.html has no #gone"),
        ('<a href="#gone">g</a>', "index.html has no #gone"),
        ('<a href="file:///tmp/x">f</a>', "would be fetched from elsewhere"),
        ('<img src="gone.png">', "gone.png leads nowhere"),
        ('<script src="https://cdn.example.org/x.js"></script>', "x.js would be fetched from elsewhere"),
        ('<img src="//example.org/x.png">', "//example.org/x.png would be fetched from elsewhere"),
        ('<link rel="stylesheet" href="https://example.org/x.css">', "x.css would be fetched from elsewhere"),
        ('<p style="background: url(https://example.org/x.png)">p</p>', "x.png would be fetched"),
        ('<style>@import "https://example.org/x.css";</style>', "x.css would be fetched"),
        ('<a href="http://[half">h</a>', "http://[half is no address"),
        ('<iframe src="https://example.org/"></iframe>', "https://example.org/ would be fetched"),
    ],
)
def test_each_fault_is_found(site, wrong, said):
    (line,) = site(wrong)
    assert line.startswith("index.html: ") and said in line


@pytest.mark.parametrize(
    "style", ["@import 'https://example.org/x.css';", "a { background: url('//e.org/x') }"]
)
def test_faults_of_style_sheets_are_found(site, style):
    (line,) = site(style=style)
    assert line.startswith("site.css: ") and "would be fetched from elsewhere" in line


def test_a_folder_without_a_site_is_said(tmp_path):
    assert problems(tmp_path) == [f"{tmp_path} has no index.html"]
