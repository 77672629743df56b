"""Reports in Chromium: whom they ask, how they fit, what is printed.

`CALLMOOD_PICTURES=docs/pictures` writes the documentation's pictures of them there.
"""

import base64
import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.history.archive import Archive
from monitor.messages import CallEnded
from monitor.model import EmotionModel, default_path
from monitor.report.call_page import call_page
from monitor.report.day import day_facts
from monitor.report.day_page import day_page
from monitor.report.drawing import sound_pictures
from monitor.report.facts import CallFacts, alerts_in
from monitor.report.inputs import from_recordings
from monitor.report.poster import picture
from monitor.report.sound import sounds
from monitor.report.span import Span
from monitor.settings import Settings
from tests.peers.browser import Browser, chromium, colours, write
from tests.report_calls import MARKUP, T0, Told, with_everything
from tests.stored import write as store

EXAMPLE = Path(__file__).parents[2] / "examples" / "calls" / "growing_anger.flac"
WRITTEN = "25 November 2026, 21:36 UTC"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture
def browser(driver: Any) -> Iterator[Browser]:
    browser = Browser(driver)
    browser.look()
    yield browser
    browser.leave()


@pytest.fixture(scope="module")
def example() -> CallFacts:
    """The example call in which anger grows, through the whole live path."""
    model = EmotionModel(default_path())
    (facts,) = from_recordings([str(EXAMPLE)], Settings(), model, ("agent", "customer"), lambda _: None)
    assert isinstance(facts, CallFacts)
    return facts


