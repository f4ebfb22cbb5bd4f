"""The chart of an alert: candles above, MACD-V with its signal, histogram and levels below, the alert marked.

Sized for a phone: few bars, thick lines, large figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from app.delivery.texts import price_text, title_of
from app.indicators.macdv import Floats, MacdvSeries
from app.market.records import Records
from app.wire.alerts import AlertFact

BARS = 72
WIDTH, HEIGHT = 1200, 800
FINER = 2
"""The chart is drawn this much larger, then reduced, which smooths lines."""

PAPER, GRID, INK, DIM, MARKED = "#131722", "#2a2e39", "#e8eaf0", "#9aa4b8", "#3d3a24"
UP, DOWN, LINE, SIGNAL, MARK = "#26a69a", "#ef5350", "#4d9fff", "#ff9f43", "#ffd54f"
LEVELS = (-400, -350, -300, -250, -200, -150, -50, 50, 150, 200, 250, 300, 350, 400)

LEFT, RIGHT = 16, WIDTH - 150
CANDLES, VALUES = (76, 440), (466, 744)
"""Top and bottom of the two panels."""

CLEAR = 30
"""Distance of two labels that do not touch."""


def draw(records: Records, values: MacdvSeries, fact: AlertFact) -> bytes:
    """The PNG. `records` and their `values` end with the bar of the alert; at least one bar."""
    canvas = _Canvas(Image.new("RGB", (WIDTH * FINER, HEIGHT * FINER), PAPER))
    shown = np.s_[-BARS:]
    records, bars = records[shown], len(records[shown])
    width = (RIGHT - LEFT) / max(bars, 12)
    xs: Floats = np.asarray(RIGHT - width * (np.arange(bars, 0, -1) - 0.5), dtype=np.float64)
    canvas.text((LEFT, 14), title_of(fact), INK, 40)
    canvas.box(float(xs[-1]), CANDLES[0], VALUES[1], width, MARKED)
    _candles(canvas, records, xs, width, fact)
    _values(canvas, values.macdv[shown], values.signal[shown], values.histogram[shown], xs, width, fact)
    _times(canvas, records, xs)
    return canvas.png()


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps values to heights."""

    lowest: float
    highest: float
    top: int
    bottom: int

    @classmethod
    def fitting(cls, values: Sequence[float], panel: tuple[int, int]) -> _Scale:
        lowest, highest = min(values), max(values)
        margin = (highest - lowest) * 0.06 or abs(highest) * 0.01 or 1.0
        return cls(lowest - margin, highest + margin, *panel)

    def y(self, value: float) -> float:
        return self.bottom - (value - self.lowest) / (self.highest - self.lowest) * (self.bottom - self.top)


