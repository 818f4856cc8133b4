"""Checks over a recording: depth frozen, late or early against colour, hands of an odd size, and what `run` says."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from fakes import CAMERA, HEIGHT, WIDTH, K, fake_predictor, make_hands, write_frame
from twohands import cli
from twohands.batch import Account
from twohands.checks.recording import bone_length, check_hand_sizes, hand_sizes
from twohands.checks.timing import DepthTiming, clear_lag
from twohands.findings import Finding
from twohands.hands import free_hand
from twohands.results import failed_row, hands_of_row, make_row, read_results, split_rows
from twohands.sources.folder import FolderRecording
from twohands.synth.config import FULL
from twohands.synth.engine import SyntheticHands
from twohands.types import Quality, RGBDFrame

PATH = Path(__file__).parent.parent / "tools" / "measure_recording_checks.py"
SPEC = importlib.util.spec_from_file_location("measure_recording_checks", PATH)
assert SPEC is not None
assert SPEC.loader is not None
tool = sys.modules["measure_recording_checks"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

WARNING = Finding("depth_not_registered", "warning", "depth edges lie 41 px right; register it", {"shift_px": 41.0})
NOTE = Finding("undistorted", "note", "the lens distortion was undone")


# Depth against colour ------------------------------------------------------------------------------------------------


def timed(frames) -> DepthTiming:
    checks = DepthTiming()
    for number, frame in enumerate(frames):
        checks.observe(number, f"{number:06d}", frame)
    return checks


def with_depth(frames, order) -> list[RGBDFrame]:
    return [replace(frame, depth=frames[number].depth) for frame, number in zip(frames, order, strict=True)]


def delayed(frames, delay: int) -> list[RGBDFrame]:
    return [replace(late, depth=frame.depth) for late, frame in zip(frames[delay:], frames, strict=False)]


@pytest.fixture(scope="module")
def scenes():
    dataset = SyntheticHands(7, "train", FULL)
    return [tool.halved(dataset[index]) for index in range(3)]


@pytest.fixture(scope="module")
def moving(scenes):
    """Recordings of 40 frames with 8 more on both sides, with motion of three kinds."""
    return recordings(scenes, 40)


def recordings(scenes, count: int) -> list[list[RGBDFrame]]:
    return [tool.moving(scenes[k % 3], scenes[(k + 1) % 3], np.random.default_rng(k), count) for k in range(3)]


def test_clean_motion_has_no_finding(moving):
    for frames in moving:
        assert timed(frames).findings() == []
        assert timed(frames[::3]).findings() == []


def test_unrelated_pictures_are_not_compared_for_a_lag(moving):
    """A recorder that repeats one depth for all of them is still found."""
    cuts = [frames[number] for number in range(40) for frames in moving]
    checks = timed(cuts)
    assert (checks.lags, checks.findings()) == ([], [])
    repeated = timed([replace(frame, depth=cuts[0].depth) for frame in cuts])
    assert [finding.code for finding in repeated.findings()] == ["depth_frozen"]


@pytest.fixture(scope="module")
def longer(scenes):
    """Recordings of 120 frames, which tell a lag of one frame."""
    return recordings(scenes, 120)


@pytest.mark.parametrize("lag", [1, 3, 5, -1, -3])
def test_late_and_early_depth(moving, longer, lag):
    for frames in longer[: 3 if lag > 0 else 1] if abs(lag) == 1 else moving:  # two clean ones are 0.3 frames late
        (finding,) = timed(tool.paired(frames, lambda time, _: time - lag)).findings()
        assert finding.code == ("depth_late" if lag > 0 else "depth_early")
        assert finding.severity == "warning"
        assert finding.values["lag_frames"] == pytest.approx(lag, abs=0.45)  # the clean one may be 0.3 frames off
        assert f"{'behind' if lag > 0 else 'ahead of'} what moves in colour" in str(finding)
        first = "0000(01|61)" if abs(lag) == 1 else "000001"  # beginnings of stretches
        assert re.search(f"first from frame {first};", str(finding))
        assert "pair colour and depth by time stamp" in str(finding)


@pytest.mark.parametrize(("lag", "frames", "clear"), [(1, 20, False), (1, 120, True), (2, 20, True), (0, 20, True)])
def test_a_lag_within_what_a_short_recording_tells_is_not_clear(lag, frames, clear):
    """What moves does so for a few frames, so that the motions agree nearly as well beside the lag."""
    rng = np.random.default_rng(0)
    motion = gaussian_filter1d(rng.normal(size=(frames + lag, 45, 60)), 1.0, axis=0)
    depth = motion[:frames] + 1.6 * rng.normal(size=(frames, 45, 60))
    found = clear_lag(motion[lag:], depth)
    assert found == (pytest.approx(lag, abs=0.1) if clear else None)


@pytest.mark.parametrize("name", ["every 2nd repeated", "every 3rd repeated", "a tenth frozen"])
def test_frozen_depth(moving, name):
    order = tool.FAULTS[name]
    repeated = [time for time in range(1, 40) if order(time, 40) == order(time - 1, 40)]
    (finding,) = timed(tool.paired(moving[0], order)).findings()
    assert finding.code == "depth_frozen"
    assert finding.values["frames"] == len(repeated)
    assert f"{len(repeated)} of 39 frames have exactly the depth of the frame before" in str(finding)
    assert f"first {repeated[0]:06d}" in str(finding)


def test_depth_that_is_frozen_and_late(moving):
    found = timed(tool.paired(moving[0], lambda time, _: time - 3 if time < 36 else 33)).findings()
    assert [finding.code for finding in found] == ["depth_frozen", "depth_late"]


def test_still_scenes_may_repeat_their_depth(scenes):
    """Noise and a change of the exposure are no motion."""
    rng, frame = np.random.default_rng(0), scenes[0].frame
    pictures = [np.clip(gain * frame.rgb + rng.normal(0, 0.02, frame.rgb.shape), 0, 1) for gain in (1, 1, 0.8, 0.9)]
    assert timed([replace(frame, rgb=rgb.astype(np.float32)) for rgb in pictures]).frozen == []


def test_frames_with_others_between_are_not_compared(moving):
    checks = DepthTiming()
    for number, frame in enumerate(tool.paired(moving[0], lambda time, _: time - 3)):
        checks.observe(2 * number, str(number), frame)
    assert checks.compared == 0
    assert checks.findings() == []
    sizes = [moving[0][0], replace(moving[0][1], depth=moving[0][1].depth[:120], rgb=moving[0][1].rgb[:, :120])]
    assert timed(sizes).compared == 0


def test_long_recordings_are_late_in_some_stretches(moving):
    """One of three stretches is enough to be said; its first frame is named."""
    late = tool.paired(moving[1], lambda time, _: time - 4)
    clean = tool.paired(moving[1], lambda time, _: time)
    checks = DepthTiming()
    for start, frames in ((0, clean), (100, late), (200, clean)):
        for number, frame in enumerate(frames, start):
            checks.observe(number, f"{number:06d}", frame)
    (finding,) = checks.findings()
    assert "in 1 of 3 stretches of the recording, first from frame 000101" in str(finding)


@pytest.fixture(scope="module")
def table():
    if "TWOHANDS_REAL_FRAMES" not in os.environ:
        pytest.skip("needs the real frames")
    recording = FolderRecording(Path(os.environ["TWOHANDS_REAL_FRAMES"]) / "table_sequence")
    return [recording.open(frame_id) for frame_id in recording.ids]


def test_real_recording_whose_depth_is_one_frame_early(table):
    """The outlines of the hands in depth agree best with the colour of the next frame: 1 late is in step."""
    (finding,) = timed(table).findings()
    assert finding.code == "depth_early"
    assert finding.values["lag_frames"] == pytest.approx(-1, abs=0.2)
    assert timed(delayed(table, 1)).findings() == []


@pytest.mark.parametrize("delay", [2, 3, 4, 5, 6])
def test_real_recording_delayed(table, delay):
    (finding,) = timed(delayed(table, delay)).findings()
    assert finding.code == "depth_late"
    assert finding.values["lag_frames"] == pytest.approx(delay - 1, abs=0.2)


@pytest.mark.parametrize("order", [lambda t: t // 2 * 2, lambda t: t - (t % 3 == 2), lambda t: t // 20 * 20])
def test_real_recording_repeated(table, order):
    found = timed(with_depth(table, map(order, range(80)))).findings()
    assert "depth_frozen" in {finding.code for finding in found}


# Sizes ---------------------------------------------------------------------------------------------------------------


def test_sizes_undo_the_pull_of_the_prior():
    rest = np.asarray(free_hand()(free_hand().neutral()).joints)[1]
    assert bone_length(3 * rest) == pytest.approx(3 * bone_length(rest))
    large, small = hand_sizes(np.stack([1.2 * rest, 0.8 * rest]), rest)
    assert large / small == pytest.approx(1.5 ** (1 / 0.726), rel=1e-3)
    assert hand_sizes(np.stack([np.full_like(rest, np.nan)]), rest) == pytest.approx([np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (1.5, "very large hands, or the focal length is too small by a factor of about 1.50 (600 px, not about 900)"),
        (0.7, "a child's hands, or the focal length is too large by a factor of about 1.43 (600 px, not about 420)"),
        (1.15, None),
        (0.87, None),
    ],
)
def test_odd_sizes(size, words):
    rng = np.random.default_rng(0)
    sizes = size * np.exp(rng.normal(0, 0.12, (40, 2)))
    sizes[::3, 0] = np.nan
    sizes[5:8] = 4.0  # wrong fits in three frames
    found = check_hand_sizes(sizes, 600.0)
    if words is None:
        assert found == []
        return
    (finding,) = found
    assert (finding.code, finding.severity) == ("hand_size", "warning")
    assert finding.values["size_ratio"] == pytest.approx(size, rel=0.1)
    exact = check_hand_sizes(np.full((20, 2), size), 600.0)
    assert words in str(exact[0])
    assert "most adults: 0.87 to 1.13" in str(finding)


def test_sizes_need_enough_frames_and_fitted_hands():
    sizes = np.full((60, 2), np.nan)
    sizes[:19] = 1.6
    assert check_hand_sizes(sizes, 600.0) == []
    sizes[19, 1] = 1.6
    assert len(check_hand_sizes(sizes, 600.0)) == 1
    giant = rows_of(1.5, 25)
    assert [finding.code for finding in sizes_of(giant)] == ["hand_size"]
    assert sizes_of(rows_of(1.0, 25)) == []
    assert sizes_of([{**row, "fitted": np.zeros(2, bool)} for row in giant]) == []
    assert sizes_of([{**row, "depth_support": np.full(2, 0.1)} for row in giant]) == []
    failed = failed_row("x", "unreadable", K, free_hand())
    assert sizes_of([failed] * 30) == []


def sizes_of(rows):
    return Account(free_hand(), rows).size_findings()


def usual_of(rows):
    return Account(free_hand(), rows).usual_findings()


def line_of(rows) -> str:
    return Account(free_hand(), rows).line()


def rows_of(factor: float, count: int):
    """Rows of a left hand `factor` times as large as the fit makes a mean hand; the right one is not fitted."""
    hands = make_hands()
    hands = replace(hands, joints=hands.joints * factor * np.exp(-0.045))
    return [make_row(f"{index:06d}", hands, K) for index in range(count)]


# Run -----------------------------------------------------------------------------------------------------------------


def row(frame_id: str, *findings: Finding, examined: bool = True):
    return make_row(frame_id, replace(make_hands(), findings=findings, examined=examined), K)


def test_usual_findings_are_those_of_a_fifth_of_the_frames():
    rows = [row(f"{index:06d}", *([WARNING] if index in (3, 7) else [])) for index in range(10)]
    (finding,) = usual_of(rows)
    assert str(finding) == f"{WARNING} (in 2 of 10 frames, first 000003)"
    assert (finding.code, finding.values) == (WARNING.code, WARNING.values)
    assert usual_of([*rows, row("000010")]) == []
    later = [row(f"1{index:05d}", examined=False) for index in range(90)]
    assert len(usual_of(rows + later)) == 1  # frames that were not examined do not count
    failed = [failed_row(f"2{index:05d}", "unreadable", K, free_hand()) for index in range(9)]
    assert len(usual_of(rows + failed)) == 1
    unexamined = [row(f"{index:06d}", *([NOTE] if index % 5 == 4 else []), examined=False) for index in range(10)]
    assert [str(finding) for finding in usual_of(unexamined)] == [f"{NOTE} (in 2 of 10 frames, first 000004)"]
    assert usual_of([]) == []
    both = [row("000000", NOTE, WARNING), row("000001", WARNING)]
    assert [finding.code for finding in usual_of(both)] == [NOTE.code, WARNING.code]


def test_summary_counts_doubtful_hands_and_findings():
    hands = make_hands()
    assert hands.quality is not None
    unsure = replace(hands, quality=replace(hands.quality, confidence=np.array([0.2, 0.9])), findings=(NOTE, WARNING))
    line = line_of([make_row("0", unsure, K), row("1", WARNING), failed_row("2", "unreadable", K, free_hand())])
    assert "left found in 2, right found in 2 (1 of these hands doubtful)" in line
    assert line.endswith("1 failed, depth_not_registered in 2, undistorted in 1")
    assert "doubtful" not in line_of([row("1")])


class FakeExaminer:
    """Adds the same findings to every examined frame."""

    def __init__(self, *findings: Finding):
        self.findings, self.calls = findings, 0

    def examine(self, _, hands):
        self.calls += 1
        return replace(hands, findings=self.findings, examined=True)


@pytest.fixture
def predictor(monkeypatch):
    fake = fake_predictor()
    monkeypatch.setattr("twohands.predictor.load", lambda *choice: fake)
    return fake


def run(folder: Path, out: Path, *more: str) -> int:
    return cli.main(["run", str(folder), "--out", str(out), *more])


@pytest.mark.parametrize(
    ("findings", "damaged", "strict", "code"),
    [
        ([WARNING], False, False, 0),
        ([WARNING], False, True, 1),
        ([NOTE], False, True, 0),
        ([NOTE, WARNING], False, True, 1),
        ([], False, True, 0),
        ([WARNING], True, True, 3),
        ([WARNING], True, False, 3),
    ],
)
def test_exit_code_of_run(tmp_path, capsys, predictor, findings, damaged, strict, code):
    predictor.examiner = FakeExaminer(*findings)
    for index in range(3):
        write_frame(tmp_path / "in", f"{index:06d}")
    if damaged:
        (tmp_path / "in/rgb/000001.png").write_bytes(b"no image")
    assert run(tmp_path / "in", tmp_path / "out", *(["--strict"] if strict else [])) == code
    said, count = capsys.readouterr().err, 2 if damaged else 3
    for finding in findings:
        assert f"twohands: {finding.severity}: {finding} (in {count} of {count} frames, first 000000)" in said
    stored = json.loads((tmp_path / "out/hands.json").read_text())
    assert [finding["code"] for finding in stored["findings"]] == [finding.code for finding in findings]
    assert [finding["code"] for finding in stored["frames"][2]["findings"]] == [finding.code for finding in findings]
    assert hands_of_row(split_rows(read_results(tmp_path / "out"))[0]).findings == tuple(findings)


def test_run_examines_the_first_frames_and_every_hundredth(tmp_path, predictor):
    predictor.examiner = FakeExaminer(WARNING)
    for index in range(102):
        write_frame(tmp_path / "in", f"{index:06d}")
    assert run(tmp_path / "in", tmp_path / "out", "--strict") == 1
    examined = read_results(tmp_path / "out")["examined"]
    assert np.flatnonzero(examined).tolist() == [*range(30), 100]
    assert predictor.examiner.calls == 31


def write_recording(folder: Path, frames, count: int) -> Path:
    """Write the first frames, pictures of CAMERA's size."""
    for index, frame in enumerate(frames[:count]):
        depth = np.rint(1000 * frame.depth[::2, ::2]).astype(np.uint16)
        write_frame(folder, f"{index:06d}", depth=depth)
        Image.fromarray(frame.rgb_uint8()[::2, ::2]).save(folder / "rgb" / f"{index:06d}.png")
    assert depth.shape == (HEIGHT, WIDTH) == (CAMERA.height, CAMERA.width)
    return folder


