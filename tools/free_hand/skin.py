"""Draw maps of the skin in the UV atlas procedurally; any skin tone is composed from them later."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .makehuman import Indices
from .meshes import vertex_normals
from .model import FreeHand
from .numerics import Array, unit
from .population import CREASE_POSITION
from .skinning import KNUCKLES, MIDDLE_KNUCKLE, NUM_JOINTS, finger_of

SIZE = 512
NOISE_CELLS = 64
DETAIL_GAIN = 0.28  # the detail map is 0.5 + DETAIL_GAIN * detail


@dataclass(frozen=True)
class Texels:
    """Properties of the template's surface under each of the N texels that show skin."""

    inside: NDArray[np.bool_]  # (SIZE, SIZE), first row at v = 0
    points: Array  # (N, 3) metres
    weights: Array  # (N, 16) of skinning
    dorsal: Array  # (N,) cosine between the skin's normal and the back of the bone: 1 back, -1 palm
    palmar: Array  # (N,) 0 to 1, fading out over the forearm
    nail: Array  # (N,) 0 to 1

    def finger(self, number: int) -> Array:
        """Return the skinning weight (N,) of a finger, 0 thumb to 4 little."""
        return self.weights[:, 3 * number + 1 : 3 * number + 4].sum(1)


class Noise:
    """Smooth random functions of space with values in [0, 1]."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, points: Array, cell: float) -> Array:
        """Return values (N,) of a new function at `points` (N, 3), which varies over `cell` metres."""
        table = self._rng.random((NOISE_CELLS,) * 3)
        corner = np.floor(points / cell).astype(int)
        fraction = points / cell - corner
        fraction = fraction**2 * (3 - 2 * fraction)
        value = np.zeros(len(points))
        for step in np.ndindex(2, 2, 2):
            i, j, k = ((corner + step) % NOISE_CELLS).T
            value += table[i, j, k] * np.where(step, fraction, 1 - fraction).prod(1)
        return value


def skin_maps(hand: FreeHand, seed: int) -> NDArray[np.uint8]:
    """Return maps (SIZE, SIZE, 4): palm, redness, nail, detail (128 is plain); the first row is at v = 1."""
    texels = find_texels(hand)
    noise = Noise(np.random.default_rng([seed, 4]))
    detail = flexion_creases(hand, texels, noise) + palm_lines(hand, texels, noise) + grain(texels, noise)
    maps = [texels.palmar, redness(hand, texels, noise), texels.nail, 0.5 + DETAIL_GAIN * detail]
    image = np.zeros((SIZE, SIZE, len(maps)))
    image[texels.inside] = np.clip(np.stack(maps, axis=1), 0, 1)
    # Colours bleed over the seams, so that a lookup between texels never meets an empty one.
    nearest = ndimage.distance_transform_edt(~texels.inside, return_distances=False, return_indices=True)
    rows, columns = np.asarray(nearest)
    return np.rint(image[rows, columns][::-1] * 255).astype(np.uint8)


def find_texels(hand: FreeHand) -> Texels:
    """Return the texels covered by the mesh."""
    face, barycentric = rasterized(hand.mesh.uv, hand.mesh.faces_uv)
    inside = face >= 0
    corners, barycentric = hand.mesh.faces[face[inside]], barycentric[inside]  # (N, 3)

    def interpolated(values: Array) -> Array:
        return np.einsum("nk,nk...->n...", barycentric, values[corners])

    points, weights = interpolated(hand.vertices), interpolated(hand.straight_weights)
    normals = unit(interpolated(vertex_normals(hand.vertices, hand.mesh.faces)))
    dorsal = (normals * unit(weights @ hand.joint_frames[:, :, 1])).sum(1)
    crease = CREASE_POSITION * np.linalg.norm(hand.joints[MIDDLE_KNUCKLE])
    on_forearm = np.clip((crease + 0.006 - points[:, 2]) / 0.045, 0, 1)
    on_forearm = on_forearm**2 * (3 - 2 * on_forearm)
    palmar = (1 - 0.8 * on_forearm) / (1 + np.exp(7 * (dorsal + 0.15)))
    is_nail = np.zeros(len(hand.vertices))
    is_nail[hand.mesh.hand_quads[hand.mesh.nail_quads]] = 1
    nail = np.clip((interpolated(is_nail) - 0.55) / 0.3, 0, 1)
    return Texels(inside, points, weights, dorsal, palmar, nail)


def rasterized(uv: Array, faces_uv: Indices) -> tuple[Indices, Array]:
    """Return the face of each texel (SIZE, SIZE), -1 for none, and barycentric coordinates (SIZE, SIZE, 3) in it."""
    face, barycentric = np.full((SIZE, SIZE), -1), np.zeros((SIZE, SIZE, 3))
    for number, corners in enumerate(uv[faces_uv] * SIZE):
        low = np.clip(np.floor(corners.min(0)), 0, SIZE - 1).astype(int)
        high = np.clip(np.ceil(corners.max(0)), 0, SIZE - 1).astype(int)
        window = np.s_[low[1] : high[1] + 1, low[0] : high[0] + 1]
        centers = np.moveaxis(np.mgrid[window][::-1], 0, -1) + 0.5  # (h, w, 2)
        sides = np.stack([corners[1] - corners[0], corners[2] - corners[0]], axis=1)
        if abs(np.linalg.det(sides)) < 1e-9:
            continue
        second_third = (centers - corners[0]) @ np.linalg.inv(sides).T
        weights = np.concatenate([1 - second_third.sum(-1, keepdims=True), second_third], axis=-1)
        covered = (weights > -0.01).all(-1)
        face[window][covered] = number
        barycentric[window][covered] = weights[covered]
    return face, barycentric


def bump(distance: Array, width: float) -> Array:
    """Return 1 at distance 0, falling to 1/e at `width`."""
    return np.exp(-((distance / width) ** 2))


def redness(hand: FreeHand, texels: Texels, noise: Noise) -> Array:
    """Return redness (N,) of blood near the surface: back of the joints, finger tips, and palm."""
    red = 0.35 * texels.palmar * noise(texels.points, 0.012)
    for joint in range(1, NUM_JOINTS):
        width = 0.017 if joint in (1, *KNUCKLES) else 0.013
        distance = np.linalg.norm(texels.points - hand.joints[joint], axis=1)
        red += 0.55 * bump(distance, width) * np.clip(texels.dorsal, 0, 1)
    for tip in hand.vertices[hand.tip_vertices]:
        red += 0.8 * bump(np.linalg.norm(texels.points - tip, axis=1), 0.012)
    return red


def flexion_creases(hand: FreeHand, texels: Texels, noise: Noise) -> Array:
    """Return detail (N,), negative in palm-side creases and in wrinkles on the back of the finger joints."""
    detail = np.zeros(len(texels.points))
    back = np.clip(texels.dorsal, 0, 1)
    for joint in range(1, NUM_JOINTS):
        axis, finger = hand.joint_frames[joint, :, 2], texels.finger(finger_of(joint))
        offsets = texels.points - hand.joints[joint]
        along = offsets @ axis
        if joint in KNUCKLES:  # the crease is at the base of the finger
            root = 0.55 * np.linalg.norm(hand.joints[joint + 1] - hand.joints[joint])
            waves = 0.002 * (noise(texels.points, 0.008) - 0.5)
            detail -= 0.9 * bump(along - root + waves, 0.0006) * texels.palmar * finger
            continue
        waves = 0.0009 * (noise(texels.points, 0.006) - 0.5)
        near_axis = np.linalg.norm(offsets - along[:, None] * axis, axis=1) < 0.016
        for place, depth in ((0, 1), (0.0016, 0.5)):
            detail -= depth * bump(along - place + 2 * waves, 0.00055) * texels.palmar * finger * near_axis
        for place in (-0.0045, -0.0022, 0, 0.0022, 0.0045):
            detail -= 0.45 * bump(along - place + 3 * waves, 0.0005) * back * finger * bump(along, 0.005)
    return detail


def palm_lines(hand: FreeHand, texels: Texels, noise: Noise) -> Array:
    """Return detail (N,), negative in the three long lines of the palm."""
    flat = texels.points[:, [0, 2]]
    index, middle, ring, little = hand.joints[list(KNUCKLES)][:, [0, 2]]
    between = (index + middle) / 2
    lines = [
        [little * [1.12, 0.97], ring * [1, 0.92], np.add(middle, [0, -0.006]), np.add(between, [0, 0.006])],
        [little * [1, 0.74], ring * [0.8, 0.8], np.add(middle, [0.006, -0.02]), np.add(index, [0.012, -0.014])],
        [np.add(index, [0.012, -0.012]), np.add(index, [-0.006, -0.028]), [0.012, 0.04], [0.01, 0.012]],
    ]
    detail = np.zeros(len(flat))
    waves = 0.0012 * (noise(texels.points, 0.01) - 0.5)
    for line in lines:
        curve = cubic_through(np.array(line), 40)
        distances = [distance_to_segment(flat, *ends) for ends in pairwise(curve)]
        on_palm = texels.palmar * (texels.weights[:, 0] > 0.25)
        detail -= 1.1 * bump(np.min(distances, axis=0) + waves, 0.0008) * on_palm
    return detail


def cubic_through(points: Array, count: int) -> Array:
    """Return points (count, 2) on the cubic curve that passes four points (4, 2) at equal steps."""
    steps, fine = np.linspace(0, 1, len(points)), np.linspace(0, 1, count)
    return np.stack([np.polyval(np.polyfit(steps, values, 3), fine) for values in points.T], axis=1)


def distance_to_segment(points: Array, start: Array, end: Array) -> Array:
    """Return distances (N,) of `points` (N, 2) from the segment between two points (2,)."""
    side = end - start
    fraction = np.clip((points - start) @ side / (side @ side), 0, 1)
    return np.linalg.norm(points - start - fraction[:, None] * side, axis=1)


def grain(texels: Texels, noise: Noise) -> Array:
    """Return irregularities (N,) of the skin at three sizes."""
    sizes = {0.0016: 0.55, 0.005: 0.5, 0.016: 0.6}
    return np.sum([height * (noise(texels.points, cell) - 0.5) for cell, height in sizes.items()], axis=0)
