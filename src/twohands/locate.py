"""Where the hands are: `HandLocator`, a colour image -> each hand's presence, side, region and image landmarks.

Two real-trained networks (tools/convert_hand_networks.py; sources in NOTICE): one finds palms in the whole image, one
finds 21 landmarks in a turned square region around each palm. Pixels (u, v): integer coordinates are pixel centres.

A region is (centre u, centre v, side, angle): pixels of the image and radians. Its picture shows the image turned back
by the angle, so that the hand in it points up: angle 0 is a hand that points up in the image, pi / 2 one to the right.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib.resources import files

import numpy as np
import onnxruntime
from PIL import Image

from twohands.hands.skeleton import FINGERTIPS, KNUCKLES, MIDDLE_KNUCKLE, NUM_JOINTS, WRIST
from twohands.types import LEFT, RIGHT

PALM_SIZE, CROP_SIZE = 192, 224
"""Sides in pixels of the pictures that the palm network and the landmark network take."""
PALM_GRIDS = ((8, 2), (16, 6))
"""Strides in pixels and anchors per cell of the palm network."""
PALM_SCORE = 0.5
"""A palm's smallest probability."""
SAME_PALM = 0.3
"""Palms of one hand: the mean distance of their points is less than this share of the palm's side."""
MAX_PALMS = 4
"""Palms of one picture that are looked at, the best ones."""
PALM_SCALE, PALM_SHIFT = 2.6, 0.5
"""Side of the region over side of the palm, and its shift to the fingers in palm sides: as the network was trained."""
LANDMARK_SCALE, LANDMARK_SHIFT = 2.0, 0.1
"""The same for a region around landmarks."""
BOUNDING_JOINTS = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
"""The landmarks that bound such a region: the palm and the first finger bones."""
PRESENT = 0.5
"""The landmark network's smallest presence of a hand."""
REFINE = 1
FIRST = 0.1
SURE = 0.9


@dataclass(frozen=True)
class LocatedHands:
    """Both hands in the image; axis 0 is the hand, LEFT = 0, RIGHT = 1. An absent hand has presence 0, otherwise NaN."""

    present: np.ndarray  # (2,) in [0, 1], the landmark network's own presence
    pixels: np.ndarray  # (2, 21, 2) landmarks (u, v) in the image
    relative: np.ndarray  # (2, 21, 3) metres about the hand's middle; x right, y down, z along the ray to the hand
    region: np.ndarray  # (2, 4) centre u, v, side in pixels, angle in radians


@dataclass(frozen=True)
class Candidates:
    """N possible hands whose sides are not settled yet."""

    present: np.ndarray  # (N,) in [0, 1]
    right: np.ndarray  # (N,) the network's probability that it is a right hand
    pixels: np.ndarray  # (N, 21, 2)
    relative: np.ndarray  # (N, 21, 3) metres
    region: np.ndarray  # (N, 4)

    def __getitem__(self, index: np.ndarray) -> Candidates:
        return Candidates(*(getattr(self, field.name)[index] for field in fields(self)))


