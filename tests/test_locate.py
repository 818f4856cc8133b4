"""The locator: its networks, pixel conventions, sides, and its behaviour on real frames (TWOHANDS_REAL_FRAMES)."""

import json
import os
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from twohands.choices import Person
from twohands.files import read_depth
from twohands.files import read_rgb as read_rgb_file
from twohands.geometry.camera import Camera
from twohands.hands.free import free_hand, pose_prior
from twohands.hands.skeleton import PALM
from twohands.locate import GuidedLocator, HandLocator
from twohands.locate.locator import CROP_SIZE, MAX_PALMS, is_new, merge_palms, palm_anchors, tiles
from twohands.locate.people import choose_hands, facing, palm_places
from twohands.locate.regions import from_region, region_around, region_of_landmarks, sample, turn, upright_square
from twohands.locate.sides import Candidates, distinct, finger_curl, side_odds
from twohands.types import LEFT, RIGHT, LocatedHands, RGBDFrame

WEIGHTS = files("twohands") / "weights"
REAL = Path(os.environ.get("TWOHANDS_REAL_FRAMES", "not-given"))
needs_real_frames = pytest.mark.skipif(not REAL.is_dir(), reason="TWOHANDS_REAL_FRAMES names no folder of real frames")


@pytest.fixture(scope="module")
def locator() -> HandLocator:
    return HandLocator()


def read_rgb(name: str) -> np.ndarray:
    """Return a real frame (3, H, W) in [0, 1]."""
    pixels = np.asarray(Image.open(REAL / name).convert("RGB"))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / 255


def ramp(width: int, height: int) -> np.ndarray:
    """Return an image (3, H, W) whose first two channels are u and v."""
    v, u = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.stack([u, v, 0 * u]).astype(np.float32)


def picture_pixels(size: int) -> np.ndarray:
    """Return the pixels (size, size, 2) of a region's picture."""
    return ramp(size, size)[:2].transpose(1, 2, 0).astype(np.float64)


def free_joints(pose_name: str) -> np.ndarray:
    """Return the joints (2, 21, 3) of both free hands in a named pose, metres, wrist frame."""
    model, prior = free_hand(), pose_prior()
    angles = np.broadcast_to(prior.library[prior.names.index(pose_name)], (2, 16, 3))
    return model(replace(model.neutral(), pose=model.pose_from_angles(angles))).joints


def flat_hand(u: float, v: float, size: float = 100, angle: float = 0.0) -> np.ndarray:
    """Return pixels (21, 2) of a straight open hand of length 2 `size` with its middle knuckle at (u, v)."""
    spread = np.repeat([-0.4, -0.2, 0.0, 0.2, 0.4], 4)
    reach = np.tile([0.0, -0.35, -0.7, -1.0], 5)
    points = np.concatenate([[[0.0, 1.0]], np.stack([spread, reach], axis=-1)])
    return turn(points * size, angle) + np.array([u, v])


def candidates(right: list[float], pixels: list[np.ndarray], present: list[float] | None = None) -> Candidates:
    """Return candidates with flat 3D landmarks, which do not show their side."""
    points = np.array(pixels)
    relative = np.concatenate([points - points[:, [9]], 0 * points[..., :1]], axis=-1) * 1e-3
    certain = np.ones(len(right)) if present is None else np.array(present)
    return Candidates(certain, np.array(right), points, relative, region_of_landmarks(points))


def settle_sides(hands: Candidates) -> LocatedHands:
    """Return the hands that are chosen when all are at one place, so that only the image counts."""
    return choose_hands(hands, np.zeros((len(hands.present), 3)))


# Networks ------------------------------------------------------------------------------------------------------------


def test_shipped_networks_have_the_declared_inputs_and_outputs():
    shapes = {}
    for path in WEIGHTS.iterdir():
        if path.name.startswith(("palm", "landmark")):
            session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
            shapes[path.name.split("_")[0]] = {x.name: x.shape for x in session.get_inputs() + session.get_outputs()}
    assert shapes["palm"] == {"image": [1, 3, 192, 192], "boxes": [1, 2016, 18], "scores": [1, 2016, 1]}
    numbers = {"landmarks": ["N", 63], "present": ["N", 1], "right": ["N", 1], "relative": ["N", 63]}
    maps = {"stride_4": ["N", 24, 56, 56], "stride_8": ["N", 40, 28, 28], "stride_16": ["N", 112, 14, 14]}
    assert shapes["landmark"] == {"crops": ["N", 3, 224, 224], **numbers, **maps}


