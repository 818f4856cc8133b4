"""The rows of the paper's tables: the network trained for each row, and the values printed in the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Pair = tuple[float, float]
"""Values of left and right hand, millimetres; both are the mean if the paper prints only that."""
NAMES = ("mpjpe", "mpvpe", "al_mpjpe", "al_mpvpe")


@dataclass(frozen=True)
class Published:
    """Values on the test set of `Table.data`, millimetres, in the order of NAMES; None if the paper prints none."""

    values: tuple[Pair | None, ...]

    def mean(self, name: str) -> float | None:
        """Return the mean over both hands."""
        pair = self.values[NAMES.index(name)]
        return None if pair is None else sum(pair) / 2


@dataclass(frozen=True)
class TableRow:
    """A network that is trained for one or more tables."""

    title: str
    changes: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))  # to the preset's network
    loss: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))  # changes to the preset's loss
    published: Mapping[str, Published] = field(default_factory=lambda: MappingProxyType({}))  # by evaluation mode
    shared_backbone: bool = True  # trained on the maps of the frozen backbone; otherwise end to end
    seeds: int = 1
    modes: tuple[str, ...] = ("ground_truth",)  # evaluation modes
    relative: bool = False  # predicts no root: only aligned metrics are meaningful


def _published(*values: Pair | float | None) -> Published:
    return Published(tuple((value, value) if isinstance(value, int | float) else value for value in values))


CROP = {"region": "hands", "image_size": 256}
"""Input of the external baselines."""
RELATIVE: Mapping[str, object] = dict.fromkeys(("root", "absolute_joints", "joints_2d"), 0.0)
"""Loss terms that need the position of the root."""
JOINTS: Mapping[str, object] = {"decoder": "joints", "depth_range": (0.01, 2.5)}
"""Changes for RHD, which has no meshes, and hands up to the camera."""
ROWS = {
    "full": TableRow(
        "full model",
        published={
            "ground_truth": _published((9.64, 11.62), (9.08, 11.00), (6.93, 8.74), (7.10, 8.79)),
            "own": _published(12.11, 11.62, 8.89, 8.96),
        },
        seeds=2,
        modes=("ground_truth", "own", "ground_truth_centers"),
    ),
    "rgb_only": TableRow(
        "RGB only",
        {"fusion": "rgb_only"},
        published={"ground_truth": _published((33.20, 36.28), (33.00, 35.55), (10.95, 12.71), (11.28, 12.90))},
        seeds=2,
    ),
    "depth_only": TableRow(
        "depth only (PointNet++)",
        {"fusion": "depth_only"},
        published={"ground_truth": _published((17.17, 17.83), (16.98, 17.37), (7.61, 9.40), (7.82, 9.42))},
        seeds=2,
    ),
    "densefusion": TableRow(
        "DenseFusion",
        {"fusion": "densefusion"},
        published={"ground_truth": _published((21.39, 25.76), (21.42, 25.34), (18.08, 23.55), (18.42, 23.79))},
    ),
    "intaghand": TableRow(
        "IntagHand",
        {"architecture": "intaghand", **CROP},
        published={"ground_truth": _published((39.54, 42.90), (38.77, 41.91), (12.03, 14.23), (12.46, 14.49))},
        shared_backbone=False,
    ),
    "intaghand_depth": TableRow(
        "IntagHand + depth channel",
        {"architecture": "intaghand", "rgbd_input": True, **CROP},
        published={"ground_truth": _published((17.26, 20.92), (16.79, 20.20), (9.82, 12.56), (10.10, 12.56))},
        shared_backbone=False,
    ),
    "keypoint_transformer": TableRow(
        "Keypoint Transformer",
        {"architecture": "keypoint_transformer", **CROP},
        RELATIVE,
        {"ground_truth": _published(None, None, (21.36, 19.57), None)},
        shared_backbone=False,
        relative=True,
    ),
    "keypoint_transformer_depth": TableRow(
        "Keypoint Transformer + depth channel",
        {"architecture": "keypoint_transformer", "rgbd_input": True, **CROP},
        RELATIVE,
        {"ground_truth": _published(None, None, (15.58, 14.50), None)},
        shared_backbone=False,
        relative=True,
    ),
    "rgbd_4channel": TableRow(
        "4-channel RGB-D",
        {"fusion": "rgb_only", "rgbd_input": True},
        published={"ground_truth": _published(16.15, 15.70, 10.73, 10.88)},
        shared_backbone=False,
    ),
    "whole": TableRow("full model, its image branch trained along", shared_backbone=False, seeds=2),
    "joints": TableRow(
        "with fusion",
        JOINTS,
        published={"ground_truth": _published((215.0, 218.0), None, (36.9, 36.0), None)},
        shared_backbone=False,
    ),
    "joints_rgb_only": TableRow(
        "without fusion: RGB only",
        {**JOINTS, "fusion": "rgb_only"},
        published={"ground_truth": _published((420.0, 451.0), None, (55.8, 50.8), None)},
        shared_backbone=False,
    ),
    "concat": TableRow(
        "concat instead of FTN",
        {"fusion": "concat"},
        published={"ground_truth": _published(16.40, 15.99, 8.32, 8.41)},
        seeds=2,
    ),
    "no_center_feature": TableRow(
        "no centre feature",
        {"center_feature": False},
        published={"ground_truth": _published(12.61, 12.32, 8.53, 8.62)},
        seeds=2,
    ),
    "parameters": TableRow(
        "hand-model parameters (the paper: MANO)",
        {"decoder": "parameters"},
        published={"ground_truth": _published(16.60, 16.69, 8.36, 8.54)},
        seeds=2,
    ),
}
CITED = {
    "H2O baseline": _published((41.45, 37.21), None, None, None),
    "Hasson et al.": _published((39.56, 41.87), None, None, None),
    "Tekin et al.": _published((41.42, 38.86), None, None, None),
    "HOI4D": _published(None, None, (19.9, 19.9), None),
}
"""Values that the paper cites from other papers; not trained here."""


@dataclass(frozen=True)
class Table:
    """A table of the paper: its lines, and the rankings that it claims."""

    title: str
    lines: tuple[tuple[str, str], ...]  # (row, evaluation mode)
    claims: tuple[tuple[str, tuple[str, str], tuple[str, str], str], ...]  # (sentence, better, worse, metric)
    cited: tuple[str, ...] = ()
    data: str = "H2O"  # data set of its published values


def _given(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, "ground_truth") for name in names)


FULL, RGB, DEPTH, CONCAT, NO_CENTER, PARAMETERS, DENSE, INTAGHAND_DEPTH = _given(
    "full", "rgb_only", "depth_only", "concat", "no_center_feature", "parameters", "densefusion", "intaghand_depth"
)
JOINTS_FUSED, JOINTS_RGB = _given("joints", "joints_rgb_only")
OWN_MASKS = ("full", "own")
TABLES = {
    "table1": Table(
        "Table I: methods",
        (
            *_given("intaghand", "intaghand_depth", "keypoint_transformer", "keypoint_transformer_depth"),
            *_given("rgb_only", "depth_only", "densefusion", "full"),
            OWN_MASKS,
        ),
        (
            ("RGB-D fusion beats RGB only", FULL, RGB, "mpjpe"),
            ("RGB-D fusion beats depth only", FULL, DEPTH, "mpjpe"),
            ("RGB-D fusion beats IntagHand with a depth channel", FULL, INTAGHAND_DEPTH, "mpjpe"),
            ("RGB-D fusion beats DenseFusion", FULL, DENSE, "mpjpe"),
        ),
        tuple(CITED),
    ),
    "table2": Table(
        "Table II: joints alone, three fully connected layers",
        (JOINTS_RGB, JOINTS_FUSED),
        (("fusion beats RGB only where there are only joints", JOINTS_FUSED, JOINTS_RGB, "mpjpe"),),
        data="RHD",
    ),
    "table3": Table(
        "Table III: ablations",
        (*_given("rgb_only", "depth_only", "rgbd_4channel", "concat", "no_center_feature"), OWN_MASKS, FULL),
        (
            ("the feature transform beats concatenation", FULL, CONCAT, "mpjpe"),
            ("the centre feature helps", FULL, NO_CENTER, "mpjpe"),
            ("ground-truth masks beat own masks", FULL, OWN_MASKS, "mpjpe"),
        ),
    ),
    "table4": Table(
        "Table IV: decoders",
        (PARAMETERS, FULL),
        (("the graph decoder beats hand-model parameters", FULL, PARAMETERS, "mpjpe"),),
    ),
}
