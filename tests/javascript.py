"""Runs the playgrounds' JavaScript: in node if there is one, and in chromium."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest
from chromium import CHROMIUM, FLAGS

from asrlib.teaching.playgrounds import bundle

NODE = shutil.which("node")
ENGINES = [
    pytest.param("node", marks=pytest.mark.skipif(not NODE, reason="needs node")),
    pytest.param(
        "chromium", marks=[pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="needs chromium")]
    ),
]
# not every number is one in JSON
_CODED = (
    "(key, value) => typeof value === 'number' && !Number.isFinite(value) ? String(value)"
    " : ArrayBuffer.isView(value) ? Array.from(value) : value"
)


def evaluate(engine, playground, expression, given, folder):
    """Return what an expression in the names of a playground's modules is, ``given`` being the data.

    ``folder`` takes the program. Numbers that are infinite come back as floats as well.
    """
    data = json.dumps(given)
    script = f"{bundle(playground)}\nconst given = {data};\n"
    script += f"const found = JSON.stringify({expression}, {_CODED});\n"
    if engine == "node":
        program = folder / "program.mjs"
        program.write_text(script + "console.log(found);\n", encoding="utf-8")
        command = [NODE, str(program)]
    else:
        program = folder / "program.html"
        shown = 'document.getElementById("found").textContent = found;'
        program.write_text(
            f'<meta charset="utf-8"><pre id="found"></pre><script type="module">{script}{shown}</script>',
            encoding="utf-8",
        )
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", program.as_uri()]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "NO_COLOR": "1"}
    )
    assert done.returncode == 0, done.stderr
    output = done.stdout
    if engine == "chromium":
        output = html.unescape(re.search(r'<pre id="found">(.*?)</pre>', output, re.DOTALL)[1])
        assert output, done.stderr
    return _numbers(json.loads(output))


def _numbers(value):
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return float(value) if value in ("Infinity", "-Infinity", "NaN") else value
