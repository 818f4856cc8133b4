"""Intrinsics as recorders, calibrations and SDKs write them; refusals say what to give instead."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from twohands.checks.intrinsics import check_camera
from twohands.geometry.camera import Camera
from twohands.intrinsics import Intrinsics, check_intrinsics, read_intrinsics
from twohands.sources.folder import FolderRecording, open_frame
from twohands.types import RGBDFrame

MATRIX = np.array([[607.5, 0, 321.25], [0, 606.75, 242.5], [0, 0, 1]], np.float32)
ROWS = MATRIX.ravel().tolist()
COLUMNS = MATRIX.T.ravel().tolist()
NAMED = {"fx": 607.5, "fy": 606.75, "cx": 321.25, "cy": 242.5}
SIZE = {"width": 640, "height": 480}
REALSENSE = {**SIZE, "fx": 607.5, "fy": 606.75, "ppx": 321.25, "ppy": 242.5, "coeffs": [0.0] * 5}
ROS_1 = f"""header:
  seq: 41
  stamp:
    secs: 1700000000
    nsecs:  33000000
  frame_id: "camera_color_optical_frame"
height: 480
width: 640
distortion_model: "plumb_bob"
D: [0.0, 0.0, 0.0, 0.0, 0.0]
K: {ROWS}
R: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
P: [607.5, 0.0, 321.25, 0.0, 0.0, 606.75, 242.5, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 0
roi:
  x_offset: 0
  height: 0
  width: 0
  do_rectify: False
---
"""
LINES = "".join(f"- {value}\n" for value in ROWS)
ROS_2 = (
    f"header:\n  stamp:\n    sec: 17\nheight: 480\nwidth: 640\ndistortion_model: plumb_bob\nd:\n- 0.0\nk:\n{LINES}---\n"
)
CALIBRATION = f"""image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: {ROWS}
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.000000, 0.000000, 0.000000, 0.000000, 0.000000]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
"""
OPENCV = """%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 6.0750000000000000e+02, 0., 3.2125e+02, 0., 6.0675e+02,
       2.425e+02, 0., 0., 1. ]
"""
RECORD_3D = {"w": 640, "h": 480, "dw": 256, "dh": 192, "fps": 30, "K": COLUMNS, "poses": [[0, 0, 0, 1, 0, 0, 0]] * 9}


@pytest.mark.parametrize(
    ("name", "text", "sized"),
    [
        ("camera_info.yaml", ROS_1, True),
        ("camera_info.txt", ROS_1 + ROS_1, True),  # two messages
        ("camera_info.yaml", ROS_2, True),
        ("ost.yaml", CALIBRATION, True),
        ("calibration.yml", OPENCV, True),
        ("K.yaml", "fx: 6.075e2\nfy: 606.75\ncx: 321.25\ncy: 242.5\n", False),
        ("metadata", json.dumps(RECORD_3D), True),
        ("camera_matrix.csv", "607.5,0.0,321.25\n0.0,606.75,242.5\n0.0,0.0,1.0\n", False),  # Stray Scanner
        ("K.txt", "607.5 0 321.25 0\n0 606.75 242.5 0\n0 0 1 0\n", False),
        ("K.txt", "607.5 0 321.25 0\n0 606.75 242.5 0\n0 0 1 0\n0 0 0 1\n", False),  # ScanNet
        ("P.json", json.dumps({"P": [*ROWS[:3], 0, *ROWS[3:6], 0, *ROWS[6:], 0], **SIZE}), True),
        ("K.json", json.dumps({"intrinsics": {**NAMED, **SIZE}, "serial": "f1"}), True),
        ("K.json", json.dumps({**SIZE, "camera": {"K": MATRIX.tolist()}}), True),
        ("scene_camera.json", json.dumps({str(index): {"cam_K": ROWS} for index in range(3)}), False),  # BOP
        ("transforms.json", json.dumps({"fl_x": 607.5, "fl_y": 606.75, "cx": 321.25, "cy": 242.5, "k1": 0.0}), False),
    ],
)
def test_files_of_recorders(tmp_path, name, text, sized):
    (tmp_path / name).write_text(text)
    found = read_intrinsics(tmp_path / name)
    np.testing.assert_array_equal(found.matrix, MATRIX)
    assert found.size == ((640, 480) if sized else None)


RS_ENUMERATE = """Device info:
    Name                          :     Intel RealSense D435
    Serial Number                 :     829212072142

