"""Depth that does not lie on colour, and blue first, are found on the packaged frame and on drawn scenes."""

from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

import twohands
from twohands.checks.colour import check_channel_order, skin_redness
from twohands.checks.edges import Agreement, depth_edges
from twohands.checks.examiner import check
from twohands.checks.registration import check_registration, displacement
from twohands.geometry.camera import Camera
from twohands.types import RGBDFrame, no_hands


@pytest.fixture(scope="module")
def frame() -> RGBDFrame:
    demo = files("twohands") / "demo"
    rgb = np.asarray(Image.open(str(demo / "color.jpg")).convert("RGB"))
    return RGBDFrame.from_arrays(
        rgb, np.asarray(Image.open(str(demo / "depth.png"))), np.loadtxt(str(demo / "cam_K.txt"))
    )


def test_a_wrong_unit_is_named_also_where_no_hands_are_found_in_the_depth(frame):
    """The default method looks for hands in the depth; those that only the image shows have a size as well."""
    with pytest.raises(ValueError, match=r"knuckles would be .* m wide; try depth_unit="):
        twohands.load(trusted=True)(replace(frame, depth=(frame.depth * 10).astype(np.float32)))


@pytest.fixture(scope="module")
def predictor():
    return twohands.load(trusted=True)


@pytest.fixture(scope="module")
def hands(frame, predictor):
    return predictor(frame)


def blocks(seed: int = 0, size: tuple[int, int] = (240, 320)) -> RGBDFrame:
    """Draw rectangles of their own colours and depths before a textured wall."""
    rng = np.random.default_rng(seed)
    rgb = rng.normal(0.4, 0.02, (3, *size)).clip(0, 1)
    depth = np.full(size, 1.5)
    for z in np.linspace(1.2, 0.5, 9):
        top, left = rng.integers(0, size[0] - 60), rng.integers(0, size[1] - 80)
        place = np.s_[top : top + rng.integers(20, 60), left : left + rng.integers(25, 80)]
        depth[place] = z
        rgb[(slice(None), *place)] = rng.uniform(0.1, 0.9, (3, 1, 1))
    camera = Camera(np.array([[300.0, 0, 159.5], [0, 300, 119.5], [0, 0, 1]]), size[1], size[0])
    return RGBDFrame(rgb.astype(np.float32), depth.astype(np.float32), camera)


def moved(frame: RGBDFrame, right: int, down: int) -> RGBDFrame:
    depth = np.roll(frame.depth, (down, right), (0, 1))
    return replace(frame, depth=depth)


@pytest.mark.parametrize("step", [2, 3, 4])
def test_depth_with_readings_at_every_other_pixel_only(frame, step):
    """As moved to a finer colour image without filling the gaps: one of the grids may see no reading at all."""
    sparse = np.zeros_like(frame.depth)
    sparse[::step, ::step] = frame.depth[::step, ::step]
    rows = frame.depth.copy()
    rows[1::step] = 0
    for depth in (sparse, rows):
        assert check(replace(frame, depth=depth)) == ()


def test_disparity_in_place_of_depth(frame):
    """Near things have the large values: no measured size of a hand tells it from a unit, its surroundings do."""
    disparity = np.where(frame.depth > 0, 0.3 / np.maximum(frame.depth, 0.1), 0).astype(np.float32)
    found = twohands.load()(replace(frame, depth=disparity)).findings
    assert "depth_inverted" in [finding.code for finding in found]


def test_the_packaged_frame_has_no_finding(frame, hands, predictor):
    assert check(frame) == ()
    assert check_registration(frame, hands) == []
    assert check_channel_order(frame, hands, predictor.reconstruct) == []


@pytest.mark.parametrize(("right", "down"), [(41, 0), (-30, 12), (0, -20), (10, 8)])
def test_a_shift_is_found_and_measured(frame, hands, right, down):
    (finding,) = check_registration(moved(frame, right, down), hands)
    assert (finding.code, finding.severity) == ("depth_not_registered", "warning")
    assert abs(finding.values["shift_right_px"] - right) <= 4
    assert abs(finding.values["shift_down_px"] - down) <= 4
    assert "rs.align(rs.stream.color)" in finding.sentence


@pytest.mark.parametrize("right", [-24, 32])
def test_the_sentence_names_the_direction(right):
    found = str(displacement(moved(blocks(), right, 0)))
    assert found == f"depth edges lie {abs(right)} px {'right' if right > 0 else 'left'} of colour edges"


def test_a_mirrored_depth_is_called_mirrored(frame, hands):
    (finding,) = check_registration(replace(frame, depth=np.ascontiguousarray(frame.depth[:, ::-1])), hands)
    assert finding.values["mirrored"] == 1.0
    assert "mirrored relative to each other" in finding.sentence


@pytest.mark.parametrize("scale", [0.72, 1.38])
def test_another_field_of_view_is_measured(scale):
    frame = blocks(3)
    rows, columns = (np.rint((np.arange(n) - (n - 1) / 2) / scale + (n - 1) / 2).astype(int) for n in (240, 320))
    inside = ((rows >= 0) & (rows < 240))[:, None] & ((columns >= 0) & (columns < 320))
    scaled = frame.depth[rows.clip(0, 239)][:, columns.clip(0, 319)] * inside
    (finding,) = check(replace(frame, depth=scaled))
    assert abs(finding.values["scale"] / scale - 1) < 0.08


