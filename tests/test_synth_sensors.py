"""Depth cameras are unbiased, as noisy as their formulas, blind where geometry demands, and misregistered as asked."""

from dataclasses import replace

import numpy as np
import pytest

from twohands.cli import synth
from twohands.geometry.camera import Camera
from twohands.synth.config import BASIC, CONFIGS, FULL, SENSOR_FAMILIES, SynthConfig
from twohands.synth.rendering.render import Materials, draw
from twohands.synth.rendering.shapes import joined, rectangle
from twohands.synth.sensors import STEP, sample_sensor
from twohands.synth.sensors.active_stereo import ActiveStereo
from twohands.synth.sensors.basic import measure_depth, sample_depth_camera
from twohands.synth.sensors.families import FAMILY_FRACTIONS
from twohands.synth.sensors.lidar import Lidar
from twohands.synth.sensors.mount import Misregistration, Mount, sample_misregistration
from twohands.synth.sensors.noise import mixed_noise, window_noise
from twohands.synth.sensors.registration import warp_pixels, warp_surface
from twohands.synth.sensors.structured_light import StructuredLight, axial_noise
from twohands.synth.sensors.time_of_flight import TimeOfFlight
from twohands.synth.sensors.triangulation import Triangle

CAMERA = Camera(np.array([[280.0, 0, 159.5], [0, 280.0, 119.5], [0, 0, 1]]), 320, 240)
FAR, NEAR = 0.6, 0.4
TRUE = Mount(CAMERA, np.eye(3), np.zeros(3))
STEREO = Triangle(TRUE, 0.05, weakest=0.0, strongest=np.inf, step=1 / 32, range=(0.1, 5.0))


def wall(z, left=-1.0, width=2.0):
    return rectangle(np.array([left, -1.0, z]), np.array([width, 0, 0]), np.array([0, 2.0, 0]))


def materials(infrared=0.7, specular=0.0):
    one = np.ones(1, dtype=np.float32)
    return Materials(np.full(12, 186, dtype=np.uint8), np.array([[0, 2, 2]]), specular * one, 40 * one, infrared * one)


PLANE = joined([wall(0.5)])
POST = joined([wall(FAR), wall(NEAR, -0.04, 0.08)])  # columns 131.5 to 187.5 of CAMERA
INSIDE = (slice(60, 180), slice(80, 240))


def measured(family, seed, surfaces=PLANE, **changes):
    rng = np.random.default_rng([seed, 5])
    sensor = sample_sensor(rng, replace(FULL, sensor=family, **changes), CAMERA)
    return sensor, sensor.measure(rng, surfaces, materials(), CAMERA) * STEP


def band(depth, row=120):
    """Return the number of pixels without reading to the left and to the right of the post."""
    columns = np.nonzero((depth[row] > 0) & (depth[row] < 0.5 * (NEAR + FAR)))[0]
    before, after = depth[row, : columns.min()][::-1] > 0, depth[row, columns.max() + 1 :] > 0
    return int(np.argmax(before)), int(np.argmax(after))


@pytest.mark.parametrize("family", SENSOR_FAMILIES)
def test_depth_is_true_on_average(family):
    means = []
    for seed in range(24 if family == "lidar" else 6):  # the LiDAR's errors extend over the image
        _, depth = measured(family, seed)
        inside = depth[INSIDE]
        assert (inside > 0).mean() > 0.97
        means.append(inside[inside > 0].mean())
    assert np.mean(means) == pytest.approx(0.5, abs=0.001 if family == "lidar" else 0.0005)


def test_noise_is_as_large_as_its_formula():
    for seed in range(3):
        for family in SENSOR_FAMILIES:
            sensor, depth = measured(family, seed)
            values = depth[INSIDE][depth[INSIDE] > 0]
            spread = values.std()
            if isinstance(sensor, ActiveStereo):
                expected = 0.5**2 * sensor.subpixel / sensor.triangle.strength
            elif isinstance(sensor, StructuredLight):
                expected = axial_noise(np.array(0.5))
            elif isinstance(sensor, TimeOfFlight):
                expected = sensor.noise * 0.5 / np.sqrt(0.7)
            else:
                assert isinstance(sensor, Lidar)
                expected = sensor.noise
            rounding = STEP / np.sqrt(12)
            assert 0.6 * expected < spread < 1.4 * np.hypot(expected, rounding), (family, seed)