class _Canvas:
    """Draws in pixels of the final image."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image
        self._draw = ImageDraw.Draw(image)

    def line(self, points: Sequence[tuple[float, float]], color: str, width: float = 2) -> None:
        self._draw.line([(x * FINER, y * FINER) for x, y in points], color, round(width * FINER), joint="curve")

    def dashes(self, y: float, color: str, width: float = 2) -> None:
        for x in range(LEFT, RIGHT - 8, 18):
            self.line([(x, y), (x + 9, y)], color, width)

    def box(self, x: float, y1: float, y2: float, width: float, color: str) -> None:
        top, bottom = min(y1, y2), max(y1, y2, min(y1, y2) + 1)
        self._draw.rectangle([(x - width / 2) * FINER, top * FINER, (x + width / 2) * FINER, bottom * FINER], color)

    def dot(self, x: float, y: float, radius: float, color: str) -> None:
        edges = [(x - radius) * FINER, (y - radius) * FINER, (x + radius) * FINER, (y + radius) * FINER]
        self._draw.ellipse(edges, outline=color, width=4 * FINER)

    def text(self, at: tuple[float, float], text: str, color: str, size: int, anchor: str = "la") -> None:
        """Smaller than `size` if it would not fit."""
        while size > 16 and at[0] + _font(size).getlength(text) / FINER > WIDTH - 8 and anchor[0] == "l":
            size -= 2
        self._draw.text((at[0] * FINER, at[1] * FINER), text, color, font=_font(size), anchor=anchor)

    def png(self) -> bytes:
        out = BytesIO()
        self._image.reduce(FINER).save(out, "PNG", compress_level=4)
        return out.getvalue()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size * FINER)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _candles(canvas: _Canvas, records: Records, xs: Floats, width: float, fact: AlertFact) -> None:
    prices = [fact["event"]["price"]] if fact["kind"] == "price" else []
    scale = _Scale.fitting([float(records["low"].min()), float(records["high"].max()), *prices], CANDLES)
    _frame(canvas, CANDLES)
    last = float(records["close"][-1])
    for price in np.linspace(scale.lowest, scale.highest, 5)[1:-1].tolist():
        if abs(scale.y(price) - scale.y(last)) > CLEAR:
            _label(canvas, scale.y(price), price_text(price, 4), DIM)
    for price in prices:
        canvas.dashes(scale.y(price), MARK, 3)
    for x, record in zip(xs.tolist(), records, strict=True):
        color = UP if record["close"] >= record["open"] else DOWN
        canvas.box(x, scale.y(record["high"]), scale.y(record["low"]), 2, color)
        canvas.box(x, scale.y(record["open"]), scale.y(record["close"]), max(width * 0.68, 2), color)
    _label(canvas, scale.y(last), price_text(last, 5), MARK)


def _values(
    canvas: _Canvas, macdv: Floats, signal: Floats, histogram: Floats, xs: Floats, width: float, fact: AlertFact
) -> None:
    _frame(canvas, VALUES)
    known = np.concatenate([macdv, signal, histogram])
    known = known[np.isfinite(known)]
    if not len(known):
        canvas.text((LEFT + 8, VALUES[0] + 8), "MACD-V is not ready yet", DIM, 28)
        return
    crossed = [fact["event"]["level"]] if fact["kind"] == "level" else []
    scale = _Scale.fitting([float(known.min()), float(known.max()), 0.0, *crossed], VALUES)
    canvas.line([(LEFT, scale.y(0)), (RIGHT, scale.y(0))], DIM, 1)
    levels = [level for level in LEVELS if scale.lowest <= level <= scale.highest and level not in crossed]
    for level in levels:
        canvas.dashes(scale.y(level), GRID if abs(level) < 150 else "#5b6378", 1.5)
        if all(abs(scale.y(level) - scale.y(c)) > CLEAR for c in (*crossed, float(macdv[-1]))):
            _label(canvas, scale.y(level), f"{level:+d}", DIM)
    for mark in crossed:
        canvas.dashes(scale.y(mark), MARK, 3)
    for x, value in zip(xs.tolist(), histogram.tolist(), strict=True):
        if value == value:
            canvas.box(x, scale.y(0), scale.y(value), width * 0.68, "#1d6f68" if value >= 0 else "#963a3c")
    _curve(canvas, xs, signal, scale.y, SIGNAL)
    _curve(canvas, xs, macdv, scale.y, LINE)
    if macdv[-1] == macdv[-1]:
        canvas.dot(float(xs[-1]), scale.y(float(macdv[-1])), 11, MARK)
        _label(canvas, scale.y(float(macdv[-1])), f"{macdv[-1]:+.0f}", MARK)
    canvas.text((LEFT + 8, VALUES[0] + 6), "MACD-V", LINE, 26)
    canvas.text((LEFT + 128, VALUES[0] + 6), "signal", SIGNAL, 26)


def _curve(canvas: _Canvas, xs: Floats, values: Floats, y: Callable[[float], float], color: str) -> None:
    points = [(x, y(value)) for x, value in zip(xs.tolist(), values.tolist(), strict=True) if value == value]
    if len(points) > 1:
        canvas.line(points, color, 4)


def _frame(canvas: _Canvas, panel: tuple[int, int]) -> None:
    for y in panel:
        canvas.line([(LEFT, y), (RIGHT, y)], GRID, 2)


def _label(canvas: _Canvas, y: float, text: str, color: str) -> None:
    canvas.text((RIGHT + 8, y), text, color, 30, "lm")


def _times(canvas: _Canvas, records: Records, xs: Floats) -> None:
    bars = len(records)
    step = int(np.diff(records["start_s"][:2].astype(np.int64))[0]) if bars > 1 else 300
    pattern = "%d %b" if step >= 14_400 else "%d %b %H:%M"
    for bar in range(bars - 1, 0, -max(bars // 4, 1)):
        when = datetime.fromtimestamp(int(records["start_s"][bar]), UTC).strftime(pattern)
        anchor = "ra" if bar == bars - 1 else "ma"
        if xs[bar] > LEFT + 80:
            canvas.text((float(xs[bar]), VALUES[1] + 12), when, DIM, 26, anchor)
