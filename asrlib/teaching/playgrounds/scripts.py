"""The playgrounds' JavaScript: one module for a notebook, and a page without a kernel."""

from __future__ import annotations

import functools
import json
import re
from importlib import resources
from typing import Any

from asrlib.errors import InputError

NAMES = ("ctc", "transducer", "spectrogram")
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.mjs";\n', re.MULTILINE)


@functools.cache
def bundle(name: str) -> str:
    """Return a playground as one ES module: what anywidget takes, and what a page can hold inside.

    It exports ``mount``, and anywidget's ``{render}`` as its default. It holds each module that it imports
    once, in the order of the imports; hence no two modules have a name in common. Raises ``InputError`` for
    an unknown name.
    """
    if name not in NAMES:
        raise InputError(f"there is no playground {name!r}; there are {', '.join(NAMES)}")
    modules: dict[str, str] = {}
    _collect(name, modules)
    main = modules.pop(name)
    # a module inside another exports nothing
    inner = [re.sub(r"^export ", "", text, flags=re.MULTILINE) for text in modules.values()]
    return "\n".join([*inner, main])


def page(name: str, options: dict[str, Any], title: str | None = None, script: str = "") -> str:
    """Return a playground as one HTML file, which needs neither kernel nor server.

    ``options`` are those of ``ctc_options``, ``transducer_options`` or ``spectrogram_options``. The page has
    the playground as ``window.playground``; ``script`` is JavaScript that runs after it is there.
    """
    data = json.dumps(options).replace("<", "\\u003c")  # no text of theirs can end the script
    title = title or f"The {name} playground"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>body {{ margin: 16px; }}</style></head>
<body><main id="playground"></main>
<script type="application/json" id="options">{data}</script>
<script type="module">
{bundle(name)}
const options = JSON.parse(document.getElementById("options").textContent);
window.changes = [];
const hear = (content) => window.changes.push(content);
const place = document.getElementById("playground");
window.playground = mount(place, options, {{ onChange: hear, onSound: hear }});
{script}
</script></body></html>
"""


def _collect(name: str, modules: dict[str, str]) -> None:
    text = (resources.files(__package__) / f"{name}.mjs").read_text(encoding="utf-8")
    for imported in _IMPORT.findall(text):
        if imported not in modules:
            _collect(imported, modules)
    modules[name] = _IMPORT.sub("", text)
