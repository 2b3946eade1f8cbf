"""The site, built and read in a browser that can reach nothing but it."""

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("sphinx", reason="needs the extra site")
pytest.importorskip("selenium.webdriver", reason="needs selenium")

from browsers import chromium, needs_browser, wait  # noqa: E402 (after the skip)
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = [pytest.mark.slow, *needs_browser]

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "site-pictures"  # what the browser showed; ignored by git
# of MathJax: a formula that it could not read
WRONG_FORMULA = "mjx-container [data-mjx-error], mjx-container [data-mml-node='merror']"
LESSON, LATTICE = "notebooks/06_ctc.html", "notebooks/07_rnnt.html"


@pytest.fixture(scope="module")
def site():
    """The site, built anew by the command."""
    command = [sys.executable, str(ROOT / "tools" / "make_site.py")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warning
    print(done.stdout)
    return ROOT / "build" / "site"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def address(site):
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """No name but this machine's can be looked up; the protocol of all requests is kept."""
    blocked = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
    with chromium(tmp_path_factory.mktemp("browser"), [blocked], ("browser", "performance")) as driver:
        PICTURES.mkdir(parents=True, exist_ok=True)
        driver.get("about:blank")
        requests(driver)  # those of the browser's own first page
        yield driver


@pytest.fixture
def visit(browser, address):
    """``visit(page)`` opens a page of the site, wide or narrow, and waits until its formulas are set."""

    def open_page(page, width=1400, height=1000):
        browser.set_window_size(width, height)
        browser.get(address + page)
        if browser.find_elements(By.CSS_SELECTOR, ".math"):
            ready = "return Boolean(window.MathJax?.startup?.promise)"
            wait(browser, lambda: browser.execute_script(ready), "MathJax")
            browser.execute_async_script("MathJax.startup.promise.then(arguments[0])")
        return browser

    return open_page


def shows(browser, name):
    path = PICTURES / f"{name}.png"
    assert browser.save_screenshot(str(path))
    print("screenshot:", path)


def requests(browser):
    """Yield (address, what became of it) of all requests since the last call."""
    asked, ended = {}, {}
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        given = message["params"]
        if message["method"] == "Network.requestWillBeSent":
            asked[given["requestId"]] = given["request"]["url"]
        elif message["method"] == "Network.responseReceived":
            ended[given["requestId"]] = given["response"]["status"]
        elif message["method"] == "Network.loadingFailed" and not given.get("canceled"):
            ended[given["requestId"]] = given["errorText"]
    return [(url, ended.get(number)) for number, url in asked.items()]


def pages(site):
    found = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    return [page for page in found if not page.startswith("_modules/asrlib/")]


def test_no_page_asks_anything_of_anyone_else(site, visit, address):
    """All pages but those of the sources; and the browser complains of none."""
    listed = pages(site)
    assert len(listed) > 60
    for page in listed:
        browser = visit(page)
        asked = requests(browser)
        assert any(url == address + page for url, _ in asked), page
        others = [url for url, _ in asked if urlsplit(url).scheme not in ("data", "blob")]
        assert [url for url in others if not url.startswith(address)] == [], page
        assert [(url, end) for url, end in asked if end not in (None, 200, 206, 304)] == [], page
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == [], page


def test_the_watch_would_see_a_request_to_elsewhere(visit, address):
    """And the block holds: nothing is answered."""
    browser = visit("index.html")
    requests(browser)
    script = "const done = arguments[0]; fetch('https://example.org/x').then(() => done(1), () => done(0))"
    assert browser.execute_async_script(script) == 0
    assert [(url, end) for url, end in requests(browser)] == [
        ("https://example.org/x", "net::ERR_NAME_NOT_RESOLVED")
    ]
    browser.get_log("browser")


def test_formulas_are_set(site, visit):
    counts = {}
    for page in pages(site):
        if not page.startswith(("notebooks/", "exercises/")):
            continue
        browser = visit(page)
        formulas = len(browser.find_elements(By.CSS_SELECTOR, ".math"))
        assert len(browser.find_elements(By.CSS_SELECTOR, ".math mjx-container > svg")) >= formulas, page
        assert browser.find_elements(By.CSS_SELECTOR, WRONG_FORMULA) == [], page
        # what is left of a formula that nobody found is a dollar in the text
        script = """return [...document.querySelectorAll("article p, article details")]
          .map((e) => [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join(" "))
          .filter((text) => /\\$[^$\\n]*[\\\\^_][^$\\n]*\\$/.test(text))"""
        assert browser.execute_script(script) == [], page
        counts[page] = formulas
    assert counts[LESSON] > 80 and sum(counts.values()) > 400, counts
    browser = visit(LESSON)
    formula = browser.find_element(By.CSS_SELECTOR, "div.math mjx-container > svg")
    assert formula.size["width"] > 50 and formula.size["height"] > 15
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", formula)
    shows(browser, "formulas")


def test_figures_and_players_are_there(site, visit):
    figures = players = 0
    for page in [*(page for page in pages(site) if page.startswith("notebooks/")), "index.html"]:
        browser = visit(page)
        script = """const done = arguments[0], images = [...document.querySelectorAll("article img")];
          Promise.all(images.map((image) => { image.loading = "eager"; return image.decode(); }))
            .then(() => done(images.map((image) => image.naturalWidth)), (error) => done(String(error)))"""
        widths = browser.execute_async_script(script)
        assert isinstance(widths, list) and all(width > 100 for width in widths), (page, widths)
        figures += len(widths)
        script = """const done = arguments[0];  // a recorder's player has no sound yet
          const players = [...document.querySelectorAll("audio[src], audio:has(source)")];
          Promise.all(players.map((player) => new Promise((found) => {
            if (player.readyState >= 1) return found(player.duration);
            player.onloadedmetadata = () => found(player.duration);
            for (const part of [player, ...player.children]) part.onerror = () => found(0);
            player.preload = "auto"; player.load();
          }))).then(done)"""
        durations = browser.execute_async_script(script)
        assert all(0.1 < duration < 600 for duration in durations), (page, durations)
        players += len(durations)
    assert figures > 120 and players > 18, (figures, players)
    shows(browser, "front")


def test_the_front_page_opens_with_the_picture(visit):
    browser = visit("index.html")
    picture, *_ = browser.find_elements(By.CSS_SELECTOR, "article img")
    player = browser.find_element(By.CSS_SELECTOR, "article audio")
    heading = browser.find_element(By.CSS_SELECTOR, "article h2")
    assert picture.location["y"] < player.location["y"] < heading.location["y"]
    assert picture.get_attribute("alt").startswith("Seven words")
    assert picture.location["y"] + picture.size["height"] < 1000  # without scrolling


@pytest.mark.parametrize(
    "page", ["index.html", LESSON, LATTICE, "docs/configuration.html", "reference/losses.html"]
)
def test_a_narrow_page_is_as_wide_as_its_window(visit, page):
    browser = visit(page, width=500)
    script = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    wide, window = browser.execute_script(script)
    assert wide <= window + 1, (wide, window)
    shows(browser, "narrow-" + Path(page).stem)


def test_the_links_of_a_lesson_lead_to_its_file_and_to_colab(visit, site):
    browser = visit(LESSON)
    links = {
        link.text: link.get_attribute("href") for link in browser.find_elements(By.CSS_SELECTOR, ".bar a")
    }
    assert list(links) == ["Download the notebook", "Open in Colab", "Assignment"]
    assert links["Open in Colab"].startswith("https://colab.research.google.com/github/")
    script = "const done = arguments[0]; fetch('06_ctc.ipynb').then((answer) => answer.text()).then(done)"
    stored = (ROOT / "notebooks" / "06_ctc.ipynb").read_text(encoding="utf-8")
    assert browser.execute_async_script(script) == stored
    browser.find_element(By.LINK_TEXT, "Assignment").click()
    assert browser.find_element(By.CSS_SELECTOR, "h1").text.startswith("Assignment 06")


@pytest.mark.parametrize("query, page", [("squeeze", "03_squeeze"), ("rnnt_loss", "reference/losses")])
def test_search_finds_lessons_and_functions(visit, query, page):
    browser = visit("index.html")
    field = browser.find_element(By.CSS_SELECTOR, "input[name=q]")
    field.send_keys(query, Keys.ENTER)
    script = "return [...document.querySelectorAll('#search-results li a')].map((link) => link.href)"
    wait(browser, lambda: any(page in link for link in browser.execute_script(script)), page)
    shows(browser, f"search-{query}")


def test_dark_mode_follows_the_reader_and_the_button(visit):
    browser = visit("reference/index.html")
    background = "return getComputedStyle(document.body).backgroundColor"

    def prefers(scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        return browser.execute_script(background)

    light, dark = prefers("light"), prefers("dark")
    assert light == "rgb(255, 255, 255)" and dark != light
    shows(browser, "dark")
    prefers("light")
    button = browser.find_element(By.CSS_SELECTOR, ".theme-toggle-content .theme-toggle")
    for _ in range(3):  # as the reader, light, dark
        button.click()
        if browser.execute_script(background) == dark:
            break
    else:
        pytest.fail("the button never made the page dark")
    browser.execute_script("localStorage.clear()")


def test_playgrounds_move_without_a_kernel(visit):
    browser = visit("playgrounds.html")
    for name in ("ctc", "transducer", "spectrogram"):
        place = browser.find_element(By.ID, f"playground-{name}")
        wait(browser, lambda place=place: place.find_elements(By.CSS_SELECTOR, ".asrlib-play"), name)
        browser.execute_script("arguments[0].scrollIntoView({block: 'start', behavior: 'instant'})", place)
        before = shown(browser, place)
        controls = place.find_elements(By.CSS_SELECTOR, "[role=slider], input[type=range]")
        control = next(control for control in controls if control.is_displayed())
        control.send_keys(Keys.ARROW_RIGHT)
        wait(browser, lambda place=place, before=before: shown(browser, place) != before, f"{name} to move")
        shows(browser, f"playground-{name}")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def shown(browser, place):
    """What a playground writes and draws."""
    script = """const canvases = [...arguments[0].querySelectorAll("canvas")];
      return arguments[0].innerHTML + canvases.map((canvas) => canvas.toDataURL()).join()"""
    return browser.execute_script(script, place)


def test_pages_are_read_from_files_too(browser, site):
    """Without any server: formulas, figures and playgrounds."""
    browser.get((site / LESSON).as_uri())
    wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".math mjx-container > svg"), "formulas")
    browser.get((site / "playgrounds.html").as_uri())
    wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#playground-ctc .asrlib-play"), "CTC")
