"""Cut the right hand and a forearm stub out of the MakeHuman body, triangulate them and lay out their UV atlas."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from .makehuman import BodyMesh, Indices, MakeHumanSource
from .meshes import boundary_loop
from .numerics import Array

NUM_FOREARM_RINGS = 6  # about 10 cm of forearm
NAIL_THRESHOLD = 0.5


@dataclass(frozen=True)
class HandRegion:
    """Vertices and quads of the body that form the hand; body indices."""

    hand_quads: Indices  # (Q,) rows of the body group's quads
    forearm_quads: Indices  # (G,) rows of the body group's quads
    rings: Indices  # (1 + NUM_FOREARM_RINGS, L) vertices: the wrist ring, then rings towards the elbow
    vertices: Indices  # (V,) hand vertices, then forearm vertices ring by ring
    num_hand_vertices: int


@dataclass(frozen=True)
class HandMesh:
    """Faces, texture atlas and marked vertices of the hand; indices count the hand's own V vertices."""

    num_hand_vertices: int
    hand_quads: Indices  # (Q, 4)
    nail_quads: Indices  # (N,) rows of `hand_quads`
    faces: Indices  # (F, 3), hand faces first
    num_hand_faces: int
    uv: Array  # (T, 2) in [0, 1], v up
    faces_uv: Indices  # (F, 3) rows of `uv`
    wrist_ring: Indices  # (L,)
    forearm_ring: Indices  # (L,) the open end of the stub

    @property
    def hand_faces(self) -> Indices:
        """Faces (num_hand_faces, 3) without the forearm."""
        return self.faces[: self.num_hand_faces]


def cut_hand(body: BodyMesh) -> HandRegion:
    """Select the hand, an island of the texture that ends at the wrist, and rings of quads beyond it as forearm."""
    quads, texture_quads = body.quads["body"], body.texture_quads["body"]
    middle_tip = body.vertices[np.unique(body.quads["joint-r-finger-3-4"])].mean(0)
    seed = int(np.argmin(np.linalg.norm(body.vertices[quads].mean(1) - middle_tip, axis=1)))
    hand_quads = connected_quads(texture_quads, seed)
    taken = set(hand_quads.tolist())
    rings, forearm_quads = [boundary_loop(quads[hand_quads])], []
    for _ in range(NUM_FOREARM_RINGS):
        touching = np.flatnonzero(np.isin(quads, rings[-1]).any(1))
        added = [quad for quad in touching.tolist() if quad not in taken]
        taken.update(added)
        forearm_quads += added
        rings.append(next_ring(quads[added], rings[-1]))
    hand_vertices = np.unique(quads[hand_quads])
    vertices = np.concatenate([hand_vertices, *rings[1:]])
    return HandRegion(hand_quads, np.array(forearm_quads), np.stack(rings), vertices, len(hand_vertices))


def connected_quads(quads: Indices, seed: int) -> Indices:
    """Return the sorted rows of `quads` (Q, 4) that are connected to row `seed` by common corners."""
    touching = defaultdict(list)
    for row, corners in enumerate(quads.tolist()):
        for corner in corners:
            touching[corner].append(row)
    found, waiting = {seed}, [seed]
    while waiting:
        for corner in quads[waiting.pop()].tolist():
            fresh = [row for row in touching[corner] if row not in found]
            found.update(fresh)
            waiting += fresh
    return np.array(sorted(found))


def next_ring(quads: Indices, ring: Indices) -> Indices:
    """Return the neighbour of each vertex of `ring` (L,) on the other side of the strip of `quads` (L, 4)."""
    inside = set(ring.tolist())
    across = {}
    for corners in quads.tolist():
        for corner, following in zip(corners, corners[1:] + corners[:1], strict=True):
            if corner in inside and following not in inside:
                across[corner] = following
            elif following in inside and corner not in inside:
                across[following] = corner
    return np.array([across[vertex] for vertex in ring.tolist()])


