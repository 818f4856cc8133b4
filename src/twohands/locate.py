"""Locate hands in a frame: each hand's presence, side, region and image landmarks.

`HandLocator` reads the colour image by two real-trained networks (tools/convert_hand_networks.py; sources in NOTICE):
one finds palms in the whole image, one finds 21 landmarks in a rotated square region around each palm. `GuidedLocator`
also searches where this package's own network sees hands. Pixels (u, v): integer coordinates are pixel centres.

A region is (centre u, centre v, side, angle): pixels of the image and radians. Its picture shows the image rotated back
by the angle, so that the hand in it points up: angle 0 is a hand that points up in the image, pi / 2 one to the right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib.resources import files

import numpy as np
from PIL import Image

from twohands.geometry.record import TensorRecord
from twohands.hands.skeleton import FINGERTIPS, KNUCKLES, NUM_JOINTS, WRIST
from twohands.runtime import SHIPPED, OnnxNetwork, open_session
from twohands.types import LEFT, PRESENT, RIGHT, LocatedHands, RGBDFrame
from twohands.views import square_camera, view

PALM_SIZE, CROP_SIZE = 192, 224
"""Side in pixels of the input picture of the palm network, and of the landmark network."""
PALM_GRIDS = ((8, 2), (16, 6))
"""Strides in pixels and anchors per cell of the palm network."""
PALM_SCALE, PALM_SHIFT = 2.6, 0.5
"""Side of a region over side of its palm, and shift to the fingers in palm sides, as in the networks' training."""
LANDMARK_SCALE, LANDMARK_SHIFT = 2.0, 0.1
"""Side of a region over the extent of BOUNDING_JOINTS, and shift to the fingers in extents."""
BOUNDING_JOINTS = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
"""Landmarks that bound a region: the palm and the first finger bones."""

PALM_SCORE = 0.2
"""Smallest probability of a palm; low, since the landmark network decides (0.5 loses one hand in ten on renderings)."""
SAME_PALM = 0.4
"""Largest mean distance between the points of two detections of one palm, as a fraction of the palm's side."""
MAX_PALMS = 4
"""Largest number of palms that are used from one picture."""
SURE = 0.9
"""Presence above which a hand's first region is good enough."""
TILED_ASPECT = 1.25
"""Aspect ratio from which an image is also searched in two tiles, where hands are larger for the palm network."""
SAME_HAND, SAME_PLACE = 0.4, 0.2
"""Largest mean distance over the hand's extent of two landmark sets of one hand: sides equal, and sides different."""
CURL_ODDS, POSITION_ODDS = 2.0, 3.0
"""Log-odds of a side from fully curled fingers, and from wrists that are one region's side apart."""


@dataclass(frozen=True)
class Candidates(TensorRecord):
    """N possible hands before their sides are settled."""

    present: np.ndarray  # (N,) in [0, 1]
    right: np.ndarray  # (N,) the network's probability that it is a right hand
    pixels: np.ndarray  # (N, 21, 2)
    relative: np.ndarray  # (N, 21, 3) metres
    region: np.ndarray  # (N, 4)

    def __getitem__(self, index: np.ndarray | list[int]) -> Candidates:
        return self.map(lambda values: values[index])

    def __add__(self, other: Candidates) -> Candidates:
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Candidates(*(np.concatenate(pair) for pair in pairs))


