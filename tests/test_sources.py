"""Recordings as recorders write them: folders, names, clocks, intrinsics; and the errors of those that are unusable."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import HEIGHT, WIDTH, K
from twohands.sources.folder import FolderRecording
from twohands.sources.layouts import find_layout


def record(root: Path, *names: str, intrinsics: str = "cam_K.txt") -> Path:
    """Write images and intrinsics; an image with depth in its path is a 16-bit image of 500 mm, colour is grey."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        depth = "depth" in name.lower()
        Image.fromarray(np.full((HEIGHT, WIDTH), 500, np.uint16) if depth else grey(WIDTH, HEIGHT)).save(path)
    if intrinsics.endswith(".json"):
        matrix = {"width": WIDTH, "height": HEIGHT, "intrinsic_matrix": K.T.ravel().tolist()}  # Open3D: by columns
        (root / intrinsics).write_text(json.dumps(matrix))
    elif intrinsics:
        np.savetxt(root / intrinsics, K)
    return root


def grey(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def pairs(root: Path) -> dict[str, str]:
    return {stem: path.relative_to(root).as_posix() for stem, path in find_layout(root).depth.items()}


@pytest.mark.parametrize("colour", ["rgb", "color", "Color", "image"])
@pytest.mark.parametrize("depth", ["depth", "aligned_depth", "depth_aligned", "Depth"])
def test_folder_names(tmp_path, colour, depth):
    root = record(tmp_path, f"{colour}/000001.png", f"{depth}/000001.png")
    frame = FolderRecording(root).open("000001")
    assert frame.depth_unit == 0.001
    np.testing.assert_allclose(frame.depth, 0.5)


@pytest.mark.parametrize(
    ("colour", "depth"),
    [
        ("images", "depths"),
        ("rgb_image", "depth_image"),
        ("color_images", "depth_images"),
        ("imgs", "depth_to_color"),
        ("colors", "registered_depth"),
        ("RGB", "alignedDepth"),
    ],
)
def test_folder_names_with_the_word_for_the_kind(tmp_path, colour, depth):
    other = ("depth_vis", "rgb_mask", "confidence", "camera_info_depth")
    root = record(tmp_path, f"{colour}/1.png", f"{depth}/1.png", *(f"{name}/1.png" for name in other))
    assert pairs(root) == {"1": f"{depth}/1.png"}
    assert find_layout(root).colour == {"1": root / colour / "1.png"}


def test_two_cameras_in_one_folder_are_not_mixed(tmp_path):
    root = record(tmp_path, "cam0_rgb/1.png", "cam1_rgb/1.png", "cam0_depth/1.png", "cam1_depth/1.png")
    with pytest.raises(ValueError, match="several folders of colour images: cam0_rgb/, cam1_rgb/; give a folder for"):
        find_layout(root)


def test_a_recording_one_folder_below_is_named(tmp_path):
    record(tmp_path / "seq 1 für", "rgb/1.png", "depth/1.png")
    with pytest.raises(ValueError, match=r"no folder rgb/, .* but .*seq 1 für in it has: give that as the recording"):
        find_layout(tmp_path)
    record(tmp_path / "seq 2", "rgb/1.png", "depth/1.png")
    with pytest.raises(ValueError, match=r"but 2 folders in it have \(.*seq 1 für\): give"):
        find_layout(tmp_path)


def test_aligned_depth_comes_before_depth_of_another_view(tmp_path):
    root = record(tmp_path, "color/1.png", "depth/1.png", "aligned_depth/1.png")
    assert pairs(root) == {"1": "aligned_depth/1.png"}
    (root / "aligned_depth" / "1.png").unlink()  # an empty folder is no choice
    assert pairs(root) == {"1": "depth/1.png"}


@pytest.mark.parametrize("name", ["intrinsic.json", "camera_intrinsic.json", "camera_intrinsics.json", "K.txt"])
def test_intrinsics_names(tmp_path, name):
    root = record(tmp_path, "color/00000.png", "depth/00000.png", intrinsics=name)
    np.testing.assert_array_equal(FolderRecording(root).intrinsics.matrix, K)


@pytest.mark.parametrize(
    "name",
    ["Intrinsics.txt", "CAM_K.TXT", "camera_K.txt", "camera.json", "color_intrinsics.json", "calib.txt", "K.json"]
    + ["realsense-intrinsics.json", "intrinsic/intrinsic_color.txt", "colorCameraInfo.json"],
)
def test_intrinsics_under_other_names(tmp_path, name):
    root = record(tmp_path, "color/1.png", "depth/1.png", intrinsics="")
    (root / name).parent.mkdir(exist_ok=True)
    for other in ("intrinsic_depth.txt", "extrinsic_color.txt", "depth_intrinsics.json", "notes.txt", "config.json"):
        (root / name).with_name(other).write_text("none\n")
    text = json.dumps({"K": K.tolist()}) if name.endswith("json") else "\n".join(" ".join(map(str, row)) for row in K)
    (root / name).write_text(text)
    np.testing.assert_array_equal(FolderRecording(root).intrinsics.matrix, K)


def test_several_files_with_intrinsics_are_named(tmp_path):
    root = record(tmp_path, "color/1.png", "depth/1.png", intrinsics="")
    for name in ("left_calib.txt", "right_calib.txt"):
        np.savetxt(root / name, K)
    with pytest.raises(
        ValueError, match=r"hold the intrinsics: left_calib\.txt, right_calib\.txt; pass one as --intrin"
    ):
        FolderRecording(root)


@pytest.mark.parametrize(
    ("colour", "depth"),
    [("rgb/{}.png", "depth/{:05d}.png"), ("rgb/img_{}.png", "depth/dep_{}.png"), ("{}.jpg", "{}.png")]
    + [("colorImage{}.jpg", "depthImage{}.png")],
)
def test_pairs_by_number(tmp_path, colour, depth):
    for number in (9, 10, 11):
        record(tmp_path, colour.format(number))
        path = tmp_path / depth.format(number)
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((HEIGHT, WIDTH), 500, np.uint16)).save(path)
    recording = FolderRecording(tmp_path)
    assert recording.ids == [Path(colour.format(number)).stem for number in (9, 10, 11)]
    assert {stem: path.name for stem, path in recording.depth.items()} == {
        Path(colour.format(number)).stem: Path(depth.format(number)).name for number in (9, 10, 11)
    }


