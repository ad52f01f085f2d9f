"""A sheet of A4 to draw on: letters, lines, bars, links. Positions are points, counted down from the sheet's upper edge.

Everything that decides the bytes is fixed: the fonts are in this package, the document's dates are ReportLab's invariant ones, its id is a hash of its content.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files
from io import BytesIO

from reportlab import rl_config
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from services.reports.daily.render.formats import clean

WIDTH, HEIGHT = A4
MARGIN = 36.0
#: Left of the text, right of it, its upper and lower end.
LEFT, RIGHT = MARGIN, WIDTH - MARGIN
TOP, BOTTOM = 36.0, HEIGHT - 44.0

REGULAR, MEDIUM = "SignalboxRoboto", "SignalboxRoboto-Medium"
_FONT_FILES = {REGULAR: "Roboto-Regular.ttf", MEDIUM: "Roboto-Medium.ttf"}
#: Stands for a letter that the fonts do not have: the HTML has it.
UNKNOWN = "\ufffd"

#: The page's light colours (templates/report.css).
COLOURS = {
    "text": "#10161f",
    "soft": "#3d4a5a",
    "muted": "#5c6979",
    "line": "#dfe4ea",
    "strong": "#c3ccd6",
    "raised": "#eef1f5",
    "white": "#ffffff",
    "up": "#007684",
    "down": "#bb3f0b",
    "flat": "#10161f",
    "up-pale": "#80bbc2",
    "down-pale": "#dd9f85",
    "accent": "#1d5fbf",
    "accent-soft": "#b9d0f2",
    "replay": "#8a5a00",
    "replay-ground": "#fdf0d2",
    "synthetic": "#6d3fc4",
    "synthetic-ground": "#efe7fd",
    "live": "#00704a",
    "live-ground": "#dcf5ea",
    "warn": "#8a5a00",
    "warn-ground": "#fdf0d2",
    "bad": "#b3261e",
    "bad-soft": "#d98f8a",
    "good": "#00704a",
    "sma20": "#1d5fbf",
    "sma50": "#b0720a",
    "sma200": "#7d47c9",
    "band": "#edf2fa",
    "band-line": "#c0d2ee",
    "grid": "#e8ecf1",
    "guide": "#cfd7e0",
    "logo": "#141a22",
    "logo-post": "#8fa0b5",
    "logo-arm": "#f2b33d",
}
_HEX = {name: HexColor(value) for name, value in COLOURS.items()}


@dataclass(frozen=True, slots=True)
class Type:
    """How letters look."""

    size: float
    colour: str = "text"
    font: str = REGULAR


@dataclass(frozen=True, slots=True)
class Box:
    """A place on the sheet, points."""

    x: float
    top: float
    width: float
    height: float


BODY = Type(8.5)
SOFT = Type(8.5, "soft")
SMALL = Type(7.5, "muted")
STRONG = Type(8.5, "text", MEDIUM)
HEADING = Type(14.0, "text", MEDIUM)
SUBHEADING = Type(9.5, "text", MEDIUM)


@lru_cache(maxsize=1)
def register_fonts() -> None:
    """Reads the two fonts, once in a process."""
    for name, file in _FONT_FILES.items():
        with as_file(files("services.reports.daily.render") / "fonts" / file) as path:
            pdfmetrics.registerFont(TTFont(name, str(path)))


@lru_cache(maxsize=2)
def _known(font: str) -> frozenset[int]:
    registered = pdfmetrics.getFont(font)
    assert isinstance(registered, TTFont)
    return frozenset(registered.face.charToGlyph)


def printable(text: str, font: str) -> str:
    """The text with a stand-in for each letter that the font does not have."""
    tidy = clean(text)
    if tidy.isascii():
        return tidy
    known = _known(font)
    return "".join(letter if ord(letter) in known else UNKNOWN for letter in tidy)


def width_of(text: str, style: Type) -> float:
    """Points across."""
    return float(pdfmetrics.stringWidth(text, style.font, style.size))


def fit(text: str, style: Type, width: float) -> str:
    """The text, shortened with an ellipsis where it is wider than there is room."""
    shown = printable(text, style.font)
    if width_of(shown, style) <= width:
        return shown
    low, high = 0, len(shown)
    while low < high:
        middle = (low + high + 1) // 2
        if width_of(shown[:middle].rstrip() + "…", style) <= width:
            low = middle
        else:
            high = middle - 1
    return shown[:low].rstrip() + "…"


def wrap(text: str, style: Type, width: float, most: int = 99) -> list[str]:
    """The text in lines, the last of `most` shortened; a word wider than a line is broken."""
    lines: list[str] = []
    rest = printable(text, style.font).split(" ")
    line = ""
    while rest:
        word = rest.pop(0)
        tried = f"{line} {word}" if line else word
        if width_of(tried, style) <= width:
            line = tried
        elif line:
            lines.append(line)
            line = ""
            rest.insert(0, word)
        else:
            head = _head(word, style, width)
            lines.append(head)
            rest.insert(0, word[len(head) :])
    lines.append(line)
    if len(lines) > most:
        return [*lines[: most - 1], fit(" ".join(lines[most - 1 :]), style, width)]
    return lines


def _head(word: str, style: Type, width: float) -> str:
    """As much of a word as goes on a line, at least a letter."""
    end = 1
    while end < len(word) and width_of(word[: end + 1], style) <= width:
        end += 1
    return word[:end]


class Paper:
    """The document being drawn, one sheet after another."""

    def __init__(self, title: str, subject: str) -> None:
        register_fonts()
        # Streams as they are: as ASCII they are a quarter longer and take a fifth of the time.
        rl_config.useA85 = 0
        self._file = BytesIO()
        self._canvas = Canvas(self._file, pagesize=A4, invariant=1, pageCompression=1, lang="en")
        self.places: frozenset[str] = frozenset()
        """Anchors that the document will have; set before anything is drawn."""
        self._canvas.setTitle(title)
        self._canvas.setSubject(subject)
        self._canvas.setAuthor("Signalbox")
        self._canvas.setCreator("Signalbox")

    def next_sheet(self) -> None:
        """Ends this sheet."""
        self._canvas.showPage()

    def finish(self) -> bytes:
        """The document."""
        self._canvas.save()
        return self._file.getvalue()

    def text(self, x: float, base: float, text: str, style: Type, align: str = "left") -> float:
        """Letters on a base line; `align` says which end of them x is. Returns their width."""
        shown = printable(text, style.font)
        canvas = self._canvas
        canvas.setFont(style.font, style.size)
        canvas.setFillColor(_HEX[style.colour])
        width = width_of(shown, style)
        canvas.drawString(x - {"left": 0.0, "right": width, "middle": width / 2}[align], HEIGHT - base, shown)
        return width

    def measure(self, text: str, style: Type) -> float:
        """How wide `text` would come out, points."""
        return width_of(printable(text, style.font), style)

    def upward(self, top: float) -> float:
        """A position counted from the lower edge, as paths count."""
        return HEIGHT - top

    def lines(self, x: float, base: float, lines: list[str], style: Type, leading: float) -> None:
        """Lines under each other."""
        for index, line in enumerate(lines):
            self.text(x, base + index * leading, line, style)

    def rect(self, box: Box, colour: str, radius: float = 0.0) -> None:
        """A filled box."""
        self._canvas.setFillColor(_HEX[colour])
        lower = HEIGHT - box.top - box.height
        if radius:
            self._canvas.roundRect(box.x, lower, box.width, box.height, radius, stroke=0, fill=1)
        else:
            self._canvas.rect(box.x, lower, box.width, box.height, stroke=0, fill=1)

    def rule(self, top: float, colour: str = "line", left: float = LEFT, right: float = RIGHT) -> None:
        """A level hairline."""
        self._canvas.setStrokeColor(_HEX[colour])
        self._canvas.setLineWidth(0.5)
        self._canvas.line(left, HEIGHT - top, right, HEIGHT - top)

    def triangle(self, x: float, tip: float, direction: str, size: float, colour: str = "") -> None:
        """A triangle whose tip is at (x, tip)."""
        down = size if direction == "up" else -size
        y = HEIGHT - tip
        half = size * 0.58
        self._canvas.setFillColor(_HEX[colour or direction])
        self.raw(f"{x:.2f} {y:.2f} m {x - half:.2f} {y - down:.2f} l {x + half:.2f} {y - down:.2f} l f")

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        """A filled circle."""
        self._canvas.setFillColor(_HEX[colour])
        self._canvas.circle(x, HEIGHT - y, radius, stroke=0, fill=1)

    def path(self, operators: str, colour: str, width: float, *, dashed: bool = False, filled: bool = False) -> None:
        """Strokes or fills a path given as PDF operators in the sheet's own coordinates (from the lower edge)."""
        if filled:
            self._canvas.setFillColor(_HEX[colour])
            self.raw(f"{operators} f")
            return
        self._canvas.setStrokeColor(_HEX[colour])
        self._canvas.setLineWidth(width)
        self.raw(f"[1.5 1.5] 0 d {operators} S [] 0 d" if dashed else f"{operators} S")

    def raw(self, operators: str) -> None:
        """PDF operators, as they are."""
        self._canvas.addLiteral(operators)

    def bar(self, box: Box, parts: list[tuple[float, str]]) -> None:
        """Shares of a whole beside each other."""
        self.rect(box, "raised")
        x = box.x
        for fraction, colour in parts:
            if fraction > 0:
                self.rect(Box(x, box.top, box.width * fraction, box.height), colour)
                x += box.width * fraction

    def badge(self, x: float, base: float, text: str, colour: str) -> float:
        """A word in a box. Returns how far it reaches."""
        style = Type(6.3, colour, MEDIUM)
        width = width_of(printable(text, style.font), style) + 8
        self.rect(Box(x, base - 7.2, width, 9.6), f"{colour}-ground", 2)
        self.text(x + 4, base - 0.2, text, style)
        return width

    def anchor(self, name: str, top: float) -> None:
        """A place that links lead to."""
        self._canvas.bookmarkHorizontal(name, 0, HEIGHT - top)

    def outline(self, title: str, name: str, level: int) -> None:
        """An entry of the reader's table of contents."""
        self._canvas.addOutlineEntry(printable(title, MEDIUM), name, level, closed=level > 0)

    def link(self, name: str, box: Box) -> None:
        """Makes a box lead to an anchor; to none that there is not, which would be an error of the whole document."""
        if name in self.places:
            self._canvas.linkRect("", name, _corners(box), Border="[0 0 0]")

    def web_link(self, address: str, box: Box) -> None:
        """Makes a box lead to an address of the web."""
        self._canvas.linkURL(address, _corners(box), relative=0)


def _corners(box: Box) -> tuple[float, float, float, float]:
    return (box.x, HEIGHT - box.top - box.height, box.x + box.width, HEIGHT - box.top)
