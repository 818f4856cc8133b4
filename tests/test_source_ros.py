"""Recordings of ROS, Foxglove and the RealSense SDK, written in small with their own libraries."""

import os
import re
import shutil
import sqlite3
import struct
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags")
pytest.importorskip("mcap")

from rosbags.typesys import get_types_from_msg
from scipy.spatial.transform import Rotation

import recordings
from recordings import (
    COLOUR,
    DEPTH,
    INFO,
    PERIOD,
    START,
    K,
    Recorder,
    coded,
    colour_image,
    compressed_depth,
    depth_image,
    plain,
)
from twohands.geometry.camera import Camera
from twohands.geometry.registration import register
from twohands.sources.pairs import Pairs, Stamped
from twohands.sources.ros import RosRecording
from twohands.sources.ros_files import is_ros
from twohands.sources.ros_images import rvl_decoded

REAL = Path(os.environ.get("TWOHANDS_REAL_FRAMES", "/nonexistent")) / "containers/realsense_bag"


def opened(path, **options):
    """Names, seconds and frames of a recording."""
    return [(entry.name, entry.seconds, entry.open()) for entry in RosRecording(path, **options)]


def check_plain(frames, numbers, unit=0.001):
    assert len(frames) == len(numbers)
    for k, (_, seconds, frame) in zip(numbers, frames, strict=True):
        assert np.array_equal(frame.rgb_uint8(), colour_image(k))
        np.testing.assert_allclose(frame.depth, depth_image(k) * np.float32(unit), rtol=1e-6)
        assert np.array_equal(frame.camera.K, K.astype(np.float32))
        assert seconds == (START + k * PERIOD) / 1e9


WRITERS = {
    "bag": lambda folder: plain(ros1=True).write(folder / "a.bag"),
    "bag bz2": lambda folder: plain(ros1=True).write(folder / "a.bag", "BZ2"),
    "bag lz4": lambda folder: plain(ros1=True).write(folder / "a.bag", "LZ4"),
    "db3 folder": lambda folder: plain().write(folder / "a.db3"),
    "lone db3": lambda folder: next(plain().write(folder / "a.db3").glob("*.db3")),
    "mcap folder": lambda folder: plain().write(folder / "a.mcap"),
    "lone mcap": lambda folder: next(plain().write(folder / "a.mcap").glob("*.mcap")),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_container_gives_what_was_recorded(kind, tmp_path):
    path = WRITERS[kind](tmp_path)
    assert is_ros(path)
    recording = RosRecording(path)
    frames = opened(path)
    check_plain(frames, range(5))
    names = [name for name, _, _ in frames]
    assert names == sorted(set(names))
    assert names[1] == f"000001_{START + PERIOD}"
    for word in (COLOUR, DEPTH, "5 images, 64x48", "registered to colour"):
        assert word in recording.about
    assert [entry.name for entry in recording] == [entry.name for entry in recording]  # can be begun again


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", ["video.mcap", "take #1 50%20 ?.bag"])
def test_a_name_says_nothing(kind, name, tmp_path, caplog):
    path = WRITERS[kind](tmp_path)
    file = path if path.is_file() else next(file for file in path.iterdir() if file.suffix != ".yaml")
    plain(2).write(tmp_path / "b.db3").joinpath("b.db3").rename(tmp_path / "take ")  # not to be taken for `take #1`
    check_plain(opened(file.rename(tmp_path / name)), range(5))
    assert not caplog.text


def test_what_is_no_recording(tmp_path):
    other = tmp_path / "a.bag"
    other.write_bytes(b"PK\3\4 something else")
    assert not is_ros(other)
    with pytest.raises(ValueError, match="begins like none of ROS bag, MCAP and SQLite"):
        RosRecording(other)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        RosRecording(tmp_path / "no.bag")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"has no .mcap, .db3 or .bag files"):
        RosRecording(tmp_path / "empty")
    folder = plain(1).write(tmp_path / "a.mcap")
    next(folder.glob("*.mcap")).rename(folder / "a_0.mcap.zstd")
    assert is_ros(folder)
    with pytest.raises(ValueError, match=r"files; unpack them first \(zstd -d a_0.mcap.zstd\)"):
        RosRecording(folder)


