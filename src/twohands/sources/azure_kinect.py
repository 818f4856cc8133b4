"""Read recordings of the Azure Kinect and of cameras that write its format: Matroska with its calibration inside.

Colour is MJPEG; depth is big-endian uint16 millimetres of a camera of its own, moved into the colour camera here. Both
lenses distort: colour is undone with the same K, and depth is registered to the undistorted image.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from twohands.findings import Finding
from twohands.geometry.camera import Camera
from twohands.geometry.distortion import Lens, undistorted
from twohands.geometry.registration import Registration
from twohands.intrinsics import Intrinsics
from twohands.sources.common import decode_rgb, require
from twohands.sources.source import Entry
from twohands.types import RGBDFrame

MATROSKA = b"\x1a\x45\xdf\xa3"
"""First bytes of every Matroska file."""
COLOUR_WINDOWS = {
    (1280, 720): (1280, 960, 0, 120),
    (1920, 1080): (1920, 1440, 0, 180),
    (2560, 1440): (2560, 1920, 0, 240),
    (2048, 1536): (2048, 1536, 0, 0),
    (3840, 2160): (3840, 2880, 0, 360),
    (4096, 3072): (4096, 3072, 0, 0),
}
"""Window of each colour mode: width and height of the whole sensor at the mode's scale, then left and top."""
DEPTH_WINDOWS = {
    (640, 576): (1024, 1024, 192, 180),
    (320, 288): (512, 512, 96, 90),
    (512, 512): (512, 512, 0, 0),
    (1024, 1024): (1024, 1024, 0, 0),
}
"""Window of each depth mode, in the same form."""
DEFAULT_RADIUS = 1.7
"""Largest radius on the plane z = 1 for which a lens model holds, where the calibration has none."""
LARGEST_RESIDUAL = 1e-3
"""Largest error on the plane z = 1 with which the distortion of a depth pixel is undone; others are left out."""
MOST_WAITING = 64
"""Number of images of one track that are kept while the other track lags behind."""


@dataclass(frozen=True)
class SensorCalibration:
    """One camera of the calibration, for the size of its images."""

    camera: Camera
    lens: Lens
    T_camera_from_depth: np.ndarray  # (4, 4) metres
    radius: float  # largest radius on the plane z = 1 for which the lens model holds

    def undistort(self, plane: np.ndarray) -> np.ndarray:
        """Return ideal points (N, 2) on the plane z = 1 of those that the lens shows; NaN where the model ends."""
        with np.errstate(all="ignore"):  # the iteration diverges beyond the model's end
            ideal = Lens("inverse", self.lens.coefficients).distort(plane)
            wrong = ~(np.abs(self.lens.distort(ideal) - plane).max(axis=-1) < LARGEST_RESIDUAL)
        ideal[wrong | (np.linalg.norm(ideal, axis=-1) > self.radius)] = np.nan
        return ideal


@dataclass(frozen=True)
class _Image:
    """A coded image of one track; `time` in nanoseconds of the camera's clock, colour's exposure for both tracks."""

    time: int
    content: bytes


