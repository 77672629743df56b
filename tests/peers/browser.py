"""Headless Chromium with the page in it: what it shows, what it says, whom it asks."""

import base64
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
)
WAIT_S = 10.0

_CONTRASTS = """
const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgba = text => {
  paint.clearRect(0, 0, 1, 1);
  paint.fillStyle = text;
  paint.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const light = colour => {
  const [r, g, b] = colour.map(value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = element => {
  const own = rgba(getComputedStyle(element).backgroundColor);
  return own[3] === 1 ? own : over(own, element.parentElement ? ground(element.parentElement) : [255, 255, 255, 1]);
};
const shown = [...document.querySelectorAll("body *")].filter(element =>
  [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()) && element.checkVisibility()
  && !element.closest(".heard, script") && !element.disabled);
return shown.map(element => {
  const below = ground(element), text = over(rgba(getComputedStyle(element).color), below);
  const [high, low] = [light(text), light(below)].sort((a, b) => b - a);
  return [(high + 0.05) / (low + 0.05), element.textContent.trim()];
});
"""


class Browser:
    """One tab. `faults_expected`: parts of console errors that this test brings about on purpose."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.faults_expected: list[str] = []
        self.hosts: set[str] = set()
        """Who was opened on purpose, as `name:port`."""

    def open(self, address: str) -> None:
        self.hosts.add(urlsplit(address).netloc)
        self.driver.get(address)

    def run(self, script: str, *values: Any) -> Any:
        return self.driver.execute_script(script, *values)

    def wait(self, condition: str, *values: Any) -> Any:
        """What the JavaScript expression `condition` becomes, as soon as it is true."""
        from selenium.common.exceptions import TimeoutException
        from selenium.webdriver.support.ui import WebDriverWait

        try:
            wait = WebDriverWait(self.driver, WAIT_S, 0.05)
            return wait.until(lambda driver: driver.execute_script(f"return {condition}", *values))
        except TimeoutException:
            raise AssertionError(f"never came true: {condition} {values}; shown: {self.text('body')}") from None

    def wait_for(self, css: str, text: str) -> None:
        """Until what `css` finds has exactly `text`."""
        self.wait("document.querySelector(arguments[0])?.innerText.trim() === arguments[1]", css, text)

    def text(self, css: str) -> str:
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", css)).strip()

    def shows(self, css: str) -> bool:
        return bool(self.run("return document.querySelector(arguments[0])?.checkVisibility() ?? false", css))

    def click(self, css: str) -> None:
        self.driver.find_element("css selector", css).click()

    def type(self, css: str, text: str) -> None:
        field = self.driver.find_element("css selector", css)
        field.clear()
        field.send_keys(text)

    def press(self, key: str) -> None:
        self.driver.switch_to.active_element.send_keys(key)

    def enter_token(self, token: str) -> None:
        self.wait("!document.getElementById('door').hidden && !document.getElementById('enter').disabled")
        self.type("#token", token)
        self.click("#enter")

    def look(
        self, width: int = 600, height: int = 520, dark: bool = False, still: bool = False, scale: int = 1
    ) -> None:
        """The size of the window, the colours and the motion that the user prefers."""
        screen = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        wishes = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce" if still else "",
        }
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def picture(self) -> bytes:
        """PNG of what is in the window."""
        return base64.b64decode(self.driver.get_screenshot_as_base64())

    def contrasts(self) -> list[tuple[float, str]]:
        """Contrast ratio (WCAG 2) of each text that is shown, the lowest first."""
        return sorted((ratio, text) for ratio, text in self.run(_CONTRASTS))

    def leave(self) -> None:
        """Close the page; fails where it complained, or asked anybody else for anything."""
        self.driver.get("about:blank")
        faults = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        assert [fault for fault in faults if not any(part in fault for part in self.faults_expected)] == []
        assert set(self._asked()) <= self.hosts

    def _asked(self) -> Iterator[str]:
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                address = message["params"]["request"]["url"]
            elif message["method"] == "Network.webSocketCreated":
                address = message["params"]["url"]
            else:
                continue
            if urlsplit(address).scheme != "data" and address != "about:blank":
                yield urlsplit(address).netloc


@contextmanager
def chromium() -> Iterator[Any]:
    """A driver of headless Chromium; without it the test is skipped, or fails where CI=true."""
    missing = [program for program in (CHROMIUM, DRIVER) if not shutil.which(program)]
    if missing:
        text = f"{', '.join(missing)} missing: apt install chromium chromium-driver"
        pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium missing: pip install 'callmood[test]'")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_experimental_option("prefs", {"net.network_prediction_options": 2})  # no connections on suspicion
    options.add_experimental_option("perfLoggingPrefs", {"enableNetwork": True, "enablePage": False})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def colours(png: bytes) -> tuple[int, float]:
    """How many colours a picture has, and its mean brightness, 0..1."""
    image = pytest.importorskip("PIL.Image", reason="pillow missing: pip install 'callmood[test]'")
    picture = image.open(io.BytesIO(png)).convert("RGB").reduce(8)
    grey = picture.convert("L").resize((1, 1), image.Resampling.BOX)
    return len(picture.getcolors(1 << 24)), grey.getpixel((0, 0)) / 255


def write(png: bytes, path: Path) -> None:
    """As a picture with a palette: a third of the size."""
    image = pytest.importorskip("PIL.Image")
    image.open(io.BytesIO(png)).convert("RGB").quantize(128, dither=image.Dither.NONE).save(path, optimize=True)