Intrinsic of "Color" / 640x480 / {YUYV/RGB8/BGR8/RGBA8/BGRA8/Y16}
  Width:        640
  Height:       480
  PPX:          321.25
  PPY:          242.5
  Fx:           607.5
  Fy:           606.75
  Distortion:   Inverse Brown Conrady
  Coeffs:       0       0       0       0       0
  FOV (deg):    55.6 x 43.1
"""
OST = f"""# oST version 5.0 parameters

[image]

width
640

[narrow_stereo]

camera matrix
{ROWS[0]} 0.0 {ROWS[2]}
0.0 {ROWS[4]} {ROWS[5]}
0.0 0.0 1.0

distortion
0.1 0.0 0.0 0.0 0.0
"""
XML = f"""<?xml version="1.0"?>
<opencv_storage>
<image_Width>640</image_Width>
<image_Height>480</image_Height>
<Camera_Matrix type_id="opencv-matrix"><rows>3</rows><cols>3</cols><dt>d</dt>
  <data>{" ".join(map(str, ROWS))}</data></Camera_Matrix>
</opencv_storage>
"""
ORB_SLAM = """%YAML:1.0
Camera.type: "PinHole"
Camera.fx: 607.5
Camera.fy: 606.75
Camera.cx: 321.25
Camera.cy: 242.5
Camera.width: 640
Camera.height: 480
DepthMapFactor: 5000.0
"""
ZIVID = """CameraIntrinsics:
  CameraMatrix: {CX: 321.25, CY: 242.5, FX: 607.5, FY: 606.75}
  Distortion: {K1: 0.1, K2: 0.0, K3: 0.0, P1: 0.0, P2: 0.0}
