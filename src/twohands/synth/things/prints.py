"""Printed pictures: packages, labels, screens, keys, sheets; (size, size, 3) uint8 sRGB, without brand artwork."""

from __future__ import annotations

import string
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from twohands.synth.things.textures import fractal_noise, random_color

_Box = tuple[int, int, int, int]  # left, top, right, bottom pixels
_LETTERS = np.array(list(string.ascii_uppercase + 2 * string.ascii_lowercase + string.digits))
_DRAWN = 256  # pixels of a picture while it is drawn; the result has half the size


def decorated(rng: np.random.Generator, base: np.ndarray, picture: np.ndarray | None = None) -> np.ndarray:
    """Return a texture (H, W, 3) with one to four decals. The first is `picture` (h, w, 4) uint8, where given."""
    image = Image.fromarray(base).resize((_DRAWN, _DRAWN), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:  # a paper label around it
        top, bottom = sorted(rng.integers(20, _DRAWN - 20, 2))
        image.paste(_ink(rng), (0, int(top), _DRAWN, int(bottom) + 20))
    for count in range(int(rng.integers(1, 5))):
        box = _random_box(rng)
        if count == 0 and picture is not None:
            clip = Image.fromarray(picture).resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BILINEAR)
            image.paste(clip, box[:2], clip)
        else:
            painter = _DECALS[int(rng.choice(len(_DECALS), p=_SHARES))]
            painter(rng, image, box)
    return _grained(rng, np.asarray(image.reduce(2)))


def screen(rng: np.random.Generator) -> np.ndarray:
    """Return a phone or monitor: glass in a dark frame, switched off in a third of the cases."""
    image = Image.new("RGB", (_DRAWN, _DRAWN), (14, 14, 16))
    if rng.random() < 0.67:
        edge = 8
        image.paste(_ink(rng), (edge, edge, _DRAWN - edge, _DRAWN - edge))
        for _ in range(int(rng.integers(2, 6))):
            left, top, right, bottom = _random_box(rng)
            box = (max(left, edge), max(top, edge), min(right, _DRAWN - edge), min(bottom, _DRAWN - edge))
            if box[2] - box[0] > 20 and box[3] - box[1] > 20:
                (_text, _photo, _gradient, _logo)[int(rng.integers(4))](rng, image, box)
    return np.asarray(image.reduce(2))


def keys(rng: np.random.Generator) -> np.ndarray:
    """Return rows of keys with a bright or dark mark each."""
    dark = rng.random() < 0.65
    body, cap = ((0.02, 0.08), (0.14, 0.28)) if dark else ((0.45, 0.7), (0.8, 1.0))
    image = Image.new("RGB", (_DRAWN, _DRAWN), _grey(rng, body))
    draw, key, mark = ImageDraw.Draw(image), _grey(rng, cap), _grey(rng, (0.5, 0.8) if dark else (0.2, 0.4))
    step = _DRAWN / 15
    for row in range(5):
        top, shift = 8 + row * 49, 0.3 * row * step
        for column in range(15):
            left = column * step + shift
            draw.rectangle((left + 2, top, left + step - 3, top + 41), fill=key)
            draw.rectangle((left + 5, top + 9, left + 7, top + 15), fill=mark)
    draw.rectangle((4 * step, 8 + 4 * 49, 9 * step, 8 + 4 * 49 + 41), fill=key)
    return np.asarray(image.reduce(2))


def sheet(rng: np.random.Generator) -> np.ndarray:
    """Return a printed or written page."""
    image = Image.new("RGB", (_DRAWN, _DRAWN), _grey(rng, (0.8, 1.0)))
    draw, ink = ImageDraw.Draw(image), _grey(rng, (0.05, 0.45))
    if rng.random() < 0.5:
        left, top = (int(value) for value in rng.integers(16, 120, 2))
        (_photo, _logo, _gradient)[int(rng.integers(3))](rng, image, (left, top, left + 90, top + 70))
    written, spacing = rng.random() < 0.3, int(rng.integers(8, 15))
    for row in range(int(rng.integers(18, 60)), int(rng.integers(100, 240)), spacing):
        x = 20.0
        while x < _DRAWN - 30:
            end = x + rng.uniform(6, 34)
            if written:
                across = np.arange(x, end, 2.0)
                wave = row + rng.normal(0.0, 2.0, len(across))
                draw.line(np.stack([across, wave], axis=-1).ravel().tolist(), fill=ink)
            else:
                draw.rectangle((x, row, end, row + 2), fill=ink)
            x = end + 5
    return np.asarray(image.reduce(2))


def metal(rng: np.random.Generator) -> np.ndarray:
    """Return a dull or bright grey, sometimes a bright plastic colour, without a pattern."""
    color = random_color(rng) * 255 if rng.random() < 0.35 else np.array(_grey(rng, (0.06, 0.75)))
    return _grained(rng, np.broadcast_to(color.astype(np.uint8), (64, 64, 3)))