def test_shipped_networks_are_small():
    assert sum(len(path.read_bytes()) for path in WEIGHTS.iterdir() if path.name.endswith(".onnx")) < 25e6


def test_an_image_without_hands_gives_none(locator: HandLocator):
    hands = locator(np.full((3, 480, 640), 0.5, np.float32))
    assert (hands.present == 0).all()
    assert np.isnan(hands.pixels).all()
    assert hands.relative.shape == (2, 21, 3)
    assert hands.region.shape == (2, 4)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_landmarks_follow_the_image_exactly(locator: HandLocator, quarter_turns: int):
    """A picture cut from a moved and rotated image gives moved and rotated landmarks."""
    height, width = 300, 400
    rng = np.random.default_rng(0)
    image = np.kron(rng.random((3, 15, 20)), np.ones((1, 20, 20))).astype(np.float32)
    region = np.array([200.0, 140.0, 180.0, 0.3])
    turned = np.rot90(image, -quarter_turns, axes=(1, 2))  # clockwise, from +u to +v
    moved = np.pad(turned, ((0, 0), (5, 0), (7, 0)))
    angle = quarter_turns * np.pi / 2
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    new_center = center if quarter_turns % 2 == 0 else center[::-1]

    def move(pixels: np.ndarray) -> np.ndarray:
        return turn(pixels - center, angle) + new_center + np.array([7, 5])

    expected = locator.read_hands(image, region[None])
    found = locator.read_hands(moved, np.array([[*move(region[:2]), region[2], region[3] + angle]]))
    np.testing.assert_allclose(found.pixels, move(expected.pixels), atol=0.02)
    np.testing.assert_allclose(found.relative[..., :2], turn(expected.relative[..., :2], angle), atol=1e-4)
    np.testing.assert_allclose(found.relative[..., 2], expected.relative[..., 2], atol=1e-4)


# Guidance ------------------------------------------------------------------------------------------------------------


def test_elsewhere_is_asked_only_when_a_hand_is_missing(locator: HandLocator, monkeypatch: pytest.MonkeyPatch):
    """Hands found elsewhere are added to the known hands, which stay unchanged."""
    seen, other = flat_hand(200, 300), flat_hand(500, 300)
    palms = {1: candidates([0.1], [seen], [0.7]), 2: candidates([0.1, 0.9], [seen, other], [0.7, 0.9])}
    guided = candidates([0.1, 0.9], [seen + 5, other], [0.9, 0.8])
    asked = []

    def elsewhere() -> np.ndarray:
        asked.append(True)
        return guided.region

    monkeypatch.setattr(locator, "find_palms", lambda rgb, square: np.zeros((0, 4)))
    for count, hands in palms.items():
        monkeypatch.setattr(
            locator, "find_hands", lambda rgb, regions, hands=hands: guided if regions is guided.region else hands
        )
        located = settle_sides(locator.find(np.zeros((3, 480, 640), np.float32), elsewhere))
        assert len(asked) == 1  # not by the second image
        np.testing.assert_allclose(located.present, [0.7, 0.8 if count == 1 else 0.9])
        np.testing.assert_allclose(located.pixels, [seen, other])


def test_our_own_network_finds_the_hands_that_the_palm_network_misses(monkeypatch: pytest.MonkeyPatch):
    folder = files("twohands") / "demo"
    color, depth = read_rgb_file(str(folder / "color.jpg")), read_depth(str(folder / "depth.png"))
    frame = RGBDFrame.from_arrays(color, depth, np.loadtxt(str(folder / "cam_K.txt")))
    guided = GuidedLocator()
    expected = guided(frame)
    assert (expected.present > 0.5).all()
    monkeypatch.setattr(guided.locate, "find_palms", lambda rgb, square: np.zeros((0, 4)))
    assert (guided.locate(frame.rgb).present == 0).all()
    found = guided(frame)
    assert (found.present > 0.5).all()
    lengths = np.ptp(expected.pixels, axis=1).max(axis=-1)
    assert (np.linalg.norm(found.pixels - expected.pixels, axis=-1).mean(axis=-1) < 0.1 * lengths).all()