"""


@pytest.mark.parametrize(
    ("name", "text", "known"),
    [
        ("a.txt", "fx = 607.5\nfy = 606.75\ncx = 321.25\ncy = 242.5\nwidth = 640\nheight = 480\n", "size"),
        ("a.txt", "fx=607.5, fy=606.75, cx=321.25, cy=242.5", ""),
        ("a.txt", "fx: 607.5, fy: 606.75, cx: 321.25, cy: 242.5", ""),
        ("a.txt", "fx 607.5\nfy 606.75\ncx 321.25\ncy 242.5\n", ""),
        ("a.csv", "fx\t607.5\nfy\t606.75\ncx\t321.25\ncy\t242.5\n", ""),
        ("a.csv", "width,height,fx,fy,ppx,ppy\n640,480,607.5,606.75,321.25,242.5\n", "size"),
        ("a.txt", f"K = np.array({MATRIX.tolist()})", ""),
        ("a.txt", "K = [607.5 0 321.25; 0 606.75 242.5; 0 0 1];", ""),
        ("a.txt", f"array({ROWS}, dtype=float32)", ""),
        ("a.txt", "% focal lengths\n607.5 0 321.25 // cx\n0 606.75 242.5\n0 0 1\n", ""),
        ("a.txt", "Intrinsics:\n607.5 0 321.25\n0 606.75 242.5\n0 0 1\n", ""),
        ("a.txt", "640 480\n607.5 0 321.25\n0 606.75 242.5\n0 0 1\n", "size"),
        (
            "a.toml",
            "[camera]\nwidth = 640\nheight = 480\nK = [[607.5, 0, 321.25], [0, 606.75, 242.5], [0, 0, 1]]\n",
            "size",
        ),
        ("a.ini", "[color]\nfx=607.5\nfy=606.75\ncx=321.25\ncy=242.5\nk1=0.1\n", "lens"),
        ("rs.txt", RS_ENUMERATE, "size"),
        ("ost.txt", OST, "lens"),
        ("out_camera_data.xml", XML, "size"),
        ("TUM1.yaml", ORB_SLAM, "size unit"),
        ("zivid.yml", ZIVID, "lens"),
        ("k.yaml", f"cam0:\n  intrinsics: {[607.5, 606.75, 321.25, 242.5]}\n  resolution: [640, 480]\n", "size"),
        (
            "s.yaml",
            "H: 480\nW: 640\nfx: 607.5\nfy: 606.75\ncx: 321.25\ncy: 242.5\npng_depth_scale: 5000.0\n",
            "size unit",
        ),
        (
            "a.json",
            json.dumps({"focal": [607.5, 606.75], "princpt": [321.25, 242.5], "image_size": [480, 640]}),
            "size",
        ),
        ("a.json", json.dumps({"fx": 607.5, "fy": 606.75, "u0": 321.25, "v0": 242.5}), ""),
        ("a.json", json.dumps({"fx_rgb": 607.5, "fy_rgb": 606.75, "cx_rgb": 321.25, "cy_rgb": 242.5}), ""),
        ("a.json", json.dumps({"intrinsicMatrix": MATRIX.tolist(), "imageWidth": 640, "imageHeight": 480}), "size"),
        ("a.json", json.dumps({"cameraIntrinsics": MATRIX.T.tolist(), "imageResolution": [640, 480]}), "size"),  # ARKit
        ("a.json", json.dumps({"K": " ".join(map(str, ROWS))}), ""),
        ("a.json", '// D435\n{"fx": 607.5, "fy": 606.75, "cx": 321.25, "cy": 242.5,}', ""),
    ],
)
def test_spellings_of_other_programs(tmp_path, name, text, known):
    (tmp_path / name).write_text(text)
    found = read_intrinsics(tmp_path / name)
    np.testing.assert_array_equal(found.matrix, MATRIX)
    assert found.size == ((640, 480) if "size" in known else None)
    assert found.depth_unit == (0.0002 if "unit" in known else None)
    assert (found.lens is not None) == ("lens" in known)
    if found.lens is not None:
        assert found.lens.coefficients[0] == 0.1


COLMAP = """# Camera list with one line of data per camera:
#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]
# Number of cameras: 1
1 {} 640 480 {}
"""


@pytest.mark.parametrize(
    ("model", "numbers", "lens"),
    [
        ("PINHOLE", "607.5 606.75 321.75 243", None),
        ("SIMPLE_PINHOLE", "607.5 321.75 243", None),
        ("OPENCV", "607.5 606.75 321.75 243 0.1 -0.2 0.001 0.002", ("brown", (0.1, -0.2, 0.001, 0.002, 0, 0, 0, 0))),
        ("SIMPLE_RADIAL", "607.5 321.75 243 0.1", ("brown", (0.1, 0, 0, 0, 0, 0, 0, 0))),
        ("RADIAL", "607.5 321.75 243 0.1 -0.2", ("brown", (0.1, -0.2, 0, 0, 0, 0, 0, 0))),
        (
            "FULL_OPENCV",
            "607.5 606.75 321.75 243 0.1 -0.2 0.001 0.002 0.3 0.4 0.5 0.6",
            ("brown", (0.1, -0.2, 0.001, 0.002, 0.3, 0.4, 0.5, 0.6)),
        ),
        ("OPENCV_FISHEYE", "607.5 606.75 321.75 243 0.1 -0.2 0.3 0.4", ("fisheye", (0.1, -0.2, 0.3, 0.4))),
        ("SIMPLE_RADIAL_FISHEYE", "607.5 321.75 243 0.1", ("fisheye", (0.1, 0, 0, 0))),
    ],
)
def test_colmap(tmp_path, model, numbers, lens):
    """COLMAP counts pixels from the image's corner, so the principal point is half a pixel less here."""
    (tmp_path / "cameras.txt").write_text(COLMAP.format(model, numbers))
    found = read_intrinsics(tmp_path / "cameras.txt")
    fy = 606.75 if "606.75" in numbers else 607.5
    np.testing.assert_array_equal(found.matrix, np.array([[607.5, 0, 321.25], [0, fy, 242.5], [0, 0, 1]], np.float32))
    assert found.size == (640, 480)
    assert (None if found.lens is None else (found.lens.model, found.lens.coefficients)) == lens


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ("1 FOV 640 480 607.5 606.75 321.75 243 0.9", "lens distortion model 'FOV' .* undistort the images"),
        ("1 PINHOLE 640 480 607 607 322 243\n2 PINHOLE 640 480 507 507 322 243", "found several cameras: 1, 2; give"),
        ("1 PINHOLE 640 480 607 607 322", "found no intrinsic_matrix"),
        ("1", "intrinsics have shape|no numbers"),
    ],
)
def test_colmap_that_cannot_be_used(tmp_path, lines, match):
    (tmp_path / "cameras.txt").write_text(lines + "\n")
    with pytest.raises(ValueError, match=match):
        read_intrinsics(tmp_path / "cameras.txt")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_encodings(tmp_path, encoding):
    (tmp_path / "K.txt").write_text("# Kamera für Hände\r\n607.5 0 321.25\r\n0 606.75 242.5\r\n0 0 1\r\n", encoding)
    np.testing.assert_array_equal(read_intrinsics(tmp_path / "K.txt").matrix, MATRIX)
    (tmp_path / "K.txt").write_bytes(b"\x80\x04\x95\x00\x00")
    with pytest.raises(ValueError, match=r"K\.txt is not a text file; give"):
        read_intrinsics(tmp_path / "K.txt")


