"""Sphinx's settings for the course's site. make_site.py runs Sphinx on the folder that sources.py writes."""

import hashlib
import importlib.metadata
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOOLS.parent), str(TOOLS)]

import colab  # noqa: E402 (after the path)

import asrlib  # noqa: E402
from website import docstrings  # noqa: E402

project = "Speech recognition with ContextNet"
author = "the authors of asrlib"
copyright = "the authors of asrlib, MIT license"
release = version = asrlib.__version__
language = "en"
repository, tag = colab.project()

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx.ext.mathjax"]
default_role = "code"
highlight_language = "none"

# lessons are committed with what they print and draw: nothing is executed here
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_image_options = {"alt": "Figure drawn by the code above"}
myst_enable_extensions = ["amsmath", "dollarmath", "html_image"]
myst_heading_anchors = 5

autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
# a page of the reference has hundreds of objects, and each page of the site holds the contents of all
toc_object_entries = False

# MathJax comes from a package, not from a web server. This build of it has all glyphs within, and the hash of
# es5/tex-svg.js in npm's mathjax 3.2.2
MATHJAX = "static/mathjax/tex-svg.js"
MATHJAX_HASH = "d4295dc33744836935c1399feece5159577b34c5c8ffb9f1c6324cd82e03a882"
mathjax_path = "tex-svg.js"

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/mark.svg"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": repository,
    "source_branch": tag,
    "footer_icons": [],
    "top_of_page_buttons": [],
}


def setup(app):
    """Write docstrings as reStructuredText, and put MathJax into the site."""
    names = [path.stem for path in (TOOLS.parent / "notebooks").glob("*.ipynb")]
    lessons = {name.split("_")[0]: f"/notebooks/{name}" for name in names}

    def rewrite(app, what, name, obj, options, lines):
        lines[:] = docstrings.restructured(lines, lessons)

    def add_mathjax(app, exception):
        if exception is None:
            package = importlib.metadata.distribution("sphinx-mathjax-offline")
            (file,) = (file for file in package.files or () if str(file).endswith(MATHJAX))
            content = Path(file.locate()).read_bytes()
            if hashlib.sha256(content).hexdigest() != MATHJAX_HASH:
                raise ValueError(f"{file.locate()} is not the file of MathJax 3.2.2")
            (Path(app.outdir) / "_static" / mathjax_path).write_bytes(content)

    def skip(app, what, name, obj, options, skipped):
        # the fields of a NamedTuple, of which its docstring tells more
        return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None

    app.connect("autodoc-process-docstring", rewrite)
    app.connect("autodoc-skip-member", skip)
    app.connect("build-finished", add_mathjax)
