"""Write a recording as one MCAP file with Foxglove's messages: lossless colour, registered depth, camera, times."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from twohands.files import write_atomically
from twohands.sources.common import require
from twohands.sources.source import Entry, Source
from twohands.sources.writing import CAMERA_CHANGES, CameraChangedError
from twohands.types import RGBDFrame

COLOUR, DEPTH, CALIBRATION = "/color/image", "/aligned_depth_to_color/image", "/color/calibration"
"""Topics of the file."""
FRAME = "camera"
"""Name of the one coordinate frame, that of the colour camera."""
SLACK = 0.001
"""Largest distance in millimetres of depth from whole ones that is a rounding error."""


class OffGridError(Exception):
    """Signal that depth is finer than the whole millimetres with which the file was begun."""


class McapWriter:
    """Writer of one file: colour as PNG, depth as PNG of millimetres, or as floats in metres where it is finer.

    The file appears when all frames are in it.
    """

    def __init__(self, path: str | Path):
        """Take the path of a file that does not exist; raise ValueError if it does, or if a package is missing."""
        self.path = Path(path)
        self.failed: dict[str, str] = {}
        """Reasons by the names of the frames that could not be used."""
        if self.path.exists():
            raise ValueError(f"{self.path} is there already; remove it or give another name")
        what = "Foxglove's messages in MCAP"
        self._messages = {
            name: getattr(require(f"foxglove_schemas_protobuf.{name}_pb2", "ros", what), name)
            for name in ("CompressedImage", "RawImage", "CameraCalibration")
        }
        self._writer = require("mcap_protobuf.writer", "ros", what).Writer
        self._K: np.ndarray | None = None

    def write(self, source: Source) -> Iterator[Entry]:
        """Write every frame of a recording and yield its entry, whether it was written or failed.

        Raise ValueError when the camera changes within the recording, when it has no time stamps, and when no frame
        could be used.
        """
        with write_atomically(self.path) as temporary:
            written = 0
            try:
                for entry in self._pass(source, temporary, in_millimetres=True):
                    written += 1
                    yield entry
            except OffGridError:
                for number, entry in enumerate(self._pass(source, temporary, in_millimetres=False)):
                    if number >= written:
                        yield entry
            if self._K is None:
                reason = next(iter(self.failed.values()), "it has no frame with colour and depth")
                raise ValueError(f"no frame could be used; the first: {reason}")

    def _pass(self, source: Source, path: Path, in_millimetres: bool) -> Iterator[Entry]:
        """Write a whole file; raise OffGridError for finer depth than millimetres if it is to be in these."""
        self.failed.clear()
        with path.open("wb") as stream, self._writer(stream) as writer:
            for entry in source:
                try:
                    self._put(writer, entry, entry.open(), in_millimetres)
                except (ValueError, FileNotFoundError) as error:
                    if isinstance(error, CameraChangedError | UntimedError):
                        raise
                    self.failed[entry.name] = str(error)
                yield entry

    def _put(self, writer: Any, entry: Entry, frame: RGBDFrame, in_millimetres: bool) -> None:
        if entry.seconds is None:
            raise UntimedError("the recording has no time stamps, which MCAP needs; give --fps")
        ns = round(Decimal(entry.seconds) * 10**9)
        of_all = {"timestamp": {"seconds": ns // 10**9, "nanos": ns % 10**9}, "frame_id": FRAME}
        depth = self._depth(frame, of_all, in_millimetres)
        colour = self._messages["CompressedImage"](**of_all, data=_png(frame.rgb_uint8()), format="png")
        for topic, message in ((CALIBRATION, self._calibration(frame, of_all)), (COLOUR, colour), (DEPTH, depth)):
            writer.write_message(topic, message, log_time=ns, publish_time=ns)

    def _depth(self, frame: RGBDFrame, of_all: dict[str, Any], in_millimetres: bool) -> Any:
        metres = np.ascontiguousarray(frame.depth, dtype="<f4")
        if not in_millimetres:
            height, width = metres.shape
            size = {"width": width, "height": height, "step": 4 * width}
            return self._messages["RawImage"](**of_all, **size, encoding="32FC1", data=metres.tobytes())
        exact = metres.astype(np.float64) * 1000
        steps = np.rint(exact)
        if steps.max() >= 65535 or np.abs(exact - steps).max() > SLACK:
            raise OffGridError
        return self._messages["CompressedImage"](**of_all, data=_png(steps.astype(np.uint16)), format="png")

    def _calibration(self, frame: RGBDFrame, of_all: dict[str, Any]) -> Any:
        camera, K = frame.camera, np.asarray(frame.camera.K, dtype=np.float64)
        size = {"width": camera.width, "height": camera.height}
        found = np.array([*K.ravel(), *size.values()])
        if self._K is not None and not np.allclose(found, self._K, rtol=0, atol=1e-3):
            raise CameraChangedError(CAMERA_CHANGES.format("a file"))
        self._K = found
        matrices = {"K": K.ravel(), "R": np.eye(3).ravel(), "P": np.c_[K, np.zeros(3)].ravel()}
        values = {name: matrix.tolist() for name, matrix in matrices.items()}
        return self._messages["CameraCalibration"](
            **of_all, **size, **values, D=[0.0] * 5, distortion_model="plumb_bob"
        )


class UntimedError(ValueError):
    """Error for frames without a time stamp."""


def _png(image: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