def test_a_stack_of_equal_matrices_is_one(tmp_path):
    np.save(tmp_path / "K.npy", np.stack([MATRIX] * 3))
    np.testing.assert_array_equal(read_intrinsics(tmp_path / "K.npy").matrix, MATRIX)
    np.save(tmp_path / "K.npy", np.stack([MATRIX, MATRIX + 1]))
    with pytest.raises(ValueError, match="2 matrices of intrinsics that are not equal"):
        read_intrinsics(tmp_path / "K.npy")


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ((1 / 640, 1 / 480), "in fractions .* fx,fy,cx,cy would be about 608,607,321,24[23]$"),
        ((1 / 640, 1 / 640), "in fractions .* would be about 608,607,321,24[23]$"),
        ((0.003, 0.003), "or in millimetres; .* would be about 60[0-9],60[0-9],320,24[0-9]$"),
        ((0.125, 0.125), "fx = 75.9375 px is not possible .*; these intrinsics would fit 80x60: give"),
        ((0.02, 0.001), "not possible .* give the colour camera's intrinsics in pixels$"),
    ],
)
def test_impossible_intrinsics_say_what_they_are(scale, message):
    with pytest.raises(ValueError, match=message):
        check_intrinsics(MATRIX * np.array([[scale[0]], [scale[1]], [1]], np.float32), 640, 480)