@pytest.mark.parametrize("encoding", ["bgr8", "rgba8", "bgra8", "8UC3"])
def test_channel_orders_and_padded_rows(encoding, tmp_path):
    recorder = Recorder()
    for k in range(3):
        ns, rgb = START + k * PERIOD, colour_image(k)
        pixels = rgb[..., ::-1] if encoding[0] in "b8" else rgb
        if "a" in encoding:
            pixels = np.concatenate([pixels, np.full((48, 64, 1), 77, np.uint8)], axis=2)
        recorder.info(INFO, ns)
        recorder.image(COLOUR, ns, pixels, encoding, pad=13)
        recorder.image(DEPTH, ns, depth_image(k), "mono16", pad=6, big=k == 1)
    check_plain(opened(recorder.write(tmp_path / "a.mcap")), range(3))


def test_metres_with_nan(tmp_path):
    recorder = Recorder()
    metres = depth_image(0).astype(np.float32) / 1000
    metres[metres == 0] = np.nan
    metres[20, 20], metres[20, 21] = np.inf, -1
    recorder.info(INFO, START)
    recorder.image(COLOUR, START, colour_image(0), "rgb8")
    recorder.image(DEPTH, START, metres, "32FC1", pad=4)
    ((_, _, frame),) = opened(recorder.write(tmp_path / "a.db3"), depth_unit=0.5)  # of integers only
    expected = np.where(np.isfinite(metres) & (metres > 0), metres, 0)
    assert np.array_equal(frame.depth, expected)


def test_grey_images_are_said_and_unknown_ones_named(tmp_path):
    recorder = Recorder()
    recorder.info(INFO, START)
    recorder.image(COLOUR, START, colour_image(0)[..., 0], "mono8")
    recorder.image(DEPTH, START, depth_image(0), "16UC1")
    ((_, _, frame),) = opened(recorder.write(tmp_path / "a.mcap"))
    assert np.array_equal(frame.rgb_uint8()[..., 1], colour_image(0)[..., 0])
    assert [finding.code for finding in frame.findings] == ["grey_image"]
    recorder = Recorder()
    recorder.info(INFO, START)
    recorder.image(COLOUR, START, colour_image(0)[..., :2], "yuv422_yuy2")
    recorder.image(DEPTH, START, depth_image(0), "16UC1")
    with pytest.raises(ValueError, match="encoding 'yuv422_yuy2'; record it as rgb8"):
        RosRecording(recorder.write(tmp_path / "b.mcap"))


@pytest.mark.parametrize("pattern", ["rggb", "grbg", "gbrg", "bggr"])
def test_bayer(pattern, tmp_path):
    rows, columns = np.mgrid[:48, :64]
    rgb = np.stack([2 * columns + rows, 60 + 2 * rows, 200 - columns], axis=-1)  # linear, so exact inside
    channel = np.array(["rgb".index(letter) for letter in pattern]).reshape(2, 2)[rows % 2, columns % 2]
    mosaic = np.take_along_axis(rgb, channel[..., None], 2)[..., 0].astype(np.uint8)
    recorder = Recorder()
    recorder.info(INFO, START)
    recorder.image(COLOUR, START, mosaic, f"bayer_{pattern}8")
    recorder.image(DEPTH, START, depth_image(0), "16UC1")
    ((_, _, frame),) = opened(recorder.write(tmp_path / "a.mcap"))
    assert np.abs(frame.rgb_uint8().astype(int) - rgb)[1:-1, 1:-1].max() <= 1


@pytest.mark.parametrize("rvl", [False, True])
@pytest.mark.parametrize("ros1", [False, True])
def test_compressed_topics(rvl, ros1, tmp_path):
    recorder = Recorder(ros1)
    for k in range(3):
        ns, form = START + k * PERIOD, "rvl" if rvl else "png"
        recorder.info(INFO, ns)
        recorder.compressed(f"{COLOUR}/compressed", ns, "rgb8; png compressed bgr8", coded(colour_image(k), "PNG"))
        content = compressed_depth(depth_image(k), rvl)
        recorder.compressed(f"{DEPTH}/compressedDepth", ns, f"16UC1; compressedDepth {form}", content)
    check_plain(opened(recorder.write(tmp_path / ("a.bag" if ros1 else "a.mcap"))), range(3))


@pytest.mark.parametrize("rvl", [False, True])
def test_compressed_metres(rvl, tmp_path):
    """Inverse depth in steps: scale / depth + offset, as image_transport's plugin codes 32FC1."""
    scale = 100 * 101.0
    offset = 1 - scale / 10
    metres = depth_image(0) / 1000
    steps = np.where(metres > 0, np.rint(scale / np.maximum(metres, 1e-3) + offset), 0).astype(np.uint16)
    recorder = Recorder()
    recorder.info(INFO, START)
    recorder.image(COLOUR, START, colour_image(0), "rgb8")
    content = compressed_depth(steps, rvl, scale, offset)
    recorder.compressed(f"{DEPTH}/compressedDepth", START, "32FC1; compressedDepth", content)
    ((_, _, frame),) = opened(recorder.write(tmp_path / "a.mcap"))
    assert np.abs(frame.depth - metres).max() < 1e-4
    assert np.array_equal(frame.depth > 0, metres > 0)