@pytest.mark.parametrize(
    ("colour", "depth"),
    [
        ("rgb/color_{}.png", "depth/depth_{}.png"),
        ("color_{}.jpg", "depth_{}.png"),  # one folder
        ("rgb/color_{}.png", "rgb/depth_{}.png"),
        ("rgb/rgb{}.png", "depth/depth{}.png"),
        ("frame-{}.color.jpg", "frame-{}.depth.png"),  # 7-Scenes, ScanNet
        ("{}.jpg", "{}_depth.png"),
        ("take2_Color_{}.png", "take2_Depth_{}.png"),
        ("color_{}.png", "aligned_depth_to_color_{}.png"),
        ("rgb_image_{}.png", "depth_image_{}.png"),
    ],
)
def test_names_with_the_kind_in_them(tmp_path, colour, depth):
    numbers = ("0010", "0009", "0011")
    names = [pattern.format(number) for number in numbers for pattern in (colour, depth)]
    recording = FolderRecording(record(tmp_path, *names))
    assert recording.ids == [Path(colour.format(number)).stem for number in sorted(numbers)]
    for frame_id, number in zip(recording.ids, sorted(numbers), strict=True):
        assert recording.depth[frame_id] == tmp_path / depth.format(number)
        assert recording.open(frame_id).depth[0, 0] == np.float32(0.5)


def test_one_folder_with_other_images(tmp_path):
    root = record(tmp_path, "color_1.png", "depth_1.png", "mask_1.png", "preview.jpg", "ir_1.png", "color_2.png")
    assert FolderRecording(root).ids == ["color_1", "color_2"]
    with pytest.raises(FileNotFoundError, match="no depth image named like color_2; add it or remove"):
        FolderRecording(root).open("color_2")


def test_time_stamps(tmp_path):
    """Clocks of 30 Hz that are 15 ms apart, a colour image without depth, and one beyond 20 ms."""
    colour = ["1305031102.175304", "1305031102.211214", "1305031102.243211", "1305031102.275326"]
    depth = ["1305031102.160407", "1305031102.226738", "1305031102.262886"]
    root = record(tmp_path, *(f"rgb/{name}.png" for name in colour), *(f"depth/{name}.png" for name in depth))
    recording = FolderRecording(root)
    assert recording.ids == colour
    assert {stem: path.stem for stem, path in recording.depth.items()} == {
        colour[0]: depth[0],
        colour[1]: depth[1],
        colour[3]: depth[2],  # 12.4 ms; the one before is 19.7 ms away and may not have it too
    }
    with pytest.raises(FileNotFoundError, match=r"no depth image within 20 ms of 1305031102\.243211; add"):
        recording.open(colour[2])


