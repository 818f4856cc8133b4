"""Decode the images in messages of ROS and Foxglove: raw, JPEG and PNG, and depth as compressedDepth (PNG, RVL)."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import convolve

from twohands.sources.common import decode_rgb

COLOUR = {
    "rgb8": (3, (0, 1, 2)),
    "8UC3": (3, (2, 1, 0)),  # OpenCV's order, as cv_bridge writes it
    "bgr8": (3, (2, 1, 0)),
    "rgba8": (4, (0, 1, 2)),
    "bgra8": (4, (2, 1, 0)),
    "mono8": (1, (0, 0, 0)),
    "8UC1": (1, (0, 0, 0)),
}
"""Channels, and the places of red, green and blue among them, by encoding."""
BAYER = {"bayer_rggb8": (0, 0), "bayer_grbg8": (0, 1), "bayer_gbrg8": (1, 0), "bayer_bggr8": (1, 1)}
"""Row and column of the first red pixel by encoding."""
DEPTH = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
"""Type of a value by encoding."""
GREY = ("mono8", "8UC1")
DEPTH_HEADER = 12
"""Bytes before the image of compressedDepth: an integer, and two floats that quantize inverse depth."""
PNG = b"\x89PNG"
LARGEST_SIDE = 8192
"""Largest width or height of a depth image whose message states it, pixels; more than any camera has."""
OTHERS = "the other images can be used"


def is_depth(message: Any) -> bool:
    """Return whether an image message has depth, by its encoding or format."""
    return _form(message).split(";")[0].strip() in DEPTH or "compressedDepth" in _form(message)


def colour_of(message: Any, topic: str) -> np.ndarray:
    """Return the image of a message as (H, W, 3) uint8, red first.

    Raise ValueError with the fix, naming `topic`, for depth, unknown encodings and damaged images.
    """
    if is_depth(message):
        raise ValueError(f"{topic} is depth ({_form(message)}), not colour; choose another topic with --color-topic")
    if not hasattr(message, "encoding"):
        return decode_rgb(bytes(message.data), f"an image of {topic}")
    if message.encoding in BAYER:
        return _mosaic_as_rgb(_rows(message, topic, 1, "u1")[..., 0], *BAYER[message.encoding])
    if message.encoding not in COLOUR:
        raise ValueError(
            f"{topic} has the encoding {message.encoding!r}; record it as rgb8 or compressed (JPEG), or convert it "
            "with image_proc; read are " + ", ".join((*COLOUR, *BAYER))
        )
    channels, order = COLOUR[message.encoding]
    return np.ascontiguousarray(_rows(message, topic, channels, "u1")[..., order])


def is_grey(message: Any) -> bool:
    """Return whether a raw image message has no colours."""
    return getattr(message, "encoding", "") in GREY


def depth_of(message: Any, topic: str) -> np.ndarray:
    """Return the depth image (H, W) of a message: uint16 steps, or float32 metres.

    Raise ValueError with the fix, naming `topic`, for colour, unknown encodings and damaged images.
    """
    if hasattr(message, "encoding"):
        if message.encoding not in DEPTH:
            raise ValueError(
                f"{topic} has the encoding {message.encoding!r}, which is no depth; choose the topic with 16UC1 or "
                "32FC1 with --depth-topic"
            )
        return _rows(message, topic, 1, DEPTH[message.encoding])[..., 0]
    content, kind = bytes(message.data), _form(message)
    if PNG in content[: DEPTH_HEADER + 4] or "compressedDepth" not in kind:
        image = _decoded(content[content.find(PNG) :] if PNG in content[: DEPTH_HEADER + 4] else content, topic)
        steps = np.array(image)
    else:
        width, height = _unpacked("<ii", content, DEPTH_HEADER, topic)
        if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
            raise ValueError(f"an image of {topic} has {width}x{height} pixels: it is damaged; {OTHERS}")
        try:
            steps = rvl_decoded(content[DEPTH_HEADER + 8 :], width * height).reshape(height, width)
        except ValueError as error:
            raise ValueError(f"an image of {topic} cannot be read: {error}; {OTHERS}") from None
    if steps.ndim != 2 or steps.dtype == np.uint8 or image_is_lossy(content):
        raise ValueError(
            f"{topic} has depth as a picture of 8 bits, which destroys it; record the raw topic or compressedDepth"
        )
    if not kind.startswith("32FC1"):
        return steps.astype(np.uint16)
    scale, offset = _unpacked("<ff", content, 4, topic)  # steps of inverse depth
    steps = steps.astype(np.float32)
    return np.divide(scale, steps - offset, out=np.zeros_like(steps), where=(steps > 0) & (steps != offset))


def image_is_lossy(content: bytes) -> bool:
    """Return whether an image in memory is JPEG."""
    return content[:2] == b"\xff\xd8"


def rvl_decoded(content: bytes, count: int) -> np.ndarray:
    """Return `count` uint16 values of the RVL code (Wilson, 2017); raise ValueError if the content is too short.

    Numbers are written in groups of three bits with a flag that another one follows, four bits each, eight of them in
    a little-endian word, highest first. They are the lengths of runs of zeros and of values, and between them the
    differences of the values.
    """
    words = np.frombuffer(content[: len(content) // 4 * 4], "<u4")
    groups = ((words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32)) & 15).astype(np.uint8).ravel()
    ends = np.flatnonzero(groups < 8)
    if not ends.size:
        raise ValueError("depth in RVL code is cut off")
    starts = np.append(0, ends[:-1] + 1)
    groups = groups[: ends[-1] + 1]
    place = np.arange(len(groups)) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((groups & 7).astype(np.int64) << (3 * np.minimum(place, 20)), starts)
    differences = (numbers >> 1) ^ -(numbers & 1)
    steps, valid, at, pixel = np.zeros(count, np.int64), np.zeros(count, bool), 0, 0
    while pixel < count and at + 1 < len(numbers):
        pixel += int(numbers[at])
        run = slice(pixel, pixel + int(numbers[at + 1]))
        values = differences[at + 2 : at + 2 + run.stop - run.start]
        if run.stop > count or len(values) < run.stop - run.start:
            break
        steps[run], valid[run] = values, True
        at, pixel = at + 2 + len(values), run.stop
    if pixel < count:
        raise ValueError("depth in RVL code is cut off or damaged")
    return np.where(valid, np.cumsum(steps), 0).astype(np.uint16)


def _form(message: Any) -> str:
    return str(message.encoding if hasattr(message, "encoding") else message.format)


def _rows(message: Any, topic: str, channels: int, kind: str) -> np.ndarray:
    """Return the pixels (H, W, channels) of a raw image without the bytes that pad its rows."""
    order = ">" if getattr(message, "is_bigendian", 0) else "<"
    dtype = np.dtype(order + kind)
    width, height, used = message.width, message.height, message.width * channels * dtype.itemsize
    data = np.frombuffer(message.data, np.uint8)
    step = message.step or used
    if step < used or len(data) < step * (height - 1) + used:
        raise ValueError(
            f"an image of {topic} has {len(data)} bytes, too few for {width}x{height} pixels of {message.encoding} "
            f"with {step} bytes a row; it was cut off or written wrongly"
        )
    rows = np.lib.stride_tricks.as_strided(data, (height, used), (step, 1), writeable=False)
    pixels = np.ascontiguousarray(rows).view(dtype).reshape(height, width, channels)
    return pixels.astype(dtype.newbyteorder("="), copy=False)


def _decoded(content: bytes, topic: str) -> Image.Image:
    """Return a PNG or JPEG in memory."""
    try:
        image = Image.open(BytesIO(content))
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"an image of {topic} is cut off or damaged ({error}); {OTHERS}") from None
    return image


def _unpacked(form: str, content: bytes, place: int, topic: str) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(form, content, place)
    except struct.error:
        raise ValueError(f"an image of {topic} is cut off; {OTHERS}") from None


def _mosaic_as_rgb(mosaic: np.ndarray, row: int, column: int) -> np.ndarray:
    """Return colours (H, W, 3) uint8 of a Bayer mosaic (H, W), interpolated linearly, from its first red pixel."""
    weights = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32)
    red, blue = np.zeros(mosaic.shape, np.float32), np.zeros(mosaic.shape, np.float32)
    red[row::2, column::2] = 1
    blue[1 - row :: 2, 1 - column :: 2] = 1
    planes = []
    for mask in (red, 1 - red - blue, blue):
        near = convolve(mask, weights, mode="constant")
        planes.append(np.rint(convolve(mosaic * mask, weights, mode="constant") / near))
    return np.stack(planes, axis=-1).astype(np.uint8)
