"""Correspondence of two hand models: a surface point of one for every vertex of the other, from their rest hands.

It is computed from the two models alone and kept in the user's cache folder. Nothing of it is shipped, since MANO's
licence covers what is derived from its files.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from twohands.files import NotWrittenError, user_cache, write_atomically
from twohands.geometry.mesh import edges_from_faces, vertex_normals
from twohands.geometry.nearest import Surface, SurfacePoints
from twohands.geometry.transforms import procrustes
from twohands.hands.kinematics import Kinematics, Pull, draw_to, plane_metrics, selection
from twohands.hands.model import HandModel
from twohands.hands.skeleton import NUM_ARTICULATED

METHOD_VERSION = 1
"""Part of the file's name in the cache; raise it when the method changes."""
COSINE = 0.5
"""Surfaces that belong together face the same way, within 60 degrees."""
REACHES = (0.03, 0.03, 0.02, 0.02, 0.015, 0.015, 0.01, 0.01)
"""Largest distance in metres between surfaces that belong together, for every round of the articulated fit."""
JOINT_DEVIATION, SURFACE_DEVIATION = 0.01, 0.003
"""Standard deviations of joints and surfaces in that fit, metres: the models define their joints differently."""
SLIP = 0.1
"""Weight of sliding along a surface, relative to leaving it."""
STIFFNESSES = (30.0, 10.0, 3.0, 1.0)
"""Weight of a smooth field of motion relative to the distances, for every round after the articulated fit."""
FARTHEST, FARTHEST_OF_BORDER = 0.004, 0.001
"""Metres at the end beyond which a vertex has no counterpart; the second one for places on the surface's border."""
SMALLEST_OVERLAP = 0.5
"""Hand models of which a smaller fraction has counterparts are not laid together as they should be."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Correspondence:
    """Counterparts of two right hands: V vertices of the target, W vertices of the source."""

    faces: np.ndarray  # (V,) triangle of the source on which each vertex of the target is located, -1: none
    weights: np.ndarray  # (V, 3) barycentric weights of its corners
    covered: np.ndarray  # (W,) bool: vertices of the source that have a counterpart on the target

    @property
    def found(self) -> np.ndarray:
        """(V,) bool: vertices of the target that have a counterpart."""
        return self.faces >= 0

    def places(self, vertices: np.ndarray, corners: np.ndarray) -> np.ndarray:
        """Return the places (n, 3) of the n found vertices; vertices (W, 3) and triangles (F, 3) of the source."""
        chosen = vertices[corners[self.faces[self.found]]]
        return np.einsum("nk,nka->na", self.weights[self.found], chosen)


def find_correspondence(source: HandModel, target: HandModel, folder: Path | None = None) -> Correspondence:
    """Return the counterparts of two hand models from the cache; compute and keep them at first use.

    The default of `folder` is `correspondence` in the user's cache. A damaged file is replaced.
    """
    folder = user_cache() / "correspondence" if folder is None else folder
    path = folder / f"hands_{METHOD_VERSION}_{_digest(source)}_{_digest(target)}.npz"
    kept = _read(path, source, target)
    if kept is not None:
        return kept
    logger.info(f"matching the surfaces of the hand models {source.name} and {target.name}, once; kept in {folder}")
    computed = match(source, target)
    try:
        with write_atomically(path) as temporary:
            np.savez(temporary, faces=computed.faces, weights=computed.weights, covered=computed.covered)
    except NotWrittenError as error:
        logger.warning(f"{error}; the hand models will be matched again next time")
    return computed


def match(source: HandModel, target: HandModel) -> Correspondence:
    """Compute the counterparts: pose and shape the source like the target's rest hand, then bend it smoothly.

    Raises ValueError when less than half of the surface has a counterpart.
    """
    goal = np.asarray(target.rest_vertices, dtype=np.float64)
    laid = _bend(_lay(source, target), source.right_faces, goal, target.right_faces)
    on_source = _counterparts(goal, target.right_faces, laid, source.right_faces)
    on_target = _counterparts(laid, source.right_faces, goal, target.right_faces)
    overlap = on_source.found.mean()
    if overlap < SMALLEST_OVERLAP:
        raise ValueError(
            f"the hand models {source.name} and {target.name} cannot be matched: only {overlap:.0%} of the surface has "
            "a counterpart; give the original files of the hand model"
        )
    return Correspondence(on_source.faces.astype(np.int32), on_source.weights, on_target.found)


def _lay(source: HandModel, target: HandModel) -> np.ndarray:
    """Return the vertices (W, 3) of the source in the pose and shape that is nearest to the target's rest hand."""
    kinematics, goal = Kinematics(source), np.asarray(target.rest_vertices, dtype=np.float64)
    tips = target.rest_vertices[list(target.tip_vertices)]
    positions = np.concatenate([target.rest_joints, tips]).astype(np.float64)
    chosen = np.concatenate([kinematics.num_vertices + np.arange(NUM_ARTICULATED), source.tip_vertices])
    metrics = np.broadcast_to(np.eye(3) / JOINT_DEVIATION**2, (len(chosen), 3, 3))
    joints = Pull(selection(chosen, len(kinematics.rest)), positions, metrics)
    palm = [0, *range(4, NUM_ARTICULATED, 3)]  # the wrist and four knuckles
    _, rotation, translation = procrustes(kinematics.rest[kinematics.num_vertices :][palm], positions[palm], False)
    hand = replace(kinematics.neutral(), rotation=rotation, translation=translation)
    hand = draw_to(kinematics, hand, [joints], 30)
    for reach in REACHES:
        vertices = kinematics.points(hand)[: kinematics.num_vertices]
        places, positions, normals = _facing(vertices, source.right_faces, goal, target.right_faces, reach)
        without_joints = sparse.csr_array((len(positions), NUM_ARTICULATED))
        places = sparse.csr_array(sparse.hstack([places, without_joints]))
        surface = Pull(places, positions, plane_metrics(normals, SURFACE_DEVIATION, SLIP))
        hand = draw_to(kinematics, hand, [joints, surface], 3)
    return kinematics.points(hand)[: kinematics.num_vertices]


