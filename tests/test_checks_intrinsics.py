"""Intrinsics that are possible but implausible: one finding for each cause; real cameras have none."""

from __future__ import annotations

import re

import numpy as np
import pytest

from twohands import RGBDFrame, check
from twohands.checks.intrinsics import check_camera
from twohands.geometry.camera import Camera

REAL = {  # factory values of typical units: size, fx, fy, cx, cy
    "RealSense D435": (640, 480, 616.4, 616.8, 322.6, 238.9),
    "RealSense D435, 848": (848, 480, 616.2, 616.4, 425.9, 240.2),
    "RealSense D435, 720p": (1280, 720, 919.6, 919.4, 647.1, 361.4),
    "RealSense D455": (1280, 720, 637.3, 636.5, 644.1, 364.5),
    "RealSense L515": (1920, 1080, 1361.2, 1361.8, 977.5, 549.1),
    "Azure Kinect 720p": (1280, 720, 605.3, 605.2, 637.9, 366.6),
    "Azure Kinect 1536p": (2048, 1536, 968.5, 968.3, 1020.7, 778.9),
    "Kinect v1": (640, 480, 525.0, 525.0, 319.5, 239.5),
    "Kinect v2 depth": (512, 424, 365.5, 365.5, 254.9, 205.4),
    "Kinect v2 colour": (1920, 1080, 1081.4, 1081.4, 959.5, 539.5),
    "iPhone": (1920, 1440, 1443.6, 1443.6, 964.2, 722.1),
    "iPhone, portrait": (1440, 1920, 1443.6, 1443.6, 717.8, 955.8),
    "Orbbec Femto": (1280, 720, 749.1, 748.9, 638.5, 358.7),
}


def camera_of(width, height, fx, fy, cx, cy) -> Camera:
    return Camera(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32), width, height)


def findings_of(camera: Camera) -> list[str]:
    return [finding.code for finding in check_camera(camera)]


@pytest.mark.parametrize("name", REAL)
def test_real_cameras_have_no_finding(name):
    assert check_camera(camera_of(*REAL[name])) == []
    assert check_camera(camera_of(*REAL[name]).mirror()) == []


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("scale", [2, 1.5, 0.5])
def test_intrinsics_of_a_scaled_image_name_its_size(name, scale):
    width, height, *numbers = REAL[name]
    (finding,) = check_camera(camera_of(width, height, *(scale * number for number in numbers)))
    assert (finding.code, finding.severity) == ("intrinsics_of_other_size", "warning")
    found = np.array([finding.values["width_px"], finding.values["height_px"]])
    np.testing.assert_allclose(found, np.array([width, height]) * scale, rtol=0.04)
    assert f"would fit {found[0]}x{found[1]}" in finding.sentence


def test_intrinsics_of_another_aspect_name_their_size():
    numbers = REAL["RealSense D435, 720p"][2:]
    (finding,) = check_camera(camera_of(640, 480, *numbers))
    assert "would fit 1280x720: give those of the resolution of the images" in finding.sentence
    (finding,) = check_camera(camera_of(1080, 1920, *REAL["Kinect v2 colour"][2:]))  # turned pictures
    assert "would fit 1920x1080" in finding.sentence


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ((1, 1.04, 0, 0), "intrinsics_unequal_focal_lengths", "differ by 4%.*square pixels.*unless .* stretched"),
        ((1, 0.5, 0, 0), "intrinsics_unequal_focal_lengths", "differ by 50%"),
        ((1, 1, 0.1, 0), "intrinsics_principal_point", "10% of the width off the middle.*unless it is cut out"),
        ((1, 1, 0.1, -0.2), "intrinsics_principal_point", "20% of the width"),
        ((3, 3, 0, 0), "intrinsics_field_of_view", "covers 23 degrees"),
        ((0.28, 0.28, 0, 0), "intrinsics_field_of_view", "covers 131 degrees"),
    ],
)
def test_one_finding_for_each_cause(change, code, text):
    width, height, fx, fy, _, _ = REAL["Kinect v1"]
    moved = (width - 1) / 2 + change[2] * width, (height - 1) / 2 + change[3] * width
    (finding,) = check_camera(camera_of(width, height, fx * change[0], fy * change[1], *moved))
    assert (finding.code, finding.severity) == (code, "warning")
    assert re.search(text, finding.sentence)


def test_two_causes_have_two_findings():
    assert findings_of(camera_of(640, 480, 1900, 1600, 319.5, 239.5)) == [
        "intrinsics_unequal_focal_lengths",
        "intrinsics_field_of_view",
    ]


def test_check_of_a_frame_has_these_and_what_was_done_at_the_door():
    rgb, depth = np.zeros((480, 640, 3), np.uint8), np.full((480, 640), 700, np.uint16)
    depth[0] = 65535
    frame = RGBDFrame.from_arrays(rgb, depth, [1050, 1050, 639, 479])
    assert [finding.code for finding in check(frame)] == ["invalid_readings", "intrinsics_of_other_size"]
