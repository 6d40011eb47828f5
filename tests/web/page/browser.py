"""A real Chromium without a window, and what it asked for."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
#: Of tests in a browser: gradio and selenium have been imported or the module skipped before.
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="THE PAGE IS NOT TESTED IN A BROWSER: chromium or chromedriver is not on the PATH.",
    ),
]
#: Seconds that something on the page may take to come about, on a machine that has other work too.
WAIT = 120
#: Where pictures of the page are left for people to look at; without the variable none are taken.
SHOTS = os.environ.get("MORELLI_SHOTS")
SCREENS = {"desktop": (1280, 900), "phone": (390, 844)}


class Browser:
    """A page that is looked at.

    Parameters
    ----------
    driver : selenium.webdriver.Chrome
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.asked: list[str] = []

    def open(self, url: str, tab: str | None = None) -> None:
        """Load the page, wait until it is built, and go to a tab."""
        self.driver.get(url)
        self.wait(lambda: self.find("button[role=tab]"))
        if tab is not None:
            self.tab(tab)

    def tab(self, name: str) -> None:
        """Go to a tab by its name."""

        def there() -> Any:
            found = [each for each in self.find_all("button[role=tab]") if each.text.strip() == name]
            return found[0] if found else None

        self.click(self.wait(there))

    def find_all(self, css: str) -> list[Any]:
        return self.driver.find_elements("css selector", css)

    def find(self, css: str) -> Any:
        """The first element that is seen, or None."""
        return next((each for each in self.find_all(css) if each.is_displayed()), None)

    def click(self, what: Any) -> None:
        """Click an element, or what a selector finds."""
        element = self.wait(lambda: self.find(what)) if isinstance(what, str) else what
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def choose(self, css: str, paths: Sequence[Path], count: int | None = None) -> None:
        """Put files into an upload field, and wait until they are there."""
        field = self.wait(lambda: self.find_all(f"{css} input[type=file]"))[0]
        field.send_keys("\n".join(map(str, paths)))
        wanted = len(paths) if count is None else count
        self.wait(lambda: len(self.find_all(f"{css} tr.file")) >= wanted)

    def text(self, css: str) -> str:
        """What an element says now; "" where it is not there, or is being made anew just now."""
        from selenium.common.exceptions import StaleElementReferenceException

        try:
            found = self.find(css)
            return found.text if found is not None else ""
        except StaleElementReferenceException:
            return ""

    def wait(self, holds: Callable[[], Any], seconds: float = WAIT) -> Any:
        """Wait for what must come true, and give it."""
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        waiting = WebDriverWait(self.driver, seconds, 0.1, ignored_exceptions=[StaleElementReferenceException])
        return waiting.until(lambda _: holds())

    def requests(self) -> list[str]:
        """Every address that the browser asked for, from its own log."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                told = message["params"]
                self.asked.append(told["request"]["url"] if "request" in told else told["url"])
        return self.asked

    def complaints(self) -> list[str]:
        """What the browser's console calls an error."""
        return [each["message"] for each in self.driver.get_log("browser") if each["level"] == "SEVERE"]

    def size(self, width: int, height: int) -> None:
        """How large the screen is, also below the least width of a window."""
        told = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", told)

    def dark(self, wanted: bool) -> None:
        """Whether the visitor likes dark pages."""
        value = {"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [value]})

    def shots(self, name: str, until: Callable[[], Any] = lambda: True) -> None:
        """Leave pictures of the page as it is, light and dark, wide and narrow, where `SHOTS` wants them.

        Parameters
        ----------
        name : str
            What the files' names begin with.
        until : callable, optional
            What must hold on each screen before its picture is taken.
        """
        if not SHOTS:
            return
        from selenium.common.exceptions import WebDriverException

        try:
            folder = Path(SHOTS)
            folder.mkdir(parents=True, exist_ok=True)
            for theme in ("light", "dark"):
                self.dark(theme == "dark")
                for screen, size in SCREENS.items():
                    self.size(*size)
                    self.wait(until, 20)
                    time.sleep(0.5)  # transitions end
                    self.shot(folder / f"{name}-{theme}-{screen}.png")
        except (OSError, WebDriverException) as error:  # pictures are for people: no test fails for want of one
            print(f"no picture of {name}: {error}")
        finally:
            self.dark(False)
            self.size(*SCREENS["desktop"])

    def shot(self, path: Path) -> None:
        """The whole page as a PNG file."""
        import base64

        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        width = self.driver.execute_script("return window.innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        told = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(told["data"]))


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser with a profile of its own, which is gone afterwards."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for each in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                     "--disable-dev-shm-usage", "--no-first-run", "--window-size=1280,900",
                     f"--user-data-dir={profile}"):  # fmt: skip
            options.add_argument(each)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        driver = webdriver.Chrome(options, Service(str(DRIVER)))
        driver.set_page_load_timeout(120)
        try:
            yield Browser(driver)
        finally:
            driver.quit()
