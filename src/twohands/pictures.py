"""Draw parts of pictures: coloured depth, skeletons, captions, contact sheets.

Pictures are (H, W, 3) uint8, red first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from twohands.geometry.camera import Camera
from twohands.hands.skeleton import BONES, FINGER_COLORS

BACKGROUND = (24, 26, 30)
TURBO = np.array(
    [
        [0.13572138, 4.61539260, -42.66032258, 132.13108234, -152.94239396, 59.28637943],
        [0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604],
        [0.10667330, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973],
    ]
)
"""Polynomials of the Turbo colour map (A. Mikhailov 2019, Apache-2.0), rows red, green, blue."""


def color_depth(depth: np.ndarray) -> np.ndarray:
    """Return depth (H, W) metres as colours (H, W, 3) uint8: near is red, far is blue, no reading is dark."""
    valid = depth > 0
    picture = np.full((*depth.shape, 3), BACKGROUND, dtype=np.uint8)
    if valid.any():
        near, far = np.percentile(depth[valid][::7], (1, 97))
        table = np.clip(np.linspace(0.95, 0.05, 256)[:, None] ** np.arange(6) @ TURBO.T * 255 + 0.5, 0, 255)
        step = np.clip((depth[valid] - near) * (255 / max(far - near, 1e-6)), 0, 255).astype(np.uint8)
        picture[valid] = table.astype(np.uint8)[step]
    return picture


def contact_sheet(
    images: Sequence[np.ndarray], labels: Sequence[str], columns: int = 4, width: int = 480
) -> np.ndarray:
    """Return a grid of pictures, each `width` pixels wide with its label, as one (H, W, 3) uint8 picture."""
    tiles = []
    for image, label in zip(images, labels, strict=True):
        size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
        tiles.append(captioned(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS), label))
    columns = max(1, min(columns, len(tiles)))
    tall = max((tile.height for tile in tiles), default=1)
    gap = 4
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (tall + gap) + gap), BACKGROUND)
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (gap + index % columns * (width + gap), gap + index // columns * (tall + gap)))
    return np.asarray(sheet)


def draw_skeleton(picture: Image.Image, joints: np.ndarray, camera: Camera, thickness: float = 1.0) -> None:
    """Draw the bones of one hand, joints (21, 3) metres in the camera frame, on a picture of the camera."""
    draw = ImageDraw.Draw(picture)
    width = max(1, round(thickness * picture.width / 320))
    pixels = [tuple(pixel) for pixel in camera.project(joints).tolist()]
    for parent, joint in BONES:
        draw.line([pixels[parent], pixels[joint]], fill=(*FINGER_COLORS[(joint - 1) // 4], 255), width=width)
    for u, v in pixels:
        box = [u - width, v - width, u + width, v + width]
        draw.ellipse(box, fill=(255, 255, 255, 255), outline=(40, 40, 40, 255))


def captioned(picture: Image.Image, text: str) -> Image.Image:
    """Return the picture with a caption in its upper left corner."""
    picture = picture.convert("RGB")
    size = int(np.clip(picture.height / 16, 11, 20))
    draw = ImageDraw.Draw(picture, "RGBA")
    font = ImageFont.load_default(size)
    box = draw.textbbox((6, 4), text, font=font)
    draw.rectangle((0, 0, box[2] + 6, box[3] + 4), fill=(*BACKGROUND, 200))
    draw.text((6, 4), text, font=font, fill=(240, 240, 240, 255))
    return picture
