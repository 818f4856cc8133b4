"""The colour camera: spreads keep light, noise grows with it, and static parts stay sharp."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import convolve

from twohands.synth.config import BASIC, FULL
from twohands.synth.rendering import photo


def scene(height=96, width=128):
    v, u = np.mgrid[0:height, 0:width]
    checks = 0.2 + 0.6 * ((u // 8 + v // 8) % 2)
    return np.repeat(checks[..., None], 3, axis=2).astype(np.float32)


def test_convolution_equals_scipy_on_a_lopsided_kernel():
    rng = np.random.default_rng(1)
    image, spread = rng.random((17, 13, 2), dtype=np.float32), rng.uniform(0.1, 1.0, (5, 5))
    expected = np.stack([convolve(image[..., k], spread, mode="nearest") for k in range(2)], axis=-1)
    np.testing.assert_allclose(photo._convolved(image, spread), expected, rtol=1e-4)


@pytest.mark.parametrize("spread", [photo._trace(6.3, 0.7), photo._disc(1.8), photo._softened(np.ones((1, 1)), 0.6)])
def test_spreads_keep_light_in_its_place(spread):
    half = len(spread) // 2
    offset = np.arange(-half, half + 1)
    assert spread.sum() == pytest.approx(1, abs=1e-6)
    assert (spread * offset).sum() == pytest.approx(0, abs=1e-6)
    assert (spread.T * offset).sum() == pytest.approx(0, abs=1e-6)


def test_a_trace_has_its_length_and_direction():
    spread = photo._trace(8.0, np.pi / 2)  # down
    rows, columns = np.nonzero(spread > 0.02)
    assert rows.max() - rows.min() == pytest.approx(8, abs=1)
    assert columns.max() == columns.min()


def test_frames_are_pure_functions_and_differ_between_seeds():
    linear = scene()
    first = photo.develop(np.random.default_rng(3), linear, FULL)
    assert first.dtype == np.uint8
    assert first.shape == linear.shape
    np.testing.assert_array_equal(first, photo.develop(np.random.default_rng(3), linear, FULL))
    means = [photo.develop(np.random.default_rng(seed), linear, FULL).mean() for seed in range(40)]
    assert min(means) < 125  # 186 at exposure 1
    assert max(means) > 210


def test_faults_are_switched_off():
    linear = scene()
    good = photo.develop(np.random.default_rng(3), linear, replace(FULL, camera_faults=False))
    np.testing.assert_array_equal(good, photo.develop(np.random.default_rng(3), linear, BASIC))
    values = good[44:52, 52:60].reshape(-1, 3).mean(axis=0)
    assert np.ptp(values) < 30  # no strong cast


def test_only_what_moves_leaves_traces():
    image = scene()
    moving = np.zeros(image.shape[:2], dtype=np.int64)
    moving[30:60, 40:80] = 1
    results = [photo._with_moving_parts(np.random.default_rng(seed), image, moving) for seed in range(20)]
    changed = [np.abs(result - image).max(axis=-1) > 1e-4 for result in results]
    assert 3 < sum(c.any() for c in changed) < 15
    assert not any(c[:24].any() or c[66:].any() or c[:, :34].any() or c[:, 86:].any() for c in changed)
    even = np.full_like(image, 0.4)
    for seed in range(20):
        np.testing.assert_allclose(photo._with_moving_parts(np.random.default_rng(seed), even, moving), 0.4, atol=2e-3)


def test_focus_lies_at_a_depth():
    image = scene(64, 640)
    depth = np.full(image.shape[:2], 0.25, dtype=np.float32)
    depth[:, 320:] = 1.2
    contrasts = []
    for seed in range(60):
        result = photo._through_lens(np.random.default_rng(seed), image, depth)[..., 0]
        contrasts.append(np.log(result[8:56, 16:300].std() / result[8:56, 340:624].std()))
    assert min(contrasts) < -0.02
    assert max(contrasts) > 0.02
    assert np.median(np.abs(contrasts)) < 0.01  # most frames are in focus


def test_dim_light_is_darker_and_mostly_warmer():
    linear = np.full((48, 64, 3), 0.5, dtype=np.float32)
    bright, dim = (
        np.array(
            [
                photo._exposed(np.random.default_rng(seed), linear, dim, photo.brightness(linear)).mean(axis=(0, 1))
                for seed in range(40)
            ]
        )
        for dim in (False, True)
    )
    assert (dim.sum(axis=1) < 0.8 * bright.sum(axis=1)).all()
    assert np.median(dim[:, 0] / dim[:, 2]) > 1.2 * np.median(bright[:, 0] / bright[:, 2])


def _noisy(level, seed):
    return photo._with_noise(np.random.default_rng(seed), level, False, np.random.default_rng(seed + 100))


def test_noise_grows_with_light():
    growth = []
    for seed in range(12):
        levels = [np.full((64, 64, 3), level, dtype=np.float32) for level in (0.0, 0.2, 0.8)]
        noise = [_noisy(level, seed) - level for level in levels]
        dark, middle, bright = (float((part**2).mean()) for part in noise)
        growth.append((bright - dark) / (middle - dark))
        assert dark < middle < bright
    assert np.mean(growth) == pytest.approx(4.0, rel=0.05)


def test_tones_rise_with_light():
    ramp = np.repeat(np.linspace(0, 1.5, 256, dtype=np.float32)[None, :, None], 3, axis=2).repeat(8, axis=0)
    for seed in range(10):
        toned = photo._toned(np.random.default_rng(seed), ramp)[4, 20:236, 1]
        assert (np.diff(toned) > -1e-3).all()
        assert 0 <= toned[0] < toned[-1] < 1.2


def test_stored_images_have_been_files_in_a_share():
    image = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    plain = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    kept = [np.array_equal(photo._stored(np.random.default_rng(seed), image), plain) for seed in range(50)]
    assert 0.2 < np.mean(kept) < 0.6
    stream = io.BytesIO()
    Image.fromarray(plain).save(stream, "JPEG", quality=30, subsampling=2)
    worst = np.abs(np.asarray(Image.open(stream)).astype(float) - plain).mean()
    errors = [np.abs(photo._stored(np.random.default_rng(s), image).astype(float) - plain).mean() for s in range(20)]
    assert max(errors) < worst
