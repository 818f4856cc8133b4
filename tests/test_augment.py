"""Augmentation: labels stay correct under every change."""

from dataclasses import replace

import numpy as np
import pytest

from fakes import PosedHands
from twohands.config import AugmentConfig
from twohands.data.augment import augmented, imperfect_masks, mirror, turned
from twohands.geometry.cloud import lift
from twohands.hands import free_hand
from twohands.types import LEFT, RIGHT
from twohands.views import square_camera, square_sample

SIZE = 128


def arrays(record):
    found = []
    record.map(lambda array: found.append(np.array(array)) or array)
    return found


def assert_same(one, other, **tolerance):
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def assert_depth_lies_on_the_meshes(sample):
    for side in (LEFT, RIGHT):
        points, _ = lift(sample.frame.depth, sample.frame.camera, sample.masks[side])
        if len(points):
            distances = np.linalg.norm(points[:, None] - sample.hands.vertices[side], axis=-1).min(axis=1)
            assert np.median(distances) < 0.005


@pytest.mark.parametrize("seed", range(6))
def test_depth_lies_on_the_meshes_whatever_the_change(seed):
    config = AugmentConfig(scale=0.3, translation=0.1)
    sample = augmented(PosedHands()[seed], SIZE, config, np.random.default_rng(seed))
    assert sample.masks.any()
    assert_depth_lies_on_the_meshes(sample)


@pytest.mark.parametrize("seed", range(3))
def test_parameters_follow_the_mesh(seed):
    sample = augmented(PosedHands()[seed], SIZE, AugmentConfig(mirror=seed % 2), np.random.default_rng(seed))
    again = free_hand()(sample.hands.parameters)
    np.testing.assert_allclose(again.vertices, sample.hands.vertices, atol=1e-5)
    np.testing.assert_allclose(again.joints, sample.hands.joints, atol=1e-5)


def test_no_augmentation_is_preprocessing_alone():
    sample = PosedHands()[0]
    assert_same(
        augmented(sample, SIZE, AugmentConfig.none(), np.random.default_rng(0)), square_sample(sample, SIZE), rtol=0
    )


def test_twice_mirrored_is_the_same():
    sample = PosedHands()[1]
    assert_same(mirror(mirror(sample)), sample, rtol=1e-5, atol=1e-5)


def test_a_mirror_swaps_the_hands():
    sample = PosedHands()[1]
    hands = replace(sample.hands, present=np.array([1.0, 0.0]))
    sample = replace(sample, hands=hands, visible_fraction=np.array([0.7, 0.0]))
    image = mirror(sample)
    assert image.hands.present.tolist() == [0, 1]
    assert image.visible_fraction.tolist() == [0, 0.7]
    np.testing.assert_array_equal(image.masks[RIGHT], sample.masks[LEFT][:, ::-1])
    np.testing.assert_array_equal(image.frame.rgb, sample.frame.rgb[..., ::-1])
    before, after = (s.frame.camera.project(s.hands.joints[side]) for s, side in ((sample, LEFT), (image, RIGHT)))
    np.testing.assert_allclose(after, before * [-1, 1] + [sample.frame.camera.width - 1, 0], atol=1e-3)


def test_a_full_turn_changes_nothing():
    sample = PosedHands()[0]
    camera = square_camera(sample.frame.camera, SIZE)
    full = turned(sample, camera, 2 * np.pi)
    np.testing.assert_allclose(full.hands.vertices, sample.hands.vertices, atol=1e-6)
    np.testing.assert_allclose(full.frame.rgb, turned(sample, camera, 0.0).frame.rgb, atol=0.02)


def test_a_turn_is_about_the_centre_of_the_image():
    sample = PosedHands()[0]
    seen = [augmented(sample, SIZE, AugmentConfig(1e-9 + angle, 0, 0, 0, 0), Always(1.0)) for angle in (0.0, 1.0)]
    middle = (SIZE - 1) / 2
    away = [np.linalg.norm(s.frame.camera.project(s.hands.joints) - middle, axis=-1) for s in seen]
    np.testing.assert_allclose(away[0], away[1], atol=0.5)
    moved = np.linalg.norm(seen[0].hands.joints - seen[1].hands.joints, axis=-1)
    assert moved.min() > 0.01


