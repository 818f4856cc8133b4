"""Dictionaries of arrays in the spellings people use: single, stacked, pickled, in folders, damaged and hostile."""

from __future__ import annotations

import pickle
import tracemalloc
from collections import OrderedDict
from pathlib import PurePosixPath

import numpy as np
import pytest

from containers import scene
from old_pickles import WRITERS, dumps, save_object
from twohands.sources.arrays import ArrayFrames, is_arrays
from twohands.sources.opening import open_source

WIDTH, HEIGHT = 64, 48
K = np.array([[60.5, 0, 31.25], [0, 61.5, 23.75], [0, 0, 1]])
STACK = 5


def stacked(count=STACK):
    images = [scene(WIDTH, HEIGHT, number) for number in range(count)]
    return np.stack([rgb for rgb, _ in images]), np.stack([depth for _, depth in images])


def check(source, count, seconds=None, names=None):
    """Assert that a source has the frames of `stacked`, twice."""
    rgb, depth = stacked(count)
    for _ in range(2):
        entries = []
        for number, entry in enumerate(source):
            frame = entry.open()
            np.testing.assert_array_equal(frame.rgb_uint8(), rgb[number])
            np.testing.assert_allclose(frame.depth, depth[number] / 1000, atol=1e-6)
            np.testing.assert_array_equal(frame.camera.K, K.astype(np.float32))
            entries.append(entry)
        assert len(entries) == count
        assert len({entry.name for entry in entries}) == count
        if names is not None:
            assert [entry.name for entry in entries] == names
        assert [entry.seconds for entry in entries] == (seconds or [None] * count)


