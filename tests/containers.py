"""Write recordings as recorders do, small, with the libraries that write these containers: honest files for tests."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from fractions import Fraction

import numpy as np
from PIL import Image

NFOV = (640, 576)
"""Depth images of the Azure Kinect's usual mode, width and height."""
DEPTH_LENS = (0.5479, -0.0210, -0.0027, 0.8897, 0.0861, -0.0139, 0.0, 0.0, -7.2e-5, 2.1e-5)
COLOUR_LENS = (0.3301, -2.4894, 1.4537, 0.2089, -2.3029, 1.3751, 0.0, 0.0, -1.3e-4, -1.6e-4)
"""Lenses of the size of real ones: k1 to k6, centre, p2, p1."""


def scene(width, height, number=0):
    """Return a smooth colour image (H, W, 3) that tells where a pixel is and of which frame, and depth (H, W) mm."""
    v, u = np.mgrid[:height, :width]
    rgb = np.stack([40 + 160 * u / width, 40 + 160 * v / height, np.full(u.shape, 20.0 + 20 * number)], axis=-1)
    depth = 500 + 10 * number + 100 * u / width + 50 * v / height
    depth[: height // 8, : width // 8] = 0
    return rgb.astype(np.uint8), depth.astype(np.uint16)


def jpeg(rgb, quality=95):
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=quality, subsampling=0)
    return stream.getvalue()


def deep_png(values):
    """Return a PNG of values (H, W, 3) uint16, which Pillow does not write."""
    height, width, _ = values.shape
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8).reshape(height, -1)
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(np.insert(rows, 0, 0, axis=1).tobytes()),
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def kinect_camera(kind, lens, principal, focal, rotation=None, translation=(0, 0, 0), sensor=(4096, 3072), radius=0.0):
    """Return one camera of a calibration; principal point and focal lengths are in units of the whole sensor."""
    return {
        "Intrinsics": {
            "ModelParameterCount": 14,
            "ModelParameters": [*principal, *focal, *lens],
            "ModelType": "CALIBRATION_LensDistortionModelBrownConrady",
        },
        "Location": f"CALIBRATION_CameraLocation{kind}",
        "MetricRadius": radius,
        "Rt": {
            "Rotation": np.ravel(np.eye(3) if rotation is None else rotation).tolist(),
            "Translation": list(translation),
        },
        "SensorWidth": sensor[0],
        "SensorHeight": sensor[1],
    }


def kinect_calibration():
    """Return the calibration of an Azure Kinect: depth looks 5 degrees down and is 32 mm beside colour."""
    angle = np.radians(5)
    rotation = [[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]]
    depth = kinect_camera("D0", DEPTH_LENS, (0.513, 0.517), (0.4928, 0.4929), sensor=(1024, 1024), radius=1.74)
    colour = kinect_camera("PV0", COLOUR_LENS, (0.4998, 0.5066), (0.478, 0.6374), rotation, (-0.032, -0.002, 0.004))
    return {"CalibrationInformation": {"Cameras": [depth, colour]}}


def write_kinect(
    path, colours, depths, calibration=None, start_ns=336_277_000, delay_ns=0, titles=("COLOR", "DEPTH"), raw=""
):
    """Write an Azure Kinect recording.

    colours: (time in us, JPEG bytes) of each colour image; depths: (time in us, (H, W) uint16) of each depth image, in
    the recorder's clock. `calibration` None: without the attachment. `raw`: pixel format of colour of 64x48 that is not
    compressed.
    """
    import av

    tags = {"K4A_START_OFFSET_NS": str(start_ns), "K4A_DEPTH_DELAY_NS": str(delay_ns), "title": "Azure Kinect"}
    with av.open(str(path), "w", format="matroska", options={"allow_raw_vfw": "1"}) as container:
        container.metadata.update(tags)
        tracks = []
        for title, images in zip(titles, (colours, depths), strict=True):
            if not images:
                continue
            codec, pixels = ("mjpeg", "yuvj420p") if images is colours else ("rawvideo", "gray16be")
            if images is depths:
                size = images[0][1].shape[::-1]
            elif raw:
                codec, pixels, size = "rawvideo", raw, (64, 48)
            else:
                size = Image.open(io.BytesIO(images[0][1])).size
            stream = container.add_stream(codec, rate=30)
            (stream.width, stream.height), stream.pix_fmt = size, pixels
            stream.metadata["title"] = title
            stream.time_base = Fraction(1, 1000)
            tracks.append((stream, images))
        if calibration is not None:
            text = calibration if isinstance(calibration, bytes) else json.dumps(calibration).encode() + b"\0"
            container.add_attachment("calibration.json", "application/octet-stream", text)
        packets = []
        for stream, images in tracks:
            for time, image in images:
                packet = av.Packet(image if isinstance(image, bytes) else image.astype(">u2").tobytes())
                packet.stream, packet.time_base = stream, Fraction(1, 1_000_000)
                packet.pts = packet.dts = time
                packet.is_keyframe = True
                packets.append((time, packet))
        for _, packet in sorted(packets, key=lambda item: item[0]):
            container.mux(packet)
    content = bytearray(path.read_bytes())
    at = content.find(b"V_MS/VFW/FOURCC")
    while at >= 0:  # the library forgets the tag of the depth track's codec
        start = content.find(b"\x28\x00\x00\x00", at)  # the header of 40 bytes
        content[start + 16 : start + 20] = b"b16g"
        at = content.find(b"V_MS/VFW/FOURCC", at + 1)
    path.write_bytes(content)


def write_record3d(path, frames, metadata, files=None):
    """Write an `.r3d` file; frames: number -> (rgb (H, W, 3), depth (h, w) metres, confidence (h, w) or None)."""
    import lzfse

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata", json.dumps(metadata))
        for number, (rgb, depth, confidence) in frames.items():
            archive.writestr(f"rgbd/{number}.jpg", jpeg(rgb))
            archive.writestr(f"rgbd/{number}.depth", lzfse.compress(depth.astype("<f4").tobytes()))
            if confidence is not None:
                archive.writestr(f"rgbd/{number}.conf", lzfse.compress(confidence.astype(np.uint8).tobytes()))
        for name, content in (files or {}).items():
            archive.writestr(name, content)


def write_video(path, images, rate=30, turned=False, codec="libx264"):
    """Write colour images (H, W, 3) as a video of high quality; `turned`: with the mark to show it turned by 90."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"crf": "4"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for rgb in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    if turned:
        content = bytearray(path.read_bytes())
        at = content.find(b"tkhd") + 44  # the matrix follows version, times, number, duration and layers
        content[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
        path.write_bytes(content)
