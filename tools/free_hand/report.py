"""Compare measurements of the built hand with reference values: the sanity check at the end of the build.

Reference values are from memory of the 1988 US Army survey (ANSUR; means of men and women), and approximate.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .levels import LEVELS, NUM_TEST_HANDS, Levels, random_hands
from .meshes import capped, enclosed_volume, is_watertight, section_length, winding_numbers
from .model import FreeHand
from .numerics import Array, half_rows
from .population import CREASE_POSITION, WRIST_GIRTH, hand_length
from .poses import Poses
from .skinning import FINGERS, KNUCKLES, MIDDLE_KNUCKLE, HandShape, distal_joint


def report(hand: FreeHand, poses: Poses, levels: Levels, files: list[Path], seed: int) -> str:
    """Return all measurements as text."""
    return "\n".join(
        [
            *sizes(hand, poses),
            *surface_checks(hand, poses, levels),
            *level_errors(hand, poses, levels, seed),
            *(f"{path.name}: {path.stat().st_size / 1e6:.3f} MB" for path in files),
        ]
    )


def flat_hand(hand: FreeHand, poses: Poses) -> HandShape:
    """Return the template with straight fingers."""
    vertices, joints = hand.posed(poses.library[poses.names.index("flat")])
    return HandShape(vertices, joints, vertices[hand.tip_vertices])


def sizes(hand: FreeHand, poses: Poses) -> Iterator[str]:
    """Yield lengths, breadths and girths of the flat hand in millimetres."""
    flat = flat_hand(hand, poses)
    palm_length = float(np.linalg.norm(flat.joints[MIDDLE_KNUCKLE] - flat.joints[0]))
    crease = CREASE_POSITION * palm_length
    heights = np.arange(crease - 0.025, crease + 0.006, 0.001)
    girth = min(section_length(flat.vertices, hand.mesh.faces, float(height)) for height in heights)
    surface = flat.vertices[: hand.mesh.num_hand_vertices]
    is_palm = (hand.hand_weights[:, 1:4].sum(1) < 0.3) & (np.abs(surface[:, 2] / palm_length - 0.9) < 0.1)
    near_knuckle = (np.abs(surface - flat.joints[MIDDLE_KNUCKLE])[:, [0, 2]] < 0.006).all(1)
    yield f"hand length {1e3 * hand_length(flat):.1f} mm (187 for adults; the population has some children)"
    yield f"hand breadth at the knuckles {1e3 * np.ptp(surface[is_palm, 0]):.1f} mm (85)"
    yield f"palm thickness at the middle knuckle {1e3 * np.ptp(surface[near_knuckle, 1]):.1f} mm (28 to 30)"
    yield f"smallest wrist circumference {1e3 * girth:.1f} mm ({1e3 * WRIST_GIRTH:.0f})"
    for finger, name in enumerate(FINGERS):
        chain = np.concatenate([flat.joints[3 * finger + 1 : distal_joint(finger) + 1], flat.tips[[finger]]])
        bones = 1e3 * np.linalg.norm(np.diff(chain, axis=0), axis=1)
        yield f"{name} bones {bones.round(1).tolist()} mm, together {bones.sum():.1f}"
    knuckles = 1e3 * np.linalg.norm(flat.joints[list(KNUCKLES)] - flat.joints[0], axis=1)
    yield f"wrist to knuckles, index to little {knuckles.round(1).tolist()} mm"


def surface_checks(hand: FreeHand, poses: Poses, levels: Levels) -> Iterator[str]:
    """Yield checks of closed surfaces, joints inside them, and volumes."""
    faces = capped(hand.mesh.hand_faces)
    for name, mesh_faces in {"hand": hand.mesh.hand_faces, "hand and forearm": hand.mesh.faces}.items():
        volume = enclosed_volume(hand.vertices, capped(mesh_faces))
        watertight = is_watertight(capped(mesh_faces))
        yield f"{name}: {len(mesh_faces)} faces, watertight when capped: {watertight}, {1e6 * volume:.0f} ml"
    for level in LEVELS:
        closed = capped(levels.faces[level])
        volume = enclosed_volume(hand.vertices[levels.vertices[level]], closed)
        shape = f"{len(levels.faces[level])} faces, border of {len(closed) - len(levels.faces[level]) + 2}"
        yield f"level {level}: {shape}, watertight when capped: {is_watertight(closed)}, {1e6 * volume:.0f} ml"
    inside = winding_numbers(hand.joints, hand.vertices, capped(hand.mesh.faces)) > 0.5
    yield f"joints inside the hand: {inside.sum()} of {len(inside)}"
    flat, fist = (hand.posed(poses.library[poses.names.index(name)])[0] for name in ("flat", "fist"))
    kept = enclosed_volume(fist, faces) / enclosed_volume(flat, faces)
    yield f"volume kept in a fist: {100 * kept:.1f} %"


def level_errors(hand: FreeHand, poses: Poses, levels: Levels, seed: int) -> Iterator[str]:
    """Yield errors of the stored up maps on hands that were not used to learn them."""
    hands = random_hands(hand, poses, NUM_TEST_HANDS, np.random.default_rng([seed, 5]))
    for (coarse, fine), up_map in levels.up_maps.items():
        wanted = hands if fine == hands.shape[1] else hands[:, levels.vertices[fine]]
        stored: Array = half_rows(up_map).astype(np.float64)
        errors = 1e3 * np.linalg.norm(stored @ hands[:, levels.vertices[coarse]] - wanted, axis=-1)
        row_sums = np.abs(stored.sum(1) - 1).max()
        yield (
            f"up map {coarse} -> {fine}: mean {errors.mean():.3f} mm, 95 % below {np.percentile(errors, 95):.2f} mm, "
            f"row sums within {row_sums:.0e} of one"
        )
