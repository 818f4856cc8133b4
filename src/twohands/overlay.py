"""Draw pictures of frames and hands with NumPy and Pillow only: without OpenGL they work on any machine.

Pictures are (H, W, 3) uint8, red first. Hands have the colours of `skeleton.side_color`:
doubtful ones are pale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from twohands.geometry.camera import Camera
from twohands.geometry.cloud import lift
from twohands.geometry.mesh import vertex_normals
from twohands.geometry.zbuffer import barycentric, rasterize, window_of
from twohands.hands.free import pose_prior
from twohands.hands.model import HandModel
from twohands.hands.skeleton import side_color
from twohands.pictures import BACKGROUND, captioned, color_depth, contact_sheet, draw_skeleton
from twohands.types import RIGHT, RGBDFrame, TwoHands
from twohands.views import LONGEST, view_within

ALPHA = 0.62
"""Opacity of a hand over the colour image."""
SUPERSAMPLING = 2
"""Factor by which meshes are drawn larger and then reduced, which smooths their outlines."""
CREASE = 0.008
"""Difference in depth between neighbouring pixels, in metres, from which an outline is drawn."""
LIGHT = np.array([-0.40, -0.62, -0.68])
"""Direction to the light, camera frame: from the upper left, behind the camera."""
SIDE_ANGLE = math.radians(70)
"""Angle of the side view about the vertical axis through the hands."""
SIDE_MARGIN = 0.05
"""Margin around the hands in the side view, in metres."""
AT_ONCE = 32768
"""Pixels that are shaded at once: their values stay in the processor's cache."""
FAR = 20.0
"""Distance of the side view's camera in metres: nearly orthographic."""


def draw_overlay(
    frame: RGBDFrame, hands: TwoHands, faces: np.ndarray, skeleton: bool = False, longest: int | None = LONGEST
) -> np.ndarray:
    """Return the colour image (H, W, 3) uint8 with the present hands drawn over it.

    Hands are drawn as meshes with faces (2, F, 3), those without meshes as skeletons; left is red, right green,
    doubtful ones are pale. `skeleton` draws the joints as well. If the longer side has more than `longest` pixels, the
    frame is scaled down to it; None keeps its size.
    """
    if longest is not None:
        frame = view_within(frame, longest)
    picture = Image.fromarray(frame.rgb_uint8())
    found = hands.present_sides
    if not found:
        return np.asarray(picture)
    camera = frame.camera
    if hands.vertices is None:
        return _with_skeletons(picture, np.asarray(hands.joints)[found], camera)
    vertices = np.asarray(hands.vertices)
    window, left, top = window_of(vertices[found].reshape(-1, 3), camera)
    fine = window.resize(window.width * SUPERSAMPLING, window.height * SUPERSAMPLING)
    layer, _ = render(
        [(vertices[side], faces[side], side_color(side, hands.doubtful[side])) for side in found], fine, ALPHA
    )
    if skeleton:
        for side in found:
            draw_skeleton(layer, np.asarray(hands.joints)[side], fine)
    picture = picture.convert("RGBA")
    picture.alpha_composite(layer.reduce(SUPERSAMPLING), (left, top))
    return np.asarray(picture.convert("RGB"))


def draw_report(frame: RGBDFrame, hands: TwoHands, faces: np.ndarray, skeleton: bool = False) -> np.ndarray:
    """Return the picture (H, 3 W / 2, 3) uint8 of `predict`: the overlay, at its right coloured depth and side view.

    The side view shows whether the meshes agree with the measured surface. H and W are those of the frame, scaled down
    to at most LONGEST pixels.
    """
    frame = view_within(frame, LONGEST)
    overlay = draw_overlay(frame, hands, faces, skeleton)
    height, width = overlay.shape[:2]
    narrow, low = width - width // 2, height // 2
    depth = Image.fromarray(color_depth(frame.depth)).resize((narrow, low), Image.Resampling.BOX)
    side = draw_side_view(frame, hands, faces, narrow, height - low)
    sheet = Image.new("RGB", (width + narrow, height), BACKGROUND)
    sheet.paste(Image.fromarray(overlay), (0, 0))
    sheet.paste(captioned(depth, "measured depth"), (width, 0))
    sheet.paste(captioned(Image.fromarray(side), "from the side: measured points and meshes"), (width, low))
    return np.asarray(sheet)


