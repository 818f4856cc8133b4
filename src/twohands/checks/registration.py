"""Detect depth that is not registered to colour: another view or field of view, a shift, or one of the two mirrored.

The depth edges of registered frames agree with the colour edges better without a shift than with any other, and as
well as sharp edges can. Two linear rules compare both with what is usual: one for the whole image, one for the
surroundings of the hands as well, and for how well the hands fit the depth. `tools/measure_registration_checks.py` fits
the rules and measures them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twohands.checks.edges import Agreement, Edges, cells_of, depth_edges
from twohands.findings import Finding
from twohands.geometry.camera import Camera
from twohands.types import RGBDFrame, TwoHands

CODE = "depth_not_registered"
WHOLE_RULE = (-0.118, -1.503, -1.043, -4.979)
"""Weights of the values of `whole_values` and a constant; the sum is positive for depth that is not registered."""
HANDS_RULE = (0.194, 0.12, -1.264, -1.25, -0.537, -3.83)
"""Weights of the values of `hand_values` and a constant."""
SCALES = (0.6, 0.66, 0.72, 0.79, 0.86, 0.93, 1.0, 1.08, 1.17, 1.27, 1.38, 1.5, 1.62)
"""Sizes of depth over colour that are compared."""
SCATTERED = 0.3
"""Largest fraction of neighbouring cells of which only one has a reading, among those of which one or both have: beyond
it holes are everywhere, and edges mean nothing. Rendered validation frames have at most 0.08."""
_COARSE, _COARSE_REACH = 160, 20  # cells along the longer side, and largest shift in cells, where scales are compared
_SAME, _OTHER = 2.3, 3.3  # cells: largest shift of registered depth, and smallest of depth that is not
_BLUR = 2.0  # cells by which contours of registered depth are eroded or fattened
_SURE = 4.8  # agreement from which edges can be said to agree, beyond chance among all shifts
_MARGIN = 0.25  # of a hand's extent, around its joints
_USUAL_TRUST = 2.0  # log-odds that a usual hand is right
_CONFIDENCES = (0.5, 0.995)  # range of confidences: a doubtful hand may have other reasons
MIRROR_BACK = "mirror one of the two back: programs for selfies and video calls mirror colour and leave depth as it is"
"""Remedy of depth and colour that are mirrored against each other."""
_HOW = (
    "register depth to the colour camera when you record: RealSense rs.align(rs.stream.color), Azure Kinect "
    "depth_image_to_color_camera of k4a.transformation, Orbbec AlignFilter or an align mode, OAK setDepthAlign; depth "
    "of iPhones is registered already"
)


@dataclass(frozen=True)
class Displacement:
    """Place of depth relative to colour, as far as edges tell; depth is mirrored, then enlarged, then shifted."""

    agreement: float  # standard deviations above the mean over all shifts
    right: float  # pixels at the image's centre
    down: float
    scale: float
    mirrored: bool

    def __str__(self) -> str:
        parts = [] if not self.mirrored else ["depth and colour are mirrored relative to each other"]
        if self.scale != 1:
            parts.append(f"depth appears {self.scale:.2g} times as large as colour")
        across = f"{abs(self.right):.0f} px {'right' if self.right > 0 else 'left'} of"
        along = f"{abs(self.down):.0f} px {'below' if self.down > 0 else 'above'}"
        ways = [way for way, length in ((across, self.right), (along, self.down)) if abs(length) >= 1]
        if ways:
            parts.append(f"depth edges lie {' and '.join(ways)} colour edges")
        return ", ".join(parts)


def check_registration(frame: RGBDFrame, hands: TwoHands | None = None) -> list[Finding]:
    """Return the finding `depth_not_registered` if the edges of depth do not lie on those of colour.

    With hands, their surroundings are judged; without, the whole image is. Depth with scattered holes has edges
    everywhere, and is not judged.
    """
    if scattered(cells_of(frame)[1]) > SCATTERED:
        return []
    values, rule = (whole_values(frame), WHOLE_RULE) if hands is None else (hand_values(frame, hands), HANDS_RULE)
    if values is None or score(values, rule) <= 0:
        return []
    found = displacement(frame, hands)
    told, how = str(found) if found.agreement >= _SURE else "", MIRROR_BACK if found.mirrored else _HOW
    if not told:
        told = "depth edges do not lie on colour edges, and no single shift or scale would put them there"
        how = f"if one of the two is mirrored, {MIRROR_BACK}; otherwise {_HOW}" if found.mirrored else _HOW
    measured: dict[str, float | str] = {"score": score(values, rule), "agreement": float(values[0])}
    measured |= {"shift_right_px": found.right, "shift_down_px": found.down, "scale": found.scale}
    measured |= {"mirrored": float(found.mirrored), "displaced_agreement": found.agreement}
    sentence = f"depth does not seem to be registered to colour: {told}; {how}"
    return [Finding(CODE, "warning", sentence, measured)]


def scattered(depth: np.ndarray) -> float:
    """Return the fraction of the pairs of neighbouring pixels with one reading or two in depth (h, w) that have one."""
    known = depth > 0
    pairs = ((known[1:], known[:-1]), (known[:, 1:], known[:, :-1]))
    either, both = (sum(int(kind(*pair).sum()) for pair in pairs) for kind in (np.logical_or, np.logical_and))
    return 1 - both / max(either, 1)


def score(values: np.ndarray, rule: tuple[float, ...]) -> float:
    """Return the value of a linear rule, whose last weight is its constant."""
    return float(np.dot(values, rule[:-1]) + rule[-1])


def whole_values(frame: RGBDFrame) -> np.ndarray | None:
    """Return three values (3,) of the whole image, None where its edges agree nowhere and therefore tell nothing.

    The agreement at the place of depth; how much better it is than at other shifts; and than at other scales or
    mirrored, each at its best shift.
    """
    rgb, depth, _ = cells_of(frame)
    values = Agreement(rgb, blur=_BLUR).of(depth_edges(depth))
    if values is None:
        return None
    there, elsewhere = _there_and_elsewhere(values)
    own, other = _own_and_other_scales(frame)
    return np.array([there, there - elsewhere, own - other]) if max(there, elsewhere, own, other) > _SURE else None


def hand_values(frame: RGBDFrame, hands: TwoHands) -> np.ndarray | None:
    """Return five values (5,) of the hands, their surroundings and the image, None with too few edges of depth.

    The agreements around the hands and in the whole image, at the place of depth; how much better their sum is there
    than at other shifts; how much better the whole image's is there than at other scales or mirrored; and the log-odds
    that the best hand is right, since hands found in colour do not fit depth that is elsewhere. Where the hands'
    surroundings have too few edges, the whole image stands for them.
    """
    rgb, depth, size = cells_of(frame)
    agreement, edges = Agreement(rgb, blur=_BLUR), depth_edges(depth)
    whole = agreement.of(edges)
    if whole is None:
        return None
    around = agreement.of(edges.inside(_around_hands(hands, frame.camera, depth.shape, size)))
    around = whole if around is None else around
    there, elsewhere = _there_and_elsewhere(around + whole)
    own, other = _own_and_other_scales(frame)
    around_hands, in_image = _there_and_elsewhere(around)[0], _there_and_elsewhere(whole)[0]
    return np.array([around_hands, in_image, there - elsewhere, own - other, _trust(hands)])


def _trust(hands: TwoHands) -> float:
    """Return the log-odds that the best hand is right, those of a usual hand where its confidence is not known."""
    if hands.quality is None or hands.quality.confidence is None:
        return _USUAL_TRUST
    best = float(np.clip(np.max(np.asarray(hands.quality.confidence)[hands.present_sides]), *_CONFIDENCES))
    return float(np.log(best / (1 - best)))


def displacement(frame: RGBDFrame, hands: TwoHands | None = None) -> Displacement:
    """Return the displacement of depth at which its edges agree best with those of colour."""
    best = max(_displacements(frame, hands), key=lambda d: d.agreement, default=Displacement(0.0, 0.0, 0.0, 1.0, False))
    if best.scale != 1 or best.mirrored or not best.agreement:
        return best
    rgb, depth, size = cells_of(frame)  # a shift alone is measured on the finer grid
    values = Agreement(rgb).of(_near_hands(depth_edges(depth), hands, frame.camera, size))
    return best if values is None else _peak(values, size, 1.0, False)


def _own_and_other_scales(frame: RGBDFrame) -> tuple[float, float]:
    """Return the best agreements on the coarse grid: at registered depth's place, and at other scales or mirrored."""
    rgb, depth, _ = cells_of(frame, _COARSE)
    agreement, edges = Agreement(rgb, _COARSE_REACH), depth_edges(depth)
    own = agreement.of(edges)
    pairs = [(scale, mirrored) for scale in SCALES for mirrored in (False, True) if mirrored or scale != 1]
    others = [agreement.of(edges.enlarged(1 / scale, mirrored)) for scale, mirrored in pairs]
    best = max((float(values.max()) for values in others if values is not None), default=0.0)
    return 0.0 if own is None else _there_and_elsewhere(own)[0], best


