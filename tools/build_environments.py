"""Write the light of 18 measured environments: src/twohands/synth/assets/environments.npz.

    pip install OpenEXR
    python tools/build_environments.py

Source: the panoramas of the npm package `@pmndrs/assets` (CC0-1.0; by Poly Haven), fetched by name with `npm pack`.
Every panorama is reduced to nine numbers per colour: the irradiance of a surface by its normal, in real spherical
harmonics (Ramamoorthi & Hanrahan 2001, An efficient representation for irradiance environment maps). A sun or lamp
that is much brighter than its surroundings is removed from them and stored separately: direction, colour, size.
"""

from __future__ import annotations

import base64
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import OpenEXR
from scipy.ndimage import gaussian_filter, label

from twohands.files import write_atomically
from twohands.synth.rendering.shading import harmonics

PACKAGE = "@pmndrs/assets"
VERSION = "1.7.0"
TARGET = Path(__file__).parent.parent / "src" / "twohands" / "synth" / "assets" / "environments.npz"
COSINE_LOBE = np.repeat([1.0, 2 / 3, 1 / 4], [1, 3, 5])  # irradiance / pi for bands 0, 1, 2 of the radiance
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
STANDS_OUT = 12.0  # a pixel this many times brighter than the mean may belong to a lamp
SMALLEST_LAMP = 0.08  # fraction of all light on a surface that faces the lamp; weaker lamps stay in the surroundings
LARGEST_LAMP = 0.30  # radians from its middle; a wider source is not a lamp


def main() -> None:
    names, environments = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, radiance in panoramas(Path(folder)):
            names.append(name)
            environments.append(reduced(radiance))
    harmonic, direction, color, extent = (np.stack(part) for part in zip(*environments, strict=True))
    with write_atomically(TARGET) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            names=np.array(names),
            irradiance=harmonic.astype(np.float32),  # (18, 9, 3), z up, divided by pi
            lamp_direction=direction.astype(np.float32),  # (18, 3) towards the lamp
            lamp_color=color.astype(np.float32),  # (18, 3) irradiance / pi of a surface that faces it; 0: no lamp
            lamp_extent=extent.astype(np.float32),  # (18,) radians across
            source=np.array(f"npm {PACKAGE} {VERSION}, panoramas of Poly Haven"),
            licence=np.array("CC0-1.0"),
        )
    print(f"wrote {TARGET} ({TARGET.stat().st_size} bytes): {', '.join(names)}")


def panoramas(folder: Path):
    """Yield name and radiance (H, W, 3) of every panorama of the package, in order of names."""
    subprocess.run(["npm", "pack", f"{PACKAGE}@{VERSION}"], cwd=folder, check=True, capture_output=True)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as package:
        members = [m for m in package.getmembers() if re.fullmatch(r"package/hdri/\w+\.exr\.js", m.name)]
        for member in sorted(members, key=lambda m: m.name):
            stream = package.extractfile(member)
            assert stream is not None
            encoded = re.search(rb"base64,([A-Za-z0-9+/=]+)", stream.read())
            if encoded is None:
                raise ValueError(f"{member.name} holds no base64 text; is this {PACKAGE} {VERSION}?")
            path = folder / "panorama.exr"
            path.write_bytes(base64.b64decode(encoded[1]))
            yield Path(member.name).name.split(".")[0], OpenEXR.File(str(path)).channels()["RGB"].pixels.astype(float)


def reduced(radiance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return irradiance / pi (9, 3) without the lamp, and the lamp's direction (3,), colour (3,) and size in radians.

    In units in which a surface that faces up has, from surroundings and lamp together, a luminance of 1.
    """
    direction, weight = sphere(*radiance.shape[:2])
    lamp = strongest_lamp(radiance, direction, weight)
    toward, color, extent = np.array([0.0, 0.0, 1.0]), np.zeros(3), 0.0
    if lamp is not None:
        bright = (radiance @ LUMINANCE * weight)[lamp]
        toward = (direction[lamp] * bright[:, None]).sum(axis=0)
        toward = toward / np.linalg.norm(toward)
        around = np.median(radiance[~lamp & (direction @ toward > np.cos(2 * LARGEST_LAMP))], axis=0)
        color = plausible(((radiance[lamp] - around) * weight[lamp][:, None]).sum(axis=0) / np.pi)
        solid_angle = bright.sum() ** 2 / (bright**2 / weight[lamp]).sum()  # solid angle of an equally bright disc
        extent = 2 * np.sqrt(solid_angle / np.pi)
        radiance = np.where(lamp[..., None], around, radiance)
    harmonic = COSINE_LOBE[:, None] * np.einsum("hwi,hwc,hw->ic", basis(direction), radiance, weight)
    up = np.array([0.0, 0.0, 1.0])
    scale = 1 / float((basis(up) @ harmonic + max(toward[2], 0.0) * color) @ LUMINANCE)
    return harmonic * scale, toward, color * scale, extent


def plausible(color: np.ndarray) -> np.ndarray:
    """Return a lamp's colour (3,) of the same luminance. Compression gave some suns ten times as much blue as red."""
    luminance = float(color @ LUMINANCE)
    limited = np.clip(color / luminance, 0.6, 1.4)
    return limited * luminance / float(limited @ LUMINANCE)


def sphere(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return directions (H, W, 3), z up, and solid angles (H, W) of the pixels of a panorama."""
    polar = np.pi * (np.arange(height) + 0.5)[:, None] / height
    azimuth = 2 * np.pi * (np.arange(width) + 0.5)[None] / width
    x, y, z = np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar) + 0 * azimuth
    return np.stack([x, y, z], axis=-1), np.broadcast_to(np.sin(polar), z.shape) * 2 * np.pi**2 / (height * width)


def basis(direction: np.ndarray) -> np.ndarray:
    """Return the spherical harmonics (..., 9) of unit vectors (..., 3)."""
    return np.stack(harmonics.py_func(*np.moveaxis(direction, -1, 0)), axis=-1)


def strongest_lamp(radiance: np.ndarray, direction: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
    """Return the pixels (H, W) bool of the lamp above the horizon that gives most light, None without a lamp."""
    luminance = radiance @ LUMINANCE
    mean = float((np.minimum(luminance, 50 * np.median(luminance)) * weight).sum() / weight.sum())
    width = luminance.shape[1]
    wrapped = np.concatenate([luminance, luminance[:, : width // 8]], axis=1)
    parts = np.zeros(wrapped.shape, dtype=np.int32)
    label(gaussian_filter(wrapped, 1.0) > STANDS_OUT * mean, output=parts)
    best, most = None, SMALLEST_LAMP
    for part in range(1, int(parts.max(initial=0)) + 1):
        mask = parts[:, :width] == part
        mask[:, : width // 8] |= parts[:, width:] == part
        energy = luminance * weight * mask
        toward = (direction * energy[..., None]).sum(axis=(0, 1))
        toward = toward / np.linalg.norm(toward)
        share = energy.sum() / (luminance * weight * np.maximum(direction @ toward, 0)).sum()
        narrow = np.sqrt(weight[mask].sum() / np.pi) < LARGEST_LAMP
        if toward[2] > 0.05 and narrow and share > most:
            best, most = mask, share
    return best


if __name__ == "__main__":
    main()