class HandLocator:
    """Colour image (3, H, W) float32 in [0, 1] -> LocatedHands."""

    def __init__(self, palm: str = "palm_lite", landmark: str = "landmark_full"):
        self.palm_network = open_network(palm)
        self.landmark_network = open_network(landmark)
        self.anchors = palm_anchors()

    def __call__(self, rgb: np.ndarray) -> LocatedHands:
        height, width = rgb.shape[1:]
        candidates = self.find_hands(rgb, self.find_palms(rgb, upright_square(0, 0, width, height)))
        return candidates

    def find_palms(self, rgb: np.ndarray, square: np.ndarray) -> np.ndarray:
        """Regions (N, 4) around the hands whose palms are seen in an upright region (4,) of the image."""
        boxes, logits = self.palm_network.run(None, {"image": sample(rgb, square, PALM_SIZE)[None]})
        likely = logits[0, :, 0] > np.log(PALM_SCORE / (1 - PALM_SCORE))
        scores = 1 / (1 + np.exp(-logits[0, likely, 0]))
        points = boxes[0, likely].reshape(-1, 9, 2)  # centre, (width, height), seven key points
        sides = points[:, 1].max(axis=1)
        points = np.delete(points, 1, axis=1) + self.anchors[likely][:, None]
        points, sides = merge_palms(points, sides, scores)
        points = from_region(points, square, PALM_SIZE)
        return around(points[:, 0], points[:, 3] - points[:, 1], sides * square[2] / PALM_SIZE, PALM_SCALE, PALM_SHIFT)

    def find_hands(self, rgb: np.ndarray, regions: np.ndarray) -> Candidates:
        """The hands in some regions (N, 4)"""
        c = self.read_hands(rgb, regions)
        c = c[c.present > (FIRST if REFINE else PRESENT)]
        self.first = c
        if REFINE:
            w = c.present < SURE
            if w.any():
                d = self.read_hands(rgb, region_of_landmarks(c.pixels[w]))
                c = Candidates(*(np.concatenate([getattr(a, f.name) for a in (c[~w], d)]) for f in fields(c)))
            c = c[c.present > PRESENT]
        return c

    def read_hands(self, rgb: np.ndarray, regions: np.ndarray) -> Candidates:
        """What the landmark network says of some regions (N, 4), hands or not."""
        count = len(regions)
        crops = np.stack([sample(rgb, region, CROP_SIZE) for region in regions]) if count else np.zeros((0, 3, CROP_SIZE, CROP_SIZE), np.float32)
        landmarks, present, right, relative = self.landmark_network.run(None, {"crops": crops}) if count else [np.zeros((0, n), np.float32) for n in (63,1,1,63)]
        landmarks = landmarks.reshape(count, NUM_JOINTS, 3)
        pixels = np.stack([from_region(points[:, :2], region, CROP_SIZE) for points, region in zip(landmarks, regions, strict=True)]) if count else np.zeros((0, 21, 2))
        relative = relative.reshape(count, NUM_JOINTS, 3)
        relative = np.concatenate([turn(relative[..., :2], regions[:, None, 3]), relative[..., 2:]], axis=-1)
        return Candidates(present[:, 0], right[:, 0], pixels, relative, regions)


