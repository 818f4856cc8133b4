"""Posed stand-ins of MANO hands in front of a wall, seen by a camera: the frames of miniature data sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from twohands.geometry.camera import Camera
from twohands.geometry.zbuffer import rasterize
from twohands.hands.mano import Convention, Values, place
from twohands.hands.mano_files import Mano
from twohands.types import LEFT, RIGHT

WIDTH, HEIGHT = 320, 180
CAMERA = Camera(np.array([[160.0, 0, 158.8], [0, 159.5, 91.7], [0, 0, 1]], dtype=np.float32), WIDTH, HEIGHT)
WALL = 0.9  # metres


@dataclass(frozen=True)
class Scene:
    """One frame and its true labels; metres, OpenCV camera frame."""

    values: tuple[Values, Values]
    vertices: np.ndarray  # (2, 778, 3)
    joints: np.ndarray  # (2, 21, 3)
    rgb: np.ndarray  # (H, W, 3) uint8
    depth: np.ndarray  # (H, W) float32
    masks: np.ndarray  # (2, H, W) bool
    present: tuple[bool, bool]
    camera: Camera


def scene(
    mano: Mano,
    seed: int,
    convention: Convention,
    present: tuple[bool, bool] = (True, True),
    camera: Camera = CAMERA,
    shared_shape: bool = False,
) -> Scene:
    """Return two hands side by side at 0.5 m, fingers up, in random poses; `values` in the data set's convention."""
    rng = np.random.default_rng(seed)
    components = convention.components or 45
    shape = rng.normal(scale=0.5, size=10)
    values, hands = [], []
    for side, x in ((LEFT, -0.1), (RIGHT, 0.1)):
        # MANO's fingers lie along its x axis: turn them up, the back of the hand away from the camera
        upright = Rotation.from_euler("xz", [90, -90 if side == LEFT else 90], degrees=True)
        one = Values(
            orientation=(Rotation.from_rotvec(rng.normal(scale=0.15, size=3)) * upright).as_rotvec(),
            pose=rng.normal(scale=0.15, size=components),
            shape=shape if shared_shape else rng.normal(scale=0.5, size=10),
            translation=np.zeros(3),
        )
        wrist = place(mano, side, one, convention).joints[0]
        goal = np.array([x, 0.08, 0.5]) + rng.normal(scale=0.02, size=3)
        values.append(Values(one.orientation, one.pose, one.shape, goal - wrist))
        hands.append(place(mano, side, values[-1], convention))
    vertices, joints = (np.stack([getattr(hand, name) for hand in hands]) for name in ("vertices", "joints"))
    faces = [side.faces for side in mano.sides]
    depths = [rasterize(vertices[s], faces[s], camera)[0] if present[s] else np.zeros(0) for s in (LEFT, RIGHT)]
    depths = [d if d.size else np.zeros((camera.height, camera.width), dtype=np.float32) for d in depths]
    nearest = np.where(np.stack(depths) > 0, np.stack(depths), np.inf)
    masks = (nearest < np.inf) & (nearest <= nearest.min(axis=0))
    depth = np.minimum(nearest.min(axis=0), WALL).astype(np.float32)
    rgb = rng.integers(90, 110, size=(camera.height, camera.width, 3)).astype(np.uint8)
    for s, colour in ((LEFT, (200, 150, 130)), (RIGHT, (215, 165, 140))):
        rgb[masks[s]] = colour
    return Scene((values[0], values[1]), vertices, joints, rgb, depth, masks, present, camera)


def assert_hands_of(sample, world: Scene, vertices: float = 1e-6) -> None:
    """Assert that present hands have their joints, meshes (within `vertices` metres) and masks, and are in sight."""
    for side in np.flatnonzero(world.present):
        np.testing.assert_allclose(sample.hands.joints[side], world.joints[side], atol=1e-6)
        np.testing.assert_allclose(sample.hands.vertices[side], world.vertices[side], atol=vertices)
        assert (sample.masks[side] == world.masks[side]).mean() > 0.999
        assert sample.visible_fraction[side] > 0.95
