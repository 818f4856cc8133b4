"""Export hands: coloured GLB meshes, and a page that shows cloud and meshes in a browser."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from twohands.files import write_atomically
from twohands.geometry.cloud import lift
from twohands.geometry.mesh import vertex_normals
from twohands.hands.skeleton import side_color
from twohands.types import SIDE_NAMES, RGBDFrame, TwoHands
from twohands.views import LONGEST, view_within

GLTF_FROM_CAMERA = np.diag([1.0, -1.0, -1.0, 1.0])
"""Transform of the root node: glTF has +y up and looks along -z; vertices below it stay in the OpenCV camera frame."""
MAX_POINTS = 60_000
"""Largest number of points of the cloud in a page."""
AROUND_HANDS = 0.04
"""Margin around the hands, in metres, where the cloud of a page is denser: it gets half of the points."""
BEHIND_HANDS = 0.45
"""Metres behind the hands at which the cloud of a page ends, so that a far wall does not shrink the picture."""
FIELD_OF_VIEW = (48.0, 36.0)
"""Degrees across and down of the page's camera."""


def write_glb(path: str | Path, hands: TwoHands, faces: np.ndarray) -> bool:
    """Write the present hands as GLB with the meshes "left" and "right"; return False, writing nothing, without hands.

    faces (2, F, 3) are those of the hand model, outward. Coordinates are in metres; the root node turns the camera
    frame so that a viewer shows the hands upright, as the camera saw them.
    """
    if not hands.present_sides:
        return False
    data: Any = _scene(hands, faces, linear=True).export(file_type="glb", include_normals=True)
    with write_atomically(path) as temporary:
        temporary.write_bytes(bytes(data))
    return True