def open_network(name: str) -> onnxruntime.InferenceSession:
    """A shipped network on one thread that sleeps while it waits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    stored = (files("twohands") / "weights" / f"{name}.onnx").read_bytes()
    return onnxruntime.InferenceSession(stored, options, providers=["CPUExecutionProvider"])


def palm_anchors() -> np.ndarray:
    """(2016, 2) centres of the palm network's anchors, pixels of its picture."""
    anchors = []
    for stride, repeats in PALM_GRIDS:
        centers = (np.arange(PALM_SIZE // stride, dtype=np.float32) + 0.5) * stride - 0.5
        v, u = np.meshgrid(centers, centers, indexing="ij")
        anchors.append(np.repeat(np.stack([u, v], axis=-1).reshape(-1, 2), repeats, axis=0))
    return np.concatenate(anchors)


def merge_palms(points: np.ndarray, sides: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points (P, 8, 2) and sides (P,) of at most MAX_PALMS palms, best first: averages over detections (N, ...)."""
    merged_points, merged_sides = [], []
    remaining = np.argsort(-scores)
    while len(remaining) and len(merged_sides) < MAX_PALMS:
        best = remaining[0]
        distance = np.linalg.norm(points[remaining] - points[best], axis=-1).mean(axis=-1)
        same = distance < SAME_PALM * sides[best]
        weights = scores[remaining[same]]
        merged_points.append(np.average(points[remaining[same]], axis=0, weights=weights))
        merged_sides.append(np.average(sides[remaining[same]], weights=weights))
        remaining = remaining[~same]
    return np.array(merged_points).reshape(-1, *points.shape[1:]), np.array(merged_sides)


def turn(vectors: np.ndarray, angle: np.ndarray | float) -> np.ndarray:
    """Vectors (..., 2) turned by angles (...), from +x to +y."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = vectors[..., 0], vectors[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def from_region(pixels: np.ndarray, region: np.ndarray, size: int) -> np.ndarray:
    """Pixels (..., 2) of a region's picture (size x size) -> pixels (..., 2) of the image."""
    u, v, side, angle = region
    return turn((pixels + 0.5) * (side / size) - side / 2, angle) + (u, v)


def upright_square(left: int, top: int, width: int, height: int) -> np.ndarray:
    """The upright region (4,) around a window of the image."""
    return np.array([left + (width - 1) / 2, top + (height - 1) / 2, max(width, height), 0.0])


def around(center: np.ndarray, upward: np.ndarray, side: np.ndarray, scale: float, shift: float) -> np.ndarray:
    """Regions (N, 4): a box of a side (N,) at a center (N, 2), moved by `shift` sides along `upward` (N, 2), enlarged."""
    angle = np.arctan2(upward[:, 0], -upward[:, 1])
    center = center + turn(np.stack([0 * side, -shift * side], axis=-1), angle)
    return np.column_stack([center, scale * side, angle])


def region_of_landmarks(pixels: np.ndarray, _=None) -> np.ndarray:
    """Regions (N, 4) around hands whose landmarks (N, 21, 2) are known."""
    knuckles = (pixels[:, 5] + pixels[:, 13] + 2 * pixels[:, 9]) / 4
    upward = knuckles - pixels[:, WRIST]
    angle = np.arctan2(upward[:, 0], -upward[:, 1])
    upright = turn(pixels[:, BOUNDING_JOINTS], -angle[:, None])
    low, high = upright.min(axis=1), upright.max(axis=1)
    center = turn((low + high) / 2, angle)
    center = center + turn(np.stack([0 * angle, -LANDMARK_SHIFT * (high - low)[:, 1]], axis=-1), angle)
    return np.column_stack([center, LANDMARK_SCALE * (high - low).max(axis=1), angle])


def sample(rgb: np.ndarray, region: np.ndarray, size: int) -> np.ndarray:
    """The region's picture (3, size, size) float32, bilinear; beyond the image's border its border goes on."""
    grid = np.arange(size, dtype=np.float64)
    v, u = np.meshgrid(grid, grid, indexing="ij")
    pixels = from_region(np.stack([u, v], axis=-1).reshape(-1, 2), region, size)  # (size * size, 2)
    factor = int(region[2] / size)
    if factor > 1:
        height, width = rgb.shape[1:]
        left, top = np.clip(np.floor(pixels.min(axis=0)).astype(int) - factor, 0, (width - factor, height - factor))
        right, bottom = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + factor, (left + factor, top + factor), (width, height))
        rgb = np.stack([np.asarray(Image.fromarray(plane[top:bottom, left:right]).reduce(factor)) for plane in rgb])
        pixels = (pixels + 0.5 - (left, top)) / factor - 0.5
    return bilinear(rgb, pixels).reshape(3, size, size)


def bilinear(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Values (C, N) of an image (C, H, W) at pixels (N, 2), clamped to the image."""
    height, width = image.shape[1:]
    pixels = np.clip(pixels, 0, (width - 1, height - 1))
    corner = np.floor(pixels).astype(np.int64)
    fu, fv = (pixels - corner).astype(np.float32).T
    right, below = (corner[:, 0] < width - 1).astype(np.int64), (corner[:, 1] < height - 1) * width
    first = corner[:, 1] * width + corner[:, 0]
    flat = image.reshape(len(image), -1)
    upper = flat.take(first, axis=1) * (1 - fu) + flat.take(first + right, axis=1) * fu
    lower = flat.take(first + below, axis=1) * (1 - fu) + flat.take(first + below + right, axis=1) * fu
    return upper * (1 - fv) + lower * fv
