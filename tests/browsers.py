"""Chromium under selenium's control, and JupyterLab to look at with it. Needs selenium."""

import contextlib
import functools
import http.server
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from chromium import CHROMEDRIVER, CHROMIUM, FLAGS
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

# a microphone that beeps, and nobody to ask for leave
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
STUDENT = Path(__file__).parent.parent / "tools" / "jupyter" / "student"  # as `make lab` has it

needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="needs chromium"),
    pytest.mark.skipif(not CHROMEDRIVER, reason="needs chromedriver"),
]


@contextlib.contextmanager
def jupyterlab(folder, first):
    """Serve a folder in JupyterLab, untouched by the user's settings; give ``url(name)`` of its notebooks.

    The notebooks are in ``notebooks`` below ``folder``; ``first`` is opened by default.
    """
    own = ("JUPYTER", "IPYTHON", "MPL", "XDG_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    environment |= {"HOME": str(folder), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    environment["JUPYTER_CONFIG_PATH"] = str(STUDENT)
    environment["OMP_NUM_THREADS"] = "1"  # on busy cores, threads wait for each other longer than they work
    port, token = free_port(), secrets.token_hex()
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--ServerApp.root_dir=."]
    command += [f"--LabApp.default_url=/lab/tree/notebooks/{first}"]
    command += ["--no-browser"]
    # exposed, so that the test can listen to what the kernel says
    command += [f"--port={port}", "--ServerApp.port_retries=0", "--expose-app-in-browser"]
    command += [f"--IdentityProvider.token={token}"]

    with open(folder / "lab.log", "wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        started = folder / "runtime" / f"jpserver-{server.pid}.json"
        deadline = time.monotonic() + 60
        while not started.exists():
            assert server.poll() is None and time.monotonic() < deadline, (folder / "lab.log").read_text()
            time.sleep(0.1)
        yield f"http://localhost:{port}/lab/tree/notebooks/{{}}?reset&token={token}".format
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextlib.contextmanager
def chromium(folder, flags=(), logs=("browser",), microphone=MICROPHONE):
    """Give a chromium, whose profile and last picture are in ``folder``, that keeps the ``logs`` named."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, *microphone, *flags, f"--user-data-dir={folder / 'profile'}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", dict.fromkeys(logs, "ALL"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "no_proxy", "localhost,127.0.0.1"
        )  # selenium would ask a proxy even for its own chromedriver
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    try:
        yield driver
        driver.save_screenshot(str(folder / "last.png"))
    finally:
        driver.quit()


@contextlib.contextmanager
def served(folder):
    """Serve a folder as `python -m http.server` does; give its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(
        ("localhost", 0), functools.partial(Quiet, directory=folder)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def run_all(browser, url):
    """Open a notebook; Run > Run All Cells, to the end or to the first error."""
    browser.get(url)
    header = (By.CSS_SELECTOR, ".jp-Notebook .jp-MarkdownCell")
    # menus act on what has the focus
    wait(browser, lambda: browser.find_elements(*header), "the notebook")[0].click()
    wait(browser, lambda: kernel_status(browser) == "idle", "a kernel")
    listen(browser)
    for entry in ("Run", "Run All Cells"):
        wait(browser, lambda entry=entry: menu_entry(browser, entry), f"the menu entry {entry}").click()
    numbered = lambda: all(map(str.isdigit, prompts(browser))) and kernel_status(browser) == "idle"  # noqa: E731
    wait(browser, lambda: kernel_errors(browser) or numbered(), "all cells", 200)


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def wait(browser, condition, what, seconds=100):
    patient = WebDriverWait(browser, seconds, 0.2, [StaleElementReferenceException])
    return patient.until(lambda _: condition(), f"waited {seconds} s for {what}")


def kernel_status(browser):
    """``idle``, ``busy``, ..., or None while the lesson has no kernel."""
    return browser.execute_script(
        "return window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"
    )


def menu_entry(browser, label):
    """An entry of the menu bar or of the open menu, or None while it is not there."""
    entries = browser.find_elements(By.CSS_SELECTOR, ".lm-MenuBar-itemLabel, .lm-Menu-itemLabel")
    return next((entry for entry in entries if entry.text == label), None)


def texts(browser, selector):
    return [found.get_attribute("textContent") for found in browser.find_elements(By.CSS_SELECTOR, selector)]


def prompts(browser):
    """What stands in the brackets before each code cell that is not empty: its number, ``*``, or a blank."""
    return [text.strip("[]: ") for text in texts(browser, ".jp-CodeCell .jp-InputPrompt")]


def listen(browser):
    """Collect what fails in the kernel: a widget's callback runs outside of any cell, no cell shows it."""
    browser.execute_script("""
        window.kernelErrors = [];
        jupyterapp.shell.currentWidget.sessionContext.session.kernel.iopubMessage.connect((_, message) => {
            const {ename, evalue} = message.content;
            if (message.header.msg_type === "error") kernelErrors.push(`${ename}: ${evalue}`);
        });
    """)


def kernel_errors(browser):
    return browser.execute_script("return kernelErrors")
