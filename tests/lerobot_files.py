"""Write small LeRobot data sets of version 3, as its own recorder does: tables by pyarrow, videos by PyAV."""

from __future__ import annotations

import io
import json

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from containers import scene

WIDTH, HEIGHT, FPS = 96, 64, 30
LENGTHS = (7, 5, 6)
"""Images of each episode; all of them are in one video."""
COLOUR, DEPTH = "observation.images.front", "observation.images.front_depth"
K = [[80.5, 0, 47.25], [0, 81.25, 31.75], [0, 0, 1]]
RANGE = {"video.depth_min": 0.01, "video.depth_max": 10.0, "video.shift": 3.5, "video.use_log": True}
CODECS = {
    "gray12le": ("libx265", {"x265-params": "lossless=1:log-level=none"}),
    "gray16le": ("ffv1", {}),
}


def pictures(episode, number):
    """Return colour, and depth (H, W) uint16 mm with a hole, of one image."""
    return scene(WIDTH, HEIGHT, 3 * episode + number % 3)


def codes(millimetres):
    """Return 12-bit codes as LeRobot makes them: of the logarithm, in the unit of the input."""
    low, high, shift = (1000 * RANGE[f"video.{name}"] for name in ("depth_min", "depth_max", "shift"))
    part = (np.log(millimetres + shift) - np.log(low + shift)) / (np.log(high + shift) - np.log(low + shift))
    return np.rint(part * 4095).clip(0, 4095).astype(np.uint16)


def write_stream(path, images, codec, pixels, options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        for image in images:
            if image.ndim == 3:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            else:
                frame = av.VideoFrame(WIDTH, HEIGHT, pixels)
                rows = np.zeros((HEIGHT, frame.planes[0].line_size // 2), "<u2")
                rows[:, :WIDTH] = image
                frame.planes[0].update(rows.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def coded(image, form):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, form)
    return {"bytes": stream.getvalue(), "path": None}


def write_data_set(root, depth_format="gray12le", cameras=None, facts=None):
    """Write a data set; `depth_format` "TIFF" puts all images into the table. `facts` are more of the depth stream."""
    everything = [(e, k) for e, length in enumerate(LENGTHS) for k in range(length)]
    table = {
        "timestamp": pa.array([k / FPS for _, k in everything], pa.float32()),
        "frame_index": [k for _, k in everything],
        "episode_index": [e for e, _ in everything],
    }
    in_table, suffix = depth_format == "TIFF", ".mkv" if depth_format == "gray16le" else ".mp4"
    video_path = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}" + suffix
    if in_table:
        table[COLOUR] = [coded(pictures(*place)[0], "PNG") for place in everything]
        table[DEPTH] = [coded((pictures(*place)[1] / 1000).astype(np.float32), "TIFF") for place in everything]
    else:
        turn = codes if depth_format == "gray12le" else np.asarray
        for key, images, stream in (
            (COLOUR, [pictures(*place)[0] for place in everything], ("libx264", "yuv420p", {"crf": "4"})),
            (
                DEPTH,
                [turn(pictures(*place)[1]) for place in everything],
                (CODECS[depth_format][0], depth_format, CODECS[depth_format][1]),
            ),
        ):
            write_stream(root / video_path.format(video_key=key, chunk_index=0, file_index=2), images, *stream)
    dtype = "image" if in_table else "video"
    depth_facts = {"is_depth_map": True, "depth_unit": "m" if in_table else "mm"}
    depth_facts |= RANGE if depth_format == "gray12le" else {}
    info = {
        "codebase_version": "v3.0",
        "fps": FPS,
        "total_episodes": len(LENGTHS),
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": None if in_table else video_path,
        "features": {
            COLOUR: {"dtype": dtype, "shape": [HEIGHT, WIDTH, 3], "info": {"video.is_depth_map": False}},
            DEPTH: {"dtype": dtype, "shape": [HEIGHT, WIDTH, 1], "info": depth_facts | (facts or {})},
            "action": {"dtype": "float32", "shape": [6]},
        },
    }
    starts = np.cumsum([0, *LENGTHS[:-1]])
    episodes = [
        {
            "episode_index": e,
            "length": length,
            "data/chunk_index": 0,
            "data/file_index": 0,
            "stats/action/mean": [0.0] * 6,
            **{
                f"videos/{key}/{name}": value
                for key in ([] if in_table else [COLOUR, DEPTH])
                for name, value in (
                    ("chunk_index", 0),
                    ("file_index", 2),
                    ("from_timestamp", starts[e] / FPS),
                    ("to_timestamp", (starts[e] + length) / FPS),
                )
            },
        }
        for e, length in enumerate(LENGTHS)
    ]
    for path, content in (
        (root / "data/chunk-000/file-000.parquet", pa.table(table)),
        (root / "meta/episodes/chunk-000/file-000.parquet", pa.Table.from_pylist(episodes[:2])),
        (root / "meta/episodes/chunk-000/file-001.parquet", pa.Table.from_pylist(episodes[2:])),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(content, path)
    (root / "meta/info.json").write_text(json.dumps(info))
    if cameras is None:
        cameras = {COLOUR: {"depth_key": DEPTH, "width": WIDTH, "height": HEIGHT, "K": K, "D": [0, 0, 0, 0, 0]}}
    (root / "cameras.json").write_text(json.dumps(cameras))
    return root
