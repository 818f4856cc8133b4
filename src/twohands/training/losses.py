"""Loss terms and their weighted sum (paper, section III-E; docs/method.md, Losses and recipe).

A term is a pure function (output, sample, surface) -> (B,), one value per frame. Terms in 3D and 2D are means over the
hands that are present. An absent hand is replaced by a constant in prediction and target before anything is computed,
so that neither its values (NaN included) nor its labels matter and no gradient reaches it. For the image heads the
target of an absent hand is an empty map, unless the hand may be there without labels (`Sample.presence_known`). A term
is zero when its labels are missing or the decoder does not predict its quantity; in a mixed batch (`meshes_known`,
`masks_known`), frame by frame. In formulas, p is the prediction and t the target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional

from twohands.config import LossConfig
from twohands.geometry.mesh import edges_from_faces, face_normals
from twohands.geometry.record import TensorRecord
from twohands.hands.model import HandModel
from twohands.hands.pyramid import mesh_levels
from twohands.hands.skeleton import ROOT
from twohands.ops.image import gaussian_target, rescale
from twohands.types import NetworkOutput, Sample

FOCAL_GAMMA, FOCAL_BETA = 2, 4
"""Exponents gamma and beta of the focal loss (CenterNet)."""
CENTER_SIGMA = 1 / 16
"""Sigma of the Gaussian at a hand's centre, as a fraction of the longer side of the hand's box; at least one cell."""
JOINT_SIGMA = 1 / 32
"""Sigma of the Gaussian at a joint, as a fraction of the longer side of the hand's box; at least one cell."""
SAME_JOINT = 0.03
"""Largest distance between a joint and its peak, in widths of the image."""
NEAREST = 0.05
"""Smallest depth in metres at which points are projected; nearer ones, and those behind the camera, are moved there."""
NOWHERE = (0.0, 0.0, 1.0)
"""Position of all points of an absent hand in prediction and target: metres, camera frame."""


@dataclass(frozen=True)
class Surface(TensorRecord):
    """Topology of a hand model's mesh and of its coarser levels; the same for both hands."""

    faces: Tensor  # (F, 3) indices of vertices
    edges: Tensor  # (E, 2) every undirected edge once
    levels: tuple[Tensor, ...]  # coarse -> fine, (V,) indices in the full mesh of the decoder's graphs


def surface_of(hand_model: HandModel) -> Surface:
    """Return the surface of a hand model of NumPy arrays."""
    faces = hand_model.right_faces
    levels = tuple(torch.as_tensor(level.vertices) for level in mesh_levels(hand_model))
    return Surface(torch.as_tensor(faces), torch.as_tensor(edges_from_faces(faces)), levels)


# the image heads


def hand_boxes(sample: Sample) -> tuple[Tensor, Tensor]:
    """Return centre (B, 2, 2), (u, v), and longer side (B, 2) of the box of the projected joints, in pixels."""
    pixels = _projected(_settled(sample.hands.joints, sample), sample)
    low, high = pixels.amin(dim=2), pixels.amax(dim=2)
    return (low + high) / 2, (high - low).amax(dim=-1)