class Always:
    """A generator whose uniform numbers are always the upper end."""

    def __init__(self, value):
        self.value = value

    def uniform(self, low=0.0, high=1.0, size=None):
        return np.full(size, self.value) if size else self.value


def test_a_hand_outside_of_the_image_is_absent():
    sample = PosedHands()[0]
    away = augmented(sample, SIZE, AugmentConfig(0, 0, 0.45, 0, 0), Always(1.0))  # to the right and down
    assert away.hands.present.tolist() == [1, 0]
    assert not away.masks[RIGHT].any()
    assert away.masks[LEFT].any()


def test_colour_changes_leave_everything_else():
    sample = PosedHands()[0]
    plain = square_sample(sample, SIZE)
    changed = augmented(sample, SIZE, replace(AugmentConfig.none(), colour=0.3), np.random.default_rng(0))
    assert np.abs(changed.frame.rgb - plain.frame.rgb).mean() > 0.01
    assert 0 <= changed.frame.rgb.min() <= changed.frame.rgb.max() <= 1
    assert_same(replace(changed, frame=plain.frame), plain, rtol=0)
    np.testing.assert_array_equal(changed.frame.depth, plain.frame.depth)


@pytest.mark.parametrize("seed", range(4))
def test_colours_do_not_change_with_what_surrounds_the_picture(seed):
    sample = PosedHands()[0]
    grey = replace(sample, frame=replace(sample.frame, rgb=np.full_like(sample.frame.rgb, 0.4)))
    config = replace(AugmentConfig.none(), colour=0.3)
    rgb = augmented(grey, SIZE, config, np.random.default_rng(seed)).frame.rgb
    assert not rgb[:, 0].any()  # beside a wide picture everything is black
    wide = augmented(grey, SIZE, replace(config, scale=0.5), np.random.default_rng(seed)).frame.rgb
    middle = SIZE // 2
    np.testing.assert_allclose(wide[:, middle, middle], rgb[:, middle, middle], atol=1e-6)


def test_the_same_seed_gives_the_same_bytes_and_the_input_stays():
    sample, config = PosedHands()[2], AugmentConfig(mask_noise=1, depth_noise=0.002)
    before = arrays(sample)
    one, two, other = (augmented(sample, SIZE, config, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert_same(one, two, rtol=0)
    assert (one.frame.depth != other.frame.depth).any()
    for a, b in zip(before, arrays(sample), strict=True):
        np.testing.assert_array_equal(a, b)


def test_depth_noise_leaves_holes_alone():
    sample = PosedHands()[0]
    holed = replace(sample, frame=replace(sample.frame, depth=np.where(sample.masks[0], 0, sample.frame.depth)))
    noisy = augmented(
        holed, SIZE, replace(AugmentConfig.none(), depth_noise=0.003), np.random.default_rng(0)
    ).frame.depth
    plain = square_sample(holed, SIZE).frame.depth
    np.testing.assert_array_equal(noisy == 0, plain == 0)
    assert np.std((noisy - plain)[plain > 0]) == pytest.approx(0.003, rel=0.1)


def test_imperfect_masks_differ_but_keep_the_hand():
    sample = square_sample(PosedHands()[0], SIZE)
    config, kinds = AugmentConfig(mask_noise=1), set()
    for seed in range(60):
        masks = imperfect_masks(sample.masks, sample.frame.depth, config, np.random.default_rng(seed))
        for side in (LEFT, RIGHT):
            true, kept = sample.masks[side], (masks & sample.masks)[side]
            assert kept.sum() >= 0.3 * true.sum()
            kinds.add((bool((masks[side] & ~true).any()), bool((true & ~masks[side]).any())))
    assert kinds >= {(True, False), (False, True)}  # some grow, some shrink
    same = imperfect_masks(sample.masks, sample.frame.depth, AugmentConfig.none(), np.random.default_rng(0))
    np.testing.assert_array_equal(same, sample.masks)


@pytest.mark.parametrize(("name", "value"), [("rotation", 4.0), ("mirror", 1.5), ("scale", -0.1), ("mask_noise", -1.0)])
def test_impossible_choices_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        AugmentConfig(**{name: value})
