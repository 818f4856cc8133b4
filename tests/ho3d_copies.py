"""Writers of miniature copies of HO-3D and H2O-3D in their layout, and what a frame of them must be read as."""

from dataclasses import replace

import numpy as np
from PIL import Image

import old_pickles
from scenes import CAMERA, scene
from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands.mano import Convention, place
from twohands.hands.skeleton import FINGERTIPS, JOINT_ORDERS
from twohands.types import LEFT, RIGHT

CONVENTION = Convention(flat_hand_mean=True, left_shape="flip_x", tips="ho3d")
DEPTH_UNIT = 0.00012498664727900177  # metres per step
OPENGL = np.diag([1.0, -1.0, -1.0])
TO_FILE = np.argsort(JOINT_ORDERS["mano"])
TIPS = [744, 333, 444, 555, 672]  # vertices of MANO, thumb to little
RIGHT_ONLY, BOTH = (False, True), (True, True)


def encode_depth(depth):
    """(H, W) metres -> (H, W, 3) uint8: low byte red, high byte green."""
    steps = np.rint(depth / DEPTH_UNIT).astype(np.uint16)
    return np.stack([steps & 255, steps >> 8, np.zeros_like(steps)], axis=-1).astype(np.uint8)


def opengl_values(values, wrist):
    """pose (48,) and translation (3,) of a hand in OpenGL's frame; wrist (3,) in OpenCV's.

    MANO turns about the shaped wrist J at rest, so a turn A of the camera makes A R of R and A (J + t) - J of t.
    """
    turn = OPENGL @ matrix_from_axis_angle(values.orientation)
    at_rest = wrist - values.translation
    return np.concatenate([axis_angle_from_matrix(turn), values.pose]), OPENGL @ wrist - at_rest


def hand_meta(mano, world, side, prefix, convention, sign=1.0):
    """The values of one hand as the pickles have them; joints in MANO's order."""
    values = replace(world.values[side], shape=sign * world.values[side].shape)
    joints = place(mano, side, values, convention).joints
    pose, translation = opengl_values(world.values[side], joints[0])
    return {
        f"{prefix}Pose": pose,
        f"{prefix}Trans": translation,
        f"{prefix}Joints3D": (joints @ OPENGL)[TO_FILE],
        "handBeta": world.values[side].shape,
    }


def ho3d_meta(mano, world):
    meta = hand_meta(mano, world, RIGHT, "hand", CONVENTION)
    extra = {"camIDList": ["0", "1"], "objName": "011_banana", "objLabel": 9, "handVertContact": np.zeros(778, bool)}
    return meta | extra | {"camMat": world.camera.K.astype(np.float64), "objRot": np.zeros((3, 1))}


def h2o3d_meta(mano, world, convention=CONVENTION, sign=1.0):
    meta = hand_meta(mano, world, RIGHT, "rightHand", convention)
    meta |= hand_meta(mano, world, LEFT, "leftHand", convention, sign)
    return meta | {"camMat": world.camera.K.astype(np.float64), "objRot": np.zeros((3, 1))}


def evaluation_meta(meta):
    """What is left of an annotation in the evaluation set: the wrists, boxes and the camera."""
    kept = {name: value[0] for name, value in meta.items() if name.endswith("Joints3D")}
    boxes = {name.replace("Joints3D", "BoundingBox"): [10, 20, 110, 140] for name in kept}
    return kept | boxes | {name: meta[name] for name in ("camMat", "objRot")}


def without_annotation(meta):
    return dict.fromkeys(meta) | {"camIDList": []}


def write_frame(folder, number, world, meta, suffix=".jpg", protocol=2):
    """One frame as the data sets store it."""
    for name in ("rgb", "depth", "meta"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(world.rgb).save(folder / "rgb" / f"{number}{suffix}", quality=95)  # of JPEG only
    Image.fromarray(encode_depth(world.depth)).save(folder / "depth" / f"{number}.png")
    content = old_pickles.dumps(meta, "python2" if protocol <= 2 else "numpy1", protocol)
    (folder / "meta" / f"{number}.pkl").write_bytes(content)


def write_lists(root, train, evaluation):
    for name, lines in (("train", train), ("evaluation", evaluation)):
        (root / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


def write_ho3d(root, mano, suffix=".jpg", protocol=2, train=("ABF10/0000", "ABF10/0001", "BB13/0007")):
    worlds = {}
    for seed, line in enumerate((*train, "SM1/0003")):
        sequence, number = line.split("/")
        world = worlds[line] = scene(mano, seed, CONVENTION, RIGHT_ONLY)
        meta, part = ho3d_meta(mano, world), "train"
        if line == "SM1/0003":
            meta, part = evaluation_meta(meta), "evaluation"
        write_frame(root / part / sequence, number, world, meta, suffix, protocol)
    write_lists(root, train, ["SM1/0003"])
    return worlds


def write_h2o3d(root, mano, convention=CONVENTION, sign=1.0, train=("SSPD0/0000", "SSPD4/0001", "TTMB2/0002")):
    worlds = {}
    for seed, line in enumerate((*train, "ZZ1/0003")):
        sequence, number = line.split("/")
        world = worlds[line] = scene(mano, seed, convention, BOTH, shared_shape=True)
        meta, part = h2o3d_meta(mano, world, convention, sign), "train"
        if line == "ZZ1/0003":
            meta, part = evaluation_meta(meta), "evaluation"
        write_frame(root / part / sequence, number, world, meta, protocol=4)
    write_lists(root, train, ["ZZ1/0003"])
    return worlds


def edit_meta(path, change, writer="numpy1", protocol=4):
    meta = old_pickles.loads(path.read_bytes())
    path.write_bytes(old_pickles.dumps(change(meta), writer, protocol))


def check(sample, world):
    """The sample is what the world says, to the rounding of the files."""
    assert sample.hands.present.tolist() == list(map(float, world.present))
    np.testing.assert_allclose(sample.frame.depth, world.depth, atol=0.51 * DEPTH_UNIT)
    np.testing.assert_allclose(sample.frame.camera.K, CAMERA.K, atol=1e-4)
    assert sample.joint_definition == "ho3d"
    for side in np.flatnonzero(world.present):
        np.testing.assert_allclose(sample.hands.joints[side], world.joints[side], atol=1e-6)
        np.testing.assert_allclose(sample.hands.vertices[side], world.vertices[side], atol=1e-6)
        np.testing.assert_allclose(sample.hands.joints[side, FINGERTIPS], sample.hands.vertices[side, TIPS], atol=1e-6)
        assert (sample.masks[side] == world.masks[side]).mean() > 0.999
        assert sample.visible_fraction[side] > 0.95
