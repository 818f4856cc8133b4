"""Measure the checks of intrinsics: false alarms on right ones, and how often each planted fault is named.

Usage: python tools/measure_intrinsics_checks.py --frames 100 [--real FOLDER] [--seed 20261101]

Prints Markdown tables. Right intrinsics are those of rendered cameras (nothing is rendered), of typical units of real
depth cameras with a random displacement of the principal point, and of every `cam_K.txt` below FOLDER. A fault that
changes no number by 3 % is not counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from twohands.checks.intrinsics import check_camera
from twohands.geometry.camera import Camera
from twohands.intrinsics import check_intrinsics
from twohands.synth.config import CONFIGS
from twohands.synth.engine import SyntheticHands

Numbers: TypeAlias = tuple[float, float, float, float]  # fx, fy, cx, cy in pixels
Plant: TypeAlias = Callable[[np.random.Generator, Camera], tuple[Numbers, str]]
"""A fault: the wrong numbers, and what the finding must contain."""

TYPICAL = {  # width, height, fx, fy, cx, cy
    "RealSense D415 640x480": (640, 480, 614.2, 614.4, 317.6, 241.7),
    "RealSense D415 848x480": (848, 480, 614.0, 614.2, 421.5, 241.6),
    "RealSense D415 1280x720": (1280, 720, 921.3, 921.6, 632.4, 362.5),
    "RealSense D435 640x480": (640, 480, 616.4, 616.8, 322.6, 238.9),
    "RealSense D435 848x480": (848, 480, 616.2, 616.4, 425.9, 240.2),
    "RealSense D435 1280x720": (1280, 720, 919.6, 919.4, 647.1, 361.4),
    "RealSense D455 640x480": (640, 480, 383.1, 382.5, 322.4, 242.8),
    "RealSense D455 848x480": (848, 480, 424.9, 424.3, 426.7, 243.0),
    "RealSense D455 1280x720": (1280, 720, 637.3, 636.5, 644.1, 364.5),
    "Azure Kinect 1280x720": (1280, 720, 605.3, 605.2, 637.9, 366.6),
    "Azure Kinect 2048x1536": (2048, 1536, 968.5, 968.3, 1020.7, 778.9),
    "iPhone 1920x1440": (1920, 1440, 1443.6, 1443.6, 964.2, 722.1),
    "Orbbec 640x480": (640, 480, 517.3, 517.1, 322.5, 241.8),
    "Orbbec 1280x720": (1280, 720, 749.1, 748.9, 638.5, 358.7),
    "Kinect v1 640x480": (640, 480, 525.0, 525.0, 319.5, 239.5),
    "Kinect v2 512x424": (512, 424, 365.5, 365.5, 254.9, 205.4),
    "Kinect v2 1920x1080": (1920, 1080, 1081.4, 1081.4, 959.5, 539.5),
}
SPREAD = 0.008
"""Standard deviation of the principal points of real units, in image widths; 0.025 at most."""
LEAST_CHANGE = 0.03


def numbers_of(camera: Camera) -> Numbers:
    """Return fx, fy, cx, cy of a camera."""
    (fx, fy), (cx, cy) = np.asarray(camera.focal).tolist(), np.asarray(camera.center).tolist()
    return fx, fy, cx, cy


def camera_of(numbers: Numbers, width: int, height: int) -> Camera:
    """Return the camera of fx, fy, cx, cy."""
    fx, fy, cx, cy = numbers
    return Camera(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32), width, height)


def rendered_cameras(count: int, seed: int) -> list[Camera]:
    """Return the cameras of rendered training frames."""
    frames = SyntheticHands(seed, "train", CONFIGS["full"])
    return [frames.staging(index).view.camera for index in range(count)]


def typical_cameras(count: int, rng: np.random.Generator) -> list[Camera]:
    """Return `count` cameras: the units of TYPICAL in turn, each with its own principal point and focal length."""
    cameras, units = [], list(TYPICAL.values())
    for index in range(count):
        width, height, fx, fy, cx, cy = units[index % len(units)]
        moved = np.clip(rng.normal(0, SPREAD, 2), -0.025, 0.025) * width
        scale = rng.normal(1, 0.01)
        cameras.append(camera_of((fx * scale, fy * scale, cx + moved[0], cy + moved[1]), width, height))
    return cameras


def real_cameras(folder: Path) -> Iterator[tuple[str, Camera]]:
    """Yield the cameras of the recordings in a folder, with their names."""
    for path in sorted(folder.glob("*/cam_K.txt")):
        picture = next(file for file in sorted(path.parent.rglob("*")) if file.suffix in (".png", ".jpg"))
        width, height = Image.open(picture).size
        yield path.parent.name, Camera(np.loadtxt(path).astype(np.float32), width, height)


def scaled(factor: float) -> Plant:
    """Return the fault of intrinsics of an image that is `factor` times as large."""

    def plant(rng: np.random.Generator, camera: Camera) -> tuple[Numbers, str]:
        fx, fy, cx, cy = (factor * number for number in numbers_of(camera))
        return (fx, fy, cx, cy), "would fit"

    return plant


def of_other_aspect(rng: np.random.Generator, camera: Camera) -> tuple[Numbers, str]:
    """Return the intrinsics of a 1280x720 stream, of 1920x1080 where that is the image's own size."""
    width, height = (1920, 1080) if camera.width == 1280 else (1280, 720)
    fx, fy, cx, cy = numbers_of(camera)
    focal = fx / camera.width * width
    center = (cx - camera.width / 2) / camera.width, (cy - camera.height / 2) / camera.width
    return (focal, focal * fy / fx, width * (0.5 + center[0]), height / 2 + width * center[1]), "would fit"