def test_noise_has_deviation_one_and_its_reach():
    rng = np.random.default_rng(1)
    for noise, near, beyond in (
        (window_noise(rng, (300, 300), 7), 1 - 3 / 7, 0.0),
        (mixed_noise(rng, (300, 300), 0.75, 2.0), 0.75 * np.exp(-(3**2) / 16), 0.0),
    ):
        assert noise.std() == pytest.approx(1, abs=0.03)
        assert (noise[:, 3:] * noise[:, :-3]).mean() == pytest.approx(near, abs=0.04)
        assert (noise[:, 12:] * noise[:, :-12]).mean() == pytest.approx(beyond, abs=0.04)


@pytest.mark.parametrize("baseline", [0.05, -0.05])
def test_stereo_shadow_is_on_the_side_of_the_second_camera(baseline):
    triangle = replace(STEREO, baseline=-baseline)
    sensor = ActiveStereo(triangle, window=5, subpixel=0.01, fattening=1)
    left, right = band(sensor.measure(np.random.default_rng(0), POST, materials(), CAMERA) * STEP)
    expected = 280 * 0.05 * (1 / NEAR - 1 / FAR)  # 11.7 pixels; the fattening takes up to one
    assert (right if baseline > 0 else left) == pytest.approx(expected - 0.5, abs=1.6)
    assert (left if baseline > 0 else right) == 0


def test_structured_light_shadow_and_contours():
    sensor = StructuredLight(replace(STEREO, baseline=-0.06), contour=2)
    depth = sensor.measure(np.random.default_rng(0), POST, materials(), CAMERA) * STEP
    left, right = np.mean([band(depth, row) for row in range(40, 200)], axis=0)
    shadow = 280 * 0.06 * (1 / NEAR - 1 / FAR)
    assert right == pytest.approx(shadow + 3, abs=1.5)  # 1 to 2 pixels of contour on either side
    assert left == pytest.approx(3, abs=1.5)


def test_time_of_flight_loses_what_neither_camera_nor_lamp_sees():
    mount = replace(TRUE, translation=np.array([-0.03, 0, 0]))
    sensor = TimeOfFlight(
        *(mount, np.array([-0.02, 0, 0]), 0.0, 0.5, 0.0, 0.15, 0.5, np.inf, 0.05, (0.1, 5.0)),
    )
    left, right = band(sensor.measure(np.random.default_rng(0), POST, materials(), CAMERA) * STEP)
    assert right == pytest.approx(280 * 0.05 * (1 / NEAR - 1 / FAR), abs=3)
    assert left <= 1
    mixed = replace(sensor, blur=1.3, stray=0.2, mount=TRUE, lamp=np.zeros(3), spread=np.inf, largest_step=np.inf)
    for soft, least, most in ((mixed, 5, 12), (replace(mixed, blur=0.3, stray=0.0), 0, 3)):
        row = soft.measure(np.random.default_rng(0), POST, materials(), CAMERA)[120] * STEP
        assert least <= ((row > NEAR + 0.01) & (row < FAR - 0.01)).sum() <= most  # both edges together


def test_lidar_has_no_holes_and_thick_edges():
    _, depth = measured("lidar", 0, POST)
    assert (depth > 0).all()
    row = depth[100:140].mean(axis=0)
    assert 2 <= ((row > NEAR + 0.03) & (row < FAR - 0.03)).sum() <= 12
    thin = Lidar(TRUE, 0.0, 8.0, 0.6, 0.0, (0.2, 4.0)).measure(np.random.default_rng(0), POST, materials(), CAMERA)
    thick = Lidar(TRUE, 0.0, 8.0, 0.6, 1.0, (0.2, 4.0)).measure(np.random.default_rng(0), POST, materials(), CAMERA)
    assert (thick[120] < 500).sum() == (thin[120] < 500).sum() + 2


@pytest.mark.parametrize("infrared", [0.0005, 0.7])
def test_dark_and_shining_surfaces_have_no_reading(infrared):
    shining = materials(infrared, specular=0.0 if infrared < 0.1 else 1.5)
    for family in ("time_of_flight", "active_stereo", "structured_light"):
        for seed in range(3):
            rng = np.random.default_rng(seed)
            sensor = sample_sensor(rng, replace(FULL, sensor=family), CAMERA)
            near = joined([wall(0.34)])
            depth = sensor.measure(rng, near, shining, CAMERA)
            middle = depth[110:130, 150:170]
            assert (middle == 0).mean() > 0.5, (family, seed)
            assert (sensor.measure(rng, near, materials(), CAMERA)[110:130, 150:170] > 0).all()


def test_disparities_are_rounded():
    depth = replace(STEREO, step=1 / 8).depth(np.random.default_rng(0).uniform(20, 40, (50, 50)))
    np.testing.assert_allclose(14 / depth * 8, np.round(14 / depth * 8), atol=1e-9)
    assert (np.abs(14 / depth - 30) <= 10.07).all()
    assert (replace(STEREO, range=(0.3, 0.4)).depth(np.array([[0.0, 14 / 0.5, 14 / 0.35, 14 / 0.2]])) > 0).tolist() == [
        [False, False, True, False]
    ]