@pytest.mark.parametrize(("moved", "doubted"), [(0.05, False), (0.6, True)])
def test_our_own_network_refutes_two_hands_of_one_side(monkeypatch: pytest.MonkeyPatch, moved: float, doubted: bool):
    """Both hands of the demo frame are misread as left hands; the network sees a left and a right one."""
    folder = files("twohands") / "demo"
    color, depth = read_rgb_file(str(folder / "color.jpg")), read_depth(str(folder / "depth.png"))
    frame = RGBDFrame.from_arrays(color, depth, np.loadtxt(str(folder / "cam_K.txt")))
    guided = GuidedLocator()
    hands = guided.locate.find(frame.rgb)
    lengths = np.ptp(hands.pixels, axis=1).max(axis=-1)[:, None, None]
    misread = replace(hands, right=np.full(2, 0.02), relative=0 * hands.relative, pixels=hands.pixels + moved * lengths)
    monkeypatch.setattr(guided.locate, "find", lambda rgb, elsewhere: misread)
    monkeypatch.setattr(guided.locate, "mirrored", lambda rgb, hands: np.full(2, -3.0))
    assert guided.locate.choose(frame, misread).one_side is not None
    assert (guided(frame).one_side is not None) == doubted


# Pixels --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [60.0, 224.0, 333.3, 448.0, 700.0])
@pytest.mark.parametrize("angle", [0.0, 0.4, -2.5])
def test_a_picture_samples_exactly_the_pixels_it_claims(side: float, angle: float):
    region = np.array([600.25, 580.5, side, angle])
    picture = sample(ramp(1200, 1160), region, CROP_SIZE)
    expected = from_region(picture_pixels(CROP_SIZE), region, CROP_SIZE)
    np.testing.assert_allclose(picture[:2].transpose(1, 2, 0), expected, atol=2e-3)


def test_the_picture_of_a_window_is_the_window():
    image = np.random.default_rng(1).random((3, 240, 320), dtype=np.float32)
    picture = sample(image, upright_square(40, 10, 224, 224), 224)
    np.testing.assert_allclose(picture, image[:, 10:234, 40:264], atol=1e-6)


def test_beyond_the_border_the_border_goes_on():
    image = ramp(300, 200)
    picture = sample(image, upright_square(-100, -50, 224, 224), 224)
    assert picture[0, 100, 0] == 0
    np.testing.assert_allclose(picture[:2, 0, 200], [100, 0], atol=1e-4)


def test_shrinking_averages_fine_patterns_away():
    stripes = np.zeros((3, 900, 900), np.float32)
    stripes[:, :, ::2] = 1
    picture = sample(stripes, upright_square(0, 0, 900, 900), 224)
    assert picture.std() < 0.01


@pytest.mark.parametrize("angle", [0.0, 1.0, -3.0])
def test_the_region_of_landmarks_follows_them(angle: float):
    still, moved = region_of_landmarks(np.stack([flat_hand(0, 0), flat_hand(320, 240, 150, angle)]))
    assert still[3] == pytest.approx(0)
    assert moved[3] == pytest.approx(angle)
    assert moved[2] == pytest.approx(1.5 * still[2])
    np.testing.assert_allclose(moved[:2], turn(1.5 * still[:2], angle) + np.array([320, 240]))
    in_picture = from_region(np.array([111.5, 111.5]), moved, 224)
    np.testing.assert_allclose(in_picture, moved[:2])


def test_a_hand_to_the_right_has_angle_half_pi_and_points_up_in_its_picture():
    region = region_around(np.array([[50.0, 60.0]]), np.array([[3.0, 0.0]]), np.array([10.0]), np.array([80.0]))[0]
    np.testing.assert_allclose(region, [60, 60, 80, np.pi / 2])
    above = from_region(np.array([111.5, 0.0]), region, 224)
    assert above[0] > region[0]
    assert above[1] == pytest.approx(region[1])


# Palms ---------------------------------------------------------------------------------------------------------------


def test_anchors_are_cell_centres():
    anchors = palm_anchors()
    assert anchors.shape == (2016, 2)
    np.testing.assert_allclose(anchors[[0, 1, 2, 1152]], [[3.5, 3.5], [3.5, 3.5], [11.5, 3.5], [7.5, 7.5]])
    np.testing.assert_allclose(anchors.mean(axis=0), 95.5)


def test_palms_of_one_hand_are_averaged_and_opposite_palms_are_kept():
    up = np.linspace([0, -20], [0, 20], 8) + 90
    points = np.stack([up, up + 2, up[::-1]])
    merged, sides = merge_palms(points, np.full(3, 40.0), np.array([0.6, 0.6, 0.5]))
    assert len(merged) == 2
    np.testing.assert_allclose(merged, [up + 1, up[::-1]])
    np.testing.assert_allclose(sides, 40)