def test_jpeg_colour_and_jpeg_depth(tmp_path):
    smooth = np.repeat(np.arange(0, 192, 3, dtype=np.uint8)[None, :, None], 48, axis=0) + np.array(
        [10, 40, 0], np.uint8
    )
    for depth_form, content in (
        ("16UC1; compressedDepth png", compressed_depth(depth_image(0))),
        ("16UC1; jpeg compressed", coded(smooth[..., 0], "JPEG")),
    ):
        recorder = Recorder()
        recorder.info(INFO, START)
        recorder.compressed(f"{COLOUR}/compressed", START, "bgr8; jpeg compressed bgr8", coded(smooth, "JPEG"))
        recorder.compressed(f"{DEPTH}/compressedDepth", START, depth_form, content)
        path = recorder.write(tmp_path / f"{len(content)}.mcap")
        if "png" in depth_form:
            ((_, _, frame),) = opened(path)
            assert np.abs(frame.rgb_uint8().astype(int) - smooth).max() < 12
        else:
            with pytest.raises(ValueError, match="8 bits, which destroys it"):
                RosRecording(path)


def test_rvl_of_extremes():
    rng = np.random.default_rng(3)
    for values in (
        np.zeros(37, np.uint16),
        np.full(64, 65535, np.uint16),
        rng.integers(0, 65536, 999, dtype=np.uint16),
        np.where(rng.random(5000) < 0.5, 0, rng.integers(1, 9, 5000)).astype(np.uint16),
    ):
        content = recordings.rvl_coded(values)
        assert np.array_equal(rvl_decoded(content, len(values)), values)
        if len(content) > 8:
            with pytest.raises(ValueError, match="cut off"):
                rvl_decoded(content[: len(content) // 8 * 4], len(values))


@pytest.mark.parametrize("damaged", [0, 2])
@pytest.mark.parametrize("stream", ["colour", "depth"])
def test_a_damaged_image_costs_one_frame(stream, damaged, tmp_path):
    recorder, of_colour = Recorder(), stream == "colour"
    for k in range(4):
        ns = START + k * PERIOD
        content = coded(colour_image(k), "PNG") if of_colour else compressed_depth(depth_image(k))
        content = content[:900] if k == damaged else content
        recorder.info(INFO, ns)
        if of_colour:
            recorder.compressed(f"{COLOUR}/compressed", ns, "png", content)
            recorder.image(DEPTH, ns, depth_image(k), "16UC1")
        else:
            recorder.image(COLOUR, ns, colour_image(k), "rgb8")
            recorder.compressed(f"{DEPTH}/compressedDepth", ns, "16UC1; compressedDepth png", content)
    results = []
    for entry in RosRecording(recorder.write(tmp_path / "a.mcap")):
        try:
            results.append(entry.open())
        except ValueError as error:
            results.append(str(error))
    assert [isinstance(result, str) for result in results] == [k == damaged for k in range(4)]
    assert re.search(rf"an image of {COLOUR if of_colour else DEPTH}/compressed\w* is .* or damaged", results[damaged])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is cut off"),
        (bytes(12), "is cut off"),
        (bytes(12) + struct.pack("<ii", -4, 48) + bytes(64), "has -4x48 pixels: it is damaged"),
        (bytes(12) + struct.pack("<ii", 1 << 30, 1 << 30) + bytes(64), r"has \d+x\d+ pixels: it is damaged"),
        (bytes(12) + struct.pack("<ii", 64, 48) + bytes(64), "cannot be read: depth in RVL code is cut off"),
    ],
    ids=["empty", "header", "negative", "huge", "cut"],
)
def test_damaged_compressed_depth_names_its_topic(content, problem, tmp_path):
    recorder = Recorder()
    recorder.info(INFO, START)
    recorder.image(COLOUR, START, colour_image(0), "rgb8")
    recorder.compressed(f"{DEPTH}/compressedDepth", START, "16UC1; compressedDepth rvl", content)
    with pytest.raises(ValueError, match=f"an image of {DEPTH}/compressedDepth {problem}"):
        RosRecording(recorder.write(tmp_path / "a.mcap"))


