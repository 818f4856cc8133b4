"""Collect the measurements of one hand, always as a right hand: a left hand's window and camera are mirrored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twohands.geometry.camera import Camera
from twohands.geometry.cloud import lift
from twohands.geometry.transforms import shortest_turn
from twohands.hands.skeleton import ROOT
from twohands.types import LEFT, LocatedHands, RGBDFrame, TwoHands

WINDOW_MARGIN = 0.35
"""Margin of the window around the landmarks, as a fraction of their extent."""
BASES = [0, 1, 5, 9, 13, 17]
"""The wrist and the first joint of each finger, as an index: the palm's joints and the thumb's first one."""
PALM_POINTS = np.concatenate([np.eye(6), *(a * np.eye(6)[[0, 0, 0, 0]] + (1 - a) * np.eye(6)[2:] for a in (0.25, 0.5))])
"""(14, 6) weights of the landmarks BASES: these themselves, then points between the wrist and the knuckles."""
CANDIDATES = 1800
"""Approximate number of depth pixels of the window that are used."""


@dataclass(frozen=True)
class HandEvidence:
    """Landmarks, depth and colour around one hand; metres, camera frame of the (mirrored) window."""

    camera: Camera  # of the window
    plane: np.ndarray  # (21, 2) landmarks on the plane z = 1
    relative: np.ndarray  # (21, 3) metres, landmarks up to a translation, rotated to the hand's viewing ray
    landmark_depth: np.ndarray  # (21,) metres, measured around each landmark; NaN without a reading
    palm_depth: np.ndarray  # (14,) metres, measured around each of PALM_POINTS; NaN without a reading
    points: np.ndarray  # (N, 3) metres, the readings on a regular pixel grid over the window
    colors: np.ndarray  # (N, 3) sRGB in [0, 1] of those points
    joints: np.ndarray | None = None  # (21, 3) metres, predicted by a network
    sigma: np.ndarray | None = None  # (21, 2) metres: their standard deviation along and across the viewing ray
    clear: float = 1.0  # weight of the landmarks


def gather(
    frame: RGBDFrame,
    side: int,
    pixels: np.ndarray,
    relative: np.ndarray,
    joints: np.ndarray | None = None,
    sigma: np.ndarray | None = None,
    clear: float = 1.0,
) -> HandEvidence:
    """Return the evidence for one hand of a frame: `pixels` (21, 2) in the image, `relative` (21, 3) metres; where a
    network predicts them also `joints` (21, 3) in the camera frame and their `sigma` (21, 2), metres, and
    in [0, 1] how `clear` the landmarks are beside them.
    """
    height, width = frame.depth.shape
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    margin = WINDOW_MARGIN * (high - low).max()
    left, top = np.clip(np.floor(low - margin).astype(int), 0, [width - 2, height - 2])
    right, bottom = np.clip(np.ceil(high + margin).astype(int) + 1, [left + 2, top + 2], [width, height])
    camera = Camera(np.asarray(frame.camera.K, dtype=np.float64), width, height)
    camera = camera.crop(left, top, right - left, bottom - top)
    depth, rgb = frame.depth[top:bottom, left:right], frame.rgb[:, top:bottom, left:right]
    landmarks = pixels - [left, top]
    if side == LEFT:
        camera, depth, rgb = camera.mirror(), depth[:, ::-1], rgb[:, :, ::-1]
        landmarks = np.stack([camera.width - 1 - landmarks[:, 0], landmarks[:, 1]], axis=1)
        relative = relative * [-1, 1, 1]
    stride = max(1, round(np.sqrt(depth.size / CANDIDATES)))
    points, sources = lift(depth, camera, stride=stride)
    columns, rows = sources.astype(int).T
    plane = (landmarks - camera.center) / camera.focal
    return HandEvidence(
        camera=camera,
        plane=plane,
        relative=relative @ _toward(plane.mean(axis=0)).T,
        landmark_depth=_depth_around(depth, landmarks),
        palm_depth=_depth_around(depth, PALM_POINTS @ landmarks[BASES]),
        points=points.astype(np.float64),
        colors=rgb[:, rows, columns].T,
        joints=joints * [-1, 1, 1] if joints is not None and side == LEFT else joints,
        sigma=sigma,
        clear=clear,
    )


def located_hands(hands: TwoHands, camera: Camera) -> LocatedHands:
    """Return reconstructed hands as landmarks from which a fit may start; their sides are taken as certain."""
    pixels = camera.project(hands.joints)  # (2, 21, 2)
    planes = ((pixels - camera.center) / camera.focal).mean(axis=1)  # (2, 2)
    turned = (hands.joints - hands.joints[:, ROOT : ROOT + 1]) @ _toward(planes)
    certain = np.full(2, np.inf)
    return LocatedHands(np.asarray(hands.present), pixels, turned, np.zeros((2, 4)), certain)


def _toward(plane: np.ndarray) -> np.ndarray:
    """Return the smallest rotations (*B, 3, 3) from the optical axis to the rays through `plane` (*B, 2) at z = 1.

    A hand network sees every hand as if the camera looked straight at it.
    """
    rays = np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1)
    return shortest_turn(np.array([0.0, 0.0, 1.0]), rays)


def _depth_around(depth: np.ndarray, pixels: np.ndarray, radius: int = 3) -> np.ndarray:
    """Return the median reading (n,) metres in a small square around each of `pixels` (n, 2); NaN if there is none."""
    offsets = np.arange(-radius, radius + 1)
    columns = np.rint(pixels[:, 0]).astype(int)[:, None, None] + offsets[None, None, :]
    rows = np.rint(pixels[:, 1]).astype(int)[:, None, None] + offsets[None, :, None]
    inside = (columns >= 0) & (columns < depth.shape[1]) & (rows >= 0) & (rows < depth.shape[0])
    values = depth[np.clip(rows, 0, depth.shape[0] - 1), np.clip(columns, 0, depth.shape[1] - 1)]
    values = np.where(inside & (values > 0), values, np.nan).reshape(len(pixels), -1)
    result = np.full(len(pixels), np.nan)
    seen = ~np.isnan(values).all(axis=1)
    result[seen] = np.nanmedian(values[seen], axis=1)
    return result