def reordered(order: str) -> Plant:
    """Return the fault of four numbers that were given in another order than fx, fy, cx, cy."""

    def plant(rng: np.random.Generator, camera: Camera) -> tuple[Numbers, str]:
        fx, fy, cx, cy = numbers_of(camera)
        wrong = {"fx,cx,fy,cy": (fx, cx, fy, cy), "cx,cy,fx,fy": (cx, cy, fx, fy)}
        return wrong[order], f"in the order {order}"

    return plant


def unequal(rng: np.random.Generator, camera: Camera) -> tuple[Numbers, str]:
    """Return focal lengths that differ by 3.5 to 30 %."""
    fx, _, cx, cy = numbers_of(camera)
    return (fx, fx * float(rng.uniform(1.036, 1.3)) ** float(rng.choice([-1, 1])), cx, cy), "square pixels"


def displaced(rng: np.random.Generator, camera: Camera) -> tuple[Numbers, str]:
    """Return a principal point that is 10 to 30 % of the width from the middle."""
    fx, fy, cx, cy = numbers_of(camera)
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.3) * camera.width
    along = np.array([np.cos(angle), np.sin(angle)])
    along /= np.abs(along).max()
    return (fx, fy, cx + float(along[0] * distance), cy + float(along[1] * distance)), "the principal point"


def other_field(rng: np.random.Generator, camera: Camera) -> tuple[Numbers, str]:
    """Return a focal length of 0.2 to 0.29 or 2.1 to 10 image widths."""
    fx, fy, cx, cy = numbers_of(camera)
    wide = rng.random() < 0.5
    focal = camera.width * float(rng.uniform(0.2, 0.29) if wide else np.exp(rng.uniform(np.log(2.1), np.log(10))))
    return (focal, focal * fy / fx, cx, cy), "degrees"


FAULTS: dict[str, Plant] = {
    "K of twice the size": scaled(2),
    "K of 1.5 times the size": scaled(1.5),
    "K of half the size": scaled(0.5),
    "K of 1280x720 or 1920x1080": of_other_aspect,
    "order fx,cx,fy,cy": reordered("fx,cx,fy,cy"),
    "order cx,cy,fx,fy": reordered("cx,cy,fx,fy"),
    "fx and fy differ by 3.5 to 30 %": unequal,
    "principal point 10 to 30 % off": displaced,
    "field of view": other_field,
}


def answer(numbers: Numbers, width: int, height: int) -> str:
    """Return the sentences of the refusal or the findings about intrinsics."""
    camera = camera_of(numbers, width, height)
    try:
        check_intrinsics(np.asarray(camera.K), width, height)
    except ValueError as error:
        return str(error)
    return "; ".join(map(str, check_camera(camera)))


def detection(cameras: list[Camera], name: str, rng: np.random.Generator) -> str:
    """Return one cell: how many of the planted faults are found and named, of how many."""
    found = named = counted = 0
    for camera in cameras:
        right = numbers_of(camera)
        wrong, text = FAULTS[name](rng, camera)
        same = camera.width == 1280 and name.startswith("K of 1280")
        if max(abs(a - b) / max(a, b) for a, b in zip(right, wrong, strict=True)) < LEAST_CHANGE and not same:
            continue
        said = answer(wrong, camera.width, camera.height)
        counted, found, named = counted + 1, found + bool(said), named + (text in said)
    return f"{found} and {named} of {counted} ({found / counted:.1%}, {named / counted:.1%})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--seed", type=int, default=20261101)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    rendered = rendered_cameras(options.frames, options.seed)
    groups = {"rendered": rendered, "real geometries": typical_cameras(max(options.frames, 17 * 20), rng)}
    print("| correct intrinsics | false alarms |\n|---|---|")
    for group, cameras in groups.items():
        alarms = sum(bool(answer(numbers_of(camera), camera.width, camera.height)) for camera in cameras)
        print(f"| {group} | {alarms} of {len(cameras)} |")
    for name, camera in real_cameras(options.real) if options.real else ():
        said = answer(numbers_of(camera), camera.width, camera.height)
        print(f"| `{name}`, {camera.width}x{camera.height} | {said or 'none'} |")
    print(f"\n| planted fault: detected and correctly named | {' | '.join(groups)} |\n|---|{'---|' * len(groups)}")
    for name in FAULTS:
        print(f"| {name} | {' | '.join(detection(cameras, name, rng) for cameras in groups.values())} |")


if __name__ == "__main__":
    main()