def is_azure_kinect(path: str | Path) -> bool:
    """Return whether a file is Matroska, the container of the Azure Kinect."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(4) == MATROSKA


class AzureKinect:
    """Frames of an Azure Kinect recording: each colour image with the depth image that was taken together with it.

    Raises FileNotFoundError or ValueError at once when the recording cannot be used. A colour image without depth, or a
    damaged one, raises only when it is opened. A recording that was cut off ends where it is cut.
    """

    length: int | None = None
    """Matroska does not store the number of images."""
    intrinsics: Intrinsics | None = None
    """They come with the frames."""

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self._av = require("av", "video", "Azure Kinect recordings (.mkv)")
        with self._opened() as container:
            colour, depth = self._tracks(container)
            self._rate = Fraction(colour.average_rate or 30)
            tags = {**container.metadata, **depth.metadata}
            self._start, self._delay = (int(tags.get(f"K4A_{name}_NS", 0)) for name in ("START_OFFSET", "DEPTH_DELAY"))
            sizes = [(track.width, track.height) for track in (colour, depth)]
            values = self._calibration(container)
        self._colour, self._depth = (
            read_calibration(values, *found, self._path.name)
            for found in zip(("PV0", "D0"), sizes, (COLOUR_WINDOWS, DEPTH_WINDOWS), strict=True)
        )
        self._register = Registration(
            self._depth.camera, self._colour.camera, self._colour.T_camera_from_depth, self._depth.undistort
        )

    @property
    def about(self) -> str:
        """Sizes of the images and their rate."""
        colour, depth = self._colour.camera, self._depth.camera
        return (
            f"Azure Kinect, colour {colour.width}x{colour.height} (MJPEG), depth {depth.width}x"
            f"{depth.height} in millimetres, {float(self._rate):g} images a second, calibration inside"
        )

    def __iter__(self) -> Iterator[Entry]:
        with self._opened() as container:
            for number, (colour, depth) in enumerate(self._pairs(container)):
                name = f"{number:06d}"
                yield Entry(name, colour.time / 1e9, partial(self._open, name, colour, depth))

    def _open(self, name: str, colour: _Image, depth: _Image | None) -> RGBDFrame:
        name = f"{self._path.name}: image {name}"
        if depth is None:
            raise FileNotFoundError(f"{name} has no depth image that was taken together with it; the recorder lost it")
        rgb = decode_rgb(colour.content, name)
        camera, measured = self._colour.camera, self._depth.camera
        if rgb.shape[:2] != (camera.height, camera.width):
            raise ValueError(
                f"{name} has {rgb.shape[1]}x{rgb.shape[0]} pixels, not those of its track; record it again"
            )
        if len(depth.content) != 2 * measured.width * measured.height:
            raise ValueError(f"the depth of {name} is cut off ({len(depth.content)} bytes); copy the recording again")
        steps = np.frombuffer(depth.content, ">u2").reshape(measured.height, measured.width)
        registered = self._register(steps.astype(np.float32) / np.float32(1000))
        rgb, _, shift = undistorted(rgb, registered, camera, self._colour.lens)
        sentence = f"depth was registered to colour, and colour's lens distortion undone (by up to {shift:.1f} px)"
        note = Finding("undistorted", "note", sentence, {"largest_shift_px": round(shift, 2)})
        frame = RGBDFrame.from_arrays(rgb, registered, camera.K, depth_unit=1)
        return replace(frame, findings=(note, *frame.findings), depth_unit=0.001)

    def _opened(self) -> Any:
        """Return the open container."""
        try:
            return self._av.open(str(self._path))
        except FileNotFoundError:
            raise FileNotFoundError(f"recording {self._path} does not exist; check the path") from None
        except self._av.FFmpegError as error:
            raise ValueError(
                f"{self._path} is not a readable Matroska file ({error.strerror}); copy it again"
            ) from None

    def _tracks(self, container: Any) -> tuple[Any, Any]:
        """Return the colour and the depth stream."""
        tracks = {_title(stream): stream for stream in container.streams.video}
        if not {"COLOR", "DEPTH", "IR"} & set(tracks):
            raise ValueError(f"{self._path} has no tracks COLOR and DEPTH: it is not an Azure Kinect recording")
        if "COLOR" not in tracks:
            raise ValueError(f"{self._path} has no colour track; record it with colour (k4arecorder -c 720p)")
        if "DEPTH" not in tracks:
            raise ValueError(f"{self._path} has no depth track; record it with depth (k4arecorder -d NFOV_UNBINNED)")
        colour, depth = tracks["COLOR"], tracks["DEPTH"]
        if colour.codec_context.name != "mjpeg":
            mode = colour.metadata.get("K4A_COLOR_MODE", colour.codec_context.name)
            raise ValueError(
                f"the colour track of {self._path} is {mode}, and only MJPEG is read; record it with "
                "k4arecorder -c 720p, 1080p, 1440p, 1536p, 2160p or 3072p"
            )
        return colour, depth

    def _calibration(self, container: Any) -> dict[str, Any]:
        attached = [stream for stream in container.streams if stream.type == "attachment"]
        found = next((stream for stream in attached if "K4A_CALIBRATION_FILE" in stream.metadata), None)
        found = found or next((stream for stream in attached if stream.name == "calibration.json"), None)
        if found is None:
            raise ValueError(
                f"{self._path} has no attachment calibration.json, without which depth cannot be registered to colour; "
                "give the file as k4arecorder wrote it (programs that cut or convert video drop the calibration)"
            )
        try:
            return json.loads(bytes(found.data).rstrip(b"\0"))
        except ValueError as error:
            raise ValueError(f"the calibration in {self._path} is damaged ({error}); copy the file again") from None

    def _pairs(self, container: Any) -> Iterator[tuple[_Image, _Image | None]]:
        """Yield colour images in order, each with the depth image within a quarter of a period of it, or None."""
        colour_track, depth_track = self._tracks(container)
        colours, depths = deque[_Image](), deque[_Image]()
        for packet in self._packets(container, colour_track, depth_track):
            time = round(packet.pts * packet.time_base * 10**9) + self._start
            if packet.stream.index == colour_track.index:
                colours.append(_Image(time, bytes(packet)))
            else:
                depths.append(_Image(time - self._delay, bytes(packet)))
            while colours and (len(colours) > MOST_WAITING or (depths and self._is_late(depths[-1], colours[0]))):
                yield colours[0], self._partner(colours.popleft(), depths)
            if len(depths) > MOST_WAITING:
                depths.popleft()
        while colours:
            yield colours[0], self._partner(colours.popleft(), depths)

    def _packets(self, container: Any, *tracks: Any) -> Iterator[Any]:
        """Yield the packets of tracks up to the end of the file, or to where it is damaged."""
        try:
            yield from (packet for packet in container.demux(*tracks) if packet.pts is not None)
        except self._av.FFmpegError:
            return

    def _is_late(self, depth: _Image, colour: _Image) -> bool:
        """Return whether no better depth image than those up to this one can follow for a colour image."""
        return depth.time >= colour.time - self._window

    def _partner(self, colour: _Image, depths: deque[_Image]) -> _Image | None:
        while depths and depths[0].time < colour.time - self._window:
            depths.popleft()
        return depths.popleft() if depths and depths[0].time <= colour.time + self._window else None

    @property
    def _window(self) -> int:
        return int(10**9 / self._rate / 4)


def read_calibration(
    values: dict[str, Any],
    kind: str,
    size: tuple[int, int],
    windows: dict[tuple[int, int], tuple[int, int, int, int]],
    name: str,
) -> SensorCalibration:
    """Return one camera of a calibration: `kind` is PV0 (colour) or D0 (depth), `size` that of its images in pixels.

    The file has 14 numbers: cx, cy, fx, fy in units of the whole sensor, from its corner; k1 to k6; the centre of
    distortion; p2 and p1. Raise ValueError, with the recording's `name`, for sizes and models that are not known.
    """
    if size not in windows:
        raise ValueError(f"{name} has images of {size[0]}x{size[1]} pixels, no mode of this camera; record it again")
    try:
        cameras = values["CalibrationInformation"]["Cameras"]
        found = next(camera for camera in cameras if camera["Location"] == f"CALIBRATION_CameraLocation{kind}")
        model, parameters = found["Intrinsics"]["ModelType"], found["Intrinsics"]["ModelParameters"][:14]
        cx, cy, fx, fy, *radial, centre_x, centre_y, p2, p1 = (float(value) for value in parameters)
        k1, k2, k3, k4, k5, k6 = radial
        rotation = np.reshape(np.array(found["Rt"]["Rotation"], dtype=np.float64), (3, 3))
        translation = np.reshape(np.array(found["Rt"]["Translation"], dtype=np.float64), 3)
        sensor = int(found["SensorWidth"]), int(found["SensorHeight"])
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise ValueError(
            f"the calibration in {name} lacks the values of camera {kind} ({error!r}); give the file as it was recorded"
        ) from None
    # Early units have Rational6KT, whose mixed tangential terms lack the factor 2: below 0.1 px with real lenses.
    if not model.endswith(("BrownConrady", "Rational6KT")) or centre_x or centre_y:
        raise ValueError(f"the lens model {model} in {name} is not known; undistort the images yourself")
    if kind == "PV0" and sensor[0] * 9 == sensor[1] * 16:  # early calibrations of 4096x2304 of the sensor's 3072 rows
        cy, fy = (cy * 2304 + 384) / 3072, fy * 2304 / 3072
    width, height, left, top = windows[size]
    K = np.array([[fx * width, 0, cx * width - left - 0.5], [0, fy * height, cy * height - top - 0.5], [0, 0, 1]])
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation, translation
    lens = Lens("brown", (k1, k2, p1, p2, k3, k4, k5, k6))
    return SensorCalibration(Camera(K, *size), lens, T, float(found.get("MetricRadius") or DEFAULT_RADIUS))


def _title(stream: Any) -> str:
    """Return COLOR, DEPTH or IR for the tracks of this camera, by its tags or by the track's title."""
    for kind in ("COLOR", "DEPTH", "IR"):
        if f"K4A_{kind}_MODE" in stream.metadata:
            return kind
    return stream.metadata.get("title", "")