def _facing(
    vertices: np.ndarray, faces: np.ndarray, goal: np.ndarray, corners: np.ndarray, reach: float
) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
    """Pair two meshes (W, 3) and (V, 3) by nearest places that face the same way, from each to the other.

    Returns the matrix (n, W) from the vertices to places on them, the positions (n, 3) that these should have, and the
    unit normals (n, 3) of the goal.
    """
    surface, normals = Surface(goal, corners), vertex_normals(goal, corners)
    outward = Surface(vertices, faces).nearest(goal, reach, normals, COSINE)
    inward = surface.nearest(vertices, reach, vertex_normals(vertices, faces), COSINE)
    own = selection(np.flatnonzero(inward.found), len(vertices))
    places = sparse.csr_array(sparse.vstack([outward.matrix(faces, len(vertices)), own]))
    positions = np.concatenate([goal[outward.found], inward.matrix(corners, len(goal)) @ goal])
    return places, positions, np.concatenate([normals[outward.found], surface.normals[inward.faces[inward.found]]])


def _bend(vertices: np.ndarray, faces: np.ndarray, goal: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return the vertices (W, 3) moved onto the goal (V, 3) by a smooth field, for what no pose and shape can do."""
    difference = _laplacian(faces, len(vertices))
    smoothness = difference.T @ difference
    bent = vertices
    for stiffness in STIFFNESSES:
        places, positions, normals = _facing(bent, faces, goal, corners, REACHES[-1])
        bent = vertices + _field(places, positions - places @ vertices, normals, stiffness * smoothness)
    return bent


def _field(places: sparse.csr_array, away: np.ndarray, normals: np.ndarray, smoothness: sparse.csr_array) -> np.ndarray:
    """Return the smooth motions (W, 3) of vertices that take places (n, W) by `away` (n, 3), mostly along normals."""
    metrics = plane_metrics(normals, 1.0, SLIP)
    identity = sparse.eye_array(3)
    by_axis = sparse.kron(places, identity, format="csr")
    matrix = by_axis.T @ sparse.block_diag(list(metrics), format="csr") @ by_axis + sparse.kron(smoothness, identity)
    matrix = matrix + 1e-6 * sparse.eye_array(matrix.shape[0])
    vector = by_axis.T @ (metrics @ away[..., None]).reshape(-1)
    return splu(matrix.tocsc()).solve(vector).reshape(-1, 3)


def _laplacian(faces: np.ndarray, count: int) -> sparse.csr_array:
    """Return the matrix (W, W) that takes the mean of its neighbours from every vertex."""
    edges = edges_from_faces(faces)
    both = np.concatenate([edges, edges[:, ::-1]])
    near = sparse.csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(count, count))
    mean = sparse.diags_array(1 / np.maximum(near.sum(axis=1), 1)) @ near
    return sparse.csr_array(sparse.eye_array(count) - mean)


def _counterparts(points: np.ndarray, own: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> SurfacePoints:
    """Return the places of points (V, 3), vertices of triangles `own`, on the mesh of vertices (W, 3)."""
    found = Surface(vertices, faces).nearest(points, FARTHEST, vertex_normals(points, own), COSINE)
    inside = ~np.isin(faces, _border(faces))[found.faces]  # (V, 3)
    at_border = (found.weights * inside).sum(axis=1) < 1e-6
    found.faces[at_border & (found.distances > FARTHEST_OF_BORDER)] = -1
    return found


def _border(faces: np.ndarray) -> np.ndarray:
    """Return the vertices of edges that only one triangle has."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    return np.unique(unique[counts == 1])


def _digest(model: HandModel) -> str:
    """Return 16 characters that change with everything that the counterparts depend on."""
    digest = hashlib.sha256()
    for array in (model.rest_vertices, model.right_faces, model.rest_joints, model.weights, model.shape_directions):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _read(path: Path, source: HandModel, target: HandModel) -> Correspondence | None:
    """Return the content of a file of the cache, None where there is no file or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = Correspondence(archive["faces"], archive["weights"], archive["covered"])
    except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile):
        return None
    count, covered = len(target.rest_vertices), (len(source.rest_vertices),)
    if (found.faces.shape, found.weights.shape, found.covered.shape) != ((count,), (count, 3), covered):
        return None
    if found.faces.dtype.kind != "i" or found.weights.dtype.kind != "f" or found.covered.dtype != bool:
        return None
    sound = ((found.faces >= -1) & (found.faces < len(source.right_faces))).all() and np.isfinite(found.weights).all()
    return found if sound else None