@pytest.mark.parametrize("seed", range(4))
def test_registered_blocks_have_no_finding_and_moved_ones_do(seed):
    assert check(blocks(seed)) == ()
    assert [finding.code for finding in check(moved(blocks(seed), 17, -9))] == ["depth_not_registered"]


def test_the_far_side_of_a_shadow_without_readings_is_no_edge():
    depth = np.full((60, 80), 1.0)
    depth[20:40, 30:50] = 0.5
    depth[20:40, 50:60] = 0  # shadow on the right of the near square
    edges = depth_edges(depth)
    assert edges.weights[30, 48:52].max() == 1
    assert edges.weights[25:35, 55:65].max() == 0


def test_holes_in_a_slanted_plane_are_no_edges():
    depth = np.tile(np.linspace(0.6, 0.9, 160), (120, 1))
    depth[np.random.default_rng(0).random(depth.shape) < 0.1] = 0
    assert depth_edges(depth).weights.mean() < 0.01


def test_nothing_is_said_without_edges(frame):
    flat = replace(frame, depth=np.full_like(frame.depth, 0.7))
    assert Agreement(frame.rgb).of(depth_edges(flat.depth)) is None
    assert check(flat) == ()
    assert check_registration(replace(frame, rgb=np.full_like(frame.rgb, 0.5))) == []


@pytest.mark.parametrize("size", [(16, 16), (16, 200), (61, 37)])
def test_small_images_are_judged_without_errors(size):
    rng = np.random.default_rng(0)
    rgb, depth = rng.random((3, *size), dtype=np.float32), rng.choice([0, 0.4, 0.8], size).astype(np.float32)
    camera = Camera(np.array([[50.0, 0, 8], [0, 50, 8], [0, 0, 1]]), size[1], size[0])
    check(RGBDFrame(rgb, depth, camera))


def test_blue_first_is_found_by_the_skin(frame, hands, predictor):
    exchanged = replace(frame, rgb=np.ascontiguousarray(frame.rgb[::-1]))
    assert (skin_redness(frame, hands) > 0.1).all()
    (finding,) = check_channel_order(exchanged, hands, predictor.reconstruct)
    assert finding.code == "blue_first"
    assert "rgb[..., ::-1]" in finding.sentence


def test_blue_first_is_found_when_only_the_exchanged_frame_has_hands(frame, hands):
    exchanged = replace(frame, rgb=np.ascontiguousarray(frame.rgb[::-1]))
    (finding,) = check_channel_order(exchanged, no_hands(), lambda _: hands)
    assert finding.values["more_hands_exchanged"] == 2
    assert "2 hands are found with red and blue exchanged, 0 without" in finding.sentence


def test_blue_things_taken_for_hands_after_the_exchange_are_no_finding(frame, hands):
    assert check_channel_order(frame, no_hands(), lambda _: hands) == []  # their skin would be blue there


def test_a_blue_thing_taken_for_a_hand_does_not_hide_that_blue_is_first(frame, hands):
    """The thing is red where blue is first, as skin should be; both hands are found after the exchange."""
    exchanged = replace(frame, rgb=np.ascontiguousarray(frame.rgb[::-1]))
    exchanged.rgb[:, :200, :200] = np.array([0.8, 0.3, 0.2])[:, None, None]
    thing = frame.camera.unproject(np.tile([100.0, 100.0], (21, 1)), np.full(21, 0.6)).astype(np.float32)
    false = replace(hands, joints=np.stack([thing, thing]), present=np.array([1, 0], np.float32))
    assert skin_redness(exchanged, false)[0] > 0.5
    (finding,) = check_channel_order(exchanged, false, lambda _: hands)
    assert finding.values["more_hands_exchanged"] == 1


def test_a_blue_thing_before_a_hand_does_not_make_its_skin_blue(frame, hands):
    rgb, depth = frame.rgb.copy(), np.array(frame.depth)
    fingers = np.asarray(hands.joints)[:, [3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19, 20]].reshape(-1, 3)
    for column, row in np.rint(frame.camera.project(fingers.astype(np.float64))).astype(int):
        rgb[:, row - 8 : row + 9, column - 8 : column + 9] = np.array([0.1, 0.3, 0.8])[:, None, None]
        depth[row - 8 : row + 9, column - 8 : column + 9] = fingers[:, 2].min() - 0.05
    assert (skin_redness(replace(frame, rgb=rgb), hands) < -0.5).all()  # painted fingers
    assert (skin_redness(replace(frame, rgb=rgb, depth=depth), hands) > 0.1).all()


def test_hands_that_wrong_intrinsics_hide_are_no_sign_of_blue_first(frame, hands):
    camera = replace(frame.camera, K=np.asarray(frame.camera.K) * np.array([[0.5], [0.5], [1]]))
    exchanged = replace(frame, rgb=np.ascontiguousarray(frame.rgb[::-1]), camera=camera)
    assert check_channel_order(exchanged, no_hands(), lambda _: hands) == []


def test_a_hand_that_is_not_found_is_no_sign_of_blue_first(frame, hands):
    one = replace(hands, present=np.array([1, 0], np.float32))
    assert check_channel_order(frame, one, lambda _: hands) == []


def test_a_second_search_that_is_refused_is_no_finding(frame):
    def refuse(_):
        raise ValueError("hands of impossible size")

    assert check_channel_order(frame, no_hands(), refuse) == []


def test_load_examines_and_finds_the_shift(frame):
    found = twohands.load()(moved(frame, 30, -14))
    assert [finding.code for finding in found.findings] == ["depth_not_registered"]
    assert found.examined