def _logo(rng: np.random.Generator, image: Image.Image, box: _Box) -> None:
    """Draw one to four discs, rings, stars, polygons or bars within each other into the box."""
    draw, (left, top, right, bottom) = ImageDraw.Draw(image), box
    center = np.array([left + right, top + bottom]) / 2
    size = 0.5 * min(right - left, bottom - top)
    for _ in range(int(rng.integers(1, 5))):
        radius = size * rng.uniform(0.3, 1.0)
        middle, kind = center + rng.normal(0.0, 0.15 * size, 2), rng.random()
        frame = [*(middle - radius), *(middle + radius)]
        if kind < 0.3:
            draw.ellipse(frame, fill=_ink(rng))
        elif kind < 0.5:
            draw.arc(frame, *sorted(rng.uniform(0, 540, 2)), fill=_ink(rng), width=int(rng.integers(3, 14)))
        elif kind < 0.85:
            corners = int(rng.integers(3, 12))
            long = np.where(np.arange(corners) % 2 == 1, rng.uniform(0.4, 1.0), 1.0) * radius
            angle = np.arange(corners) * 2 * np.pi / corners + rng.uniform(0, 6)
            points = middle + long[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
            draw.polygon(points.ravel().tolist(), fill=_ink(rng))
        else:
            draw.rounded_rectangle(frame, radius=0.3 * radius, fill=_ink(rng))


def _text(rng: np.random.Generator, image: Image.Image, box: _Box) -> None:
    """Draw lines of random letters and digits into the box."""
    draw, ink = ImageDraw.Draw(image), _ink(rng, (0.0, 0.3) if rng.random() < 0.5 else (0.8, 1.0))
    height = int(rng.choice([10, 14, 20, 32]))
    for row in range(box[1], min(box[3], box[1] + 5 * height), int(1.25 * height)):
        words = rng.integers(2, 9, int(rng.integers(1, 5)))
        line = " ".join("".join(rng.choice(_LETTERS, count)) for count in words)
        draw.text((box[0], row), line, fill=ink, font=_font(height))


def _barcode(rng: np.random.Generator, image: Image.Image, box: _Box) -> None:
    draw, (left, top, right, bottom) = ImageDraw.Draw(image), box
    draw.rectangle((left, top, right, bottom), fill=(245, 245, 245))
    x = left + 4
    while x < right - 6:
        wide = int(rng.integers(1, 5))
        draw.rectangle((x, top + 4, x + wide - 1, bottom - 8), fill=(15, 15, 15))
        x += wide + int(rng.integers(1, 5))


def _gradient(rng: np.random.Generator, image: Image.Image, box: _Box) -> None:
    wide, high = box[2] - box[0], box[3] - box[1]
    across, down = np.meshgrid(np.linspace(0, 1, wide), np.linspace(0, 1, high))
    turn = rng.uniform(0, 2 * np.pi)
    level = np.clip(0.5 + np.cos(turn) * (across - 0.5) + np.sin(turn) * (down - 0.5), 0, 1)[..., None]
    mixed = random_color(rng) * level + random_color(rng) * (1 - level)
    image.paste(Image.fromarray((255 * mixed).astype(np.uint8)), box[:2])


def _photo(rng: np.random.Generator, image: Image.Image, box: _Box) -> None:
    """Draw an imitation of a small photograph into the box: sky, ragged horizon, ground, all mottled."""
    relief, mottling = fractal_noise(rng, 64, 6, 0.6), fractal_noise(rng, 64, 6, 0.8)
    row = np.arange(64)[:, None] / 64
    horizon = rng.uniform(0.3, 0.7) + 0.08 * relief[:1]
    sky, ground, thing = (random_color(rng, (0.3, 1.0)) for _ in range(3))
    picture = np.where((row < horizon)[..., None], sky * (0.6 + 0.4 * row[..., None]), ground)
    picture = np.where((relief > rng.uniform(0.6, 2.0))[..., None], thing, picture)
    picture = np.clip(picture * (1 + 0.2 * mottling[..., None]), 0, 1)
    scaled = Image.fromarray((255 * picture).astype(np.uint8))
    image.paste(scaled.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BILINEAR), box[:2])


_DECALS: tuple[Callable[[np.random.Generator, Image.Image, _Box], None], ...] = (
    _logo,
    _text,
    _gradient,
    _barcode,
    _photo,
)
_SHARES = (0.34, 0.35, 0.11, 0.05, 0.15)


def _random_box(rng: np.random.Generator) -> _Box:
    wide, high = (int(value) for value in rng.integers(40, 180, 2))
    left, top = (int(value) for value in rng.integers(0, [_DRAWN - wide, _DRAWN - high]))
    return left, top, left + wide, top + high


def _ink(rng: np.random.Generator, lightness: tuple[float, float] = (0.1, 0.95)) -> tuple[int, ...]:
    return tuple(int(255 * value) for value in random_color(rng, lightness))


def _grey(rng: np.random.Generator, lightness: tuple[float, float]) -> tuple[int, ...]:
    return tuple(int(255 * value) for value in np.clip(rng.uniform(*lightness) * rng.normal(1.0, 0.02, 3), 0, 1))


@cache
def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(height)


@cache
def _grain() -> np.ndarray:
    """Return noise (128, 128, 1) of deviation 1. Every picture gets a shifted copy."""
    rng = np.random.default_rng(0)
    return (0.7 * fractal_noise(rng, 128, 5) + 0.7 * rng.standard_normal((128, 128)))[..., None]


def _grained(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    shift, size = tuple(rng.integers(0, 128, 2)), len(image)
    grain = np.roll(_grain(), shift, axis=(0, 1))[:size, :size]
    return np.clip(image * (1 + 0.02 * grain) + 0.5, 0, 255).astype(np.uint8)
