"""The table of benchmarks. Each entry gives the source of its rules and how certain they are.

[V] the benchmark's own program was read; [S] known from papers and other programs; [U] not public, a guess.
"""

from __future__ import annotations

from twohands.evaluation import metrics
from twohands.evaluation.benchmarks.benchmark import Benchmark, Metric
from twohands.evaluation.benchmarks.values import (
    Alignment,
    accelerations,
    areas,
    at_joint,
    at_right_wrist,
    contact_deviations,
    distances,
    f_scores,
    in_camera,
    mesh_distances,
    of_hands,
    published,
    relative_wrists,
    scaled_at_wrist,
    similar,
    where_hands,
)
from twohands.hands.skeleton import FINGERTIPS, NUM_JOINTS, WRIST

HOT3D_LANDMARKS = tuple(range(2, NUM_JOINTS))
"""All joints but the wrist, which is not scored, and the base of the thumb, for which the toolkit has no landmark."""
_wrist = distances(at_joint(WRIST))


def _joints(prefix: str, alignment: Alignment) -> dict[str, Metric]:
    """Return mean joint distance, and area up to 5 cm over 100 thresholds: FreiHAND, HO-3D, DexYCB."""
    values = distances(alignment)
    return {f"{prefix}mpjpe": Metric(values), f"{prefix}auc": Metric(areas(values, 0.05, 100), kind="fraction")}


def _meshes(prefix: str, alignment: Alignment) -> dict[str, Metric]:
    """Return mean vertex distance, and area up to 5 cm over 100 thresholds: FreiHAND, HO-3D."""
    values = mesh_distances(alignment)
    return {f"{prefix}mpvpe": Metric(values), f"{prefix}mesh_auc": Metric(areas(values, 0.05, 100), kind="fraction")}


def _f_scores(prefix: str, alignment: Alignment) -> dict[str, Metric]:
    """Return the F-scores of the vertices at 5 and 15 mm: FreiHAND, HO-3D."""
    thresholds = {"f5": 0.005, "f15": 0.015}
    return {f"{prefix}{name}": Metric(f_scores(at, alignment), kind="fraction") for name, at in thresholds.items()}


H2O = Benchmark(
    {
        "mpjpe": Metric(of_hands(metrics.mpjpe), "hands"),
        "mpvpe": Metric(of_hands(metrics.mpvpe), "hands"),
        "al_mpjpe": Metric(of_hands(metrics.al_mpjpe), "hands"),
        "al_mpvpe": Metric(of_hands(metrics.al_mpvpe), "hands"),
        "al_published_mpjpe": Metric(published("joints"), "hands", needs="roots"),
        "al_published_mpvpe": Metric(published("vertices"), "hands", needs="roots"),
    }
)
"""Errors in camera space, each hand on its own [S: the paper and its challenge]. PDFNet adds `al_`, relative to joint 9
[S: its paper]. Its published program uses the root predicted by the network in place of the predicted joint 9:
`al_published_` [V]. Joints are compared with `hand_pose`, meshes with `hand_pose_mano`."""

HO3D = Benchmark(
    {
        **_joints("", in_camera),
        **_joints("st_", scaled_at_wrist),
        **_joints("pa_", similar),
        **_meshes("", in_camera),
        **_meshes("pa_", similar),
        **_f_scores("", in_camera),
        **_f_scores("pa_", similar),
    },
    unit="cm",
)
"""[V: eval.py of the data set.] `st_`: scaled by the distance from the wrist to the middle knuckle (joint 4 in MANO's
order, 9 here) and shifted by the wrist. `pa_`: similarity, possibly with a reflection; meshes are aligned by their
vertices, not by the joints."""

H2O3D = Benchmark({"mpjpe": Metric(distances(at_right_wrist), "hands")})
"""Both hands relative to the right wrist, as in submitted files [V: the authors' program]. The alignment and averaging
of the server are not public [U]."""

RHD = Benchmark(
    {
        "epe": Metric(_wrist),
        "epe_median": Metric(_wrist, middle="median"),
        "auc": Metric(areas(_wrist, 0.05, 20), kind="fraction"),
        "mpjpe": Metric(of_hands(metrics.mpjpe), "hands"),
        "al_mpjpe": Metric(of_hands(metrics.al_mpjpe), "hands"),
    }
)
"""`epe` and `auc`: relative to the wrist, 20 thresholds to 50 mm [V: eval3d.py of hand3d, which gives its networks the
true scale and scores one hand of an image; here every target hand is scored and nothing is scaled]. `mpjpe` and
`al_mpjpe`, each hand on its own: PDFNet's tables [S]."""

DEXYCB = Benchmark({**_joints("", in_camera), **_joints("root_", at_joint(WRIST)), **_joints("pa_", similar)})
"""[V: hpe_eval.py of the toolkit; it aligns with FreiHAND's program, reflections included.] The root is the wrist."""

INTERHAND = Benchmark(
    {
        "mpjpe": Metric(_wrist, "hands"),
        "mpjpe_single": Metric(where_hands(_wrist, 1), "hands"),
        "mpjpe_interacting": Metric(where_hands(_wrist, 2), "hands"),
        "mrrpe": Metric(relative_wrists, "frames"),
    }
)
"""[V: dataset.py of InterHand2.6M.] Relative to the wrist of each hand; over all frames, and over those with one and
with two true hands. `mrrpe` over frames with both. The data set's own baseline is given the true depth of the roots;
a prediction in camera space needs none."""

FREIHAND = Benchmark(
    {
        **_joints("pa_", similar),
        **_meshes("pa_", similar),
        **_f_scores("", in_camera),
        **_f_scores("pa_", similar),
    },
    unit="cm",
)
"""[V: eval.py of FreiHAND.] `pa_` as in HO-3D."""

ARCTIC = Benchmark(
    {
        "cdev": Metric(contact_deviations, "frames", needs="objects"),
        "mrrpe": Metric(relative_wrists, "frames"),
        "mpjpe": Metric(of_hands(metrics.wrist_mpjpe), "frames"),
        "acc": Metric(accelerations, "frames", kind="acceleration"),
    }
)
"""[V: eval_modules.py and evaluate_metrics.py of ARCTIC.] The hands of a frame are averaged first, then all frames.
`mpjpe` is relative to the wrist, `mrrpe` from hand to hand. The metrics of the object (MDev, AAE, success, its
MRRPE) are not computed."""

_hot3d = distances(in_camera, HOT3D_LANDMARKS)
_hot3d_tips = distances(in_camera, FINGERTIPS)
HOT3D = Benchmark(
    {
        "mpjpe": Metric(_hot3d),
        "pck_auc": Metric(areas(_hot3d, 0.05, 101), kind="fraction"),
        "fingertip_pck_auc": Metric(areas(_hot3d_tips, 0.05, 101), kind="fraction"),
    }
)
"""19 landmarks [S; the order and the missing base of the thumb V: hand_tracking_toolkit], 101 thresholds to 50 mm [V].
World and camera frame give the same numbers. The server poses MANO with the true shape of the hand: predict with it."""

BENCHMARKS: dict[str, Benchmark] = {
    "h2o": H2O,
    "ho3d": HO3D,
    "h2o3d": H2O3D,
    "rhd": RHD,
    "dexycb": DEXYCB,
    "interhand": INTERHAND,
    "freihand": FREIHAND,
    "arctic": ARCTIC,
    "hot3d": HOT3D,
}
"""Benchmarks by the name of their data set."""