def draw_side_view(
    frame: RGBDFrame,
    hands: TwoHands,
    faces: np.ndarray,
    width: int,
    height: int,
    around: Sequence[TwoHands] | None = None,
) -> np.ndarray:
    """Return a picture (height, width, 3) uint8 of measured points and meshes from their right; the camera is left.

    The picture shows the box around the hands, or around the hands of `around` so that several pictures show the same
    box; without any hand, the middle of the scene. Hands without meshes are drawn as skeletons.
    """
    found = hands.present_sides
    surfaces = [_surface(other)[other.present_sides].reshape(-1, 3) for other in around or [hands]]
    shown = np.concatenate(surfaces)
    if len(shown):
        low, high = shown.min(axis=0), shown.max(axis=0)
        beside = (frame.depth >= low[2] - SIDE_MARGIN) & (frame.depth <= high[2] + SIDE_MARGIN)
        points, pixels = lift(frame.depth * beside, frame.camera)
    else:  # the middle of the scene
        points, pixels = lift(frame.depth, frame.camera)
        if not len(points):
            return np.full((height, width, 3), BACKGROUND, np.uint8)
        low, high = np.percentile(points[::7], 5, axis=0), np.percentile(points[::7], 80, axis=0)
        shown = np.stack([low, high])
    inside = ((points >= low - SIDE_MARGIN) & (points <= high + SIDE_MARGIN)).all(axis=1)
    camera, move = _side_camera(shown, width, height)
    columns, rows = pixels[inside].astype(int).T
    colors = frame.rgb_uint8()[rows, columns]
    spacing = float(np.median(points[inside, 2])) / float(frame.camera.focal[0]) if inside.any() else 0.0
    splats, near = _splat(move(points[inside]), colors, camera, spacing)
    if not found:
        return splats
    if hands.vertices is None:
        return _with_skeletons(Image.fromarray(splats), move(np.asarray(hands.joints)[found]), camera)
    placed = [
        (move(np.asarray(hands.vertices)[side]), faces[side], side_color(side, hands.doubtful[side])) for side in found
    ]
    layer, depth = render(placed, camera, ALPHA)
    # a measured point in front of a mesh stays visible through it
    rgba = np.array(layer)
    covered = (near > 0) & (near < depth)
    rgba[..., 3] = np.where(covered, rgba[..., 3] // 3, rgba[..., 3])
    base = Image.fromarray(splats).convert("RGBA")
    base.alpha_composite(Image.fromarray(rgba))
    return np.asarray(base.convert("RGB"))


def picture_sheet(model: HandModel, columns: int = 7, width: int = 220) -> np.ndarray:
    """Return one picture of the pose library and the first shapes of a hand model: right hands, seen on the palm."""
    prior = pose_prior()
    neutral = model.neutral()
    images, labels = [], []
    for name, angles in zip(prior.names, prior.library, strict=True):
        pose = model.pose_from_angles(np.stack([angles, angles]))
        images.append(_portrait(model(replace(neutral, pose=pose)), model, width))
        labels.append(name.replace("_", " "))
    for component in range(min(5, model.num_shape)):
        for deviation in (-2, 2):
            shape = np.zeros_like(neutral.shape)
            shape[:, component] = deviation
            images.append(_portrait(model(replace(neutral, shape=shape)), model, width))
            labels.append(f"shape {component + 1}: {deviation:+d} sd")
    return contact_sheet(images, labels, columns, width)


def _surface(hands: TwoHands) -> np.ndarray:
    """Return the vertices (2, V, 3), or the joints (2, 21, 3) of hands without meshes."""
    return np.asarray(hands.joints if hands.vertices is None else hands.vertices)


def _with_skeletons(picture: Image.Image, joints: np.ndarray, camera: Camera) -> np.ndarray:
    """Return the camera's picture with the bones of hands (N, 21, 3) drawn on it."""
    for hand in joints:
        draw_skeleton(picture, hand, camera, thickness=2.0)
    return np.asarray(picture)


def render(
    meshes: Sequence[tuple[np.ndarray, np.ndarray, tuple[int, int, int]]], camera: Camera, alpha: float
) -> tuple[Image.Image, np.ndarray]:
    """Return shaded meshes with outlines as an RGBA picture of the camera's size, and depth (H, W) metres, 0 = none.

    A mesh is vertices (V, 3) metres in the camera frame, faces (F, 3) outward, and an sRGB colour.
    """
    starts = np.cumsum([0, *(len(vertices) for vertices, _, _ in meshes)])
    vertices = np.concatenate([mesh[0] for mesh in meshes]).astype(np.float64)
    faces = np.concatenate([mesh[1] + start for mesh, start in zip(meshes, starts[:-1], strict=True)])
    owner = np.repeat(np.arange(len(meshes)), [len(mesh[1]) for mesh in meshes])  # (F,)
    depth, index = rasterize(vertices, faces, camera)
    colors = np.array([mesh[2] for mesh in meshes], dtype=np.float64)[owner]  # (F, 3)
    normals = vertex_normals(vertices, faces)
    rgba = np.zeros((camera.height, camera.width, 4), dtype=np.uint8)
    rgba[index >= 0, 3] = round(255 * alpha)
    rows, columns = np.nonzero(index >= 0)
    for start in range(0, len(rows), AT_ONCE):
        part = np.s_[start : start + AT_ONCE]
        seen = index[rows[part], columns[part]]
        pixels = np.stack([columns[part], rows[part]], axis=1)
        weights = barycentric(vertices, faces, camera, seen, pixels)
        normal = np.einsum("nk,nkc->cn", weights, normals[faces[seen]])
        rays = camera.unproject(pixels.astype(np.float64), np.ones(len(pixels)))
        own, white = _shade(normal, np.ascontiguousarray(rays.T))
        lit = colors[seen] * own[:, None] + 255 * white[:, None]
        rgba[rows[part], columns[part], :3] = np.clip(lit + 0.5, 0, 255)
    identity = np.where(index >= 0, owner[index], -1)
    outline = _outlines(identity, depth) & (index >= 0)
    rgba[outline, :3] = rgba[outline, :3] // 3
    rgba[outline, 3] = round(255 * max(alpha, 0.85))
    return Image.fromarray(rgba), depth


def _shade(normals: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Return weights (2, N) of the own colour and of white for a surface with normals (3, N) seen along rays (3, N)."""
    unit = normals / np.maximum(np.sqrt((normals * normals).sum(axis=0)), 1e-9)
    view = -rays / np.sqrt((rays * rays).sum(axis=0))
    inner = (unit * view).sum(axis=0) < -0.1  # the inside, seen through the open wrist
    unit = np.where(inner, -unit, unit)
    light = LIGHT / np.linalg.norm(LIGHT)
    diffuse = np.clip(0.25 + 0.75 * (light @ unit), 0, 1)
    halfway = light[:, None] + view
    halfway /= np.sqrt((halfway * halfway).sum(axis=0))
    shine = np.clip((unit * halfway).sum(axis=0), 0, 1) ** 24
    own = (0.38 + 0.80 * diffuse) * np.where(inner, 0.45, 1.0)
    return np.stack([own, 0.16 * shine * ~inner])


def _outlines(identity: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return (H, W) bool: pixels at the border of a mesh, or at a step in depth."""
    border = np.zeros(identity.shape, dtype=bool)
    for axis in (0, 1):
        near, far = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        change = (identity[near] != identity[far]) | (np.abs(depth[near] - depth[far]) > CREASE)
        border[near] |= change
        border[far] |= change
    return border


def _side_camera(shown: np.ndarray, width: int, height: int) -> tuple[Camera, Callable[[np.ndarray], np.ndarray]]:
    """Return a far camera that shows points (N, 3) from their right, and the map of points (N, 3) into its frame."""
    center = (shown.min(axis=0) + shown.max(axis=0)) / 2
    c, s = math.cos(SIDE_ANGLE), math.sin(SIDE_ANGLE)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])  # rows: right, down, forward of the side camera
    extent = np.abs((shown - center) @ rotation.T).max(axis=0) + SIDE_MARGIN / 2
    focal = FAR * min(width / (2 * extent[0]), height / (2 * extent[1]))
    matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    return Camera(matrix, width, height), lambda points: (points - center) @ rotation.T + [0, 0, FAR]