def test_the_number_of_palms_is_limited_and_none_is_possible():
    far = np.arange(9)[:, None, None] * 100.0 + np.zeros((9, 8, 2))
    assert len(merge_palms(far, np.full(9, 40.0), np.linspace(0.9, 0.5, 9))[0]) == MAX_PALMS
    assert merge_palms(far[:0], np.zeros(0), np.zeros(0))[0].shape == (0, 8, 2)


def test_tiles_are_the_two_end_squares_of_an_elongated_image():
    np.testing.assert_allclose(tiles(1280, 720), [[359.5, 359.5, 720, 0], [919.5, 359.5, 720, 0]])
    np.testing.assert_allclose(tiles(480, 640), [[239.5, 239.5, 480, 0], [239.5, 399.5, 480, 0]])
    assert tiles(500, 480) == []


def test_a_palm_on_a_known_hand_is_not_new():
    known = np.array([[100.0, 100, 80, 0]])
    assert is_new(np.array([[110.0, 100, 60, 1], [150, 100, 80, 0]]), known).tolist() == [False, True]
    assert is_new(known, np.zeros((0, 4))).tolist() == [True]


# Sides ---------------------------------------------------------------------------------------------------------------


def test_doubles_go_and_touching_hands_stay():
    hand = flat_hand(300, 300)
    doubles = distinct(candidates([0.9, 0.9], [hand, hand + 20], [0.8, 0.9]))
    np.testing.assert_allclose(doubles.present, [0.9])
    crossing = distinct(candidates([0.9, 0.9], [hand, flat_hand(300, 300, angle=1.6)]))
    assert len(crossing.present) == 2
    overlapping = distinct(candidates([0.9, 0.1], [hand, hand + np.array([50, 20])]))
    assert len(overlapping.present) == 2
    known = distinct(candidates([0.9, 0.9], [hand, hand + 20], [0.8, 0.9]), known=1)
    np.testing.assert_allclose(known.present, [0.8])


def test_two_hands_never_get_the_same_side():
    first, second = flat_hand(500, 300), flat_hand(500, 700)
    hands = settle_sides(candidates([0.9, 0.6], [first, second]))
    np.testing.assert_allclose(hands.pixels[RIGHT], first)
    np.testing.assert_allclose(hands.pixels[LEFT], second)


def test_one_hand_keeps_its_own_side():
    for right, side in ((0.8, RIGHT), (0.2, LEFT)):
        hands = settle_sides(candidates([right], [flat_hand(500, 300)], [0.7]))
        assert hands.present[side] == pytest.approx(0.7)
        assert hands.present[1 - side] == 0
        assert np.isnan(hands.region[1 - side]).all()


def test_the_best_pair_of_three_is_taken():
    places = [flat_hand(200, 300), flat_hand(500, 300), flat_hand(800, 300)]
    hands = settle_sides(candidates([0.05, 0.8, 0.95], places, [0.99, 0.55, 0.99]))
    np.testing.assert_allclose(hands.pixels[LEFT], places[0])
    np.testing.assert_allclose(hands.pixels[RIGHT], places[2])


@pytest.mark.parametrize("angles", [(0.0, 0.0), (1.0, -1.0), (0.0, np.pi), (np.pi, 0.0), (np.pi, 2.0)])
def test_undecided_hands_from_below_are_left_and_right_as_they_lie(angles: tuple[float, float]):
    """Positions overrule a weak belief of the network; for hands from above, as another person's, they do not count."""
    places = [flat_hand(800, 300, angle=angles[0]), flat_hand(400, 300, angle=angles[1])]
    hands = settle_sides(candidates([0.45, 0.55], places))
    from_below = max(map(abs, angles)) < np.pi / 2
    np.testing.assert_allclose(hands.pixels[LEFT], places[1 if from_below else 0])


@pytest.mark.parametrize("pose", ["relaxed", "fist", "grasp_medium", "hook"])
def test_curled_fingers_tell_the_side(pose: str):
    curl = finger_curl(free_joints(pose))
    assert curl[RIGHT] > 0.1
    assert curl[LEFT] == pytest.approx(-curl[RIGHT], abs=1e-5)


def test_curled_fingers_settle_the_side_of_an_undecided_hand():
    for side, right in ((LEFT, 0.6), (RIGHT, 0.4)):  # the network leans to the other side
        hand = replace(candidates([right], [flat_hand(500, 300)]), relative=free_joints("fist")[[side]])
        assert settle_sides(hand).present.tolist() == [side == LEFT, side == RIGHT]


# People --------------------------------------------------------------------------------------------------------------


