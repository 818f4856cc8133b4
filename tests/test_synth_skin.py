"""Every tone is a tone of skin, palms are lighter, and hand and arm meet in one colour."""

from functools import cache

import numpy as np
import pytest

from twohands.synth.person import skin
from twohands.synth.rendering.light import LUMINANCE


@cache
def people():
    return [skin.sample_skin(np.random.default_rng([9, seed])) for seed in range(24)]


@cache
def regions():
    """Return masks of the wrist's border, of the palm, and of the back of the hand."""
    heights, palmar = skin._atlas_heights(512), skin.skin_maps()[..., 0]
    body = (heights > 0.05) & (heights < 0.09)
    return (heights > -0.02) & (heights < 0.001) & (palmar < 0.02), body & (palmar > 0.9), body & (palmar < 0.1)


def mean_light(texels):
    """Return the mean linear colour (3,)."""
    return ((texels / 255.0) ** 2.2).reshape(-1, 3).mean(axis=0)


def test_lab_known_answers():
    assert skin.srgb_from_lab(np.array([100.0, 0, 0])) == pytest.approx(np.ones(3), abs=2e-3)
    assert skin.srgb_from_lab(np.array([0.0, 0, 0])) == pytest.approx(np.zeros(3), abs=1e-3)
    # middle grey reflects 18.4 %
    assert skin.srgb_from_lab(np.array([50.0, 0, 0])) ** 2.2 == pytest.approx(np.full(3, 0.1842), abs=2e-3)
    # linear sRGB red: CIELAB 53.24, 80.09, 67.20
    assert skin.srgb_from_lab(np.array([53.24, 80.09, 67.20])) == pytest.approx(np.array([1.0, 0, 0]), abs=0.05)


def test_tones_reach_from_very_light_to_very_dark_and_are_never_grey():
    colors = np.stack([mean_light(person.arm) for person in people()])
    luminance = colors @ LUMINANCE
    assert luminance.min() < 0.08
    assert luminance.max() > 0.35
    assert (colors[:, 0] > 1.12 * colors[:, 1]).all()
    assert (colors[:, 1] > 1.08 * colors[:, 2]).all()
    assert (colors[:, 0] < 4 * colors[:, 2]).all()


def test_hand_and_arm_meet_in_one_color():
    wrist, _, _ = regions()
    assert wrist.sum() > 500
    for person in people():
        np.testing.assert_allclose(mean_light(person.hand[wrist]), mean_light(person.arm), rtol=0.09, atol=0.004)


def test_palms_are_lighter_most_of_all_on_dark_skin():
    _, palm, back = regions()
    backs = np.array([mean_light(person.hand[back]) @ LUMINANCE for person in people()])
    palms = np.array([mean_light(person.hand[palm]) @ LUMINANCE for person in people()])
    ratio = palms / backs
    dark = backs < 0.1
    assert dark.any()
    assert (ratio[dark] > 1.6).all()
    assert ratio[dark].mean() > 1.5 * ratio[backs > 0.25].mean()
    assert (ratio > 0.8).all()


def test_people_differ_and_are_pure_functions_of_their_generator():
    again = skin.sample_skin(np.random.default_rng([9, 0]))
    np.testing.assert_array_equal(again.hand, people()[0].hand)
    assert again[2:] == people()[0][2:]
    assert len({person.hand.tobytes() for person in people()}) == len(people())
    assert np.std([person.specular for person in people()]) > 0.01
    assert all(0.4 < person.infrared < 0.7 and 8 < person.gloss < 33 for person in people())


def test_arms_repeat_without_a_seam():
    for person in people()[:6]:
        arm = person.arm.astype(float)
        across = np.abs(arm[0] - arm[-1]).mean()
        within = np.abs(np.diff(arm, axis=0)).mean()
        assert across < 1.6 * within + 1