@pytest.mark.parametrize("warp", [warp_pixels, lambda *arguments: warp_surface(*arguments, largest_step=0.05)])
def test_registration_error_moves_depth_by_its_pixels(warp):
    depth = np.full((240, 320), 0.5)
    depth[60:180, 100:220] = 0.4
    exact = warp(depth, CAMERA, TRUE)
    center = np.array([159.5, 119.5])
    np.testing.assert_array_equal(exact[70:170, 110:210], 400)
    for rotation, translation, focal, shift in (
        (np.array([[1, 0, 0.01], [0, 1, 0], [-0.01, 0, 1]]), np.zeros(3), 1.0, (2.8, 0.0)),
        (np.eye(3), np.array([0.0, -0.004, 0.0]), 1.0, (0.0, -2.8)),
        (np.eye(3), np.zeros(3), 1.05, (0.0, 0.0)),
    ):
        moved = warp(depth, CAMERA, replace(TRUE, error=Misregistration(rotation, translation, focal)))
        rows, columns = np.nonzero(moved == 400)
        middle = np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2
        np.testing.assert_allclose(middle - center, shift, atol=0.7)
        assert columns.max() - columns.min() == pytest.approx(119 / focal, abs=1.1)
        assert set(np.unique(moved)) <= {0, 400, 500}  # values stay true


def test_misregistration_is_drawn_as_stated():
    rng = np.random.default_rng(2)
    assert sample_misregistration(rng, CAMERA, 0.0) is None
    wide = CAMERA.resize(640, 480)
    point = np.array([0.0, 0.0, 0.5])
    shifts, focal = [], []
    for _ in range(1500):
        error = sample_misregistration(rng, wide, 1.0)
        shifts.append(wide.project((error.rotation @ point + error.translation)[None])[0] - wide.center)
        focal.append(error.focal - 1)
    shifts = np.array(shifts)
    assert shifts.std(axis=0) == pytest.approx(0.7, abs=0.05)
    assert np.abs(shifts).max() < 2.05
    assert np.std(focal) == pytest.approx(0.007, abs=0.0007)
    assert np.abs(focal).max() <= 0.03


@pytest.mark.parametrize("family", SENSOR_FAMILIES)
def test_equal_streams_give_equal_depth(family):
    first, again, other = (measured(family, seed, POST)[1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    sensor, _ = measured(family, 3, registration=0.0)
    mount = sensor.triangle.mount if hasattr(sensor, "triangle") else sensor.mount
    assert mount.error is None


def test_ideal_on_the_command_line_has_no_errors_of_registration_and_the_others_keep_theirs():
    chosen = {name: synth._frames(0, "train", "full", name, 1).config for name in ("ideal", "mixed", "lidar")}
    assert chosen["ideal"] == CONFIGS["no_sensor_noise"]
    assert (chosen["mixed"], chosen["lidar"]) == (FULL, replace(FULL, sensor="lidar"))


def test_ideal_is_exact():
    sensor, depth = measured("ideal", 0, POST)
    np.testing.assert_array_equal(np.round(depth / STEP), np.round(draw(POST, CAMERA)[0] / STEP))
    assert sensor.measure(np.random.default_rng(0), POST, materials(), CAMERA).dtype == np.uint16


def test_basic_is_the_first_engine():
    sensor = sample_sensor(np.random.default_rng(3), BASIC, CAMERA)
    rng, twin = np.random.default_rng(3), np.random.default_rng(3)
    old = measure_depth(rng, POST, materials().infrared, CAMERA, sample_depth_camera(rng, CAMERA))
    sample_sensor(twin, BASIC, CAMERA)
    np.testing.assert_array_equal(sensor.measure(twin, POST, materials(specular=1.0), CAMERA), old)


def test_mixed_has_every_family():
    rng = np.random.default_rng(0)
    kinds = [type(sample_sensor(rng, FULL, CAMERA)).__name__ for _ in range(200)]
    assert sum(FAMILY_FRACTIONS.values()) == pytest.approx(1)
    assert set(kinds) == {"TimeOfFlight", "ActiveStereo", "StructuredLight", "Lidar"}
    assert max(set(kinds), key=kinds.count) == "TimeOfFlight"


def test_unknown_sensor_is_refused():
    with pytest.raises(ValueError, match="choose one of time_of_flight"):
        SynthConfig(sensor="sonar")