def row_of_hands(right: list[float], columns: list[float], present: list[float] | None = None, size: float = 50):
    """Return candidates 100 pixels long at columns of the image, fingers up, and their palms (N, 3) at 0.5 m."""
    hands = candidates(right, [flat_hand(column, 300, size) for column in columns], present)
    return hands, np.column_stack([np.array(columns) * 1e-3, np.zeros(len(columns)), np.full(len(columns), 0.5)])


def test_three_hands_are_those_of_the_nearest_person_and_of_another():
    hands, places = row_of_hands([0.02, 0.98, 0.02], [200, 400, 700])
    located = choose_hands(hands, places)
    np.testing.assert_allclose(located.pixels, hands.pixels[:2])
    (finding,) = located.findings
    assert (finding.code, finding.severity) == ("more_than_two_hands", "warning")
    assert finding.values == {"hands_seen": 3, "left_seen": 2, "right_seen": 1}
    places[2, 2] = 0.4  # now the single left hand is nearer
    located = choose_hands(hands, places)
    assert located.present.tolist() == [1, 0]
    np.testing.assert_allclose(located.pixels[LEFT], hands.pixels[2])


@pytest.mark.parametrize(("person", "expected"), [("nearest", 2), ("largest", 0), ("left", 0), ("right", 2)])
def test_the_chosen_one_of_two_people(person: Person, expected: int):
    """The hands of each stay together, although the inner ones would be a pair by their sides and their distance."""
    hands, places = row_of_hands([0.02, 0.98, 0.02, 0.98], [200, 400, 550, 750])
    hands.pixels[:2] = [flat_hand(200, 300, 60), flat_hand(400, 300, 60)]
    places[2:, 2] = 0.45
    located = choose_hands(hands, places, person)
    np.testing.assert_allclose(located.pixels, hands.pixels[expected : expected + 2])
    assert located.findings[0].values["hands_seen"] == 4


@pytest.mark.parametrize(("column", "present"), [(700, 0.6), (230, 0.95)])
def test_a_doubtful_third_hand_and_a_reading_of_a_known_one_are_no_hands(column: float, present: float):
    hands, places = row_of_hands([0.02, 0.98, 0.02], [200, 400, column], [0.99, 0.99, present])
    located = choose_hands(hands, places)
    np.testing.assert_allclose(located.pixels, hands.pixels[:2])
    assert located.findings == ()


@pytest.mark.parametrize(
    ("angles", "expected"), [((0.0, 0.0), 0), ((0.6, -0.6), 1), ((-0.6, 0.6), -1), ((2.5, -2.5), 1)]
)
def test_hands_that_point_to_each_other_are_rather_of_one_person(angles: tuple[float, float], expected: int):
    hands = candidates([0.02, 0.02], [flat_hand(c, 300, 50, a) for c, a in zip((200, 500), angles, strict=True)])
    assert round(facing(hands)) == expected
    assert facing(hands[[1, 0]]) == pytest.approx(facing(hands))
    suspicion, parallel = (
        choose_hands(pair, np.zeros((2, 3))).one_side for pair in (hands, row_of_hands([0.02, 0.02], [200, 500])[0])
    )
    assert suspicion is not None
    assert parallel is not None
    assert (np.sign(np.round(parallel.odds - suspicion.odds, 3)) == expected).all()


def test_two_readings_of_one_hand_and_another_hand_are_two_hands():
    hands, places = row_of_hands([0.02, 0.98, 0.98], [200, 225, 400])
    located = choose_hands(hands, places)
    assert located.findings == ()
    np.testing.assert_allclose(located.pixels, hands.pixels[[0, 2]])


def test_hands_out_of_reach_of_each_other_are_of_two_people():
    hands, places = row_of_hands([0.02, 0.98], [200, 900])
    assert choose_hands(hands, places).findings == ()
    places[1, 2] = 2.0
    located = choose_hands(hands, places)
    assert located.present.tolist() == [1, 0]
    assert [finding.code for finding in located.findings] == ["hands_of_two_people"]