class HandLocator:
    """Function from a colour image (3, H, W) float32 in [0, 1] to LocatedHands; `elsewhere` returns further regions
    (N, 4) to search, and is called when fewer than two hands were found otherwise.
    """

    def __init__(self, palm: str = "palm_lite", landmark: str = "landmark_full"):
        self.palm_network = open_network(palm)
        self.landmark_network = open_network(landmark)
        self.anchors = palm_anchors()

    def __call__(self, rgb: np.ndarray, elsewhere: Callable[[], np.ndarray] | None = None) -> LocatedHands:
        height, width = rgb.shape[1:]
        hands = self.find_hands(rgb, self.find_palms(rgb, upright_square(0, 0, width, height)))
        for tile in tiles(width, height):
            if len(hands.present) < 2:
                palms = self.find_palms(rgb, tile)
                hands = distinct(hands + self.find_hands(rgb, palms[is_new(palms, hands.region)]), len(hands.present))
        if elsewhere is not None and len(hands.present) < 2:
            hands = distinct(hands + self.find_hands(rgb, elsewhere()), len(hands.present))
        return settle_sides(hands)

    def find_palms(self, rgb: np.ndarray, square: np.ndarray) -> np.ndarray:
        """Return regions (N, 4) around hands whose palms are seen in the upright region `square` (4,), best first."""
        boxes, logits = self.palm_network(sample(rgb, square, PALM_SIZE)[None])
        scores = 1 / (1 + np.exp(-np.clip(logits[0, :, 0], -50, 50)))
        likely = scores > PALM_SCORE
        boxes = boxes[0, likely].reshape(-1, 9, 2)  # centre, (width, height), seven key points
        points = np.delete(boxes, 1, axis=1) + self.anchors[likely, None]
        points, sides = merge_palms(points, boxes[:, 1].max(axis=-1), scores[likely])
        points = from_region(points, square, PALM_SIZE)
        wrist, middle_knuckle = points[:, 1], points[:, 3]
        sides = sides * square[2] / PALM_SIZE
        return region_around(points[:, 0], middle_knuckle - wrist, sides * PALM_SHIFT, sides * PALM_SCALE)

    def find_hands(self, rgb: np.ndarray, regions: np.ndarray) -> Candidates:
        """Return the distinct hands in regions (N, 4); a doubtful hand is read again from a better centred region."""
        first = self.read_hands(rgb, regions)
        sure = first.present > SURE
        hands = first[sure] + self.read_hands(rgb, region_of_landmarks(first[~sure].pixels))
        return distinct(hands[hands.present >= PRESENT])

    def read_hands(self, rgb: np.ndarray, regions: np.ndarray) -> Candidates:
        """Return the landmark network's output for regions (N, 4), with or without a hand."""
        crops = np.array([sample(rgb, region, CROP_SIZE) for region in regions], np.float32)
        crops = crops.reshape(-1, 3, CROP_SIZE, CROP_SIZE)
        landmarks, present, right, relative = self.landmark_network(crops)
        landmarks = landmarks.reshape(-1, NUM_JOINTS, 3)[..., :2]
        pairs = zip(landmarks, regions, strict=True)
        pixels = np.array([from_region(points, region, CROP_SIZE) for points, region in pairs]).reshape(
            -1, NUM_JOINTS, 2
        )
        relative = relative.reshape(-1, NUM_JOINTS, 3)
        relative = np.concatenate([turn(relative[..., :2], regions[:, None, 3]), relative[..., 2:]], axis=-1)
        return Candidates(present[:, 0], right[:, 0], pixels, relative, regions)


class GuidedLocator:
    """Function from a frame to LocatedHands: `HandLocator` with further regions where it finds fewer than two hands.

    Palms are hard to see on hands that touch each other or hold things. This package's network, which also reads the
    depth, proposes further regions; the landmark network decides whether a hand is there and where its landmarks are.
    """

    def __init__(self):
        self.locate = HandLocator()
        self.network = OnnxNetwork(SHIPPED)

    def __call__(self, frame: RGBDFrame) -> LocatedHands:
        return self.locate(frame.rgb, lambda: self.regions(frame))

    def regions(self, frame: RGBDFrame) -> np.ndarray:
        """Return regions (N, 4) around the hands that this package's network sees."""
        hands = self.network(view(frame, square_camera(frame.camera, self.network.image_size)))
        return region_of_landmarks(frame.camera.project(hands.joints[hands.is_present]))


