"""Locate hands in a frame: each hand's presence, side, region and image landmarks.

`HandLocator` reads the colour image by two real-trained networks (tools/convert_hand_networks.py; sources in NOTICE):
one finds palms in the whole image, one finds 21 landmarks in a rotated square region around each palm. `GuidedLocator`
also searches where this package's own network sees hands. Pixels (u, v): integer coordinates are pixel centres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files

import numpy as np

from twohands.choices import Person
from twohands.geometry.camera import Camera
from twohands.hands.skeleton import NUM_JOINTS
from twohands.locate.people import choose_hands, palm_places
from twohands.locate.regions import from_region, region_around, region_of_landmarks, sample, turn, upright_square
from twohands.locate.sides import Candidates, distinct, extents, side_odds
from twohands.runtime import SHIPPED, OnnxNetwork, open_session
from twohands.types import PRESENT, LocatedHands, RGBDFrame
from twohands.views import square_camera, view

PALM_SIZE, CROP_SIZE = 192, 224
"""Side in pixels of the input picture of the palm network, and of the landmark network."""
LANDMARK_OUTPUTS = ("landmarks", "present", "right", "relative")
PALM_GRIDS = ((8, 2), (16, 6))
"""Strides in pixels and anchors per cell of the palm network."""
PALM_SCALE, PALM_SHIFT = 2.6, 0.5
"""Side of a region over side of its palm, and shift to the fingers in palm sides, as in the networks' training."""
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
EXACT = 0.26
"""Mean distance in hand lengths up to which this package's network agrees with a hand's landmarks."""
SMALL_HAND = 1 / 6
"""Length of a hand over that of the image below which more hands may have been too small for the palm network."""


class PalmFinder:
    """The palm network on squares of a colour image (3, H, W) float32 in [0, 1]."""

    def __init__(self, palm: str = "palm_lite"):
        self.palm_network = open_network(palm, ("boxes", "scores"))
        self.anchors = palm_anchors()

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


class HandLocator(PalmFinder):
    """Function from a colour image (3, H, W) float32 in [0, 1] to LocatedHands."""

    def __init__(self, palm: str = "palm_lite", landmark: str = "landmark_full"):
        super().__init__(palm)
        self.landmark_network = open_network(landmark, LANDMARK_OUTPUTS)

    def __call__(self, rgb: np.ndarray) -> LocatedHands:
        """Return the hands of the nearest person, by the sizes of hands in an image with a usual field of view."""
        height, width = rgb.shape[1:]
        focal = max(width, height)
        K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        return self.choose(
            RGBDFrame(rgb, np.zeros((height, width), np.float32), Camera(K, width, height)), self.find(rgb)
        )

    def find(self, rgb: np.ndarray, elsewhere: Callable[[], np.ndarray] | None = None) -> Candidates:
        """Return all hands that are found; `elsewhere` returns further regions (N, 4) to search, and is called when
        fewer than two hands were found otherwise.
        """
        height, width = rgb.shape[1:]
        hands = self.find_hands(rgb, self.find_palms(rgb, upright_square(0, 0, width, height)))
        small = len(hands.present) > 1 and extents(hands).min() < SMALL_HAND * max(width, height)
        for tile in tiles(width, height):
            if small or len(hands.present) < 2:
                palms = self.find_palms(rgb, tile)
                hands = distinct(hands + self.find_hands(rgb, palms[is_new(palms, hands.region)]), len(hands.present))
        if elsewhere is not None and len(hands.present) < 2:
            hands = distinct(hands + self.find_hands(rgb, elsewhere()), len(hands.present))
        return hands

    def choose(self, frame: RGBDFrame, hands: Candidates, person: Person = "nearest") -> LocatedHands:
        """Return the hands of one person, see `people.choose_hands`."""
        return choose_hands(
            hands, palm_places(hands, frame), person, lambda doubtful: self.mirrored(frame.rgb, doubtful)
        )

    def mirrored(self, rgb: np.ndarray, hands: Candidates) -> np.ndarray:
        """Return the log-odds (N,) of a right hand as read from the mirrored image: a second opinion."""
        left, top, side, angle = hands.region.T
        regions = np.column_stack([rgb.shape[2] - 1 - left, top, side, -angle])
        return -side_odds(self.read_hands(np.ascontiguousarray(rgb[:, :, ::-1]), regions))

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
    Of several people, `person` is chosen.
    """

    def __init__(self, person: Person = "nearest"):
        self.locate, self.network = HandLocator(), OnnxNetwork(SHIPPED)
        self.person: Person = person

    def __call__(self, frame: RGBDFrame) -> LocatedHands:
        return self.choose(frame, self.find(frame))

    def find(self, frame: RGBDFrame, known: Candidates | None = None) -> Candidates:
        """Return all hands that are seen, the `known` ones first."""
        found = self.locate.find(frame.rgb, lambda: self.regions(frame))
        return found if known is None else distinct(replace(known, odds=None) + found, len(known.present))

    def follow(self, frame: RGBDFrame, known: Candidates) -> Candidates:
        """Return those of some known hands that are seen where their landmarks are expected in this frame."""
        hands = self.locate.read_hands(frame.rgb, region_of_landmarks(known.pixels))
        return distinct(hands[hands.present >= PRESENT])

    def choose(self, frame: RGBDFrame, hands: Candidates) -> LocatedHands:
        """Return the hands of one person, see `HandLocator.choose`."""
        located = self.locate.choose(frame, hands, self.person)
        if located.one_side is not None and self.sees_both(frame, located.pixels):
            return replace(located, one_side=None)
        return located

    def sees_both(self, frame: RGBDFrame, pixels: np.ndarray) -> bool:
        """Return whether this package's network sees a left and a right hand at the landmarks (2, 21, 2).

        On two hands of one side it puts the hand of the other side less exactly.
        """
        hands = self.network(view(frame, square_camera(frame.camera, self.network.image_size)))
        away = np.linalg.norm(pixels[:, None] - frame.camera.project(hands.joints)[None], axis=-1).mean(
            axis=-1
        )  # (2, 2)
        away /= np.ptp(pixels, axis=1).max(axis=-1)[:, None]
        exact = bool((np.diag(away) < EXACT).all() or (np.diag(away[::-1]) < EXACT).all())
        return bool(hands.is_present.all()) and exact

    def regions(self, frame: RGBDFrame) -> np.ndarray:
        """Return regions (N, 4) around the hands that this package's network sees."""
        hands = self.network(view(frame, square_camera(frame.camera, self.network.image_size)))
        return region_of_landmarks(frame.camera.project(hands.joints[hands.is_present]))


def open_network(name: str, outputs: Sequence[str]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Load a shipped network as a function from pictures (N, 3, size, size) to the list of the named outputs."""
    session = open_session((files("twohands") / "weights" / f"{name}.onnx").read_bytes())
    input_name = session.get_inputs()[0].name
    return lambda pictures: [np.asarray(output) for output in session.run(outputs, {input_name: pictures})]


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