def _splat(points: np.ndarray, colors: np.ndarray, camera: Camera, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw points (N, 3) as squares, nearest on top; return picture (H, W, 3) uint8 and depth (H, W), 0 = none; metres.

    `spacing` is the distance between neighbouring points in metres; the squares are large enough to close the surface.
    """
    size = int(np.clip(round(1.1 * spacing * float(camera.focal[0]) / FAR), 1, 4))
    base = np.rint(camera.project(points) - (size - 1) / 2).astype(np.int64)
    inverse = (1 / points[:, 2]).astype(np.float32)
    nearest = np.zeros(camera.width * camera.height, dtype=np.float32)
    picture = np.full((len(nearest), 3), BACKGROUND, dtype=np.uint8)
    drawn = []
    for shift in np.ndindex(size, size):
        column, row = (base + shift).T
        inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
        pixel = row[inside] * camera.width + column[inside]
        np.maximum.at(nearest, pixel, inverse[inside])
        drawn.append((inside, pixel))
    for inside, pixel in drawn:
        top = inverse[inside] == nearest[pixel]
        picture[pixel[top]] = colors[inside][top]
    depth = np.divide(1, nearest, out=np.zeros_like(nearest), where=nearest > 0)
    shape = (camera.height, camera.width)
    return picture.reshape(*shape, 3), depth.reshape(shape)


def _portrait(hands: TwoHands, model: HandModel, width: int) -> np.ndarray:
    """Return a picture (width, width, 3) uint8 of a right hand in the wrist frame, palm to the viewer, fingers up."""
    tilt = math.radians(-22)
    c, s = math.cos(tilt), math.sin(tilt)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    vertices = np.asarray(hands.vertices)[RIGHT] @ rotation.T + [0, 0.085, 1.2]
    size = width * SUPERSAMPLING
    camera = Camera(np.array([[4.6 * size, 0, size / 2], [0, 4.6 * size, size / 2], [0, 0, 1]]), size, size)
    layer, _ = render([(vertices, model.faces[RIGHT], (214, 170, 140))], camera, 1.0)
    picture = Image.new("RGBA", (width, width), (244, 244, 242, 255))
    picture.alpha_composite(layer.reduce(SUPERSAMPLING))
    return np.asarray(picture.convert("RGB"))