@pytest.mark.parametrize("unit", [1, 1000, 1000000])
def test_time_stamps_in_other_units(tmp_path, unit):
    """ROS writes nanoseconds, phones write milliseconds."""
    times = [1305031102_175304000 + 33_333_000 * index for index in range(5)]
    root = record(
        tmp_path,
        *(f"rgb/{time // unit}.png" for time in times),
        *(f"depth/{(time + 9_000_000) // unit}.png" for time in times),
    )
    digits = len(str(times[0] // unit))
    assert digits in (13, 16, 19)
    layout = find_layout(root)
    assert [layout.depth[str(time // unit)].stem for time in times] == [
        str((time + 9_000_000) // unit) for time in times
    ]


def test_milliseconds_with_a_fraction_behind_a_prefix(tmp_path):
    """As rs-convert names its images."""
    times = [1552468461123.456 + 33.3 * index for index in range(3)]
    colour = [f"take_Color_{time:.3f}" for time in times]
    depth = [f"take_Depth_{time + 9:.3f}" for time in times]
    root = record(tmp_path, *(f"{stem}.png" for stem in colour + depth))
    layout = find_layout(root)
    assert {stem: path.stem for stem, path in layout.depth.items()} == dict(zip(colour, depth, strict=True))
    assert [layout.seconds[stem] for stem in colour] == pytest.approx([time / 1000 for time in times], abs=1e-6)


def test_time_stamps_that_are_too_far(tmp_path):
    root = record(tmp_path, "rgb/100.000.png", "depth/100.021.png")
    with pytest.raises(ValueError, match=r"no depth image within 20 ms of a colour image"):
        FolderRecording(root)
    (root / "depth" / "100.021.png").rename(root / "depth" / "99.98.png")
    assert pairs(root) == {"100.000": "depth/99.98.png"}


def test_counters_are_no_time_stamps(tmp_path):
    root = record(tmp_path, "rgb/000001.png", "rgb/000003.png", "depth/000002.png", "depth/000004.png")
    with pytest.raises(ValueError, match="no depth image named like a colour image; name the pairs alike"):
        FolderRecording(root)


def test_most_stems_agree(tmp_path):
    """With a common clock a lost depth image stays lost, even if a neighbour is within 20 ms."""
    times = [f"10.{index:03d}" for index in range(0, 100, 10)]
    root = record(tmp_path, *(f"rgb/{time}.png" for time in times), *(f"depth/{time}.png" for time in times[1:]))
    (root / "depth" / "10.005.png").write_bytes((root / "depth" / "10.010.png").read_bytes())
    recording = FolderRecording(root)
    assert set(recording.ids) - set(recording.depth) == {"10.000"}
    with pytest.raises(FileNotFoundError, match=r"no depth image named like 10\.000"):
        recording.open("10.000")


@pytest.mark.parametrize("depth_first", [False, True])
def test_associations(tmp_path, depth_first):
    root = record(tmp_path, "rgb/1.10.png", "rgb/1.20.png", "depth/1.10.png", "depth/1.18.png", "depth/1.19.png")
    halves = [("1.10 rgb/1.10.png", "1.18 depth/1.18.png"), ("1.20 rgb/1.20.png", "1.10 depth/1.10.png")]
    lines = [" ".join(reversed(half) if depth_first else half) for half in halves]
    text = "# made by associate.py\n" + "\r\n".join(lines) + "\n\n1.3 rgb/1.3.png 1.3 depth/1.3.png\n"
    (root / "associations.txt").write_text(text)
    assert pairs(root) == {"1.10": "depth/1.18.png", "1.20": "depth/1.10.png"}
    (root / "associations.txt").write_text(lines[0])
    with pytest.raises(FileNotFoundError, match=r"no depth image in associations\.txt for 1\.20"):
        FolderRecording(root).open("1.20")
    (root / "associations.txt").write_text("left right")
    with pytest.raises(ValueError, match=r"associations\.txt names no pair of images of .*; correct or remove it"):
        FolderRecording(root)


def test_depth_unit_of_tum_is_asked(tmp_path):
    root = record(tmp_path, "rgb/1.10.png", "depth/1.11.png")
    (root / "depth.txt").write_text("notes of the depth camera\n")
    assert FolderRecording(root).open("1.10").depth_unit == 0.001
    (root / "depth.txt").write_text("# depth maps\n# file: 'desk.bag'\n# timestamp filename\n1.11 depth/1.11.png\n")
    with pytest.raises(ValueError, match=r"depth\.txt says .* TUM's.*pass --depth-unit 0\.0002, or 0\.001"):
        FolderRecording(root)
    assert FolderRecording(root, depth_unit=0.0002).open("1.10").depth_unit == 0.0002


def test_the_lists_of_tum_name_the_files(tmp_path):
    """Names that are no time stamps, in folders of any name; times only in the lists."""
    root = record(
        tmp_path, "cam0/a.png", "cam0/b.png", "cam0/c.png", "tof/depth_x.png", "tof/depth_y.png", "rgb/old.png"
    )
    (root / "rgb.txt").write_text("# color images\n10.10 cam0/a.png\n10.20 cam0/b.png\n10.30 cam0/c.png\n")
    (root / "depth.txt").write_text("10.115 tof/depth_y.png\n10.29 tof/depth_x.png\n")
    assert pairs(root) == {"a": "tof/depth_y.png", "c": "tof/depth_x.png"}
    recording = FolderRecording(root, depth_unit=0.001)
    assert recording.ids == ["a", "b", "c"]
    with pytest.raises(FileNotFoundError, match=r"no depth image in depth\.txt within 20 ms of b; add it"):
        recording.open("b")
    (root / "depth.txt").write_text("11.115 tof/depth_y.png\n")
    with pytest.raises(ValueError, match=r"rgb\.txt and depth\.txt of .* have no two times within 20 ms"):
        FolderRecording(root, depth_unit=0.001)


@pytest.mark.parametrize(("colour", "depth"), [("rgb/1.ppm", "depth/1.pgm"), ("rgb/1.webp", "depth/1.tiff")])
def test_formats_of_images(tmp_path, colour, depth):
    root = record(tmp_path, colour, depth)
    np.testing.assert_allclose(FolderRecording(root).open("1").depth, 0.5)


@pytest.mark.parametrize("name", ["calibration.yaml", "camera_info.yaml", "ost.yaml", "calibration.json"])
def test_distortion_of_a_folder_is_undone(tmp_path, name):
    root = record(tmp_path, "rgb/1.png", "depth/1.png", intrinsics="")
    values = {"image_width": WIDTH, "image_height": HEIGHT, "camera_matrix": {"data": K.ravel().tolist()}}
    values |= {"distortion_model": "plumb_bob", "distortion_coefficients": {"data": [-0.2, 0.03, 0.0, 0.0, 0.0]}}
    (root / name).write_text(json.dumps(values))  # JSON is YAML
    frame = FolderRecording(root).open("1")
    assert [finding.code for finding in frame.findings] == ["undistorted"]


def test_missing_intrinsics_can_be_passed(tmp_path):
    root = record(tmp_path, "rgb/1.png", "depth/1.png", intrinsics="")
    with pytest.raises(FileNotFoundError, match=r"no cam_K\.txt; write .* or pass --intrinsics"):
        FolderRecording(root)
    assert len(FolderRecording(root, intrinsics="150,150,79.5,59.5")) == 1


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("depth/1.exr", r"depth/1\.exr is an EXR file.*16-bit PNG in millimetres"),
        ("depth/1.jpg", r"depth/1\.jpg is a JPEG, whose compression destroys depth; record depth as 16-bit PNG"),
        ("depth/1.raw", r"depth/1\.raw has no width, height and type.*numpy\.fromfile"),
        ("aligned_depth/1.bin", r"aligned_depth/1\.bin has no width"),
        ("depth/1.webp", r"no depth image in depth/; put 16-bit PNG"),
        ("thermal/1.png", r"no folder depth/ or aligned_depth/; put the images there"),
    ],
)
def test_depth_that_is_not_read(tmp_path, name, match):
    root = record(tmp_path, "rgb/1.png")
    (root / name).parent.mkdir()
    (root / name).write_bytes(b"v/1\x01" + bytes(200))
    with pytest.raises(ValueError, match=match):
        FolderRecording(root)


@pytest.mark.parametrize("odd", [0, 3])
def test_the_odd_size_is_refused_wherever_it_is(tmp_path, odd):
    root = record(tmp_path, *(f"{kind}/{index}.png" for index in range(5) for kind in ("rgb", "depth")))
    Image.fromarray(grey(240, 180)).save(root / "rgb" / f"{odd}.png")
    Image.fromarray(np.full((180, 240), 500, np.uint16)).save(root / "depth" / f"{odd}.png")
    recording = FolderRecording(root)
    assert recording.intrinsics.size == (WIDTH, HEIGHT)
    for frame_id in recording.ids:
        if frame_id == str(odd):
            with pytest.raises(ValueError, match="colour is 240x180 but the intrinsics are of 160x120"):
                recording.open(frame_id)
        else:
            recording.open(frame_id)


def test_long_recordings_are_paired_at_once(tmp_path, monkeypatch):
    """20,000 time stamps; names only, since their content is not read here."""
    stems = [f"{1305031102 + index / 30:.6f}" for index in range(20_000)]
    shifted = [f"{1305031102.009 + index / 30:.6f}" for index in range(20_000)]
    for folder, names in (("rgb", stems), ("depth", shifted)):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.png").touch()
    started = time.process_time()
    layout = find_layout(tmp_path)
    assert time.process_time() - started < 5
    assert [layout.depth[stem].stem for stem in stems] == shifted
