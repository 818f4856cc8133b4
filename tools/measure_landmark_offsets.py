"""Measure where on the hand the landmark network puts its 21 landmarks, and write `landmark_offsets.npy`.

The network was trained on points that people clicked in pictures; they are not the joint centres of the free hand. For
each landmark the offset from the joint, fixed to the bone that carries it, is the least-squares solution of "the point
is on the landmark's ray" over many rendered hands (train split, so no test frame is used).

    python tools/measure_landmark_offsets.py FOLDER [FOLDER ...]

Folders hold shards of the split "train" (`twohands synth`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from twohands.evaluation.scoring import ON_THE_HAND
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.hands.skeleton import ARTICULATED_PARENTS, JOINTS_FROM_ARTICULATED
from twohands.locate import HandLocator
from twohands.shards import Shards
from twohands.types import LEFT, Sample

TARGET = Path(__file__).parent.parent / "src" / "twohands" / "fitting" / "landmark_offsets.npy"
OUTLIER = 0.03
"""Metres from the ray beyond which a landmark is an error of the network, not a matter of definition."""
RIDGE = 3.0
"""Observations of a zero offset, which keep badly observed directions at zero."""
TRUST = 0.8
"""Factor on what is measured, chosen on validation frames: free hands show smaller offsets than full ones."""


def main(folders: tyro.conf.Positional[tuple[Path, ...]]) -> None:
    """Fit offsets to the frames of folders of shards."""
    locate = HandLocator()
    systems = [
        equations
        for shards in map(Shards, folders)
        for index in range(len(shards))
        for equations in observe(shards[index], locate)
    ]
    offsets = np.zeros((21, 3))
    for landmark in range(21):
        rows = np.concatenate([matrix[landmark] for matrix, _, _ in systems])  # (2 n, 3)
        away = np.concatenate([residual[landmark] for _, residual, _ in systems])
        seen = np.repeat([good[landmark] for _, _, good in systems], 2)
        rows, away = rows[seen], away[seen]
        offsets[landmark] = np.linalg.solve(rows.T @ rows + RIDGE * np.eye(3), -rows.T @ away)
        before, after = (np.sqrt((r.reshape(-1, 2) ** 2).sum(axis=1)) for r in (away, away + rows @ offsets[landmark]))
        print(
            f"{landmark:2d} {len(before):5d} hands  offset {np.round(offsets[landmark] * 1e3, 1)} mm  "
            f"median distance {np.median(before) * 1e3:.1f} -> {np.median(after) * 1e3:.1f} mm"
        )
    np.save(TARGET, (TRUST * offsets).astype(np.float32))
    print(f"{len(systems)} hands; wrote {TARGET}")


def observe(sample: Sample, locate: HandLocator):
    """Yield rows (21, 2, 3), residuals (21, 2) metres and inliers (21,) bool per hand that is found on its side."""
    located = locate(sample.frame.rgb)
    camera, hands = sample.frame.camera, sample.hands
    assert hands.parameters is not None
    for side in range(2):
        if not hands.is_present[side] or not located.is_present[side]:
            continue
        truth = camera.project(hands.joints[side])
        size = np.ptp(truth, axis=0).max()
        if size < 60 or np.linalg.norm(located.pixels[side] - truth, axis=1).mean() > 0.5 * ON_THE_HAND * size:
            continue
        mirror = np.array([-1.0, 1.0, 1.0]) if side == LEFT else np.ones(3)
        plane = (located.pixels[side] - camera.center) / camera.focal * mirror[:2]
        joints = hands.joints[side] * mirror
        rotation = matrix_from_axis_angle(hands.parameters.rotation[side] * mirror * mirror[0])
        pose = matrix_from_axis_angle(hands.parameters.pose[side] * mirror * mirror[0])
        turned = rotation @ bone_rotations(pose)
        residual = joints[:, :2] - plane * joints[:, 2:]
        rows = turned[:, :2] - plane[..., None] * turned[:, 2:]
        yield rows, residual, np.linalg.norm(residual, axis=1) < OUTLIER


def bone_rotations(pose: np.ndarray) -> np.ndarray:
    """Return rotations (21, 3, 3), wrist frame, of the bones that carry the landmarks; pose (15, 3, 3)."""
    turned = [np.eye(3)]
    for joint, parent in enumerate(ARTICULATED_PARENTS[1:]):
        turned.append(turned[parent] @ pose[joint])
    tips = turned[3::3]
    return np.array([*turned, *tips])[list(JOINTS_FROM_ARTICULATED)]


if __name__ == "__main__":
    tyro.cli(main)