def build_mesh(region: HandRegion, body: BodyMesh, source: MakeHumanSource, vertices: Array) -> HandMesh:
    """Return the mesh of `region`; quads are split along their shorter diagonal on `vertices` (V, 3)."""
    own = np.full(len(body.vertices), -1)
    own[region.vertices] = np.arange(len(region.vertices))
    quads, texture_quads = body.quads["body"], body.texture_quads["body"][region.hand_quads]
    hand_quads = own[quads[region.hand_quads]]
    forearm_quads = own[quads[region.forearm_quads]]
    rings = own[region.rings]
    island, island_quads = np.unique(texture_quads, return_inverse=True)
    hand_uv = fit_island(body.texture[island])
    ring_uv, forearm_uv_quads = forearm_strip(forearm_quads, rings)
    uv_quads = np.concatenate([island_quads.reshape(-1, 4), forearm_uv_quads + len(hand_uv)])
    corners = split_corners(np.concatenate([hand_quads, forearm_quads]), vertices)
    triangles = [
        np.take_along_axis(table[:, None], corners, axis=2).reshape(-1, 3)
        for table in (np.concatenate([hand_quads, forearm_quads]), uv_quads)
    ]
    return HandMesh(
        num_hand_vertices=region.num_hand_vertices,
        hand_quads=hand_quads,
        nail_quads=nail_quads(source.nail_image(), body.texture[texture_quads]),
        faces=triangles[0],
        num_hand_faces=2 * len(hand_quads),
        uv=np.concatenate([hand_uv, ring_uv]),
        faces_uv=triangles[1],
        wrist_ring=rings[0],
        forearm_ring=rings[-1],
    )


def split_corners(quads: Indices, vertices: Array) -> Indices:
    """Return corner numbers 0 to 3 (Q, 2, 3) of the two triangles of each quad (Q, 4)."""
    a, b, c, d = (vertices[quads[:, corner]] for corner in range(4))
    first_shorter = np.linalg.norm(a - c, axis=1) <= np.linalg.norm(b - d, axis=1)
    along_first, along_second = np.array([[0, 1, 2], [0, 2, 3]]), np.array([[0, 1, 3], [1, 2, 3]])
    return np.where(first_shorter[:, None, None], along_first, along_second)


def nail_quads(image: Array, texture: Array) -> Indices:
    """Return rows of the quads `texture` (Q, 4, 2) whose centre is on a nail in `image` (H, W)."""
    height, width = image.shape
    centers = texture.mean(1)
    rows, columns = ((1 - centers[:, 1]) * height).astype(int), (centers[:, 0] * width).astype(int)
    return np.flatnonzero(image[rows, columns] > NAIL_THRESHOLD)


def fit_island(texture: Array) -> Array:
    """Return the hand island (T, 2), scaled uniformly into the upper part of the atlas."""
    low, high = texture.min(0), texture.max(0)
    scale = (np.array([0.98, 0.86]) / (high - low)).min()
    return (texture - low) * scale + [(1 - (high - low)[0] * scale) / 2, 0.13]


def forearm_strip(quads: Indices, rings: Indices) -> tuple[Array, Indices]:
    """Unroll the stub (G quads, K rings of L vertices) below the hand island.

    Returns atlas points (K * (L + 1), 2) and for each quad (G, 4) rows of them. The seam needs one column more
    than the ring has vertices.
    """
    num_rings, length = rings.shape
    ring_of = {int(v): (k, c) for k, ring in enumerate(rings) for c, v in enumerate(ring)}
    k, c = np.meshgrid(np.arange(num_rings), np.arange(length + 1), indexing="ij")
    points = np.stack([0.02 + 0.96 * c / length, 0.11 - 0.10 * k / (num_rings - 1)], axis=-1).reshape(-1, 2)
    rows = []
    for quad in quads.tolist():
        places = [ring_of[vertex] for vertex in quad]
        crosses_seam = {column for _, column in places} == {0, length - 1}
        rows.append([k * (length + 1) + (length if crosses_seam and c == 0 else c) for k, c in places])
    return points, np.array(rows)