def test_two_hands_of_one_side_are_suspected_only_when_they_are_clear_and_apart():
    hands, places = row_of_hands([0.02, 0.05], [200, 500])
    places[1, 2] = 0.4
    suspicion = choose_hands(hands, places).one_side
    assert suspicion is not None
    assert (suspicion.side, suspicion.kept, suspicion.finding.code) == (LEFT, RIGHT, "two_hands_of_one_side")
    assert suspicion.finding.values == {"hands_seen": 2, "left_seen": 2, "right_seen": 0}
    assert (suspicion.odds > 2).all()
    doubted = choose_hands(hands, places, reread=lambda hands: np.array([-4.0, 4.0])).one_side
    assert doubted is not None
    assert doubted.odds[LEFT] > 3 > 1 > doubted.odds[RIGHT]
    for other in (
        row_of_hands([0.02, 0.95], [200, 500]),  # of two sides
        row_of_hands([0.02, 0.05], [200, 290]),  # near each other
        row_of_hands([0.02, 0.05], [200, 500], [0.99, 0.55]),  # the second is doubtful
    ):
        assert choose_hands(*other).one_side is None


def test_palms_are_where_the_depth_says_so_unless_it_cannot_be_a_hand():
    K = np.array([[500.0, 0, 319.5], [0, 500.0, 239.5], [0, 0, 1]])
    hands = candidates([0.5, 0.5], [flat_hand(200, 240, 50), flat_hand(450, 240, 50)])  # 0.1 m long: at 0.5 m
    depth = np.full((480, 640), 0.45, np.float32)
    depth[:, 320:] = 2.0  # a wall that is seen through a hole
    places = palm_places(hands, RGBDFrame(np.zeros((3, 480, 640), np.float32), depth, Camera(K, 640, 480)))
    np.testing.assert_allclose(places[:, 2], [0.45, 0.5], rtol=1e-3)
    np.testing.assert_allclose(places[:, 0] / places[:, 2], (hands.pixels[:, PALM].mean(axis=1)[:, 0] - 319.5) / 500)


def test_the_mirrored_reading_agrees_on_a_clear_hand(locator: HandLocator):
    folder = files("twohands") / "demo"
    rgb = np.ascontiguousarray(read_rgb_file(str(folder / "color.jpg")).transpose(2, 0, 1)) / np.float32(255)
    hands = locator.find(rgb)
    assert len(hands.present) == 2
    odds, again = side_odds(hands), locator.mirrored(rgb, hands)
    assert (np.sign(odds) == np.sign(again)).all()
    assert not np.allclose(odds, again, atol=1e-3)  # another opinion


# Real frames ---------------------------------------------------------------------------------------------------------


@needs_real_frames
@pytest.mark.parametrize("name", ["000074", "000094", "000346", "000489"])
def test_both_hands_are_found_on_real_frames(locator: HandLocator, name: str):
    hands = locator(read_rgb(f"two_hands/rgb/{name}.png"))
    expected = json.loads((REAL / "two_hands" / "joints2d.json").read_text())[name]
    assert (hands.present > 0.5).all()
    for side, key in ((LEFT, "left"), (RIGHT, "right")):
        distance = np.linalg.norm(hands.pixels[side] - np.array(expected[key]), axis=-1)
        assert distance.mean() < 15  # the reference is accurate to about 8 pixels, less where fingers are hidden


@needs_real_frames
def test_landmarks_in_space_agree_with_those_in_the_image(locator: HandLocator):
    hands = locator(read_rgb("two_hands/rgb/000346.png"))
    for side in (LEFT, RIGHT):
        in_image = hands.pixels[side] - hands.pixels[side].mean(axis=0)
        in_space = hands.relative[side, :, :2] - hands.relative[side, :, :2].mean(axis=0)
        in_image, in_space = in_image / np.linalg.norm(in_image), in_space / np.linalg.norm(in_space)
        assert (in_image * in_space).sum() > 0.97
    assert finger_curl(hands.relative)[LEFT] < 0 < finger_curl(hands.relative)[RIGHT]


@needs_real_frames
def test_a_mirrored_frame_has_mirrored_hands(locator: HandLocator):
    rgb = read_rgb("two_hands/rgb/000346.png")
    hands, mirrored = locator(rgb), locator(np.ascontiguousarray(rgb[..., ::-1]))
    back = mirrored.pixels[::-1].copy()
    back[..., 0] = rgb.shape[2] - 1 - back[..., 0]
    assert np.linalg.norm(back - hands.pixels, axis=-1).mean() < 6


@needs_real_frames
def test_one_hand_has_no_phantom_partner(locator: HandLocator):
    hands = locator(read_rgb("one_hand/rgb/000000.png"))
    assert hands.present[RIGHT] > 0.5
    assert hands.present[LEFT] == 0


@needs_real_frames
def test_an_empty_table_has_no_hands(locator: HandLocator):
    assert (locator(read_rgb("no_hands/rgb/000000.png")).present == 0).all()