def write_view(path: str | Path, frame: RGBDFrame, hands: TwoHands, faces: np.ndarray) -> None:
    """Write one self-contained HTML page with the coloured cloud (at most 60,000 points) and both meshes.

    The cloud is that of the frame scaled down to at most LONGEST pixels along its longer side.
    """
    from trimesh import PointCloud
    from trimesh.scene import Camera as SceneCamera
    from trimesh.viewer.notebook import scene_to_html

    frame = view_within(frame, LONGEST)
    scene = _scene(hands, faces, linear=False)
    sizes = {}
    for name, points, colors, spacing in clouds(frame, hands):
        colors = np.column_stack([colors, np.full(len(colors), 255, np.uint8)])
        scene.add_geometry(PointCloud(points, colors=colors), name, name, "camera")
        sizes[name] = 1.3 * spacing / math.tan(math.radians(FIELD_OF_VIEW[1] / 2))  # as three.js measures points
    center, radius = _interest(frame, hands)
    distance = 1.15 * radius / math.tan(math.radians(FIELD_OF_VIEW[1] / 2))
    target = GLTF_FROM_CAMERA[:3, :3] @ center
    scene.camera = SceneCamera(resolution=(1280, 960), fov=FIELD_OF_VIEW)
    scene.camera_transform = look_at(target + distance * _unit([0.45, 0.25, 0.86]), target)
    page = scene_to_html(scene)
    start, end = page.find("<title>"), page.find("</title>")
    if page.count("</body>") != 1 or not 0 <= start < end:
        raise RuntimeError("trimesh's page has changed; install trimesh 5.2, with which this version was tested")
    page = f"{page[:start]}<title>twohands{page[end:]}"
    page = page.replace(
        "</body>", PAGE_END % {"target": json.dumps(target.tolist()), "sizes": json.dumps(sizes)} + "</body>"
    )
    with write_atomically(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def clouds(frame: RGBDFrame, hands: TwoHands) -> list[tuple[str, np.ndarray, np.ndarray, float]]:
    """Return two parts of the cloud, together at most 60,000 points: dense around the hands, and the rest up to a
    distance behind them. A part is (name, points (N, 3) metres in the camera frame, colours (N, 3) uint8, spacing).
    """
    points, pixels = lift(frame.depth, frame.camera)
    near = np.zeros(len(points), dtype=bool)
    chosen = np.ones(len(points), dtype=bool)
    found = hands.present_sides
    if found:
        vertices = np.asarray(hands.vertices)[found].reshape(-1, 3)
        low, high = vertices.min(axis=0) - AROUND_HANDS, vertices.max(axis=0) + AROUND_HANDS
        near = ((points > low) & (points < high)).all(axis=1)
        chosen = points[:, 2] < high[2] + BEHIND_HANDS
    parts = []
    for name, part in (("cloud_hands", near), ("cloud_scene", chosen & ~near)):
        limit = MAX_POINTS // 2 if found else MAX_POINTS
        stride = max(1, math.isqrt(int(part.sum()) // limit))
        while (part & (pixels % stride == 0).all(axis=1)).sum() > limit:
            stride += 1
        part = part & (pixels % stride == 0).all(axis=1)
        if part.any():
            columns, rows = pixels[part].astype(np.int64).T
            spacing = stride * float(np.median(points[part, 2])) / float(frame.camera.focal[0])
            parts.append((name, points[part], frame.rgb_uint8()[rows, columns], spacing))
    return parts


def _interest(frame: RGBDFrame, hands: TwoHands) -> tuple[np.ndarray, float]:
    """Return centre (3,) in the camera frame and radius in metres of the hands, or of the scene if there are none."""
    found = hands.present_sides
    if found:
        vertices = np.asarray(hands.vertices)[found].reshape(-1, 3)
        center = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
        return center, float(np.linalg.norm(vertices - center, axis=1).max())
    points, _ = lift(frame.depth, frame.camera, stride=4)
    center = np.median(points, axis=0) if len(points) else np.array([0.0, 0.0, 0.5])
    return center, max(0.2, float(center[2]) / 2)


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the pose (4, 4) of a glTF camera at `eye` (3,) that looks at `target` (3,), +y up; metres."""
    backward = _unit(eye - target)
    right = _unit(np.cross([0.0, 1.0, 0.0], backward))
    pose = np.eye(4)
    pose[:3] = np.column_stack([right, np.cross(backward, right), backward, eye])
    return pose


def _unit(vector) -> np.ndarray:
    return np.asarray(vector, dtype=np.float64) / np.linalg.norm(vector)


def _scene(hands: TwoHands, faces: np.ndarray, linear: bool):
    """Return a trimesh scene with a node "camera" (the camera's OpenCV frame) that contains the meshes.

    glTF's material colours are linear; the page's viewer does not convert them and needs sRGB.
    """
    from trimesh import Scene, Trimesh
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    scene = Scene()
    scene.graph.update("camera", scene.graph.base_frame, matrix=GLTF_FROM_CAMERA)
    for side in hands.present_sides:
        vertices = np.asarray(hands.vertices)[side].astype(np.float64)
        color = np.array(side_color(side, hands.doubtful[side])) / 255
        color = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4) if linear else color
        material = PBRMaterial(
            name=SIDE_NAMES[side],
            baseColorFactor=[*color, 1.0],
            metallicFactor=0.0,
            roughnessFactor=0.75,
            doubleSided=True,
        )
        mesh = Trimesh(
            vertices,
            faces[side],
            vertex_normals=vertex_normals(vertices, faces[side]),
            visual=TextureVisuals(material=material),
            process=False,
        )
        scene.add_geometry(mesh, SIDE_NAMES[side], SIDE_NAMES[side], "camera")
    return scene


PAGE_END = """
<style>
#note { position: fixed; left: 14px; top: 12px; font: 14px/1.45 system-ui, sans-serif; color: #e8e8e8;
  background: rgba(24, 26, 30, 0.7); padding: 8px 12px; border-radius: 6px; }
</style>
<div id="note"><b>twohands</b><br>drag: turn &nbsp; wheel: nearer &nbsp; right button: move<br>
<label><input type="checkbox" id="show_cloud" checked> measured cloud</label>
<label><input type="checkbox" id="show_hands" checked> meshes</label></div>
<script>
(function arrange() {  // the page's own script loads the scene asynchronously
  if (typeof controls === "undefined" || !controls) { setTimeout(arrange, 30); return; }
  const target = %(target)s, sizes = %(sizes)s;
  controls.target.set(...target);
  tracklight.target.position.set(...target);
  scene.add(tracklight.target);
  scene.background = new THREE.Color(0x181a1e);
  scene.add(new THREE.HemisphereLight(0xffffff, 0x606060, 0.55));
  tracklight.intensity = 0.75;
  const shown = { isPoints: document.getElementById("show_cloud"), isMesh: document.getElementById("show_hands") };
  const show = () => {
    scene.traverse(part => { for (const kind in shown) if (part[kind]) part.visible = shown[kind].checked; });
    render();
  };
  scene.traverse(part => {
    if (!part.isPoints) return;
    part.material = part.material.clone();
    part.material.size = sizes[part.name] || sizes[part.parent.name];
    part.material.sizeAttenuation = true;
  });
  for (const kind in shown) shown[kind].addEventListener("change", show);
  controls.update();
  show();
})();
</script>
"""
"""Addition to trimesh's page: rotation about the hands, light, point size, and switches for cloud and meshes."""