def open_network(name: str) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load a shipped network as a function from pictures (N, 3, size, size) to its list of outputs."""
    session = open_session((files("twohands") / "weights" / f"{name}.onnx").read_bytes())
    input_name = session.get_inputs()[0].name
    return lambda pictures: [np.asarray(output) for output in session.run(None, {input_name: pictures})]


# Palms ---------------------------------------------------------------------------------------------------------------


def palm_anchors() -> np.ndarray:
    """Return the centres (2016, 2) of the palm network's anchors, in pixels of its picture."""
    anchors = []
    for stride, repeats in PALM_GRIDS:
        centers = (np.arange(PALM_SIZE // stride, dtype=np.float32) + 0.5) * stride - 0.5
        v, u = np.meshgrid(centers, centers, indexing="ij")
        anchors.append(np.repeat(np.stack([u, v], axis=-1).reshape(-1, 2), repeats, axis=0))
    return np.concatenate(anchors)


def merge_palms(points: np.ndarray, sides: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points (P, 8, 2) and sides (P,) of at most MAX_PALMS palms, best first: weighted means of N detections.

    Detections are compared by their key points, not by their boxes: crossing hands share a box but not its direction.
    """
    merged_points, merged_sides = [], []
    remaining = np.argsort(-scores)
    while len(remaining) and len(merged_sides) < MAX_PALMS:
        best = remaining[0]
        distance = np.linalg.norm(points[remaining] - points[best], axis=-1).mean(axis=-1)
        same = distance < SAME_PALM * sides[best]
        group, remaining = remaining[same], remaining[~same]
        merged_points.append(np.average(points[group], axis=0, weights=scores[group]))
        merged_sides.append(np.average(sides[group], weights=scores[group]))
    return np.array(merged_points).reshape(-1, *points.shape[1:]), np.array(merged_sides)


def tiles(width: int, height: int) -> list[np.ndarray]:
    """Return upright regions (4,) of the two squares at the ends of an elongated image; none for other images."""
    side = min(width, height)
    if max(width, height) < TILED_ASPECT * side:
        return []
    return [upright_square(0, 0, side, side), upright_square(width - side, height - side, side, side)]


def is_new(regions: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return (N,) bool: the centres of regions (N, 4) are far from those of all known regions (K, 4)."""
    distance = np.linalg.norm(regions[:, None, :2] - known[None, :, :2], axis=-1)  # (N, K)
    return (distance > 0.25 * known[:, 2]).all(axis=1)


# Regions -------------------------------------------------------------------------------------------------------------


def turn(vectors: np.ndarray, angle: np.ndarray | float) -> np.ndarray:
    """Rotate vectors (..., 2) by angles (...) in radians, from +u to +v."""
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = vectors[..., 0], vectors[..., 1]
    return np.stack([cos * u - sin * v, sin * u + cos * v], axis=-1)


def from_region(pixels: np.ndarray, region: np.ndarray, size: int) -> np.ndarray:
    """Convert pixels (..., 2) of a region's picture (size x size) to pixels (..., 2) of the image."""
    u, v, side, angle = region
    return turn((pixels + 0.5) * (side / size) - side / 2, angle) + np.array([u, v])


def upright_square(left: int, top: int, width: int, height: int) -> np.ndarray:
    """Return the upright region (4,) around a window of the image."""
    return np.array([left + (width - 1) / 2, top + (height - 1) / 2, max(width, height), 0.0])


def region_around(center: np.ndarray, upward: np.ndarray, shift: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return regions (N, 4) of `side` (N,), moved from a centre (N, 2) by `shift` (N,) pixels along `upward` (N, 2)."""
    angle = np.arctan2(upward[:, 0], -upward[:, 1])
    return np.column_stack([center + turn(np.stack([0 * shift, -shift], axis=-1), angle), side, angle])


def region_of_landmarks(pixels: np.ndarray) -> np.ndarray:
    """Return regions (N, 4) around hands with landmarks at `pixels` (N, 21, 2)."""
    index, middle, ring, _ = KNUCKLES
    upward = (pixels[:, index] + 2 * pixels[:, middle] + pixels[:, ring]) / 4 - pixels[:, WRIST]
    angle = np.arctan2(upward[:, 0], -upward[:, 1])
    upright = turn(pixels[:, BOUNDING_JOINTS], -angle[:, None])
    low, high = upright.min(axis=1), upright.max(axis=1)  # (N, 2)
    extent = high - low
    center = turn((low + high) / 2, angle)
    return region_around(center, upward, LANDMARK_SHIFT * extent[:, 1], LANDMARK_SCALE * extent.max(axis=1))


def sample(rgb: np.ndarray, region: np.ndarray, size: int) -> np.ndarray:
    """Return the region's picture (3, size, size) float32, bilinear; the image's border is repeated beyond it."""
    v, u = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    pixels = from_region(np.stack([u, v], axis=-1).reshape(-1, 2), region, size)  # (size * size, 2)
    factor = int(region[2] / size)
    if factor > 1:  # shrink the region's window first to avoid aliasing
        limits = np.array(rgb.shape[:0:-1])  # width, height
        corners = from_region(np.array([[0, 0], [0, size], [size, 0], [size, size]]) - 0.5, region, size)
        left, top = np.clip(np.floor(corners.min(axis=0)).astype(int) - factor, 0, limits - 1)
        right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + factor, (left + 1, top + 1), limits)
        rgb = np.array([Image.fromarray(plane[top:bottom, left:right]).reduce(factor) for plane in rgb])
        pixels = (pixels - np.array([left, top]) + 0.5) / factor - 0.5
    return bilinear(rgb, pixels).reshape(3, size, size)


def bilinear(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return values (C, N) float32 of an image (C, H, W) float32 at pixels (N, 2), which are clamped to the image."""
    height, width = image.shape[1:]
    u, v = np.clip(pixels[:, 0], 0, width - 1), np.clip(pixels[:, 1], 0, height - 1)
    column, row = u.astype(np.int64), v.astype(np.int64)
    part_u, part_v = (u - column).astype(np.float32), (v - row).astype(np.float32)
    flat, rows = image.reshape(len(image), -1), []
    for first in (row * width, np.minimum(row + 1, height - 1) * width):
        left, right = flat.take(first + column, axis=1), flat.take(first + np.minimum(column + 1, width - 1), axis=1)
        rows.append(left + (right - left) * part_u)
    return rows[0] + (rows[1] - rows[0]) * part_v


# Sides ---------------------------------------------------------------------------------------------------------------


def distinct(hands: Candidates, known: int = 0) -> Candidates:
    """Return the hands without duplicates, the first `known` before others, then in order of falling presence. Two
    hands that touch, even of one side, are not duplicates.
    """
    kept: list[int] = []
    extent = np.ptp(hands.pixels, axis=1).max(axis=-1)  # (N,) pixels
    for hand in np.lexsort((-hands.present, np.arange(len(hands.present)) >= known)):
        distance = np.linalg.norm(hands.pixels[kept] - hands.pixels[hand], axis=-1).mean(axis=-1)
        same_side = (hands.right[kept] > 0.5) == (hands.right[hand] > 0.5)
        if (distance > np.where(same_side, SAME_HAND, SAME_PLACE) * extent[kept]).all():
            kept.append(int(hand))
    return hands[kept]


def finger_curl(relative: np.ndarray) -> np.ndarray:
    """Return (N,) in [-1, 1]: bend of the fingers of landmarks (N, 21, 3) to a right hand's palm; < 0 for left hands.

    With the wrist as origin, index knuckle x little knuckle is a normal that points out of a right hand's palm but out
    of a left hand's back (right-handed axes); fingers of either hand bend to the palm.
    """
    from_wrist = relative - relative[:, [WRIST]]
    normal = np.cross(from_wrist[:, KNUCKLES[0]], from_wrist[:, KNUCKLES[-1]])
    fingers = relative[:, FINGERTIPS[1:]] - relative[:, KNUCKLES]  # (N, 4, 3)
    lengths = np.linalg.norm(fingers, axis=-1) * np.linalg.norm(normal, axis=-1)[:, None]
    return ((fingers @ normal[..., None])[..., 0] / np.maximum(lengths, 1e-12)).mean(axis=-1)


def side_odds(hands: Candidates) -> np.ndarray:
    """Return log-odds (N,) of a right hand: the network's, with bounded probability, plus those of finger curl."""
    right = np.clip(hands.right.astype(np.float64), 0.01, 0.99)
    return np.log(right / (1 - right)) + CURL_ODDS * finger_curl(hands.relative)


def settle_sides(hands: Candidates) -> LocatedHands:
    """Return the most probable left and right hand among candidates; two hands never get the same side."""
    odds = side_odds(hands)
    if len(odds) < 2:
        chosen = [(RIGHT if odd > 0 else LEFT, hand) for hand, odd in enumerate(odds)]
        certainty = np.abs(odds)
    else:
        position = position_odds(hands)
        as_left = np.log(hands.present) - np.logaddexp(0, odds)
        as_right = np.log(hands.present) - np.logaddexp(0, -odds)
        score = as_left[:, None] + as_right[None, :] + position  # (left hand, right hand)
        np.fill_diagonal(score, -np.inf)
        left, right = (int(hand) for hand in np.unravel_index(score.argmax(), score.shape))
        chosen = [(LEFT, left), (RIGHT, right)]
        certainty = odds.copy()
        certainty[left] = -odds[left]
        certainty += position[left, right]  # half of the log-odds of the two positions, for each of the hands
    present, side = np.zeros(2, np.float32), np.full(2, np.nan, np.float32)
    pixels, relative, region = (np.full((2, *shape), np.nan, np.float32) for shape in ((21, 2), (21, 3), (4,)))
    for index, hand in chosen:
        present[index], side[index] = hands.present[hand], certainty[hand]
        pixels[index], relative[index], region[index] = hands.pixels[hand], hands.relative[hand], hands.region[hand]
    return LocatedHands(present, pixels, relative, region, side)


def position_odds(hands: Candidates) -> np.ndarray:
    """Return half of the log-odds (N, N) that hand i is left and j right, not the reverse, from their wrists; 0 unless
    both forearms enter from below, as one's own do. Then the left wrist should be further left.
    """
    wrist = hands.pixels[:, WRIST, 0]
    apart = (wrist[None, :] - wrist[:, None]) / hands.region[:, 2].mean()
    upward = np.cos(hands.region[:, 3]) > 0
    return np.where(upward[None, :] & upward[:, None], POSITION_ODDS / 2 * np.clip(apart, -1, 1), 0)