@pytest.mark.parametrize(
    "arrays",
    [
        {"arr_0": MATRIX},
        {"K": MATRIX, "rgb": np.zeros((4, 5, 3), np.uint8), "depth": np.zeros((4, 5))},
        {"intrinsics": MATRIX, "pose": np.eye(4)},
        {"mtx": MATRIX, "dist": np.zeros((1, 5)), "rvecs": np.ones((7, 3, 1))},  # OpenCV's tutorial
        {"camera_matrix": np.array([607.5, 606.75, 321.25, 242.5]), "x": np.zeros(3)},
    ],
)
def test_archives(tmp_path, arrays):
    np.savez(tmp_path / "K.npz", **arrays)
    np.testing.assert_array_equal(read_intrinsics(tmp_path / "K.npz").matrix, MATRIX)
    whole = (tmp_path / "K.npz").read_bytes()
    (tmp_path / "K.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"K\.npz is not a readable \.npz archive .*; save K with numpy\.savez"):
        read_intrinsics(tmp_path / "K.npz")


@pytest.mark.parametrize(
    "source",
    [
        {**NAMED, **SIZE},
        {"K": MATRIX, **SIZE},
        {"intrinsics": MATRIX.tolist(), **SIZE},
        {"camera_matrix": tuple(NAMED[name] for name in ("fx", "fy", "cx", "cy")), **SIZE},
        SimpleNamespace(**REALSENSE, model="distortion.inverse_brown_conrady"),  # pyrealsense2.intrinsics
        SimpleNamespace(**SIZE, intrinsic_matrix=MATRIX.astype(np.float64)),  # Open3D's PinholeCameraIntrinsic
        SimpleNamespace(**SIZE, k=np.array(ROWS), d=[0.0] * 5, p=np.zeros(12), distortion_model="plumb_bob"),  # ROS 2
    ],
)
def test_dictionaries_and_objects(source):
    found = read_intrinsics(source)
    np.testing.assert_array_equal(found.matrix, MATRIX)
    assert found.size == (640, 480)
    frame = RGBDFrame.from_arrays(np.zeros((480, 640, 3), np.uint8), np.full((480, 640), 600, np.uint16), source)
    np.testing.assert_array_equal(frame.camera.K, MATRIX)


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.json", json.dumps({**SIZE, "D": [], "K": [0.0] * 9}), "the camera is not calibrated: .* give the fx,fy,cx"),
        ("a.yaml", ROS_1.replace(str(ROWS), str([0.0] * 9)), "the camera is not calibrated"),
        ("a.json", json.dumps({**SIZE, "fx": 0, "fy": 0, "ppx": 0, "ppy": 0}), "the camera is not calibrated"),
        ("a.txt", "607.5 12.5 321\n0 606 242\n0 0 1\n", r"the skew K\[0, 1\] = 12\.5 px .*calibrate without skew"),
        ("a.txt", "607.5 0 321\n0 -606.5 242\n0 0 1\n", r"fy = -606\.5 px is negative.*OpenGL.* give fy as 606\.5"),
        ("a.txt", "-607.5 0 321\n0 -606.5 242\n0 0 1\n", r"fx = -607\.5 px is negative.*mirrored.* give fx as 607\.5"),
        ("a.txt", "607.5 0 321 -30.5\n0 606.5 242 0\n0 0 1 0\n", "3x4 matrix .*-30.5.*K: neither a pose nor"),
        ("a.txt", "1 0 0 0.2\n0 1 0 0.1\n0 0 1 0.5\n0 0 0 1\n", "4x4 matrix .*neither a pose nor"),
        ("a.txt", "1.9 0 0 0\n0 2.5 0 0\n0 0 -1 -0.02\n0 0 -1 0\n", "4x4 matrix"),  # a projection of OpenGL
        (
            "a.json",
            json.dumps({"color": REALSENSE, "depth": {**REALSENSE, "fx": 430.0}}),
            r"cameras: color, depth; give the colour camera's part, .* \(color: 607\.5,606\.75,321\.25,242\.5\)",
        ),
        (
            "a.yaml",
            f"cameras:\n  rgb:\n    K: {ROWS}\n  ir:\n    intrinsics: [430, 430, 320, 240]\n",
            "found several cameras: cameras.rgb, cameras.ir; give",
        ),
        (
            "a.json",
            json.dumps({"K_color": ROWS, "K_depth": [430, 0, 320, 0, 430, 240, 0, 0, 1]}),
            "found several cameras: K_color, K_depth; give",
        ),
        ("a.json", json.dumps([REALSENSE, {**REALSENSE, "fx": 430.0}]), "found several cameras: 0, 1; give"),
        ("a.json", json.dumps({str(n): {"cam_K": [n, *ROWS[1:]]} for n in range(1, 9)}), "3, 4, 5 and 3 more; give"),
        ("a.yaml", "height: 480\nwidth: [640\n", r"not valid YAML \(line 3\); give a 3x3 text file"),
        ("a.yaml", "K: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        ("a.yaml", "height: 480\nwidth: 640\n", "found no intrinsic_matrix, K"),
        ("a.yaml", "K: &a\n  b: *a\n", "found no intrinsic_matrix, K"),
        ("a.json", json.dumps(dict.fromkeys(NAMED)), "found no intrinsic_matrix, .* among fx, fy, cx, cy; give"),
        ("a.json", '{"fx": NaN, "fy": 606.75, "cx": 321.25, "cy": 242.5}', "not finite"),
        (
            "a.txt",
            "[color]\nfx=600\nfy=600\ncx=320\ncy=240\n[ir]\nfx=430\nfy=430\ncx=320\ncy=240\n",
            "cameras: color, ir; ",
        ),
        ("a.xml", "<opencv_storage><K>", "not valid XML"),
        ("a.json", json.dumps({**NAMED, "depth_scale": 0}), "depth_scale is 0, not a positive number"),
    ],
)
def test_refusals_name_the_file_and_the_fix(tmp_path, name, text, match):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=match) as raised:
        read_intrinsics(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_little_skew_of_a_calibration_is_no_obstacle():
    assert read_intrinsics(MATRIX + np.eye(3, k=1)[[0, 2, 2]] * 0.3).matrix[0, 1] == np.float32(0.3)


@pytest.mark.parametrize(
    ("scale", "unit"),
    [(1000.0, 0.001), (5000, 0.0002), (0.001, 0.001), (0.00025, 0.00025), (1.0, 0.001), (0.1, 0.0001), (None, None)],
)
def test_depth_scale_of_open3d_realsense_and_bop(scale, unit):
    found = read_intrinsics({"camera": NAMED, "depth_scale": scale})
    assert found.depth_unit == (None if unit is None else pytest.approx(unit))


def test_depth_scale_is_the_unit_of_integers_unless_the_user_gives_one(tmp_path):
    depth = np.full((48, 64), 3000, np.uint16)
    for name in ("rgb", "depth"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(tmp_path / "rgb" / "1.png")
    Image.fromarray(depth).save(tmp_path / "depth" / "1.png")
    np.save(tmp_path / "metres.npy", np.full((48, 64), 0.6, np.float32))
    file = tmp_path / "camera_intrinsic.json"
    columns = [60, 0, 0, 0, 60, 0, 31.5, 23.5, 1]
    file.write_text(json.dumps({"width": 64, "height": 48, "intrinsic_matrix": columns, "depth_scale": 5000.0}))
    for given, metres in ((None, 0.6), (0.001, 3.0)):
        for frame in (
            FolderRecording(tmp_path, given).open("1"),
            open_frame(tmp_path / "rgb" / "1.png", tmp_path / "depth" / "1.png", file, given),
        ):
            np.testing.assert_allclose(frame.depth, metres, rtol=1e-6)
            assert frame.depth_unit == pytest.approx(metres / 3000)
        colour = np.full((48, 64, 3), 90, np.uint8)
        np.testing.assert_allclose(RGBDFrame.from_arrays(colour, depth, file, given).depth, metres, rtol=1e-6)
    frame = open_frame(tmp_path / "rgb" / "1.png", tmp_path / "metres.npy", file)
    np.testing.assert_allclose(frame.depth, 0.6)
    assert frame.depth_unit == 1
    assert Intrinsics(MATRIX).unit_of(depth) == 0.001


@pytest.mark.parametrize(
    ("name", "text", "model", "coefficients"),
    [
        (
            "a.yaml",
            ROS_1.replace("D: [0.0", "D: [0.071, -0.182").replace(", 0.0, 0.0, 0.0]\nK", ", 0.0]\nK"),
            "brown",
            (0.071,),
        ),
        ("a.yaml", ROS_2.replace("plumb_bob\nd:\n- 0.0", "equidistant\nd: [0.1, 0, 0, 0]"), "fisheye", (0.1,)),
        ("a.yaml", CALIBRATION.replace("data: [0.000000", "data: [0.25"), "brown", (0.25,)),
        (
            "a.json",
            json.dumps({**REALSENSE, "coeffs": [-0.055, 0.065, 0, 0, -0.02]}),
            "brown",
            (-0.055, 0.065, 0, 0, -0.02),
        ),
        ("a.json", json.dumps({**NAMED, "k1": 0.01, "k2": -0.3}), "brown", (0.01, -0.3)),
    ],
)
def test_lens_distortion_comes_with_the_matrix(name, text, model, coefficients, tmp_path):
    (tmp_path / name).write_text(text)
    found = read_intrinsics(tmp_path / name)
    np.testing.assert_array_equal(found.matrix, MATRIX)
    assert found.lens is not None
    assert found.lens.model == model
    assert found.lens.coefficients[: len(coefficients)] == pytest.approx(coefficients)


@pytest.mark.parametrize("order", ["fx,cx,fy,cy", "cx,cy,fx,fy"])
@pytest.mark.parametrize("fx", [250.0, 500.0, 1900.0, 4000.0])
def test_another_order_of_the_numbers_is_named(fx, order):
    """Whether the numbers are impossible, which is refused, or only implausible, which is a finding."""
    right = {"fx": fx, "fy": 1.002 * fx, "cx": 325.0, "cy": 236.0}
    matrix = read_intrinsics([right[name] for name in order.split(",")]).matrix
    message = f"in the order {order}; give them as fx,fy,cx,cy"
    if fx > 1000 and order == "cx,cy,fx,fy":
        with pytest.raises(ValueError, match=message):
            check_intrinsics(matrix, 640, 480)
    else:
        (finding,) = check_camera(Camera(check_intrinsics(matrix, 640, 480), 640, 480))
        assert (finding.code, finding.severity) == ("intrinsics_order", "warning")
        assert message in finding.sentence