def center(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the focal loss of the heat maps of the hands' centres, see `_focal`."""
    if output.center_logits is None:
        return _zero(output)
    centers, sides = hand_boxes(sample)
    return _focal(output.center_logits, centers, CENTER_SIGMA * sides, sample)


def mask(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the mean over cells of smooth L1(p - t); t is the fraction of a cell's pixels that show the hand."""
    if output.mask_logits is None or sample.masks is None:
        return _zero(output)
    logits = output.mask_logits.float()
    seen = sample.masks.to(logits.dtype) * sample.hands.is_present[..., None, None]
    covered = functional.interpolate(seen, size=logits.shape[-2:], mode="area")
    error = functional.smooth_l1_loss(logits.sigmoid(), covered, reduction="none")
    if sample.masks_known is not None:
        error = error * sample.masks_known[..., None, None]
    return error.mean(dim=(1, 2, 3))


# positions, metres


def root(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the mean |p - t| of the root's coordinates in the camera frame."""
    return _l1(output.root[:, :, None], _true_root(sample), sample)


def vertices(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the mean |p - t| of the full mesh's coordinates relative to the root."""
    sample = _meshed(sample)
    if output.hands.vertices is None or sample.hands.vertices is None:
        return _zero(output)
    true = sample.hands.vertices - _true_root(sample)
    return _l1(output.hands.vertices - output.root[:, :, None], true, sample)


def joints(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the mean |p - t| of the 21 joints' coordinates relative to the root."""
    true = sample.hands.joints - _true_root(sample)
    return _l1(output.hands.joints - output.root[:, :, None], true, sample)


def coarse(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the sum over the decoder's graphs of the mean |p - t| of their vertices relative to the root.

    The target of a graph is its subset of the vertices of the same hand. Joints need no term: they are linear in them.
    """
    sample = _meshed(sample)
    if not output.stages or sample.hands.vertices is None:
        return _zero(output)
    true = sample.hands.vertices - _true_root(sample)
    terms = [
        _l1(stage.vertices - output.root[:, :, None], true[:, :, level], sample)
        for stage, level in zip(output.stages, surface.levels, strict=True)
    ]
    return torch.stack(terms).sum(dim=0)


def absolute_vertices(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the mean |p - t| of the full mesh's coordinates in the camera frame."""
    sample = _meshed(sample)
    if output.hands.vertices is None or sample.hands.vertices is None:
        return _zero(output)
    return _l1(output.hands.vertices, sample.hands.vertices, sample)


def absolute_joints(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the mean |p - t| of the 21 joints' coordinates in the camera frame."""
    return _l1(output.hands.joints, sample.hands.joints, sample)


# re-projection, in widths of the image


def vertices_2d(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the mean ((p - t) / width)^2 of the pixel coordinates of the projected vertices."""
    sample = _meshed(sample)
    if output.hands.vertices is None or sample.hands.vertices is None:
        return _zero(output)
    return _squared_2d(output.hands.vertices, sample.hands.vertices, sample)


def joints_2d(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the mean ((p - t) / width)^2 of the pixel coordinates of the projected joints."""
    return _squared_2d(output.hands.joints, sample.hands.joints, sample)


# smoothness


def edges(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the mean | |p_i - p_j| - |t_i - t_j| | over the edges (i, j) of the full mesh, metres."""
    sample = _meshed(sample)
    if output.hands.vertices is None or sample.hands.vertices is None:
        return _zero(output)
    lengths = []
    for points in (output.hands.vertices, sample.hands.vertices):
        ends = _settled(points, sample)[:, :, surface.edges]  # (B, 2, E, 2, 3)
        lengths.append(torch.linalg.vector_norm(ends[..., 1, :] - ends[..., 0, :], dim=-1))
    return _mean_of_hands((lengths[0] - lengths[1]).abs().mean(dim=-1), sample)


def normals(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the mean |cosine| between the sides of predicted triangles and true normals: 0 for parallel planes."""
    sample = _meshed(sample)
    if output.hands.vertices is None or sample.hands.vertices is None:
        return _zero(output)
    true = functional.normalize(face_normals(_settled(sample.hands.vertices, sample), surface.faces), dim=-1)
    corners = _settled(output.hands.vertices, sample)[:, :, surface.faces]  # (B, 2, F, 3, 3)
    sides = torch.stack([corners[..., b, :] - corners[..., a, :] for a, b in combinations(range(3), 2)], dim=-2)
    cosines = (functional.normalize(sides, dim=-1) * true[..., None, :]).sum(dim=-1)  # (B, 2, F, 3)
    return _mean_of_hands(cosines.abs().mean(dim=(-2, -1)), sample)


# key points


def heat_maps(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the focal loss of the heat maps of the single joints, see `_focal`."""
    if output.key_points is None:
        return _zero(output)
    pixels = _projected(_settled(sample.hands.joints, sample), sample)  # (B, 2, 21, 2)
    _, sides = hand_boxes(sample)
    sigma = (JOINT_SIGMA * sides)[..., None].expand(pixels.shape[:-1])
    logits = output.key_points.heat_logits.unflatten(1, pixels.shape[1:3])
    return _focal(logits, pixels, sigma, sample)


def identities(output: NetworkOutput, sample: Sample, surface: Surface) -> Tensor:
    """Return the cross entropy of the joint of a peak: the nearest in the image, or none if beyond SAME_JOINT."""
    if output.key_points is None:
        return _zero(output)
    pixels = _projected(_settled(sample.hands.joints, sample), sample)
    gaps = torch.linalg.vector_norm(output.key_points.pixels[:, :, None] - pixels.flatten(1, 2)[:, None], dim=-1)
    present = sample.hands.is_present[..., None].expand(pixels.shape[:-1]).flatten(1)[:, None]  # (B, 1, 42)
    gap, joint = torch.where(present, gaps, torch.inf).min(dim=-1)  # (B, T)
    logits = output.key_points.identity_logits
    true = torch.where(gap < SAME_JOINT * sample.frame.camera.width, joint, logits.shape[-1] - 1)
    return functional.cross_entropy(logits.transpose(1, 2), true, reduction="none").mean(dim=1)


# the sum

Term = Callable[[NetworkOutput, Sample, Surface], Tensor]

TERMS: dict[str, Term] = {
    "center": center,
    "mask": mask,
    "root": root,
    "vertices": vertices,
    "joints": joints,
    "coarse": coarse,
    "absolute_vertices": absolute_vertices,
    "absolute_joints": absolute_joints,
    "vertices_2d": vertices_2d,
    "joints_2d": joints_2d,
    "edges": edges,
    "normals": normals,
    "heat_maps": heat_maps,
    "identities": identities,
}


def total_loss(
    output: NetworkOutput, sample: Sample, surface: Surface, config: LossConfig, epoch: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum (B,) of the terms of an epoch (from 0), and every unweighted term (B,) by name."""
    values = {name: term(output, sample, surface) for name, term in TERMS.items()}
    total = _zero(output)
    for name, weight in config.weights(epoch).items():
        total = total + weight * values[name]
    return total, values


def _zero(output: NetworkOutput) -> Tensor:
    return output.root.new_zeros(output.root.shape[0])


def _meshed(sample: Sample) -> Sample:
    """Return the sample with only those hands present that have labelled vertices."""
    if sample.meshes_known is None:
        return sample
    hands = sample.hands
    return replace(sample, hands=replace(hands, present=torch.where(sample.meshes_known, hands.present, 0.0)))


def _settled(points: Tensor, sample: Sample) -> Tensor:
    """Return points (B, 2, N, 3) with those of absent hands moved to NOWHERE."""
    return torch.where(sample.hands.is_present[..., None, None], points, points.new_tensor(NOWHERE))


def _true_root(sample: Sample) -> Tensor:
    """Return the true root (B, 2, 1, 3) in metres, camera frame."""
    return sample.hands.joints[:, :, ROOT : ROOT + 1]


def _focal(logits: Tensor, pixels: Tensor, sigma: Tensor, sample: Sample) -> Tensor:
    """Return the focal loss (B,) of heat maps (B, 2, *M, h, w) with peaks at image pixels (B, 2, *M, 2).

    -1 / max(peaks, 1) times the sum over cells of (1 - p)^gamma log p at a peak and (1 - t)^beta p^gamma log(1 - p)
    elsewhere. The target t is a Gaussian with sigma (B, 2, *M) pixels, and 0 for absent hands. Maps of hands without
    known presence are left out.
    """
    logits = logits.float()
    height, width = logits.shape[-2:]
    scale = width / sample.frame.camera.width
    target = gaussian_target(rescale(pixels, scale), (scale * sigma).clamp(min=1), height, width)
    target = target * sample.hands.is_present.reshape(*target.shape[:2], *[1] * (target.ndim - 2))
    peak = target == 1
    hit = functional.logsigmoid(logits) * torch.sigmoid(-logits) ** FOCAL_GAMMA
    miss = functional.logsigmoid(-logits) * torch.sigmoid(logits) ** FOCAL_GAMMA * (1 - target) ** FOCAL_BETA
    errors = torch.where(peak, hit, miss).flatten(2).sum(dim=2)
    if sample.presence_known is not None:
        errors = errors * sample.presence_known
    return -errors.sum(dim=1) / peak.flatten(1).sum(dim=1).clamp(min=1)


def _mean_of_hands(values: Tensor, sample: Sample) -> Tensor:
    """Return the mean (B,) of values (B, 2) over the hands that are present, 0 where none is."""
    present = sample.hands.is_present
    return torch.where(present, values, 0.0).sum(dim=1) / present.sum(dim=1).clamp(min=1)


def _l1(prediction: Tensor, true: Tensor, sample: Sample) -> Tensor:
    """Return the mean absolute difference (B,) of the coordinates of two (B, 2, N, 3), metres."""
    difference = _settled(prediction, sample) - _settled(true, sample)
    return _mean_of_hands(difference.abs().mean(dim=(2, 3)), sample)


def _squared_2d(prediction: Tensor, true: Tensor, sample: Sample) -> Tensor:
    """Return the mean squared difference (B,) of the pixels of two (B, 2, N, 3), in widths of the image squared."""
    pixels = [_projected(_settled(points, sample), sample) for points in (prediction, true)]
    difference = (pixels[0] - pixels[1]) / sample.frame.camera.width
    return _mean_of_hands(difference.square().mean(dim=(2, 3)), sample)


def _projected(points: Tensor, sample: Sample) -> Tensor:
    """Return pixels (B, 2, N, 2) of points (B, 2, N, 3) in metres, finite behind the camera as well."""
    ahead = torch.cat([points[..., :2], points[..., 2:].clamp(min=NEAREST)], dim=-1)
    return sample.frame.camera.project(ahead.flatten(1, 2)).unflatten(1, points.shape[1:3])