def test_run_says_that_depth_is_late_and_a_second_run_keeps_it(tmp_path, capsys, predictor, moving):
    late = tool.paired(moving[1], lambda time, _: time - 3)
    folder, out = write_recording(tmp_path / "in", late, 40), tmp_path / "out"
    assert run(folder, out, "--strict") == 1
    assert "twohands: warning: depth is late" in capsys.readouterr().err
    stored = json.loads((out / "hands.json").read_text())["findings"]
    assert [finding["code"] for finding in stored] == ["depth_late"]
    assert stored[0]["values"]["lag_frames"] == pytest.approx(3, abs=0.45)
    assert run(folder, out, "--strict") == 1  # no frame is processed again
    assert "depth is late" in capsys.readouterr().err
    write_recording(folder, tool.paired(moving[1], lambda time, _: time), 40)  # the depth is mended
    assert run(folder, out, "--strict") == 0
    assert json.loads((out / "hands.json").read_text())["findings"] == []


def test_interrupted_run_says_what_its_parts_have(tmp_path, capsys, predictor, moving, monkeypatch):
    """The hands' size comes from all rows, the frozen depth from the part in which it was seen."""
    folder = write_recording(tmp_path / "in", tool.paired(moving[1], lambda t, _: t - (t < 20 and t % 2)), 40)
    good, giant = predictor.fit, np.float32(1.5)

    def fit(frame, located, step):
        if fit.calls == 22:
            fit.calls += 1
            raise KeyboardInterrupt
        fit.calls += 1
        hands = good(frame, located, step)
        quality = Quality(np.full(2, 0.003), np.full(2, 0.9), np.ones(2, bool))
        return replace(hands, joints=hands.joints * giant, quality=quality)

    fit.calls = 0
    predictor.fit = fit
    assert run(folder, tmp_path / "out") == 130
    capsys.readouterr()
    assert run(folder, tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert "warning: the hands measure" in said
    assert "median of 40 frames" in said
    assert "warning: depth is frozen: 10 of" in said
