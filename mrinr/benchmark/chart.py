"""Line charts, drawn with Pillow like all other pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mrinr.pictures import FAINT, INK

COLOURS = ((90, 170, 250), (250, 170, 60), (110, 210, 120), (230, 110, 160), (180, 150, 250))
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 14, 58  # pixels around the plot
TICKS = 6  # about so many

Points = Sequence[tuple[float, float]]


def chart(
    lines: Mapping[str, Points],
    across: str,
    up: str,
    levels: Mapping[str, float] | None = None,
    names: Sequence[str] = (),
    size: tuple[int, int] = (460, 300),
) -> Image.Image:
    """Points of each line joined, on black.

    levels : dashed horizontal lines by name
    names : of the places 0, 1, 2, ... across, in place of numbers
    """
    levels = levels or {}
    picture = Image.new("RGB", size)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    x = np.array([p[0] for points in lines.values() for p in points])
    y = np.array([p[1] for points in lines.values() for p in points] + list(levels.values()))
    low, high = _span(x), _span(y, 0.06)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return (
            LEFT + (point[0] - low[0]) / (low[1] - low[0]) * (size[0] - LEFT - RIGHT),
            size[1] - BOTTOM - (point[1] - high[0]) / (high[1] - high[0]) * (size[1] - TOP - BOTTOM),
        )

    draw.rectangle((LEFT, TOP, size[0] - RIGHT, size[1] - BOTTOM), outline=FAINT)
    for tick in round_numbers(*high):
        draw.text((LEFT - 6, place((low[0], tick))[1]), f"{tick:,g}", FAINT, font, anchor="rm")
    ticks: dict[float, str] = dict(enumerate(names)) or {tick: f"{tick:,g}" for tick in round_numbers(*low)}
    for tick, words in ticks.items():
        draw.text((place((tick, high[0]))[0], size[1] - BOTTOM + 4), words, FAINT, font, anchor="ma")
    draw.text((LEFT + 6, TOP + 4), up, INK, font)
    draw.text((size[0] - RIGHT, size[1] - BOTTOM + 20), across, INK, font, anchor="ra")
    left = 8.0
    for n, name in enumerate([*lines, *levels]):
        colour = COLOURS[n % len(COLOURS)]
        if name in lines:
            places = [place(point) for point in lines[name]]
            draw.line(places, colour, 2)
            for a, b in places:
                draw.ellipse((a - 3, b - 3, a + 3, b + 3), colour)
        else:
            height = place((low[0], levels[name]))[1]
            for start in range(LEFT, size[0] - RIGHT, 12):
                draw.line((start, height, start + 6, height), colour, 1)
        draw.text((left, size[1] - 18), name, colour, font)
        left += font.getlength(name) + 16
    return picture


def round_numbers(low: float, high: float) -> list[float]:
    """About TICKS multiples of 1, 2 or 5 times a power of ten within the span."""
    rough = (high - low) / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _span(values: np.ndarray, margin: float = 0.0) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = margin * (high - low) or (0.0 if high > low else 1.0)
    return low - room, high + room


def below(*pictures: Image.Image) -> Image.Image:
    """One picture below the other."""
    sheet = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)))
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    return sheet
