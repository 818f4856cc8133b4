"""Colour by path tracing (Mitsuba 3) in place of `render.shade`, for the same scenes.

The engine's own renderer has no light that travels from surface to surface. Frames of a second renderer show whether a
network has learned hands or the engine's rendering. Geometry, masks, depth and ground truth stay the engine's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.ndimage import rank_filter, uniform_filter

from twohands.geometry.camera import Camera
from twohands.synth.engine import SyntheticHands
from twohands.synth.rendering.render import Lamp, Light, Materials, Surfaces, shade
from twohands.synth.rendering.shading import NEAR, harmonics
from twohands.synth.scene import Scene

SAMPLES = 8
"""Paths per pixel. With the filter below, the grain is less than a camera's, in about 6 CPU seconds at 640x480."""
_DEPTH = 4  # edges of a path: two changes of direction between surfaces and a lamp
_SKY_SIZE = (32, 64)
_HIGHEST_REFLECTANCE = 0.08  # reflectance at normal incidence for Mitsuba's `specular` = 1
_WINDOW, _FLAT = 5, 1e-4
_BAND_GAIN = np.repeat([1.0, 3 / 2, 4.0], [1, 3, 5])  # radiance over (irradiance / pi) for each harmonic


class MitsubaHands(SyntheticHands):
    """The frames of a `SyntheticHands` with the colours of the second renderer."""

    def __init__(self, frames: SyntheticHands, samples: int = SAMPLES):
        super().__init__(frames.seed, frames.split, frames.config, frames.count)
        self.samples, self.renderer = samples, f"mitsuba, {samples} samples"

    def linear_color(self, index: int, scene: Scene, camera: Camera) -> np.ndarray:
        """Return the light (H, W, 3) float32 that reaches the colour camera, including indirect light."""
        world = scene.surfaces, scene.materials, scene.light, camera
        return without_grain(render(*world, self.samples, seed=index), shade(*world))


def render(
    surfaces: Surfaces, materials: Materials, light: Light, camera: Camera, samples: int = SAMPLES, seed: int = 0
) -> np.ndarray:
    """Return the linear colour (H, W, 3) float32 of the scene that `render.shade` draws, with the grain of few paths.

    `seed` draws the grain. The camera is that of `camera.K` to a fraction of a pixel. Raise ImportError without
    Mitsuba.
    """
    mitsuba = _mitsuba()
    # Mitsuba has square pixels only: a world stretched in y by fy / fx, within a percent of 1, has the same outlines
    stretch = np.array([1.0, float(camera.focal[1] / camera.focal[0]), 1.0])
    scene: dict[str, Any] = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": _DEPTH},
        "sensor": _sensor(mitsuba, camera, samples),
        "sky": {"type": "envmap", "bitmap": mitsuba.Bitmap(_sky(light))},
    }
    lamps = [Lamp(light.position, light.size, light.color)] + ([] if light.second is None else [light.second])
    for number, lamp in enumerate(lamps):
        scene[f"lamp_{number}"] = _lamp(lamp, light.target, stretch)
    for number in np.unique(surfaces.material):
        scene[f"material_{number}"] = _mesh(mitsuba, surfaces, materials, int(number), stretch)
    return np.array(mitsuba.render(mitsuba.load_dict(scene), spp=samples, seed=seed), dtype=np.float32)


