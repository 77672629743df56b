"""A drawing over a call's time, as an SVG that stands inside a page: the page's style sheet gives its colours. Pure."""

from dataclasses import dataclass
from xml.etree import ElementTree

from monitor.dashboard.looks import plain

_LETTER = 0.55
"""A letter's mean width, of its size."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where time lies in a drawing; lengths in the drawing's own units, which are pixels at full size."""

    width: float
    left: float
    """Where the call begins; labels stand left of it, or above their rows where it is 0."""
    right: float
    """Where the call ends."""
    duration_s: float

    @property
    def narrow(self) -> bool:
        """Whether labels have no room beside their rows."""
        return self.left == 0

    @property
    def span(self) -> float:
        return self.right - self.left

    def x(self, at_s: float) -> float:
        """Where a second of the call lies; what is before or after it lies at its edge."""
        return self.left + self.span * min(1.0, max(0.0, at_s / self.duration_s))


class Drawing:
    """Shapes, from the back to the front. Colours are classes: `anger` is the page's colour for anger."""

    def __init__(self, name: str, title: str, description: str, frame: Frame) -> None:
        """`name` makes ids unique in the page; without a title the drawing is an ornament."""
        self.frame, self.name = frame, name
        said = {"role": "img", "aria-labelledby": f"{name}-title {name}-desc"} if title else {"aria-hidden": "true"}
        self._root = ElementTree.Element("svg", {"class": "chart" if title else "swatch"} | said)
        for tag, text in (("title", title), ("desc", description)) if title else ():
            self._add(tag, {"id": f"{name}-{tag}"}).text = plain(text)
        self._definitions = self._add("defs", {})
        self._texts = ElementTree.Element("g")

    def box(self, x: float, y: float, width: float, height: float, look: str, **more: str) -> None:
        if width > 0 and height > 0:
            place = {"x": _n(x), "y": _n(y), "width": _n(width), "height": _n(height)}
            self._add("rect", place | {"class": look} | _named(more))

    def path(self, d: str, look: str, **more: str) -> None:
        self._add("path", {"d": d, "class": look} | _named(more))

    def line(self, x1: float, y1: float, x2: float, y2: float, look: str) -> None:
        self.path(f"M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}", look)

    def dot(self, x: float, y: float, radius: float, look: str) -> None:
        self._add("circle", {"cx": _n(x), "cy": _n(y), "r": _n(radius), "class": look})

    def text(self, x: float, y: float, text: str, look: str = "", glyph: tuple[str, str] | None = None) -> None:
        """`text` with its baseline at `y`, over all shapes; before it a `glyph` of its own look."""
        attributes = {"x": _n(x), "y": _n(y)} | ({"class": look} if look else {})
        element = ElementTree.SubElement(self._texts, "text", attributes)
        if glyph is None:
            element.text = plain(text)
            return
        mark = ElementTree.SubElement(element, "tspan", {"class": glyph[1]})
        mark.text, mark.tail = glyph[0], f" {plain(text)}"

    def pattern(self, kind: str, size: float, d: str) -> None:
        """A texture, for `fill="url(#…)"` as `texture` names it."""
        box = {"width": _n(size), "height": _n(size), "patternUnits": "userSpaceOnUse"}
        pattern = ElementTree.SubElement(self._definitions, "pattern", {"id": f"{self.name}-{kind}"} | box)
        ElementTree.SubElement(pattern, "path", {"d": d, "class": f"texture {kind}"})

    def texture(self, kind: str) -> str:
        return f"url(#{self.name}-{kind})"

    def finished(self, height: float) -> str:
        """The markup; everything from outside is escaped in it."""
        self._root.append(self._texts)
        self._root.set("viewBox", f"0 0 {_n(self.frame.width)} {_n(height)}")
        return ElementTree.tostring(self._root, encoding="unicode")

    def _add(self, tag: str, attributes: dict[str, str]) -> ElementTree.Element:
        return ElementTree.SubElement(self._root, tag, attributes)


def text_width(text: str, size: float = 12.0) -> float:
    """About how wide `text` will be."""
    return _LETTER * size * len(text)


def area(points: list[tuple[float, float]], base: float) -> str:
    """The path of an area between `points` (x, y) and the line y = `base`."""
    there = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
    return f"M{_n(points[0][0])} {_n(base)}L{there}L{_n(points[-1][0])} {_n(base)}Z"


def polyline(points: list[tuple[float, float]]) -> str:
    """The path through `points` (x, y)."""
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _named(more: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in more.items()}
