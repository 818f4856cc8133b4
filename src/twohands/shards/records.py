"""The bytes of stored frames: a frame is four files, a shard is a tar of frames, and a record finds the files in it.

The files of a frame: `NNNNNN.jpg` colour, `.depth.png` 16-bit depth, `.masks.png` (0 none, 1 left, 2 right, 3 both),
`.npz` labels: the fields that the `Sample` has, by name, and `depth_step` where a depth step is not a millimetre. The
file names follow WebDataset, so its readers see one sample per frame. Nothing here accesses a disk.
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

from twohands.types import HandParameters, RGBDFrame, Sample, TwoHands

ENDINGS = ("jpg", "depth.png", "masks.png", "npz")
"""The files of a frame, in the order in which a shard holds them."""
PARAMETERS = ("pose", "shape", "rotation", "translation")
OURS = "free"
"""Joint definition of the frames that this package renders."""
STEP = 1e-3
"""Depth step in metres of the frames that this package renders."""
FINE_STEP = 1e-4
"""Depth step in metres of other frames, unless a depth is beyond 6.5 m."""
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class ShardRecord:
    """The index entry of a shard."""

    first: int  # number of the first frame
    size: int  # bytes
    sha256: str  # checksum of the whole file, compared when a run resumes in its folder
    members: list[list[int]]  # for each file of each frame, in order: offset, size, crc32

    def files(self, content: bytes | mmap, index: int) -> dict[str, bytes]:
        """Return the four files of a frame by their ending. Raise ValueError when one differs from what was written."""
        files = {}
        for number, ending in enumerate(ENDINGS, len(ENDINGS) * (index - self.first)):
            offset, size, checksum = self.members[number]
            files[ending] = content[offset : offset + size]
            if zlib.crc32(files[ending]) != checksum:
                raise ValueError(f"{member_name(index, ending)} is not what was written")
        return files


def member_name(index: int, ending: str) -> str:
    """Return the name of a file of a frame."""
    return f"{index:06d}.{ending}"


def pack(frames: Iterable[tuple[int, dict[str, bytes]]]) -> bytes:
    """Return a tar of numbered frames. It has no times and owners, so its bytes are the same on every machine."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for index, files in frames:
            for ending in ENDINGS:
                header = tarfile.TarInfo(member_name(index, ending))
                header.size = len(files[ending])
                archive.addfile(header, io.BytesIO(files[ending]))
    return stream.getvalue()


def examine(content: bytes | mmap, indices: range) -> ShardRecord:
    """Return the record of a shard. Raise ValueError when it is not the whole tar of these frames."""
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
    """Return the four files of a frame by their ending.

    The id and the joint definition are stored unless they are those of a frame that this package rendered. Raise
    ValueError for depth that does not fit into 16 bits.
    """
    step = _step_of(sample)
    depth = np.round(np.asarray(sample.frame.depth) / step)
    if depth.max() > np.iinfo(np.uint16).max:
        raise ValueError(
            f"{sample.id} measures {sample.frame.depth.max():.1f} m, more than 16 bits hold; is it metres?"
        )
    masks = np.zeros(depth.shape, np.uint8) if sample.masks is None else sample.masks[0] + np.uint8(2) * sample.masks[1]
    parameters = sample.hands.parameters
    targets: dict[str, Any] = {
        **{name: getattr(sample.hands, name) for name in ("vertices", "joints", "present")},
        **({} if parameters is None else {name: getattr(parameters, name) for name in PARAMETERS}),
        "visibility": sample.visibility,
        "shares": sample.visible_fraction,
        "presence_known": sample.presence_known,
        "K": sample.frame.camera.K,
    }
    if sample.joint_definition != OURS:
        targets |= {"joint_definition": sample.joint_definition, "id": sample.id, "depth_step": step}
        targets |= {"no_masks": True} if sample.masks is None else {}
    stream = io.BytesIO()
    np.savez(stream, **{name: value for name, value in targets.items() if value is not None})
    return {
        "jpg": _image_bytes(sample.frame.rgb_uint8(), "JPEG", quality=_JPEG_QUALITY, subsampling=0),
        "depth.png": _image_bytes(depth.astype(np.uint16), "PNG", compress_level=3),
        "masks.png": _image_bytes(masks, "PNG", compress_level=3),
        "npz": stream.getvalue(),
    }


def _step_of(sample: Sample) -> float:
    """Return the depth step of a frame: STEP if this package rendered it, else the finest that holds its depth."""
    fits = float(np.max(sample.frame.depth)) < FINE_STEP * np.iinfo(np.uint16).max
    return FINE_STEP if sample.joint_definition != OURS and fits else STEP


def decode_sample(files: dict[str, bytes], identity: str) -> Sample:
    """Return the frame that `encode_sample` stored."""
    color, depth, masks = (np.array(Image.open(io.BytesIO(files[ending]))) for ending in ENDINGS[:3])
    with np.load(io.BytesIO(files["npz"])) as archive:
        truth = {name: archive[name] for name in archive.files}
    parameters = HandParameters(*(truth[name] for name in PARAMETERS)) if PARAMETERS[0] in truth else None
    step = float(truth.get("depth_step", STEP))
    return Sample(
        frame=RGBDFrame.from_arrays(color, depth.astype(np.uint16), truth["K"], depth_unit=step),
        hands=TwoHands(truth.get("vertices"), truth["joints"], truth["present"], parameters),
        masks=None if "no_masks" in truth else np.stack([masks & 1, masks & 2]) > 0,
        visibility=truth.get("visibility"),
        visible_fraction=truth.get("shares"),
        joint_definition=str(truth.get("joint_definition", OURS)),
        id=str(truth.get("id", identity)),
        presence_known=truth.get("presence_known"),
    )


def _image_bytes(image: np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()
