"""The page in a real Chromium: uploads become verdicts; errors, the gallery, cancelling; no request goes out."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from morelli.gallery.store import Gallery
from morelli.types import Item

from ...test_identify import gallery_of
from ..process import Running, get, running
from .browser import MARKS, Browser, browsing

pytest.importorskip("gradio", reason="THE PAGE IS NOT TESTED: gradio is not installed.")
pytest.importorskip("selenium", reason="THE PAGE IS NOT TESTED IN A BROWSER: selenium is not installed.")
pytestmark = MARKS


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, items: tuple[Item, ...], queries: list[Item]) -> Path:
    """A gallery that these tests may change."""
    where = tmp_path_factory.mktemp("page") / "small.morelli"
    gallery_of(where, [item for item in items if item not in queries])
    return where


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While this file is there, the encoder waits."""
    return tmp_path_factory.mktemp("gate") / "closed"


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page-audit") / "log"


@pytest.fixture(scope="module")
def server(
    own: Path, gate: Path, audit: Path, tmp_path_factory: pytest.TempPathFactory, learnt: Path
) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("page-log") / "log"
    # The machine that tests run on may be busy: how long an answer may take is no question here.
    given = [
        "--gallery",
        own,
        "--page",
        "--audit",
        audit,
        "--seconds",
        "600",
        "--decode-seconds",
        "60",
        "--decoders",
        "1",
    ]
    with running(given, log, learnt, {"TEXTURE_GATE": str(gate)}) as found:
        yield found


@pytest.fixture(scope="module")
def browser(server: Running) -> Iterator[Browser]:
    with browsing() as found:
        yield found


def test_an_image_becomes_a_verdict(browser: Browser, server: Running, queries: list[Item]) -> None:
    browser.open(server.url, "Identify")
    browser.choose("#identify-files", [queries[1].path])
    browser.click("#identify-ask")
    browser.wait(lambda: browser.find("#identify-out .verdict .said"))
    assert browser.text("#identify-out .verdict .said") in {"model-00", "model-01", "model-02", "Unsure",
                                                            "None of these models"}  # fmt: skip
    bars = browser.find_all("#identify-out table.rank tbody tr")
    assert len(bars) == 3
    shares = [float(row.find_element("css selector", "td.n").text.strip("<% ")) for row in bars]
    assert sum(shares) == pytest.approx(100, abs=0.4)
    pictures = browser.find_all("#identify-out .verdict img")
    assert len(pictures) == 1 + 5 + 1  # the image, the nearest references, the spectrum
    loaded = browser.driver.execute_script(
        "return Array.from(document.querySelectorAll('#identify-out img')).map(i => i.naturalWidth)"
    )
    assert all(loaded)
    assert "degraded copies keep the first place" in browser.text("#identify-out")
    link = browser.wait(lambda: browser.find("#identify-out a[download$='.html']"))
    head, _, page = link.get_attribute("href").partition(",")
    assert head == "data:text/html;charset=utf-8;base64"
    saved = base64.b64decode(page).decode()
    assert saved.startswith("<!doctype html>") and saved.count("<img") == len(pictures)
    browser.shots("verdict")


def test_a_broken_file_is_told_and_the_other_one_answered(
    browser: Browser, server: Running, queries: list[Item], tmp_path: Path
) -> None:
    broken = tmp_path / "<b>broken.png"
    broken.write_bytes(b"no image")
    browser.open(server.url, "Identify")
    browser.choose("#identify-files", [broken, queries[0].path])
    browser.click("#identify-ask")
    browser.wait(lambda: browser.find("#identify-out .verdict .said"))
    assert "broken.png" in browser.text("#identify-out .problem[role=alert]")
    browser.wait(lambda: "Save all as HTML" in browser.text("#identify-out"))
    assert not browser.find_all("#identify-out .problem b b")  # a file's name is no HTML
    browser.shots("error")


def test_nothing_chosen_is_told(browser: Browser, server: Running) -> None:
    browser.open(server.url, "Compare two")
    browser.click("#compare-ask")
    browser.wait(lambda: "2 images are needed" in browser.text("#compare-out"))