@pytest.fixture(scope="module")
def pages(example: CallFacts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A recording's page, one with everything in it and hostile names, and a day's."""
    folder = tmp_path_factory.mktemp("pages")
    heard = sounds(str(EXAMPLE), {"agent": 0, "customer": 1}, example.duration_s)
    texts = {
        "recording": call_page(example, WRITTEN, sound_pictures(example, heard)),
        "everything": call_page(with_everything(MARKUP, MARKUP, "<i>rule</i>" + "x" * 90).facts, WRITTEN),
        "day": day_page(a_day(folder / "history.db"), WRITTEN, {}),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text)
    return {name: folder / f"{name}.html" for name in texts}


def a_day(file: Path) -> Any:
    """Forty calls of a working day, some of them hard."""
    calls = []
    for number in range(40):
        told = Told(f"call {number + 1:03}" if number else MARKUP).say(60 + 7 * (number % 9))
        if number % 6 == 4:
            told.say(30 + number, "anger", "angry").alert().acknowledge().say(12)
            told = told if number % 12 == 4 else told.clear().say(40, "happy", "satisfied")
        if number % 8 == 5:
            told.say(30, "sad", "dissatisfied").lose(2.5).alert("9", "distressed_caller", "warning").say(
                9, "sad", "dissatisfied"
            )
        outcome = ("angry" if number % 12 == 4 else "satisfied") if number % 6 == 4 else "calm"
        calls.append(told.end("dissatisfied" if number % 8 == 5 else outcome))
    midnight = datetime(2026, 9, 21).astimezone()
    messages = []
    for number, told in enumerate(calls):
        began_s = midnight.timestamp() + 8 * 3_600 + 36_000 * (number / 40) ** 0.8
        for message in told.messages:
            at = datetime.fromisoformat(message.at).timestamp() - T0 + began_s
            messages.append(
                (
                    at,
                    type(message)(
                        **{f: getattr(message, f) for f in message.__struct_fields__ if f != "at"}, at=rfc(at)
                    ),
                )
            )
    store(file, [message for _, message in messages])
    with Archive(file) as archive:
        stored = archive.calls()
        alerts = {call.id: alerts_in(archive.messages(call.id)) for call in stored}
    assert sum(isinstance(message, CallEnded) for _, message in messages) == len(stored)
    return day_facts(stored, alerts, Span(midnight, midnight + timedelta(days=1)))


def rfc(unix_s: float) -> str:
    from monitor.messages import rfc3339

    return rfc3339(unix_s)


@pytest.mark.parametrize("name", ["recording", "everything", "day"])
def test_a_page_fits_a_phone_and_asks_nobody_for_anything(browser: Browser, pages: dict[str, Path], name: str):
    browser.open(pages[name].as_uri())
    for width in (320, 390, 600, 601, 800, 1_400):
        browser.look(width, 700)
        assert browser.run("return document.documentElement.scrollWidth - innerWidth") <= 0, width
        shown = browser.run(
            "return [...document.querySelectorAll('.wide-chart, .narrow-chart')].map(e => e.checkVisibility())"
        )
        assert shown == [width > 600, width <= 600] * (len(shown) // 2), width
    smallest = browser.run(
        "return Math.min(...[...document.querySelectorAll('th, td, p, dd')].map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 11


def test_letters_of_a_chart_are_large_enough_to_read_on_a_phone(browser: Browser, pages: dict[str, Path]):
    browser.look(320, 700)
    browser.open(pages["everything"].as_uri())
    heights = browser.run(
        "return [...document.querySelectorAll('.narrow-chart text')].map(e => e.getBoundingClientRect().height)"
    )
    assert min(heights) >= 9


def test_the_table_beside_the_chart_is_read_with_its_heads_and_nothing_is_said_twice(
    browser: Browser, pages: dict[str, Path]
):
    browser.open(pages["recording"].as_uri())
    tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    shown = [node for node in tree if not node.get("ignored")]
    roles = [node["role"]["value"] for node in shown]
    names = [node.get("name", {}).get("value", "") for node in shown]
    pictures = [name for role, name in zip(roles, names, strict=True) if role in ("image", "img", "graphics-document")]
    assert sum(name.startswith("Emotion of the customer over the call") for name in names) == 1
    assert all(pictures)
    assert roles.count("table") == 2
    assert {"From", "Emotion", "Sure", "Customer speaks", "0:50"} <= {
        re.sub(r"\s+", " ", name) for role, name in zip(roles, names, strict=True) if "header" in role
    }
    assert not any(
        glyph in name for glyph in "▲◆≈▼●" for role, name in zip(roles, names, strict=True) if "header" in role
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa_and_pictures_are_taken(
    browser: Browser, pages: dict[str, Path], example: CallFacts, dark: bool
):
    folder = os.environ.get("CALLMOOD_PICTURES")
    theme = "dark" if dark else "light"
    for name, page in pages.items():
        browser.look(880, 1_620 if name == "day" else 1_160, dark, still=True, scale=2 if folder else 1)
        browser.open(page.as_uri())
        glyphs = set("▲◆≈▼●─?·:#╳░!+")  # graphics: their colours are held to 3:1 in test_report_page
        contrasts = [(ratio, text) for ratio, text in browser.contrasts() if text not in glyphs]
        assert contrasts[0][0] >= 4.5, (name, contrasts[0])
        png = browser.picture()
        count, brightness = colours(png)
        assert count > 30, name
        assert (brightness < 0.35) == dark, name
        if folder and name != "everything":
            write(png, Path(folder) / f"report_{name}_{theme}.png")
    if folder and not dark:
        heard = sounds(str(EXAMPLE), {"agent": 0, "customer": 1}, example.duration_s)
        write(picture(example, heard), Path(folder) / "report.png")


@pytest.mark.parametrize(("name", "most"), [("recording", 3), ("everything", 5), ("day", 3)])
def test_it_prints_in_few_pages_on_white_in_a_dark_browser_too(
    browser: Browser, pages: dict[str, Path], name: str, most: int
):
    browser.look(880, 700, dark=True)
    browser.open(pages[name].as_uri())
    paper = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": True}
    pdf = base64.b64decode(browser.driver.execute_cdp_cmd("Page.printToPDF", paper)["data"])
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= most
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    style = "getComputedStyle(document.querySelector('header'))"
    assert browser.run(f"return [{style}.color, getComputedStyle(document.body).backgroundColor]") == [
        "rgb(24, 33, 43)",
        "rgba(0, 0, 0, 0)",
    ]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
