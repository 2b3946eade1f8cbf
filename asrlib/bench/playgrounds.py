"""How soon a playground follows the mouse: from a pointer's event to the frame that shows it.

A chromium without a window opens each page and plays pointer: events at random moments, one a frame, each
timed until its handler is done, and until the browser has painted the next frame.
"""

from __future__ import annotations

import json
import platform
import queue
import shutil
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from asrlib.errors import InputError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# seconds for all moves of one page
_PATIENCE = 60.0
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync --window-size=1400,1000"
).split()

# one thing to move in each of them, and how: JavaScript that moves it to the place of number n
MOVES = {
    "ctc": (
        "a bar of y",
        """
const bar = document.querySelector('[role="slider"]'), area = bar.getBoundingClientRect();
const move = (n) => pointer(bar, area.left + area.width / 2, area.top + 20 + ((7 * n) % 100));
""",
    ),
    "transducer": (
        "a label of the stair",
        """
const riser = document.querySelector('[aria-label^="label 2"]'), lattice = document.querySelector("svg");
const move = (n) => {
  const area = lattice.getBoundingClientRect();
  pointer(riser, area.left + area.width * (0.2 + 0.7 * ((7 * n) % 22) / 22), area.top + area.height / 2);
};
""",
    ),
    "spectrogram": (
        "the window's slider",
        """
const range = document.querySelector('input[aria-label="window"]');
const move = (n) => { range.value = 20 + (7 * n) % 40; range.dispatchEvent(new Event("input")); };
""",
    ),
}
POINTER = """
let pressed = false;
const pointer = (element, clientX, clientY) => {
  const send = (name) => element.dispatchEvent(
    new PointerEvent(name, { clientX, clientY, bubbles: true, button: 0, buttons: 1 }));
  if (!pressed) send("pointerdown");
  pressed = true;
  send("pointermove");
};
"""
# calls move(n), and reports of each call the milliseconds until it is done and until it is painted
MEASURE = """
const times = [], count = COUNT, pause = (ms) => new Promise((go) => setTimeout(go, ms));
const painted = () => new Promise((go) => requestAnimationFrame(() => {
  const channel = new MessageChannel();
  channel.port1.onmessage = go;
  channel.port2.postMessage(null);
}));
for (let n = 0; n < count + 5; n++) {
  await painted();
  await pause(16 * Math.random());
  const start = performance.now();
  move(n);
  const handled = performance.now();
  await painted();
  if (n >= 5) times.push([handled - start, performance.now() - start]); // the first ones compile
}
await fetch("/times", { method: "POST", body: JSON.stringify(times) });
"""


def bench_playgrounds(make_page: Callable[[str, str], str], moves: int = 100) -> dict[str, dict[str, float]]:
    """Print how soon each playground follows a pointer; return the medians in ms, ``handled`` and ``shown``.

    ``make_page(name, script)`` returns the HTML of a playground that runs the script when it is there. Raises
    ``InputError`` without a chromium, and for a page that does not answer.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise InputError("bench playgrounds needs chromium (or Google Chrome) on the PATH")
    version = subprocess.run([browser, "--version"], capture_output=True, text=True).stdout.split(" built")[0]
    machine = platform.processor() or platform.machine()
    print(f"{version.strip()} without a window, {machine} CPU, {moves} moves each; ms")
    print(f"{'playground':32} {'computed and drawn':>20} {'pointer to frame':>18} {'95th percentile':>17}")
    found = {}
    for name, (what, move) in MOVES.items():
        script = POINTER + move + MEASURE.replace("COUNT", str(moves))
        times = _times(browser, name, make_page(name, script))
        handled, shown = ([pair[n] for pair in times] for n in (0, 1))
        found[name] = {"handled": statistics.median(handled), "shown": statistics.median(shown)}
        late = sorted(shown)[int(0.95 * len(shown))]
        print(
            f"{f'{name}: {what}':32} {found[name]['handled']:20.1f} {found[name]['shown']:18.1f} {late:17.1f}"
        )
    return found


def _times(browser: str, name: str, page: str) -> list[list[float]]:
    """Open a page in a browser of its own; return what it reports."""
    reported: queue.Queue[list[list[float]]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = page.encode() if self.path == "/" else b""
            self.send_response(200 if content else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            reported.put(json.loads(body))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("localhost", 0), Handler) as server, tempfile.TemporaryDirectory() as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://localhost:{server.server_port}/"
        command = [browser, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", address]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, **quiet) as running:
            try:
                return reported.get(timeout=_PATIENCE)
            except queue.Empty:
                raise InputError(f"the page {name} did not answer within {_PATIENCE:.0f} s") from None
            finally:
                running.terminate()
                running.wait()
                server.shutdown()