@pytest.mark.parametrize("is_colour", [False, True])
def test_images_that_are_recorded_as_video_are_named(is_colour, tmp_path):
    recorder, kind = Recorder(), "theora_image_transport/msg/Packet"
    fields = "std_msgs/Header header\nuint8[] data\nint64 b_o_s\nint64 e_o_s\nint64 granulepos\nint64 packetno\n"
    recorder.store.register(get_types_from_msg(fields, kind))
    topic = f"{COLOUR if is_colour else DEPTH}/theora"
    recorder.add(topic, kind, START, recorder.new(kind, recorder.header(START, ""), np.zeros(9, np.uint8), 0, 0, 0, 0))
    recorder.image(DEPTH if is_colour else COLOUR, START, depth_image(0) if is_colour else colour_image(0), "16UC1")
    with pytest.raises(ValueError, match=rf"; not read is {topic} \(Theora video\): record it raw or as compressed"):
        RosRecording(recorder.write(tmp_path / "a.mcap"))


@pytest.mark.parametrize("compressed", [False, True])
def test_foxglove(compressed, tmp_path):
    pytest.importorskip("foxglove_schemas_protobuf")
    check_plain(opened(recordings.foxglove(tmp_path / "a.mcap", compressed=compressed)), range(4))


def test_jitter_and_twice_the_rate(tmp_path):
    """Colour at 60 Hz and depth at 30 Hz, 9 ms late and logged in bursts; one depth image was lost."""
    rng, recorder = np.random.default_rng(0), Recorder()
    recorder.info(INFO, START)
    colour = [START + k * PERIOD // 2 + int(rng.integers(-2e6, 2e6)) for k in range(20)]
    for k, ns in enumerate(colour):
        recorder.image(COLOUR, ns, colour_image(k), "rgb8", logged=START + k // 6 * 10**8)
    depth = {k: START + k * PERIOD + int(rng.integers(-2e6, 2e6)) for k in range(10) if k != 4}
    for k, ns in depth.items():
        recorder.image(DEPTH, ns, depth_image(k), "16UC1", logged=ns + 9_000_000)
    frames = opened(recorder.write(tmp_path / "a.mcap"))
    # the nearest of all, found by trying all
    expected = [(int(np.argmin([abs(ns - c) for c in colour])), k) for k, ns in depth.items()]
    got = []
    for _, seconds, frame in frames:
        number = round(float(frame.depth[0, 0]) * 1000) - 1000
        place = next(k for k in range(20) if np.array_equal(frame.rgb_uint8(), colour_image(k)))
        assert seconds == colour[place] / 1e9
        got.append((place, number))
    assert got == expected


def test_streams_that_start_apart_take_constant_memory():
    pairs, largest = Pairs(), 0
    period = PERIOD

    def images():
        nonlocal largest
        for k in range(500):
            yield Stamped(False, k * period, k)
            largest = max(largest, len(pairs._depth.waiting))
            if k >= 300:
                yield Stamped(True, k * period + 3_000_000, k)

    found = [(colour.value, depth.value) for colour, depth in pairs.of(images())]
    assert found == [(k, k) for k in range(300, 500)]
    assert largest <= 34


def test_streams_of_different_clocks_are_refused(tmp_path):
    recorder = Recorder()
    recorder.info(INFO, START)
    for k in range(5):
        ns = START + k * PERIOD
        recorder.image(COLOUR, ns, colour_image(k), "rgb8")
        recorder.image(DEPTH, ns + 10**12, depth_image(k), "16UC1", logged=ns)
    recording = RosRecording(recorder.write(tmp_path / "a.mcap"))
    with pytest.raises(ValueError, match=r"within 17 ms of a colour image; the nearest are 999\d\d\d ms apart"):
        list(recording)


def test_lost_depth_is_counted(tmp_path, caplog):
    recorder = Recorder()
    recorder.info(INFO, START)
    for k in range(10):
        recorder.image(COLOUR, START + k * PERIOD, colour_image(k), "rgb8")
        if k not in (0, 3, 9):
            recorder.image(DEPTH, START + k * PERIOD + 10**6, depth_image(k), "16UC1")
    check_plain(opened(recorder.write(tmp_path / "a.mcap")), [1, 2, 4, 5, 6, 7, 8])
    assert "3 of 10 colour images have no depth image within 17 ms" in caplog.text


def test_missing_camera_info_is_named(tmp_path):
    recorder = Recorder()
    for k in range(2):
        recorder.image(COLOUR, START + k * PERIOD, colour_image(k), "rgb8")
        recorder.image(DEPTH, START + k * PERIOD, depth_image(k), "16UC1")
        recorder.info("/camera/depth/camera_info", START + k * PERIOD, matrix=K * [[2], [2], [1]])
    path = recorder.write(tmp_path / "a.mcap")
    with pytest.raises(
        ValueError, match=r"no camera info of /camera/color/image_raw \(but /camera/depth/camera_info\)"
    ):
        RosRecording(path)
    check_plain(opened(path, intrinsics="61.5,62.25,33.25,22.75"), range(2))
    ((_, _, frame), _) = opened(path, info_topic="/camera/depth/camera_info")
    assert frame.camera.K[0, 0] == 123


def test_camera_info_of_another_size_and_zero_are_refused(tmp_path):
    for name, options, sentence in (
        ("a", {"width": 128, "height": 96}, "colour is 64x48 but the intrinsics are of 128x96"),
        ("b", {"matrix": np.zeros((3, 3))}, "not calibrated"),
    ):
        recorder = Recorder()
        recorder.info(INFO, START, **options)
        recorder.image(COLOUR, START, colour_image(0), "rgb8")
        recorder.image(DEPTH, START, depth_image(0), "16UC1")
        with pytest.raises(ValueError, match=sentence):
            opened(recorder.write(tmp_path / f"{name}.mcap"))


def test_rectified_images_have_the_projection(tmp_path):
    recorder = Recorder()
    recorder.info(INFO, START, matrix=K * 1.5, D=(-0.3, 0.1, 0.001, 0.0, 0.0), P=K)
    recorder.image("/camera/color/image_rect_color", START, colour_image(0), "rgb8")
    recorder.image(DEPTH, START, depth_image(0), "16UC1")
    check_plain(opened(recorder.write(tmp_path / "a.mcap")), range(1))


def two_cameras(path):
    recorder = Recorder()
    for k in range(2):
        for name, offset in (("left", 0), ("right", 50)):
            ns = START + k * PERIOD
            recorder.info(f"/{name}/color/camera_info", ns, matrix=K + [[offset, 0, 0], [0, offset, 0], [0, 0, 0]])
            recorder.image(f"/{name}/color/image_raw", ns, colour_image(k + offset), "rgb8")
            recorder.image(f"/{name}/aligned_depth_to_color/image_raw", ns, depth_image(k + offset), "16UC1")
            recorder.image(f"/{name}/depth/image_rect_raw", ns, depth_image(k + 7), "16UC1", frame="depth")
            recorder.image(f"/{name}/infra1/image_rect_raw", ns, colour_image(k)[..., 0], "mono8", frame="infra")
    return recorder.write(path)


def test_two_cameras_are_listed_and_chosen(tmp_path):
    path = two_cameras(tmp_path / "a.mcap")
    with pytest.raises(ValueError, match="several topics with colour") as caught:
        RosRecording(path)
    for part in ("/left/color/image_raw, /right/color/image_raw", "--color-topic"):
        assert part in str(caught.value)
    frames = opened(path, colour_topic="/right/color/image_raw")
    assert np.array_equal(frames[1][2].rgb_uint8(), colour_image(51))
    assert np.array_equal(frames[1][2].depth, depth_image(51) * np.float32(0.001))
    assert frames[1][2].camera.K[0, 0] == 111.5
    with pytest.raises(ValueError, match=r"has no topic /middle/color; it has .*/left/color/camera_info"):
        RosRecording(path, colour_topic="/middle/color")
    with pytest.raises(ValueError, match="messages CameraInfo; choose one with Image"):
        RosRecording(path, colour_topic="/left/color/camera_info")
    with pytest.raises(ValueError, match="is depth"):
        RosRecording(
            path, colour_topic="/left/depth/image_rect_raw", depth_topic=DEPTH.replace("camera", "left"), intrinsics=K
        )


def test_registered_depth_of_another_camera_is_said(tmp_path, caplog):
    """Of two cameras the colour of one and the depth of the other were recorded."""
    recorder = Recorder()
    recorder.info("/left/color/camera_info", START)
    recorder.image("/left/color/image_raw", START, colour_image(0), "rgb8", frame="left_color")
    recorder.image("/right/aligned_depth_to_color/image_raw", START, depth_image(0), "16UC1", frame="right_color")
    RosRecording(recorder.write(tmp_path / "a.mcap"))
    assert "a camera with the frame 'right_color', but /left/color/image_raw has 'left_color'; if these" in caplog.text


def test_colour_or_depth_alone(tmp_path):
    recorder = Recorder()
    recorder.info(INFO, START)
    recorder.image(COLOUR, START, colour_image(0), "rgb8")
    with pytest.raises(ValueError, match="has no depth images; record depth too"):
        RosRecording(recorder.write(tmp_path / "a.mcap"))
    recorder = Recorder()
    recorder.image(DEPTH, START, depth_image(0), "16UC1")
    with pytest.raises(ValueError, match="has no colour images; record colour too"):
        RosRecording(recorder.write(tmp_path / "b.mcap"))


def unregistered(depth_frame="depth", with_info=True, ros1=False):
    recorder, depth = Recorder(ros1), "/camera/depth"
    for k in range(2):
        ns = START + k * PERIOD
        recorder.info(INFO, ns)
        recorder.image(COLOUR, ns, colour_image(k), "rgb8", frame="color")
        recorder.image(f"{depth}/image_rect_raw", ns, depth_image(k), "16UC1", frame=depth_frame)
        if with_info:
            recorder.info(f"{depth}/camera_info", ns, matrix=K * [[0.8], [0.8], [1]])
    return recorder


def moved(rotation, shift):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_rotvec(rotation).as_matrix(), shift
    return T


@pytest.mark.parametrize("ros1", [False, True])
def test_depth_is_moved_by_static_transforms(ros1, tmp_path):
    """A tree as RealSense nodes publish it: link, colour and depth frames, and their optical frames."""
    link_from_colour = moved((0, 0, 0.01), (0.0, 0.015, 0.001))
    optical = moved((-np.pi / 2, 0, 0), (0, 0, 0)) @ moved((0, np.pi / 2, 0), (0, 0, 0))
    link_from_depth = moved((0.02, 0.01, 0), (0, 0, 0.002))
    recorder = unregistered(ros1=ros1)
    recorder.transform("camera_link", "color_frame", link_from_colour)
    recorder.transform("color_frame", "color", optical, START + 5)
    recorder.transform("/camera_link", "depth_frame", link_from_depth, START + PERIOD)
    recorder.transform("depth_frame", "depth", optical, START + PERIOD)
    path = recorder.write(tmp_path / ("a.bag" if ros1 else "a.mcap"))
    T = np.linalg.inv(link_from_colour @ optical) @ link_from_depth @ optical
    depth_camera = Camera(K * [[0.8], [0.8], [1]], 64, 48)
    for k, (_, _, frame) in enumerate(opened(path)):
        expected = register(depth_image(k) / 1000, depth_camera, Camera(K, 64, 48), T)
        assert (expected > 0).mean() > 0.5
        assert np.abs(frame.depth - expected).max() < 1e-5
    assert "moved into the colour camera here" in RosRecording(path).about


def test_depth_that_cannot_be_registered_is_refused(tmp_path):
    recorder = unregistered()
    recorder.transform("camera_link", "depth", np.eye(4))
    with pytest.raises(ValueError, match=r"no static transform between their frames 'color' and 'depth'.*align_depth"):
        RosRecording(recorder.write(tmp_path / "a.mcap"))
    with pytest.raises(ValueError, match=r"no camera info of /camera/depth/image_rect_raw; record depth that"):
        RosRecording(unregistered(with_info=False).write(tmp_path / "b.mcap"))
    same = unregistered(depth_frame="color", with_info=False).write(tmp_path / "c.mcap")
    assert np.array_equal(opened(same)[1][2].depth, depth_image(1) * np.float32(0.001))


@pytest.mark.parametrize("kind", ["bag", "bag lz4", "lone db3", "lone mcap", "mcap folder"])
@pytest.mark.parametrize("fraction", [0.4, 0.7])
def test_files_that_were_cut_are_read_as_far_as_they_go(kind, fraction, tmp_path, caplog):
    count, lost = (200, 70) if "mcap" in kind else (40, 6)  # images in a chunk, which is lost as a whole
    recorder = plain(count, ros1="bag" in kind)
    if "bag" in kind:
        path = file = recorder.write(tmp_path / "a.bag", "LZ4" if "lz4" in kind else None)
    else:
        path = recorder.write(tmp_path / ("a.db3" if "db3" in kind else "a.mcap"))
        file = next(path.glob("*.db3" if "db3" in kind else "*.mcap"))
    recordings.cut(file, fraction)
    frames = opened(path if "folder" in kind else file)
    assert fraction * count - lost <= len(frames) <= fraction * count + 1
    check_plain(frames, range(len(frames)))
    assert "was cut off" in caplog.text


def test_a_file_without_its_end_alone_loses_nothing_else(tmp_path):
    path = plain(10, ros1=True).write(tmp_path / "a.bag")
    content = path.read_bytes()
    path.write_bytes(content[:-200])  # the index
    check_plain(opened(path), range(10))


@pytest.mark.parametrize("lost", [1, 15, 22, 50])
def test_mcap_cut_in_its_last_records(lost, tmp_path, caplog):
    path = next(plain(3).write(tmp_path / "a.mcap").glob("*.mcap"))
    path.write_bytes(path.read_bytes()[:-lost])
    check_plain(opened(path), range(3))
    assert "was cut off, or has no summary" in caplog.text


@pytest.mark.parametrize("surplus", [b"", bytes(4)])
def test_cut_bags_define_their_types(surplus, tmp_path):
    """/tf_static is of no type that comes with ROS's messages."""
    recorder = unregistered(ros1=True)
    for frame in ("color", "depth"):
        recorder.transform("camera_link", frame, np.eye(4))
    path = recorder.write(tmp_path / "a.bag", surplus=surplus)
    whole = opened(path)
    path.write_bytes(path.read_bytes()[:-300])
    for (_, _, frame), (_, _, expected) in zip(opened(path), whole, strict=True):
        assert np.array_equal(frame.depth, expected.depth)


@pytest.mark.parametrize("kind", ["bag", "bag LZ4", "bag BZ2", "mcap ZSTD", "mcap LZ4", "cut bag LZ4"])
def test_damage_inside_costs_what_follows_at_most(kind, tmp_path, caplog):
    count = 30
    if "bag" in kind:
        path = plain(count, ros1=True).write(tmp_path / "a.bag", kind.rpartition("bag")[2].strip() or None)
    else:
        path = repacked(next(plain(count).write(tmp_path / "a.mcap").glob("*.mcap")), kind.split()[1])
    recordings.with_hole(path, size=5000)
    if "cut" in kind:
        path.write_bytes(path.read_bytes()[:-300])  # the index
    frames = opened(path)
    assert count / 3 < len(frames) < count
    if kind == "bag":  # without checksums: the last image has the first zeros
        frames = frames[:-1]
    check_plain(frames, numbers_of(frames) if "cut" in kind else range(len(frames)))
    assert ("was cut off" if "cut" in kind else "is damaged") in caplog.text


def numbers_of(frames):
    return [round(float(frame.depth[0, 0]) * 1000) - 1000 for _, _, frame in frames]


def repacked(path, compression):
    """Write an MCAP file with compressed chunks and their checksums, as Foxglove and ROS do."""
    from mcap.reader import make_reader
    from mcap.writer import CompressionType, Writer

    packed, channels = path.with_name("packed.mcap"), {}
    with path.open("rb") as source, packed.open("wb") as stream:
        writer = Writer(stream, chunk_size=100_000, compression=CompressionType[compression])
        writer.start()
        for schema, channel, message in make_reader(source).iter_messages():
            if channel.id not in channels:
                number = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(channel.topic, channel.message_encoding, number)
            writer.add_message(channels[channel.id], message.log_time, message.data, message.publish_time)
        writer.finish()
    return packed


def test_a_database_that_was_not_closed_is_read_with_the_file_beside_it(tmp_path, caplog):
    """As `ros2 bag record` with the resilient profile leaves it when it is killed."""
    source = next(plain(4).write(tmp_path / "a.db3").glob("*.db3"))
    killed, copy = tmp_path / "killed.db3", tmp_path / "copy"
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(killed)) as new:
        for pragma in ("journal_mode=WAL", "wal_autocheckpoint=0"):
            new.execute(f"PRAGMA {pragma}")
        for line in old.iterdump():
            if not line.startswith(("BEGIN", "COMMIT")):
                new.execute(line)
        new.commit()
        copy.mkdir()
        for path in tmp_path.glob("killed.db3*"):
            shutil.copy(path, copy)
    assert (copy / "killed.db3-wal").stat().st_size > (copy / "killed.db3").stat().st_size
    check_plain(opened(copy), range(4))
    assert "killed.db3 was not closed by its recorder; what is in killed.db3-wal is read too" in caplog.text
    (copy / "killed.db3-wal").unlink()
    with pytest.raises(ValueError, match=r"before its first message; record it again, or copy killed\.db3-wal too"):
        RosRecording(copy)


@pytest.mark.parametrize("content", [b"#ROSBAG V2.0\n", b"\x89MCAP0\r\n", b"SQLite format 3\0" + bytes(84)])
def test_files_cut_before_the_first_message(content, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cut off before its first message"):
        RosRecording(path)


def test_split_recordings_are_read_in_order(tmp_path):
    folder = tmp_path / "split"
    folder.mkdir()
    for part in range(11):
        recorder = Recorder()
        ns = START + part * PERIOD
        recorder.info(INFO, ns)
        recorder.image(COLOUR, ns, colour_image(part), "rgb8")
        recorder.image(DEPTH, ns, depth_image(part), "16UC1")
        written = next(recorder.write(tmp_path / f"p{part}.mcap").glob("*.mcap"))
        written.rename(folder / f"split_{part}.mcap")  # 10 comes after 9
    check_plain(opened(folder), range(11))


def test_recordings_of_one_time_in_a_folder_are_no_parts(tmp_path):
    """`rosbag reindex` keeps the old file as x.orig.bag."""
    path = plain(3, ros1=True).write(tmp_path / "x.bag")
    shutil.copy(path, tmp_path / "x.orig.bag")
    with pytest.raises(
        ValueError, match=r"x\.orig\.bag and x\.bag in .* are of the same time, .*; give one of the files"
    ):
        RosRecording(tmp_path)


def test_recordings_of_other_times_in_a_folder_are_not_read_as_one(tmp_path):
    for take in range(2):
        recorder = Recorder(ros1=True)
        ns = START + take * 60_000_000_000
        recorder.info(INFO, ns)
        recorder.image(COLOUR, ns, colour_image(take), "rgb8")
        recorder.image(DEPTH, ns, depth_image(take), "16UC1")
        recorder.write(tmp_path / f"take_{take}.bag")
    sentence = r"several recordings: take_1\.bag begins 60 s after the end of take_0\.bag; give one .*/\*\.bag'$"
    with pytest.raises(ValueError, match=sentence):
        RosRecording(tmp_path)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    bag, mcap = plain(1, ros1=True).write(tmp_path / "a.bag"), plain(1).write(tmp_path / "a.mcap")
    for module, path in (("rosbags.highlevel", bag), ("mcap.reader", mcap)):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ValueError, match=r"pip install 'twohands\[ros\]'"):
            RosRecording(path)


def software_recording(path):
    try:
        T = moved((0.1, 0.02, -0.03), (0.015, 0.001, 0.002))
        return recordings.realsense(path, T), T
    except ImportError as error:
        pytest.skip(f"the RealSense SDK cannot be used: {error}")


def test_realsense_sdk_recording(tmp_path):
    path, T = software_recording(tmp_path / "a.db3")
    cameras = [
        Camera(np.array([[f, 0, w / 2 - 3], [0, f, h / 2 + 2], [0, 0, 1.0]]), w, h)
        for f, w, h in ((50, 64, 48), (80, 96, 64))
    ]
    frames = opened(path)
    assert len(frames) == 4
    for k, (_, seconds, frame) in enumerate(frames):
        assert seconds == round(1002e6 + k * 33.3e6) / 1e9  # the camera's time, not the recorder's
        assert np.array_equal(frame.rgb_uint8(), colour_image(k, 96, 64))
        assert np.array_equal(frame.camera.K, cameras[1].K.astype(np.float32))
        expected = register(depth_image(k) * 0.0001, *cameras, T)  # type: ignore[call-arg]
        assert (expected > 0).mean() > 0.3
        far = np.abs(frame.depth - expected) > 1e-5
        assert far.mean() < 0.002  # the file has the extrinsics to 6 digits, so a few points fall beside a border
    assert "RealSense recording" in RosRecording(path).about


@pytest.mark.skipif(not REAL.is_dir(), reason="TWOHANDS_REAL_FRAMES is not set")
def test_real_realsense_bag():
    """Two depth images and one colour image, 102 ms apart at 6 images a second."""
    path = REAL / "single_depth_color_640x480.bag"
    with pytest.raises(ValueError, match="within 83 ms of a colour image; the nearest are 102 ms apart"):
        list(RosRecording(path))
    ((_, seconds, frame),) = opened(path, largest_delay=0.11)
    assert seconds == 360.713523
    assert frame.camera.K[0, 0] == pytest.approx(613.2037, abs=1e-3)
    assert (frame.depth > 0).mean() > 0.9
    assert 0.5 < np.median(frame.depth[frame.depth > 0]) < 3
