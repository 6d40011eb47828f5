"""The page in a real Chromium where tokens are asked for: entering, leaving, and the tabs Exposure and Protect."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from morelli.types import Item

from ..process import Running, running
from .browser import MARKS, Browser, browsing

pytest.importorskip("gradio", reason="THE PAGE IS NOT TESTED: gradio is not installed.")
pytest.importorskip("selenium", reason="THE PAGE IS NOT TESTED IN A BROWSER: selenium is not installed.")
pytestmark = MARKS

WRITER, READER = "w" * 40, "r" * 40
DATASET = "tonight's <battles>"


@pytest.fixture(scope="module")
def server(
    gallery: Path, items: tuple[Item, ...], tmp_path_factory: pytest.TempPathFactory, learnt: Path
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("page-tokens")
    tokens = folder / "tokens"
    tokens.write_text(f"alice write {WRITER}\nbob read {READER}\n")
    tokens.chmod(0o600)
    given = ["--gallery", gallery, "--page", "--tokens", tokens, "--dataset", f"{DATASET}={items[0].path.parents[1]}",
             "--seconds", "600", "--decode-seconds", "60", "--decoders", "1"]  # fmt: skip
    with running(given, folder / "log", learnt) as found:
        yield found


@pytest.fixture(scope="module")
def browser(server: Running) -> Iterator[Browser]:
    with browsing() as found:
        yield found


def enter(browser: Browser, server: Running, token: str) -> None:
    """Come as whoever has a token, after whoever was there has left."""
    browser.driver.delete_all_cookies()
    browser.driver.get(server.url)
    browser.wait(lambda: browser.find("#token")).send_keys(token)
    browser.click("button")


def test_a_wrong_token_is_refused_and_the_right_one_enters(browser: Browser, server: Running) -> None:
    enter(browser, server, "x" * 40)
    browser.wait(lambda: "not known" in browser.text("[role=alert]"))
    assert not browser.find("button[role=tab]")
    enter(browser, server, READER)
    browser.wait(lambda: browser.find("button[role=tab]"))
    cookie = browser.driver.get_cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert READER not in cookie["value"]
    browser.click("button.leave")
    browser.wait(lambda: browser.find("#token"))
    browser.driver.get(server.url)
    assert browser.wait(lambda: browser.find("#token"))


def test_each_tab_opens_and_can_be_asked(browser: Browser, server: Running) -> None:
    enter(browser, server, READER)
    browser.wait(lambda: browser.find("button[role=tab]"))
    for tab, button in {"Identify": "identify", "Compare two": "compare", "Gallery": "gallery", "Exposure": "exposure",
                        "Protect": "protect"}.items():  # fmt: skip
        browser.tab(tab)
        browser.wait(lambda button=button: browser.find(f"#{button}-ask"))
        assert len([each for each in browser.find_all("[id$=-out]") if each.is_displayed()]) == 1
        browser.shots(f"tab-{button}")


def test_only_who_may_write_sees_how_to_change_a_gallery(browser: Browser, server: Running) -> None:
    parts = ("#gallery-adding", "#gallery-removing")
    enter(browser, server, READER)
    browser.wait(lambda: browser.find("button[role=tab]"))
    browser.tab("Gallery")
    browser.wait(lambda: "need a token with the role write" in browser.text("#gallery-reading"))
    time.sleep(2)  # whatever would still come
    assert [browser.find(part) for part in parts] == [None, None]
    assert "need a token with the role write" in browser.text("#gallery-reading")
    enter(browser, server, WRITER)
    browser.wait(lambda: browser.find("button[role=tab]"))
    browser.tab("Gallery")
    browser.wait(lambda: all(browser.find(part) for part in parts))
    browser.wait(lambda: not browser.find("#gallery-reading"))
    browser.click("#gallery-adding button")
    browser.wait(lambda: browser.find("#gallery-add-ask"))
    browser.shots("gallery-of-a-writer")


def test_who_may_only_read_measures_nothing(browser: Browser, server: Running) -> None:
    enter(browser, server, READER)
    browser.wait(lambda: browser.find("button[role=tab]"))
    browser.tab("Exposure")
    browser.click("#exposure-ask")
    browser.wait(lambda: "write" in browser.text("#exposure-out [role=alert]"))
    assert not browser.find("#exposure-out iframe")


def test_exposure_is_measured_once_and_shown_to_who_comes_later(browser: Browser, server: Running) -> None:
    enter(browser, server, WRITER)
    browser.wait(lambda: browser.find("button[role=tab]"))
    browser.tab("Exposure")
    browser.click("#exposure-sweeps input")
    browser.click("#exposure-ask")
    frame = browser.wait(lambda: browser.find("#exposure-out iframe"), 400)
    page = frame.get_attribute("srcdoc")
    assert "<script" not in page
    assert "near each other where their embeddings are" in page  # the map
    link = browser.wait(lambda: browser.find("#exposure-out a[download]"))
    assert link.get_attribute("download").startswith("exposure-tonight")
    result = json.loads(_data(link.get_attribute("href")))
    assert result["dataset"] == DATASET
    assert str(server.log.parent.parent) not in json.dumps(result)
    enter(browser, server, READER)
    browser.wait(lambda: browser.find("button[role=tab]"))
    browser.tab("Exposure")
    browser.click("#exposure-sweeps input")
    browser.click("#exposure-ask")
    browser.wait(lambda: browser.find("#exposure-out iframe"))
    browser.shots("exposure")


def test_an_image_is_protected(browser: Browser, server: Running, queries: list[Item]) -> None:
    enter(browser, server, READER)
    browser.wait(lambda: browser.find("button[role=tab]"))
    browser.tab("Protect")
    browser.choose("#protect-file", [queries[0].path])
    browser.click("#protect-ask")
    link = browser.wait(lambda: browser.find("#protect-out a[download$='-protected.png']"))
    before = np.asarray(Image.open(queries[0].path).convert("RGB"))
    after = np.asarray(Image.open(io.BytesIO(_data(link.get_attribute("href")))))
    assert after.shape == before.shape
    assert 0 < np.abs(after.astype(int) - before).mean() < 16
    rows = browser.find_all("#protect-out table.plain tbody tr")
    assert len(rows) >= 2
    slider = browser.find("#protect-out .slide input[type=range]")
    browser.driver.execute_script("arguments[0].value = 20; arguments[0].dispatchEvent(new Event('input'))", slider)
    assert "20%" in browser.find("#protect-out .slide").get_attribute("style")
    browser.shots("protected")


def test_an_image_that_cannot_be_read_is_told(browser: Browser, server: Running, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    enter(browser, server, READER)
    browser.wait(lambda: browser.find("button[role=tab]"))
    browser.tab("Protect")
    browser.choose("#protect-file", [broken])
    browser.click("#protect-ask")
    browser.wait(lambda: "broken.png" in browser.text("#protect-out .problem[role=alert]"))


def _data(uri: str) -> bytes:
    """What a link to data holds."""
    head, _, body = uri.partition(",")
    return base64.b64decode(body) if head.endswith(";base64") else unquote(body).encode()