def test_two_images_are_compared(browser: Browser, server: Running, queries: list[Item]) -> None:
    browser.open(server.url, "Compare two")
    browser.choose("#compare-first", [queries[0].path])
    browser.choose("#compare-second", [queries[2].path])
    browser.click("#compare-ask")
    browser.wait(lambda: browser.find("#compare-out .said"))
    assert "Cosine of the embeddings" in browser.text("#compare-out")
    assert len(browser.find_all("#compare-out .pair img")) == 2
    browser.shots("comparison")


def test_work_can_be_cancelled(browser: Browser, server: Running, queries: list[Item], gate: Path) -> None:
    browser.open(server.url, "Identify")
    browser.choose("#identify-files", [queries[2].path])
    gate.touch()
    try:
        browser.click("#identify-ask")
        browser.wait(lambda: "comparing" in browser.text("#identify-out"))
        assert browser.find("#identify-out progress")
        browser.click("#identify-cancel")
        browser.wait(lambda: "Cancelled." in browser.text("#identify-out"))
    finally:
        gate.unlink()
    browser.click("#identify-ask")  # and then it works as before
    browser.wait(lambda: browser.find("#identify-out .verdict .said"))


def test_leaving_the_page_ends_its_work(browser: Browser, server: Running, queries: list[Item], gate: Path) -> None:
    def answered() -> int:
        found = re.search(
            r'^morelli_images_total\{outcome="answered"\} (\d+)', get(server, "/metrics")[1], re.MULTILINE
        )
        return int(found[1]) if found else 0

    def inside() -> float:
        found = re.search(r"^morelli_requests_inside (\S+)", get(server, "/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else -1.0

    browser.open(server.url, "Identify")
    browser.choose("#identify-files", [item.path for item in queries])
    before = answered()
    gate.touch()
    try:
        browser.click("#identify-ask")
        browser.wait(lambda: "comparing" in browser.text("#identify-out"))
        browser.open(server.url)
        time.sleep(3)  # its stream is seen to end
    finally:
        gate.unlink()
    browser.wait(lambda: inside() == 0)
    assert answered() - before <= 1  # the image that was being compared, and not the two after it


def test_the_marks_of_the_map_say_what_they_are_by_keyboard(browser: Browser, server: Running, own: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    pytest.importorskip("sklearn", reason="THE MAP IS NOT TESTED IN A BROWSER: scikit-learn is not installed.")
    browser.open(server.url, "Gallery")
    browser.click("#gallery-map input")
    browser.click("#gallery-ask")
    references = {f"{each.model}: {each.name}": each for each in Gallery.open(own).references()}
    browser.wait(lambda: len(browser.find_all("#gallery-out .map .dot")) == len(references))
    dots = browser.find_all("#gallery-out .map .dot")
    tips = [dot.find_element("css selector", ".tip") for dot in dots]
    models = [dot.get_attribute("aria-label").partition(":")[0] for dot in dots]
    assert not any(tip.is_displayed() for tip in tips)

    def press(key: str, shift: bool = False) -> int:
        """Press a key; the mark that has the focus then, or -1."""
        actions = ActionChains(browser.driver)
        (actions.key_down(Keys.SHIFT).send_keys(key).key_up(Keys.SHIFT) if shift else actions.send_keys(key)).perform()
        found = browser.driver.switch_to.active_element
        return dots.index(found) if found in dots else -1

    # The map is one stop for Tab.
    browser.driver.execute_script("arguments[0].focus()", dots[0])
    assert press(Keys.TAB) == -1
    assert press(Keys.TAB, shift=True) == 0
    # Arrows go from mark to mark, and from model to model.
    assert [press(Keys.ARROW_LEFT), press(Keys.ARROW_RIGHT), press(Keys.ARROW_RIGHT)] == [0, 1, 2]
    second, third = models.index("model-01"), models.index("model-02")
    assert [press(Keys.ARROW_DOWN), press(Keys.ARROW_DOWN), press(Keys.ARROW_DOWN)] == [second, third, third]
    assert [press(Keys.END), press(Keys.ARROW_UP), press(Keys.ARROW_UP), press(Keys.ARROW_UP)] == [
        len(dots) - 1,
        second,
        0,
        0,
    ]
    assert press(Keys.ARROW_RIGHT) == 1
    # Tab comes back to the mark that was left.
    assert press(Keys.TAB) == -1
    assert press(Keys.TAB, shift=True) == 1
    assert [dot.get_attribute("tabindex") for dot in dots].count("0") == 1
    assert [tip.is_displayed() for tip in tips[:3]] == [False, True, False]
    reference = references[dots[1].get_attribute("aria-label")]
    assert tips[1].text.split() == [reference.model, reference.name]
    picture = tips[1].find_element("css selector", "img")
    assert browser.driver.execute_script("return arguments[0].naturalWidth", picture) > 0
    browser.shots("map", lambda: tips[1].is_displayed())


def test_the_gallery_is_shown_and_grows_and_shrinks(
    browser: Browser, server: Running, own: Path, queries: list[Item]
) -> None:
    browser.open(server.url, "Gallery")
    browser.click("#gallery-ask")
    browser.wait(lambda: "69 references of 3 models" in browser.text("#gallery-out"))
    browser.click("#gallery-adding button")
    browser.choose("#add-files", [queries[0].path])
    browser.wait(lambda: browser.find("#add-model textarea, #add-model input")).send_keys("newcomer")
    browser.click("#gallery-add-ask")
    browser.wait(lambda: "1 added" in browser.text("#gallery-add-out"))
    added = [each for each in Gallery.open(own).references() if each.model == "newcomer"]
    assert [each.name for each in added] == [queries[0].path.name]
    browser.click("#gallery-removing button")
    for field in ("#remove-model", "#remove-again"):
        browser.wait(lambda field=field: browser.find(f"{field} textarea, {field} input")).send_keys("newcomer")
    browser.click("#gallery-remove-ask")
    browser.wait(lambda: "1 references" in browser.text("#gallery-remove-out"))
    assert "newcomer" not in {each.model for each in Gallery.open(own).references()}


def test_it_fits_a_phone_and_follows_the_dark(browser: Browser, server: Running) -> None:
    browser.size(390, 844)
    try:
        browser.open(server.url, "Gallery")
        browser.click("#gallery-ask")
        browser.wait(lambda: browser.find("#gallery-out table"))
        assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= 390
        light = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        browser.dark(True)
        browser.open(server.url)
        dark = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert light != dark
    finally:
        browser.dark(False)
        browser.size(1280, 900)


def test_the_keyboard_is_enough(browser: Browser, server: Running) -> None:
    """Tab reaches the fields and the button, and Enter presses it."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser.open(server.url, "Compare two")
    browser.wait(lambda: browser.find("#compare-ask"))
    for _ in range(40):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        if browser.driver.execute_script("return document.activeElement.id") == "compare-ask":
            break
    else:
        pytest.fail("Tab does not reach the button")
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    browser.wait(lambda: "2 images are needed" in browser.text("#compare-out"))


def test_no_request_left_the_machine(browser: Browser, server: Running) -> None:
    """The last one: of all that the tests before made the browser ask for."""
    asked = browser.requests()
    away = [url for url in asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")
            and urlsplit(url).hostname != "127.0.0.1"]  # fmt: skip
    assert len([url for url in asked if url.startswith(server.url)]) > 20  # the log sees requests at all
    assert away == []
    # Gradio also complains of its own streams, which end when a page is left.
    assert [each for each in browser.complaints() if "Content Security" in each or "Failed to load" in each] == []


def test_what_was_done_is_recorded_without_names(browser: Browser, server: Running, audit: Path) -> None:
    entries = [json.loads(line) for line in audit.read_text().splitlines()]
    routes = {entry["route"] for entry in entries}
    assert {"PAGE identify", "PAGE compare", "PAGE gallery add", "PAGE gallery remove"} <= routes
    changes = [(e["change"]["state"], e["decision"]) for e in entries if e["route"] == "PAGE gallery add"]
    assert changes == [("begun", None), ("done", "newcomer")]
    assert ".png" not in audit.read_text()


def test_an_open_page_does_not_keep_the_server_from_stopping(browser: Browser, server: Running) -> None:
    """The very last one."""
    browser.open(server.url)
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 20  # its grace is 20 s, and uvicorn would wait 5 s more
