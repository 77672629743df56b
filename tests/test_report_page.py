"""The pages as text: whole, closed, and with nothing from outside in them but text."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from monitor.report.call_page import call_page
from monitor.report.chart import NARROW, WIDE, chart
from monitor.report.palette import DARK, LIGHT, MOOD_COLOURS, SEVERITY_COLOURS, TONE_COLOURS, Theme
from tests.report_calls import MARKUP, Told, with_everything

WRITTEN = "25 November 2026, 21:36 UTC"
VOID = {"meta", "link", "br", "img", "rect", "path", "circle"}


class Page(HTMLParser):
    """The elements of a page; fails where one is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def hostile() -> str:
    return call_page(with_everything(MARKUP, MARKUP, "<i>rule</i>").facts, WRITTEN, back="index.html")


def test_text_from_outside_is_text_and_marks_of_direction_are_made_visible(hostile: str):
    page = Page(hostile)
    assert not {"script", "i", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    assert "\u202e" not in hostile
    assert '<script>alert(1)</script>"&amp;�txt.exe' in page.texts
    assert any("acknowledged by <script>" in text for text in page.texts)


def test_a_page_asks_nobody_for_anything_and_its_policy_allows_its_own_style_alone(hostile: str):
    page = Page(hostile)
    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", hostile, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    addresses = [v for _, attributes in page.elements for n, v in attributes.items() if n in ("href", "src", "action")]
    assert {address.split(":")[0] for address in addresses} == {"data", "index.html"}
    assert not re.search(r"url\((?!#)|@import|style=", hostile)


def test_every_table_has_a_caption_and_scopes_and_headings_go_down_by_one(hostile: str):
    page = Page(hostile)
    assert len(page.all("caption")) == len(page.all("table")) == 2
    assert {one.get("scope") for one in page.all("th")} == {"col", "row"}
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - one <= 1 for one, later in pairwise(levels))
    assert page.all("html")[0]["lang"] == "en"


def test_ids_are_unique_and_every_texture_and_label_that_is_named_is_there(hostile: str):
    ids = re.findall(r'\bid="([^"]+)"', hostile)
    assert len(ids) == len(set(ids))
    named = re.findall(r"url\(#([^)]+)\)", hostile)
    named += [one for group in re.findall(r'aria-labelledby="([^"]+)"', hostile) for one in group.split()]
    assert set(named) <= set(ids)


def test_a_chart_says_its_finding_to_whoever_cannot_see_it():
    facts = with_everything().facts
    drawing = ElementTree.fromstring(chart(facts, facts.parties[0]))
    assert drawing.get("role") == "img"
    assert drawing.findtext("title") == "Emotion of the customer over the call"
    assert drawing.findtext("desc").startswith("The customer’s mood turns 4 times: calm at first")


@pytest.mark.parametrize("wide", [True, False], ids=["wide", "narrow"])
@pytest.mark.parametrize(
    "told",
    [
        with_everything(),
        Told().say(0.5),
        Told().say(3, None, state="silence"),
        Told(scored=()).say(20, None, state="not_scored"),
        Told(scored=("agent", "customer")).say(9).end(),
        Told().say(7_200, "sad", "dissatisfied").end("dissatisfied"),
        Told().say(5).alert(),
    ],
    ids=["everything", "one reading", "silence", "not scored", "both scored", "two hours", "an alert at the end"],
)
def test_nothing_of_a_chart_lies_outside_it(told: Told, wide: bool):
    facts = told.facts
    for party in facts.parties:
        text = chart(facts, party, wide)
        assert len(text) < 120_000
        drawing = ElementTree.fromstring(text)
        _, _, width, height = map(float, drawing.get("viewBox").split())
        assert width == (WIDE if wide else NARROW)
        for shape in drawing.iter():
            numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", shape.get("d", ""))]
            if shape.tag == "path" and "texture" not in shape.get("class", ""):
                assert all(-1 <= x <= width + 1 for x in numbers[::2])
                assert all(-1 <= y <= height + 1 for y in numbers[1::2])
            if shape.tag == "rect":
                x, y, w, h = (float(shape.get(name)) for name in ("x", "y", "width", "height"))
                assert -1 <= x <= x + w <= width + 4
                assert -1 <= y <= y + h <= height + 1


def test_what_is_missing_is_said_at_the_head_of_the_page():
    told = with_everything()
    told.messages = [message for message in told.messages if message.seq % 50 or message.seq == 1]
    html = call_page(told.facts, WRITTEN)
    assert f"{told.facts.missing} messages of this call are missing: what they told is not in this report." in html
    assert "This call was still going on: the report reaches to 0:32 and no further." in call_page(
        Told().say(30).facts, WRITTEN
    )
    assert "The call did not end by itself: interrupted" in call_page(
        Told().say(30).end("unclear", "interrupted").facts, WRITTEN
    )
    assert "The agent’s emotion was read too (score_agent)" in call_page(
        Told(scored=("customer", "agent")).say(9).end().facts, WRITTEN
    )


def luminance(colour: str) -> float:
    values = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_has_the_contrast_that_graphics_need(theme: Theme):
    for name in {*TONE_COLOURS.values(), *MOOD_COLOURS.values(), *SEVERITY_COLOURS.values(), "edge"}:
        for ground in (theme.card, theme.ground):
            light, dark = sorted((luminance(getattr(theme, name)), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3.0, (name, ground)