def without_grain(noisy: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Return a path-traced picture (H, W, 3) without sparks and most grain, with the edges of a clean picture `guide`.

    Guided filter (He, Sun & Tang 2013) on square roots of linear colour, in which the noise is uniform: within a small
    window the picture is a linear function of the guide, which shows the same scene.
    """
    picture, clean = np.sqrt(noisy), np.sqrt(guide)
    picture = np.minimum(picture, rank_filter(picture, -3, size=(3, 3, 1)))

    def mean(image: np.ndarray) -> np.ndarray:
        return uniform_filter(image, _WINDOW, axes=(0, 1))

    middle, center = mean(picture), mean(clean)
    variance = np.maximum(mean(clean * clean) - center * center, 0)
    slope = (mean(clean * picture) - center * middle) / (variance + np.float32(_FLAT))
    return np.maximum(mean(slope) * clean + mean(middle - slope * center), 0) ** 2


def _mitsuba() -> Any:
    """Return the module, set to its variant that needs no compiler."""
    try:
        import mitsuba
    except ImportError as error:
        raise ImportError(
            "the second renderer needs Mitsuba; install it with: pip install twohands[shifted]"
        ) from error
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


def _sensor(mitsuba: Any, camera: Camera, samples: int) -> dict[str, Any]:
    """Return the camera. Mitsuba's looks along +z with +x to the left and +y up; its pixel centres are halves."""
    width, height, center = camera.width, camera.height, np.asarray(camera.center, dtype=np.float64)
    return {
        "type": "perspective",
        "fov_axis": "x",
        "fov": math.degrees(2 * math.atan(width / (2 * float(camera.focal[0])))),
        "principal_point_offset_x": 0.5 - (float(center[0]) + 0.5) / width,
        "principal_point_offset_y": 0.5 - (float(center[1]) + 0.5) / height,
        "near_clip": NEAR,
        "far_clip": 100.0,
        "to_world": mitsuba.ScalarTransform4f(np.diag([-1.0, -1.0, 1.0, 1.0])),
        "film": {
            "type": "hdrfilm",
            "width": width,
            "height": height,
            "pixel_format": "rgb",
            "component_format": "float32",
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "multijitter", "sample_count": samples},
    }


def _lamp(lamp: Lamp, target: np.ndarray, stretch: np.ndarray) -> dict[str, Any]:
    """Return a sphere that lights the target as the lamp of `render.shade` lights everything."""
    radius = float(lamp.size) / 2
    radiance = lamp.color * (np.linalg.norm(lamp.position - target) / radius) ** 2
    return {
        "type": "sphere",
        "center": (lamp.position * stretch).tolist(),
        "radius": radius,
        "emitter": {"type": "area", "radiance": {"type": "rgb", "value": radiance.tolist()}},
    }


def _sky(light: Light) -> np.ndarray:
    """Return the radiance (32, 64, 3) float32 from every direction, row 0 from +y, in Mitsuba's arrangement.

    Half a sphere of sky and half of ground give a surface the light that `render.shade` gives it. The harmonics of a
    measured environment are divided by the factors of the cosine lobe in each band (Ramamoorthi & Hanrahan 2001).
    """
    rows, columns = _SKY_SIZE
    polar = (np.arange(rows) + 0.5)[:, None] * np.pi / rows
    around = (np.arange(columns) + 0.5) * 2 * np.pi / columns
    x, y, z = np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around, -np.sin(polar) * np.cos(around)
    if light.environment is not None:
        basis = np.stack(harmonics(x, y, z), axis=-1)  # (32, 64, 9)
        return np.maximum(basis @ (light.environment * _BAND_GAIN[:, None]), 0).astype(np.float32)
    above = np.clip(0.5 + np.stack([x, y, z], axis=-1) @ light.up * rows / np.pi, 0, 1)[..., None]
    return (above * light.sky + (1 - above) * light.ground).astype(np.float32)


def _mesh(mitsuba: Any, surfaces: Surfaces, materials: Materials, number: int, stretch: np.ndarray) -> Any:
    """Return the triangles of one material. Every corner is its own vertex, since textures may break at any edge."""
    faces = np.flatnonzero(surfaces.material == number)
    corners = surfaces.faces[faces].reshape(-1)
    properties = mitsuba.Properties()
    properties["bsdf"] = mitsuba.load_dict({"type": "twosided", "inner": _material(mitsuba, materials, number)})
    mesh = mitsuba.Mesh(
        f"material_{number}",
        len(corners),
        len(faces),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=properties,
    )
    normals = surfaces.normals[corners] / stretch
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    arrays = {
        "vertex_positions": surfaces.vertices[corners] * stretch,
        "vertex_normals": normals / np.where(lengths > 0, lengths, 1.0),  # 0 at corners of faces without area
        "vertex_texcoords": surfaces.uv[faces].reshape(-1, 2) * [1, -1] + [0, 1],  # rows count from the top
    }
    target = mitsuba.traverse(mesh)
    for name, values in arrays.items():
        target[name] = values.astype(np.float32).reshape(-1)
    target["faces"] = np.arange(len(corners), dtype=np.uint32)
    target.update()
    return mesh


def _material(mitsuba: Any, materials: Materials, number: int) -> dict[str, Any]:
    """Return paint under a rough clear coat with a highlight as wide and as strong as that of `render.shade`.

    A Blinn exponent n is a GGX width of alpha^2 = 2 / (n + 2) (Walter et al. 2007). With a reflectance F at normal
    incidence, such a coat returns F / (4 alpha^2) of the light of a white surface at its peak.
    """
    offset, rows, columns = (int(value) for value in materials.layout[number])
    texels = materials.texels[offset : offset + 3 * rows * columns].reshape(rows, columns, 3)
    squared = 2 / (float(materials.gloss[number]) + 2)
    reflectance = 4 * squared * float(materials.specular[number])
    return {
        "type": "principled",
        "base_color": {"type": "bitmap", "bitmap": mitsuba.Bitmap(np.ascontiguousarray(texels))},
        "roughness": squared**0.25,  # Mitsuba squares it to alpha
        "specular": min(reflectance / _HIGHEST_REFLECTANCE, 1.0),
    }