@pytest.mark.parametrize(
    ("colour", "depth", "intrinsics"),
    [
        ("rgb", "depth", "K"),
        ("color", "depth", "intrinsics"),
        ("colours", "depths", "cam_K"),
        ("image", "depth_map", "camera_matrix"),
        ("imgs", "depth_maps", "intrinsic"),
        ("rgbImages", "depthImages", "cameraMatrix"),
        ("Color_Image", "Depth_Image", "intrinsic_matrix"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_names(tmp_path, colour, depth, intrinsics, compressed):
    save = np.savez_compressed if compressed else np.savez
    rgb, measured = stacked()
    save(tmp_path / "a.npz", **{colour: rgb, depth: measured, intrinsics: K, "actions": np.zeros((STACK, 7))})
    assert is_arrays(tmp_path / "a.npz")
    source = ArrayFrames(tmp_path / "a.npz")
    assert source.length == STACK
    check(source, STACK, names=[f"{number:06d}" for number in range(STACK)])


def test_one_frame_and_shapes_of_it(tmp_path):
    rgb, depth = scene(WIDTH, HEIGHT)
    alpha = np.concatenate([rgb, np.full((HEIGHT, WIDTH, 1), 255, np.uint8)], axis=-1)
    variants = {
        "plain": {"rgb": rgb, "depth": depth},
        "channels_first": {"rgb": rgb.transpose(2, 0, 1), "depth": depth[None]},
        "alpha": {"rgb": alpha, "depth": depth[..., None]},
        "floats": {"rgb": (rgb / 255).astype(np.float32), "depth": (depth / 1000).astype(np.float32)},
        "bgr": {"bgr": rgb[..., ::-1], "depth": depth},
        "unit": {"rgb": rgb, "depth": (depth * 10).astype(np.uint16), "depth_unit": 0.0001},
        "scale": {"rgb": rgb, "depth": (depth * 5).astype(np.uint16), "depth_scale": 5000.0},
        "stack_of_one": {"rgb": rgb[None], "depth": depth[None], "timestamps": np.array([3.5])},
    }
    for name, values in variants.items():
        np.savez(tmp_path / f"{name}.npz", **values, K=K)
        source = ArrayFrames(tmp_path / f"{name}.npz")
        assert source.length == 1
        check(source, 1, seconds=[3.5] if name == "stack_of_one" else None)
    np.savez(tmp_path / "four.npz", rgb=rgb, depth=depth, fx=60.5, fy=61.5, cx=31.25, cy=23.75)
    check(ArrayFrames(tmp_path / "four.npz"), 1, names=["four"])


def test_unit_of_the_caller_wins_and_floats_are_metres(tmp_path):
    rgb, depth = scene(WIDTH, HEIGHT)
    np.savez(tmp_path / "a.npz", rgb=rgb, depth=depth, K=K, depth_unit=0.5)
    frame = next(iter(ArrayFrames(tmp_path / "a.npz", depth_unit=0.002))).open()
    np.testing.assert_allclose(frame.depth, depth * 0.002, rtol=1e-6)
    holes = (depth / 1000).astype(np.float32)
    holes[0, :3] = [np.nan, np.inf, -1]
    np.savez(tmp_path / "b.npz", rgb=rgb, depth=holes, K=K)
    frame = next(iter(ArrayFrames(tmp_path / "b.npz"))).open()
    assert not frame.depth[0, :3].any()
    assert np.isfinite(frame.depth).all()


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("timestamps", [1.25, 1.5, 1.75], [1.25, 1.5, 1.75]),
        ("timestamps_ms", [1250, 1500, 1750], [1.25, 1.5, 1.75]),
        ("time_ns", [1305031102175304321, 1305031102208637000, 1305031102241970000], None),
        ("stamps", [1305031102175304321, 1305031102208637000, 1305031102241970000], None),  # nanoseconds by their size
    ],
)
def test_time_stamps(tmp_path, name, values, expected):
    rgb, depth = stacked(3)
    np.savez(tmp_path / "a.npz", rgb=rgb, depth=depth, K=K, **{name: np.array(values)})
    check(ArrayFrames(tmp_path / "a.npz"), 3, seconds=expected or [value / 10**9 for value in values])


def test_intrinsics_of_each_frame_and_given_ones(tmp_path):
    rgb, depth = stacked(3)
    each = np.stack([K + np.diag([number, number, 0]) for number in range(3)])
    np.savez(tmp_path / "a.npz", rgb=rgb, depth=depth, K=each)
    for number, entry in enumerate(ArrayFrames(tmp_path / "a.npz")):
        np.testing.assert_array_equal(entry.open().camera.K, each[number].astype(np.float32))
    check(ArrayFrames(tmp_path / "a.npz", intrinsics=K), 3)
    np.savez(tmp_path / "b.npz", rgb=rgb, depth=depth, K=each[:2])
    with pytest.raises(ValueError, match="2 intrinsics for 3 frames"):
        ArrayFrames(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", rgb=rgb, depth=depth)
    with pytest.raises(ValueError, match=r"has no K; add the colour camera's 3x3 intrinsics"):
        ArrayFrames(tmp_path / "c.npz")
    check(ArrayFrames(tmp_path / "c.npz", intrinsics="60.5,61.5,31.25,23.75"), 3)


@pytest.mark.parametrize(("writer", "protocol"), WRITERS)
def test_pickles_of_every_writer(tmp_path, writer, protocol):
    rgb, depth = stacked(2)
    rgb, depth = rgb.astype(rgb.dtype, order="C"), depth.astype(depth.dtype, order="C")
    habit = {"rgb": rgb[0], "depth": depth[0], "K": K}
    save_object(tmp_path / "one.npy", habit, writer, protocol)  # numpy.save of a dictionary
    check(ArrayFrames(tmp_path / "one.npy"), 1, names=["one"])
    frames = [OrderedDict(rgb=rgb[i], depth=depth[i], intrinsics=K) for i in range(2)]
    (tmp_path / "list.pkl").write_bytes(dumps(frames, writer, protocol))
    check(ArrayFrames(tmp_path / "list.pkl"), 2)
    lists = {"colors": [rgb[0], rgb[1]], "depths": [depth[0], depth[1]], "K": K, "timestamps": [0.5, 0.75]}
    lists = {"cam": lists} if protocol == 2 else lists
    (tmp_path / "lists.pickle").write_bytes(dumps(lists, writer, protocol))
    check(ArrayFrames(tmp_path / "lists.pickle"), 2, seconds=[0.5, 0.75])


def test_shared_intrinsics_around_frames(tmp_path):
    rgb, depth = stacked(2)
    values = {"K": K, "frames": [{"rgb": rgb[i], "depth": depth[i], "timestamp": i / 4} for i in range(2)]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(values))
    check(ArrayFrames(tmp_path / "a.pkl"), 2, seconds=[0.0, 0.25])


def test_classes_of_pyrealsense2_are_numbers(tmp_path):
    """The enumeration of lens models is pickled as pybind11 does: a class, no arguments, the number as a state."""
    rgb, depth = scene(WIDTH, HEIGHT)
    camera = {"width": WIDTH, "height": HEIGHT, "fx": 60.5, "fy": 61.5, "ppx": 31.25, "ppy": 23.75}
    marker = "distortion-goes-here"
    content = pickle.dumps(
        {"rgb": rgb, "depth": depth, "intrinsics": camera | {"model": marker, "coeffs": [0.0] * 5}}, 2
    )
    text = b"X\x14\0\0\0" + marker.encode()
    assert content.count(text) == 1
    enum = b"cpyrealsense2.pyrealsense2\ndistortion\n)\x81K\x02b"  # inverse_brown_conrady
    (tmp_path / "a.pkl").write_bytes(content.replace(text, enum))
    check(ArrayFrames(tmp_path / "a.pkl"), 1)


def test_paths_of_python_3_13_are_no_obstacle(tmp_path):
    rgb, depth = scene(WIDTH, HEIGHT)
    content = pickle.dumps({"rgb": rgb, "depth": depth, "K": K, "file": PurePosixPath("/a")}, 2)
    (tmp_path / "a.pkl").write_bytes(content.replace(b"cpathlib\n", b"cpathlib._local\n"))
    check(ArrayFrames(tmp_path / "a.pkl"), 1)


@pytest.mark.parametrize("name", ["a.zip", "a.r3d", "a"])
def test_archives_of_arrays_under_other_names(tmp_path, name):
    rgb, depth = stacked(2)
    np.savez(tmp_path / "a.npz", rgb=rgb, depth=depth, K=K)
    (tmp_path / "a.npz").rename(tmp_path / name)
    assert len(list(open_source(tmp_path / name))) == 2


class _Evil:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        import os

        return os.system, (f"touch '{self.trace}'",)


def test_pickles_are_not_executed(tmp_path):
    rgb, depth = scene(WIDTH, HEIGHT)
    evil = _Evil(tmp_path / "executed")
    values = {"rgb": rgb, "depth": depth, "K": K, "extra": evil}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(values))
    np.save(tmp_path / "a.npy", np.array(values, dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", rgb=rgb, depth=depth, K=np.array({"K": evil}, dtype=object))
    for name in ("a.pkl", "a.npy", "a.npz"):
        with pytest.raises(ValueError, match=r"asks for posix.system, .*; it was not executed; .* with numpy\.savez\("):
            ArrayFrames(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_intrinsics_as_a_dictionary_in_an_archive(tmp_path):
    rgb, depth = stacked(2)
    camera = {"fx": 60.5, "fy": 61.5, "cx": 31.25, "cy": 23.75, "width": WIDTH, "height": HEIGHT}
    np.savez(tmp_path / "a.npz", rgb=rgb, depth=depth, intrinsics=np.array(camera, dtype=object))
    check(ArrayFrames(tmp_path / "a.npz"), 2)
    camera["width"] = 2 * WIDTH
    np.savez(tmp_path / "b.npz", rgb=rgb, depth=depth, intrinsics=np.array(camera, dtype=object))
    with pytest.raises(ValueError, match="colour is 64x48 but the intrinsics are of 128x48"):
        next(iter(ArrayFrames(tmp_path / "b.npz"))).open()


def test_folder_of_files_sorts_by_number_and_loses_the_damaged_one(tmp_path):
    rgb, depth = stacked(3)
    for number, name in enumerate(("frame_2", "frame_9", "frame_10")):
        np.savez(tmp_path / f"{name}.npz", rgb=rgb[number], depth=depth[number], K=K)
    source = ArrayFrames(tmp_path)
    assert is_arrays(tmp_path)
    assert source.length is None
    check(source, 3, names=["frame_2", "frame_9", "frame_10"])
    content = (tmp_path / "frame_9.npz").read_bytes()
    (tmp_path / "frame_9.npz").write_bytes(content[: len(content) // 2])
    entries = list(ArrayFrames(tmp_path))
    assert [entry.name for entry in entries] == ["frame_2", "frame_9", "frame_10"]
    with pytest.raises(ValueError, match=r"frame_9\.npz is not a complete \.npz archive"):
        entries[1].open()
    assert entries[2].open().rgb_uint8()[0, 0, 2] == rgb[2, 0, 0, 2]


def test_folder_of_stacks(tmp_path):
    rgb, depth = stacked()
    np.save(tmp_path / "colors.npy", rgb)
    np.save(tmp_path / "depths.npy", np.asfortranarray(depth))
    np.save(tmp_path / "timestamps.npy", np.arange(STACK) / 8)
    with pytest.raises(ValueError, match="has no K"):
        ArrayFrames(tmp_path)
    np.save(tmp_path / "K.npy", K)
    source = ArrayFrames(tmp_path)
    assert source.length == STACK
    check(source, STACK, seconds=[number / 8 for number in range(STACK)])
    (tmp_path / "K.npy").rename(tmp_path / "intrinsics.npy")
    check(ArrayFrames(tmp_path), STACK, seconds=[number / 8 for number in range(STACK)])


def test_damage_in_the_middle_of_an_archive_costs_the_rest(tmp_path):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (4, HEIGHT, WIDTH, 3), dtype=np.uint8)
    _, depth = stacked(4)
    np.savez(tmp_path / "a.npz", rgb=rgb, depth=depth, K=K)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    at = content.find(rgb[2, 10].tobytes())
    content[at] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    entries = list(ArrayFrames(tmp_path / "a.npz"))
    np.testing.assert_array_equal(entries[1].open().rgb_uint8(), rgb[1])
    with pytest.raises(ValueError, match=r"rgb\.npy in .*a\.npz is damaged \(Bad CRC"):
        entries[-1].open()


def test_what_cannot_be_used_is_said(tmp_path):
    rgb, depth = stacked()
    np.savez(tmp_path / "one.npz", rgb=rgb, depth=depth[:-1], K=K)
    with pytest.raises(ValueError, match="5 colour images but 4 depth images"):
        ArrayFrames(tmp_path / "one.npz")
    np.savez(tmp_path / "names.npz", xyz=rgb, points=depth)
    with pytest.raises(ValueError, match="holds xyz, points; name the colour image rgb, the depth image depth"):
        ArrayFrames(tmp_path / "names.npz")
    np.save(tmp_path / "alone.npy", depth)
    with pytest.raises(ValueError, match="holds an array without names"):
        ArrayFrames(tmp_path / "alone.npy")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "alone.npy").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cut\.npy is not a complete \.npy file"):
        ArrayFrames(tmp_path / "cut.npy")
    (tmp_path / "text.pkl").write_bytes(b"what is this")
    with pytest.raises(ValueError, match=r"text\.pkl is damaged or not a pickle"):
        ArrayFrames(tmp_path / "text.pkl")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        ArrayFrames(tmp_path / "nothing.npz")
    np.savez(tmp_path / "none.npz", rgb=rgb[:0], depth=depth[:0], K=K)
    with pytest.raises(ValueError, match="has colour and depth of 0 frames; record it again"):
        ArrayFrames(tmp_path / "none.npz")
    np.savez(tmp_path / "small.npz", rgb=rgb, depth=depth[:, ::2, ::2], K=K)
    with pytest.raises(ValueError, match="depth is 32x24 but colour is 64x48"):
        next(iter(ArrayFrames(tmp_path / "small.npz"))).open()


@pytest.mark.parametrize("compressed", [False, True])
def test_long_archives_are_read_a_frame_at_a_time(tmp_path, compressed):
    count, shape = 40, (240, 320)
    save = np.savez_compressed if compressed else np.savez
    intrinsics = [[300, 0, 160], [0, 300, 120], [0, 0, 1]]
    save(
        tmp_path / "a.npz",
        rgb=np.zeros((count, *shape, 3), np.uint8),
        depth=np.full((count, *shape), 500, "<u2"),
        K=intrinsics,
    )
    tracemalloc.start()
    assert sum(1 for _ in ArrayFrames(tmp_path / "a.npz")) == count
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * shape[0] * shape[1] * 5  # some frames of 5 bytes a pixel, not 40
