"""Bytes of stored frames: a frame as four files, a shard as a tar of frames, and the table that finds them in it.

Of each frame: `NNNNNN.jpg` colour, `.depth.png` 16-bit millimetres, `.masks.png` 0 none, 1 left, 2 right, `.npz` truth.
The names are those of WebDataset, whose readers see one sample per frame. Nothing here touches a disk.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from mmap import mmap
from typing import Any

import numpy as np
from PIL import Image

from twohands.synth.sensors import STEP
from twohands.types import HandParameters, RGBDFrame, Sample, TwoHands

ENDINGS = ("jpg", "depth.png", "masks.png", "npz")
"""The files of a frame, in the order in which a shard holds them."""
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class ShardRecord:
    """What the index tells of a shard."""

    first: int  # number of the first frame
    size: int  # bytes
    sha256: str
    members: list[list[int]]  # for each file of each frame, in order: offset, size, crc32

    def files(self, content: bytes | mmap, index: int) -> dict[str, bytes]:
        """The four files of a frame by their ending; ValueError when one is not what was written."""
        files = {}
        for number, ending in enumerate(ENDINGS, len(ENDINGS) * (index - self.first)):
            offset, size, checksum = self.members[number]
            files[ending] = content[offset : offset + size]
            if zlib.crc32(files[ending]) != checksum:
                raise ValueError(f"{member_name(index, ending)} is not what was written")
        return files


def member_name(index: int, ending: str) -> str:
    """The name of a file of a frame."""
    return f"{index:06d}.{ending}"


def pack(frames: Iterable[tuple[int, dict[str, bytes]]]) -> bytes:
    """A tar of numbered frames without times and owners: the same bytes anywhere."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for index, files in frames:
            for ending in ENDINGS:
                header = tarfile.TarInfo(member_name(index, ending))
                header.size = len(files[ending])
                archive.addfile(header, io.BytesIO(files[ending]))
    return stream.getvalue()


def examine(content: bytes | mmap, indices: range) -> ShardRecord:
    """The record of a shard; ValueError when it is not the whole tar of these frames."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            found = archive.getmembers()
    except tarfile.TarError as error:
        raise ValueError(str(error)) from None
    if [member.name for member in found] != [member_name(index, ending) for index in indices for ending in ENDINGS]:
        raise ValueError(f"it does not hold the frames {indices.start} to {indices.stop - 1}")
    members = [
        [member.offset_data, member.size, zlib.crc32(content[member.offset_data : member.offset_data + member.size])]
        for member in found
    ]
    return ShardRecord(indices.start, len(content), hashlib.sha256(content).hexdigest(), members)


def encode_sample(sample: Sample) -> dict[str, bytes]:
    """The four files of a frame by their ending."""
    assert sample.masks is not None
    assert sample.hands.parameters is not None
    masks = (sample.masks[0] + 2 * sample.masks[1]).astype(np.uint8)
    depth = np.round(sample.frame.depth / STEP).astype(np.uint16)
    parameters = sample.hands.parameters
    targets = {
        **{name: getattr(sample.hands, name) for name in ("vertices", "joints", "present")},
        **{name: getattr(parameters, name) for name in ("pose", "shape", "rotation", "translation")},
        "visibility": sample.visibility,
        "shares": sample.shares,
        "K": sample.frame.camera.K,
    }
    stream = io.BytesIO()
    np.savez(stream, **targets)
    return {
        "jpg": _image_bytes(sample.frame.rgb_uint8(), "JPEG", quality=_JPEG_QUALITY, subsampling=0),
        "depth.png": _image_bytes(depth, "PNG", compress_level=3),
        "masks.png": _image_bytes(masks, "PNG", compress_level=3),
        "npz": stream.getvalue(),
    }


def decode_sample(files: dict[str, bytes], identity: str) -> Sample:
    """The frame that `encode_sample` stored."""
    images = [np.array(Image.open(io.BytesIO(files[ending]))) for ending in ENDINGS[:3]]
    with np.load(io.BytesIO(files["npz"])) as archive:
        truth = {name: archive[name] for name in archive.files}
    parameters = HandParameters(*(truth[name] for name in ("pose", "shape", "rotation", "translation")))
    return Sample(
        frame=RGBDFrame.from_arrays(images[0], images[1].astype(np.uint16), truth["K"], depth_unit=STEP),
        hands=TwoHands(truth["vertices"], truth["joints"], truth["present"], parameters),
        masks=np.stack([images[2] == 1, images[2] == 2]),
        visibility=truth["visibility"],
        shares=truth["shares"],
        joint_definition="free",
        id=identity,
    )


def _image_bytes(image: np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()
