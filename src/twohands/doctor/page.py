"""One page about a recording: colour with the edges of depth, the hands found, the depths, and the table."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from twohands.doctor.examination import Diagnosis
from twohands.doctor.look import BIN
from twohands.doctor.table import Check
from twohands.files import write_atomically
from twohands.pictures import BACKGROUND, captioned

WIDTH, MARGIN, GAP = 1600, 24, 8
"""Pixels across the page, around it, and between its parts."""
CHART, BARS = 190, 300
"""Height of the chart of depths in pixels, and largest number of its bars."""
INK, FAINT = (235, 235, 235), (150, 152, 158)
COLOURS = {"ok": (90, 200, 120), "finding": (255, 90, 80), "unknown": (230, 190, 70)}
SCENE, HANDS = (95, 115, 150), (255, 165, 60)
"""Colours of text, of the verdicts, and of the readings of the scene and of hands."""
COLOURS_OF_HANDS = "left hand red, right green, doubtful pale"
"""Caption of pictures of hands, which have the colours of `overlay`."""
COLUMNS = (24, 170, 620, 760)
"""Left edges of the columns of the table, from the margin; the last goes to the other margin."""


def write_page(path: Path, title: str, diagnosis: Diagnosis) -> None:
    """Write the page as PNG."""
    with write_atomically(path) as temporary:
        draw_page(title, diagnosis).save(temporary, "PNG", compress_level=6)


def draw_page(title: str, diagnosis: Diagnosis) -> Image.Image:
    """Return the page about a recording with this title."""
    parts = [_head(title, diagnosis), _examples(diagnosis), _chart(diagnosis.depth_counts), _table(diagnosis.checks)]
    page = Image.new("RGB", (WIDTH, sum(part.height + 2 * GAP for part in parts) + 2 * MARGIN), BACKGROUND)
    top = MARGIN
    for part in parts:
        page.paste(part, (MARGIN, top))
        top += part.height + 2 * GAP
    return page


def _head(title: str, diagnosis: Diagnosis) -> Image.Image:
    count = len(diagnosis.findings)
    verdict = "nothing is wrong" if diagnosis.is_clean else f"{count} finding{'' if count == 1 else 's'}"
    lines = _wrapped(
        f"{diagnosis.recording}; {diagnosis.looked_at} of {diagnosis.frames} frames examined", _font(17), _inner()
    )
    part = _blank(44 + 24 * len(lines))
    draw = ImageDraw.Draw(part)
    draw.text((0, 0), f"{title}: {verdict}", INK, _font(30))
    for row, line in enumerate(lines):
        draw.text((0, 44 + 24 * row), line, FAINT, _font(17))
    return part


def _examples(diagnosis: Diagnosis) -> Image.Image:
    """Return the examples side by side, each with the edges of depth above the hands."""
    count = len(diagnosis.examples)
    if not count:
        return _blank(1)
    width = (_inner() - GAP * max(count - 1, 1)) // max(count, 2)
    columns = []
    for example in diagnosis.examples:
        named = ((example.edges, "edges of depth (green) on colour"), (example.overlay, COLOURS_OF_HANDS))
        tiles = [captioned(_resized(picture, width), f"{example.name}: {text}") for picture, text in named]
        columns.append(tiles)
    part = _blank(max(sum(tile.height for tile in tiles) for tiles in columns) + GAP)
    for number, tiles in enumerate(columns):
        left = number * (width + GAP)
        part.paste(tiles[0], (left, 0))
        part.paste(tiles[1], (left, tiles[0].height + GAP))
    return part


def _chart(counts: np.ndarray) -> Image.Image:
    """Return the chart of how many readings are at which distance, those of hands in front of all."""
    part = _blank(CHART)
    draw = ImageDraw.Draw(part)
    draw.text((0, 0), "depth readings: whole image", SCENE, _font(17))
    draw.text((330, 0), "on hands (each to its own scale)", HANDS, _font(17))
    total = np.cumsum(counts[0])
    if not total[-1]:
        return part
    furthest = (np.searchsorted(total, 0.995 * total[-1]) + 1) * BIN
    in_bar = math.ceil(furthest / BIN / BARS)
    bars = math.ceil(furthest / BIN / in_bar)
    furthest = bars * in_bar * BIN
    bottom, high = CHART - 28, CHART - 60
    for row, colour in ((0, SCENE), (1, HANDS)):
        heights = np.resize(counts[row], (bars, in_bar)).sum(axis=1)
        for bar, height in enumerate(heights / max(heights.max(), 1)):
            left, right = (round(place * _inner() / bars) for place in (bar, bar + 1))
            if height:
                draw.rectangle((left, bottom - round(height * high), right - 2, bottom), colour)
    step = next(step for step in (0.05, 0.1, 0.2, 0.5, 1, 2, 5) if furthest / step <= 16)
    for tick in range(math.floor(furthest / step) + 1):
        place = tick * step / furthest * _inner()
        draw.line((place, bottom, place, bottom + 5), FAINT)
        if place < _inner() - 40:
            draw.text((place + 2, bottom + 6), f"{tick * step:g} m", FAINT, _font(15))
    return part


def _table(checks: tuple[Check, ...]) -> Image.Image:
    font, rows = _font(17), []
    ends = (*COLUMNS[1:], _inner())
    for line in checks:
        cells = (line.what, line.measured, line.verdict, line.remedy)
        rows.append(
            [_wrapped(cell, font, end - start - 14) for cell, start, end in zip(cells, COLUMNS, ends, strict=True)]
        )
    heights = [max(len(cell) for cell in cells) * 22 + 10 for cells in rows]
    part = _blank(sum(heights) + 4)
    draw, top = ImageDraw.Draw(part), 0
    for line, cells, height in zip(checks, rows, heights, strict=True):
        colour = COLOURS[line.verdict]
        draw.line((0, top, _inner(), top), (60, 63, 70))
        draw.ellipse((2, top + 9, 14, top + 21), colour)
        for start, texts, ink in zip(COLUMNS, cells, (INK, INK, colour, INK), strict=True):
            for row, text in enumerate(texts):
                draw.text((start, top + 5 + 22 * row), text, ink, font)
        top += height
    return part


def _wrapped(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Return text as lines of at most `width` pixels; a longer word has a line of its own."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _resized(picture: np.ndarray, width: int) -> Image.Image:
    image = Image.fromarray(picture)
    return image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)


def _blank(height: int) -> Image.Image:
    return Image.new("RGB", (_inner(), height), BACKGROUND)


def _inner() -> int:
    return WIDTH - 2 * MARGIN


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