def _displacements(frame: RGBDFrame, hands: TwoHands | None) -> list[Displacement]:
    """Return the best shift for every scale, and for each with depth mirrored, on the coarse grid."""
    rgb, depth, size = cells_of(frame, _COARSE)
    agreement, edges = Agreement(rgb, _COARSE_REACH), depth_edges(depth)
    edges = _near_hands(edges, hands, frame.camera, size)
    pairs = [(scale, mirrored) for scale in SCALES for mirrored in (False, True)]
    maps = [(agreement.of(edges.enlarged(1 / scale, mirrored)), scale, mirrored) for scale, mirrored in pairs]
    return [_peak(values, size, scale, mirrored) for values, scale, mirrored in maps if values is not None]


def _peak(values: np.ndarray, size: int, scale: float, mirrored: bool) -> Displacement:
    row, column = np.unravel_index(values.argmax(), values.shape)
    reach = len(values) // 2
    right, down = scale * size * (int(column) - reach), scale * size * (int(row) - reach)
    return Displacement(float(values.max()), right, down, scale, mirrored)


def _there_and_elsewhere(values: np.ndarray) -> tuple[float, float]:
    """Return the best agreement within the errors of registered depth, and the best beyond them."""
    reach = len(values) // 2
    distance = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    return float(values[distance <= _SAME].max()), float(values[distance > _OTHER].max())


def _near_hands(edges: Edges, hands: TwoHands | None, camera: Camera, size: int) -> Edges:
    """Return the edges with those around the hands counted twice."""
    if hands is None:
        return edges
    around = edges.inside(_around_hands(hands, camera, edges.weights.shape, size))
    return Edges(edges.normals + around.normals, edges.weights + around.weights)


def _around_hands(hands: TwoHands, camera: Camera, shape: tuple[int, ...], size: int) -> np.ndarray:
    """Return the cells (h, w) bool within rectangles around the joints of the present hands."""
    mask = np.zeros(shape, dtype=bool)
    for side in hands.present_sides:
        cells = camera.project(np.asarray(hands.joints[side], np.float64)) / size
        low, high = cells.min(axis=0), cells.max(axis=0)
        margin = _MARGIN * float((high - low).max())
        (left, top), (right, bottom) = (
            np.clip(corner, 0, shape[::-1]).astype(int).tolist() for corner in (low - margin, high + margin + 1)
        )
        mask[top:bottom, left:right] = True
    return mask
