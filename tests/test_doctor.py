"""The doctor names what was planted into recordings of rendered frames, and is silent on clean ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import twohands
from fakes import fake_predictor, make_frame, write_frame
from recordings import plain
from twohands import cli
from twohands.checks.around_hand import check_order, stands_out
from twohands.checks.examiner import Examiner
from twohands.checks.frame import check_frame, check_hand_size
from twohands.checks.hands_seen import check_seen, seen_hands
from twohands.checks.registration import MIRROR_BACK
from twohands.doctor.examination import Diagnosis, examine, spread, stretches
from twohands.doctor.look import Look
from twohands.doctor.page import COLOURS, draw_page
from twohands.hands import free_hand
from twohands.predictor import Predictor
from twohands.synth.config import BASIC
from twohands.synth.engine import SyntheticHands
from twohands.types import Quality, RGBDFrame, Sample, TwoHands, no_hands

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import measure_recording_checks as motion
import planted_faults as planted
import planted_recordings as faults
from planted_recordings import Recording

DEMO = files("twohands") / "demo"


class Knowing(Predictor):
    """A predictor that knows the hands of some frames, wherever their pictures were changed."""

    def __init__(self, *known: tuple[RGBDFrame, Sample], examined: bool = False, confidence: float = 0.9):
        self.model, self.confidence = free_hand(), np.full(2, confidence)
        self.known = {id(frame): sample for frame, sample in known}
        self.examiner = Examiner(self.reconstruct) if examined else Unexamined(self.reconstruct)

    def reconstruct(self, frame: RGBDFrame, watch=None) -> TwoHands:
        check_frame(frame)
        sample = self.known.get(id(frame))
        if sample is None:
            return no_hands()
        hands = sample.hands
        pixels = np.where(hands.is_present[:, None, None], sample.frame.camera.project(hands.joints), np.nan)
        pixels *= frame.camera.width / sample.frame.camera.width
        check_hand_size(pixels, frame.depth, frame.camera)
        far = frame.camera.K[0, 0] / sample.frame.camera.K[0, 0] * sample.frame.camera.width / frame.camera.width
        farther = (far - 1) * np.median(hands.joints[..., 2]) * np.array([0, 0, 1], np.float32)
        hands = replace(hands, vertices=hands.vertices + farther, joints=hands.joints + farther)
        quality = Quality(np.full(2, 0.002), np.full(2, 0.9), np.ones(2, bool), confidence=self.confidence)
        return replace(hands, quality=quality, findings=frame.findings)


class Unexamined(Examiner):
    """Examiner without the costly checks."""

    def examine(self, frame: RGBDFrame, hands: TwoHands) -> TwoHands:
        return hands


@pytest.fixture(scope="module")
def engine() -> SyntheticHands:
    return SyntheticHands(3, "train", replace(BASIC, two_hands=1.0, one_hand=0.0, sensor="ideal"))


@pytest.fixture(scope="module")
def samples(engine) -> list[Sample]:
    return [engine[index] for index in range(3)]


def diagnosis(samples, change: Callable[[Sample], RGBDFrame], examined=False, seconds=()) -> Diagnosis:
    frames = [change(sample) for sample in samples]
    predictor = Knowing(*zip(frames, samples, strict=True), examined=examined)
    return examine(Recording(frames, seconds, len(frames)), predictor=predictor)


def codes(found: Diagnosis) -> set[str]:
    return {finding.code for finding in found.findings}


def lines(found: Diagnosis) -> dict[str, str]:
    return {line.what: line.verdict for line in found.checks}


# Faults --------------------------------------------------------------------------------------------------------------


def test_clean(samples):
    found = diagnosis(samples, lambda sample: sample.frame, examined=True)
    assert found.findings == ()
    assert found.is_clean
    assert (found.frames, found.looked_at) == (3, 3)
    assert len(found.examples) == 3
    assert "finding" not in lines(found).values()
    unknown = {what for what, verdict in lines(found).items() if verdict == "unknown"}
    assert unknown == {"lens distortion"}


def by_tool(name: str, engine: SyntheticHands) -> Callable[[Sample], RGBDFrame]:
    rng = np.random.default_rng(1)
    return lambda sample: planted.FAULTS[name](rng, sample, engine, 0)[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shift", {"depth_not_registered"}),
        ("mirrored_depth", {"depth_not_registered", "depth_mirrored"}),
        ("blue_first", {"blue_first"}),
    ],
)
def test_faults_of_registration_and_colour(samples, engine, name, expected):
    found = diagnosis(samples, by_tool(name, engine), examined=True)
    assert codes(found) == expected  # and nothing about the hands' size and distance, which depth does not tell then
    (line,) = [line for line in found.checks if line.what == ("colour order" if name == "blue_first" else "mirroring")]
    assert line.verdict == ("ok" if name == "shift" else "finding")
    remedies = {line.what: line.remedy for line in found.checks if line.verdict == "finding"}
    if name == "mirrored_depth":
        assert remedies == {"registration": MIRROR_BACK, "mirroring": MIRROR_BACK}
    if name == "shift":
        assert "rs.align" in remedies["registration"]
    for line in found.checks:
        assert (line.verdict == "finding") <= bool(line.remedy)


def other_intrinsics(sample: Sample) -> RGBDFrame:
    K = sample.frame.camera.K.copy()
    K[:2] *= 2
    return replace(sample.frame, camera=replace(sample.frame.camera, K=K))


@pytest.mark.parametrize(
    ("change", "what", "expected"),
    [
        (partial(faults.in_unit, 0.0001, 0.001), "depth unit", "depth_unit"),
        (faults.holed, "depth holes", "holes_on_hands"),
        (faults.far, "distance", "hands_out_of_range"),
        (faults.small, "size in image", "hands_small"),
        (partial(faults.lit, 0.06), "exposure", "too_dark"),
        (partial(faults.lit, 8.0), "exposure", "overexposed"),
        (faults.blurred, "sharpness", "blurred"),
        (faults.without_depth, "frames", "unusable_frame"),
    ],
)
def test_faults_of_the_view(samples, change, what, expected):
    found = diagnosis(samples, change)
    assert codes(found) == {expected}
    (line,) = [line for line in found.checks if line.what == what]
    assert (line.verdict, bool(line.remedy)) == ("finding", True)
    assert "of 3 frames, first 000000)" in line.measured


def test_unit_is_advised(samples):
    (finding,) = diagnosis(samples, partial(faults.in_unit, 0.0001, 0.001)).findings
    assert "try depth_unit" not in str(finding)
    assert "--depth-unit" in str(finding)


def test_what_is_not_registered_tells_no_unit(samples):
    """The background behind hands makes them too large; a scene that is too far away is so wherever depth lies."""
    unregistered = twohands.Finding("depth_not_registered", "warning", "not registered", {"mirrored": 0.0})

    def change(factor: float, sample: Sample) -> RGBDFrame:
        return replace(sample.frame, depth=sample.frame.depth * np.float32(factor), findings=(unregistered,))

    assert codes(diagnosis(samples, partial(change, 5.0))) == {"depth_not_registered"}
    assert codes(diagnosis(samples, partial(change, 1000.0))) == {"depth_not_registered", "depth_unit"}


def test_mirrored_is_what_most_frames_say(samples):
    def change(mirrored: float, sample: Sample) -> RGBDFrame:
        found = twohands.Finding("depth_not_registered", "warning", "not registered", {"mirrored": mirrored})
        return replace(sample.frame, findings=(found,))

    for mirrored, expected in ((1, set()), (2, {"depth_mirrored"})):
        frames = [change(float(number < mirrored), sample) for number, sample in enumerate(samples)]
        found = examine(Recording(frames), predictor=Knowing(*zip(frames, samples, strict=True)))
        assert codes(found) == {"depth_not_registered"} | expected


def test_hands_are_unknown_where_every_frame_is_refused(samples):
    found = diagnosis(samples, faults.without_depth)
    assert lines(found)["hands"] == "unknown"
    frames = [samples[0].frame, *(faults.without_depth(sample) for sample in samples)]
    assert codes(examine(Recording(frames), predictor=Knowing())) == {"no_hands", "unusable_frame"}


@pytest.mark.parametrize(("gain", "expected"), [(1.0, set()), (0.06, {"too_dark"}), (8.0, {"overexposed"})])
def test_light_without_a_hand_is_that_of_the_image(samples, gain, expected):
    found = examine(Recording([faults.lit(gain, sample) for sample in samples]), predictor=Knowing())
    assert codes(found) == expected | {"no_hands"}


def test_scattered_holes_are_no_edges(samples):
    gaps = np.random.default_rng(0).random(samples[0].frame.depth.shape) < 0.7
    frame = replace(samples[0].frame, depth=np.where(gaps, np.float32(0), samples[0].frame.depth))
    found = examine(Recording([frame]), predictor=Knowing((frame, samples[0]), examined=True))
    assert codes(found) == {"holes_on_hands"}


def test_intrinsics_of_another_size(samples):
    found = diagnosis(samples[:1], other_intrinsics, examined=True)
    assert "intrinsics_of_other_size" in codes(found)
    assert lines(found)["intrinsics"] == "finding"


def test_more_than_two_hands(samples):
    finding = twohands.Finding("more_than_two_hands", "warning", "3 hands were seen; choose a person (--person)")
    found = diagnosis(samples, lambda sample: replace(sample.frame, findings=(finding,)))
    assert lines(found)["people"] == "finding"


@pytest.mark.parametrize(("frames", "expected"), [(3, set()), (7, {"two_hands_of_one_side"})])
def test_sides_are_those_of_most_frames(samples, frames, expected):
    """A hand whose side is mistaken now and then is not one of another person."""
    finding = twohands.Finding("two_hands_of_one_side", "warning", "2 right hands were seen; choose one (--person)")
    known = [(faults.small(samples[0]), samples[0]) for _ in range(10)]
    known[:frames] = [(replace(frame, findings=(finding,)), sample) for frame, sample in known[:frames]]
    found = examine(Recording([frame for frame, _ in known]), predictor=Knowing(*known))
    assert codes(found) - {"hands_small"} == expected


def test_a_kind_that_no_line_knows_has_its_own(samples):
    finding = twohands.Finding("odd_light", "warning", "light is odd; turn it off")
    found = diagnosis(samples, lambda sample: replace(sample.frame, findings=(finding,)))
    assert found.checks[-1].what == "odd light"
    assert found.checks[-1].measured == "light is odd (in 3 of 3 frames, first 000000)"
    assert found.checks[-1].remedy == "turn it off"


def test_a_fifth_of_the_frames_counts(samples):
    """One dark frame of six is chance, two are not; a frame that cannot be read counts as one looked at."""
    for dark, expected in ((1, set()), (2, {"too_dark"})):
        frames = [replace(faults.small(samples[0])) for _ in range(6)]
        frames[:dark] = [replace(frame, rgb=frame.rgb * np.float32(0.06)) for frame in frames[:dark]]
        predictor = Knowing(*((frame, samples[0]) for frame in frames))
        assert codes(examine(Recording(frames), predictor=predictor)) - {"hands_small"} == expected
    found = examine(Recording([*frames, *["damaged; copy it again"] * 5]), predictor=predictor)
    assert codes(found) - {"hands_small"} == {"unreadable_frame"}


def test_hands_of_odd_size(samples):
    frames = [faults.small(samples[0]) for _ in range(20)]
    large = replace(samples[0], hands=replace(samples[0].hands, joints=samples[0].hands.joints * np.float32(1.5)))
    predictor = Knowing(*((frame, large) for frame in frames))
    found = examine(Recording(frames), predictor=predictor)
    assert "hand_size" in codes(found)
    assert lines(found)["hand size"] == "finding"


def test_doubtful_hands_of_odd_size_tell_nothing_about_distance(samples):
    """They may be something else; a doubtful hand of usual size may be one that is far away."""
    frames = [faults.small(samples[0]) for _ in range(20)]
    large = replace(samples[0], hands=replace(samples[0].hands, joints=samples[0].hands.joints * np.float32(1.5)))
    found = examine(Recording(frames), predictor=Knowing(*((frame, large) for frame in frames), confidence=0.1))
    assert codes(found) == {"hand_size"}  # which makes them doubtful where the focal length is wrong
    assert {lines(found)[what] for what in ("distance", "size in image")} == {"unknown"}
    farthest = max(samples, key=lambda sample: sample.hands.joints[..., 2].max())
    frame = faults.far(farthest)
    hands = Knowing((frame, farthest), confidence=0.1).reconstruct(frame)
    for odd in (False, True):
        kinds = {finding.code for finding in check_seen(frame, seen_hands(frame, hands, [0, 1], np.full(2, odd)))}
        assert kinds == (set() if odd else {"hands_out_of_range"})


@pytest.mark.parametrize(("factor", "expected"), [(1.5, "too small"), (1 / 1.5, "too large"), (1.05, None)])
def test_focal_length_from_a_few_frames_with_doubtful_hands(samples, factor, expected):
    frames = [faults.small(samples[0]) for _ in range(4)]
    hands = replace(samples[0].hands, joints=samples[0].hands.joints * np.float32(factor * 0.95))
    known = [(frame, replace(samples[0], hands=hands)) for frame in frames]
    found = examine(Recording(frames), predictor=Knowing(*known, confidence=0.1))
    sentences = [str(finding) for finding in found.findings if finding.code == "hand_size"]
    assert len(sentences) == (expected is not None)
    assert all(f"the focal length is {expected}" in sentence for sentence in sentences)


def in_a_plane(sample: Sample) -> RGBDFrame:
    """Return the frame with a tilted wall in place of all depth: its hands are pictures, or shadows, on the wall."""
    row, column = np.mgrid[: sample.frame.camera.height, : sample.frame.camera.width]
    depth = (1 / (0.6 + 2e-4 * row - 3e-4 * column)).astype(np.float32)
    return replace(sample.frame, depth=depth)


def standing_out(frame: RGBDFrame, joints: np.ndarray) -> bool:
    return stands_out(frame.camera.project(joints), np.asarray(frame.depth), float(np.median(joints[:, 2])))


def test_shadows_and_pictures_of_hands_are_no_hands(samples):
    """They tell neither their size, nor their distance, nor holes."""
    sample = samples[0]
    frame = in_a_plane(sample)
    assert all(standing_out(sample.frame, joints) for joints in sample.hands.joints)
    assert not any(standing_out(frame, joints) for joints in sample.hands.joints)
    half = np.where(np.arange(frame.camera.width) % 40 < 20, frame.depth, np.float32(0))  # of the readings
    assert not any(standing_out(replace(frame, depth=half), joints) for joints in sample.hands.joints)
    look = Look(free_hand())
    assert look.see(frame, Knowing((frame, sample)).reconstruct(frame)) == []
    assert np.isnan(look.sizes).all()


@pytest.mark.parametrize(("around", "expected"), [(0.5, False), (1.5, True), (0.0, True)])
def test_a_hand_without_readings_is_in_front_of_what_is_around(samples, around, expected):
    """Behind it, the place is in the shadow of something before the depth camera; a dark glove has things behind it."""
    sample = samples[0]
    assert sample.masks is not None
    for side, joints in enumerate(sample.hands.joints):
        on = sample.masks.any(axis=0)
        column, row = np.rint(sample.frame.camera.project(joints)).astype(int).T
        on[row.min() : row.max() + 1, column.min() : column.max() + 1] = True
        depth = np.where(on, 0, around * np.median(joints[:, 2])).astype(np.float32)
        depth[row[0] - 3 : row[0] + 4, column[0] - 3 : column[0] + 4] = joints[0, 2]  # of something else at its wrist
        assert standing_out(replace(sample.frame, depth=depth), joints) == expected, side


def test_a_shadow_beside_an_arm_is_not_behind_its_surroundings(samples):
    """What hides a part of the wall with the shadow is nearer, as is what surrounds a hand in inverted depth."""
    sample = samples[0]
    frame, pixels = in_a_plane(sample), sample.frame.camera.project(np.asarray(sample.hands.joints[:1]))
    depth = frame.depth.copy()
    left, bottom = int(pixels[..., 0].min()) - 2, int(pixels[..., 1].max()) + 2
    depth[:, :left] = depth[bottom:] = 0.5
    assert check_order(pixels, depth) == []
    inverted = np.where(sample.frame.depth > 0, 0.4 / np.maximum(sample.frame.depth, 0.1), 0).astype(np.float32)
    assert [finding.code for finding in check_order(pixels, inverted)] == ["depth_inverted"]


def test_holes_are_those_of_the_palm(samples):
    """Fingers and contours lose their readings on every hand; a palm does not."""

    def gone(palm: bool, sample: Sample) -> RGBDFrame:
        depth = sample.frame.depth.copy()
        for joints in sample.hands.joints:
            column, row = np.rint(sample.frame.camera.project(joints)).astype(int).T
            chosen = [0, 5, 9, 13, 17] if palm else [4, 8, 12, 16, 20, 7, 11, 15, 19]
            for place in chosen:
                depth[max(row[place] - 6, 0) : row[place] + 7, max(column[place] - 6, 0) : column[place] + 7] = 0
            if palm:
                depth[row[chosen].min() : row[chosen].max(), column[chosen].min() : column[chosen].max()] = 0
        return replace(sample.frame, depth=depth)

    assert codes(diagnosis(samples[:1], partial(gone, True))) == {"holes_on_hands"}
    assert codes(diagnosis(samples[:1], partial(gone, False))) == set()


EVEN = [k / 30 for k in range(12)]


@pytest.mark.parametrize(
    ("seconds", "expected", "verdict"),
    [
        (EVEN, set(), "ok"),
        ([*EVEN[:6], *(value + 0.1 for value in EVEN[6:])], {"dropped_frames"}, "finding"),
        ([*EVEN[:5], EVEN[6], EVEN[5], *EVEN[7:]], {"times_out_of_order"}, "finding"),
        ([EVEN[3]] * 12, {"times_out_of_order"}, "finding"),
        ([None] * 12, set(), "unknown"),
    ],
)
def test_times(seconds, expected, verdict):
    found = examine(Recording([make_frame() for _ in range(12)], seconds), predictor=Knowing())
    assert codes(found) - {"no_hands"} == expected
    assert lines(found)["frame rate"] == verdict


def test_no_hands_are_a_finding(samples):
    assert codes(examine(Recording([samples[0].frame]), predictor=Knowing())) == {"no_hands"}


# Consecutive frames --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moving(samples) -> list[RGBDFrame]:
    """Rendered hands that move over another frame, with 8 more frames before and after."""
    scenes = [motion.halved(sample) for sample in samples[:2]]
    return motion.moving(*scenes, np.random.default_rng(1), 40)


@pytest.mark.parametrize(("delay", "expected"), [(0, set()), (3, {"depth_late"}), (-3, {"depth_early"})])
def test_depth_that_is_late(moving, delay, expected):
    found = examine(Recording(motion.paired(moving, lambda time, _: time - delay)), predictor=Knowing())
    assert codes(found) - {"no_hands"} == expected
    assert lines(found)["synchronisation"] == ("finding" if expected else "ok")


def test_depth_that_is_frozen(moving):
    frames = [replace(frame, depth=moving[0].depth) for frame in moving[:6]]
    assert codes(examine(Recording(frames), predictor=Knowing())) == {"depth_frozen", "no_hands"}


def test_frames_are_spread_and_one_pass_is_enough_where_the_length_is_known():
    assert spread(0, 60) == []
    assert spread(3, 60) == [0, 1, 2]
    assert len(spread(10_000, 60)) == 60
    assert spread(10_000, 60)[-1] == 9_999
    assert len(stretches(160)) == 160
    assert len(stretches(10_000)) == 160
    frames = [make_frame()] * 240
    for length, passes in ((240, 1), (None, 2)):
        recording = Recording(frames, length=length)
        found = examine(recording, predictor=Knowing())
        assert (found.frames, found.looked_at, recording.passes) == (240, 60, passes)


# Command -------------------------------------------------------------------------------------------------------------


def test_command_on_a_clean_folder(tmp_path, capsys):
    """The packaged frame, with the default predictor."""
    for name, source in (("rgb/0.jpg", "color.jpg"), ("depth/0.png", "depth.png"), ("cam_K.txt", "cam_K.txt")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes((DEMO / source).read_bytes())
    outputs = "--json", str(tmp_path / "doctor.json"), "--page", str(tmp_path / "doctor.png")
    assert cli.main(["doctor", str(tmp_path / "in"), "--fps", "30", *outputs]) == 0
    said = capsys.readouterr().out
    assert "1 of 1 frames examined: nothing is wrong" in said
    assert "left in 1, right in 1" in said
    stored = json.loads((tmp_path / "doctor.json").read_text())
    assert (stored["clean"], stored["findings"], stored["frames"]) == (True, [], 1)
    assert {line["verdict"] for line in stored["checks"]} == {"ok", "unknown"}
    with Image.open(tmp_path / "doctor.png") as page:
        assert page.width == 1600
        pixels = np.asarray(page.convert("RGB")).astype(int)
    assert ((pixels[..., 1] - pixels[..., [0, 2]].max(axis=2)) > 100).sum() > 1000  # the edges of depth


def test_command_on_a_bag(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("twohands.predictor.load", lambda method: fake_predictor((0.0, 0.0)))
    bag = plain(4, True).write(tmp_path / "a.bag")
    assert cli.main(["doctor", str(bag), "--json", str(tmp_path / "doctor.json")]) == 1
    assert "no_hands" in {found["code"] for found in json.loads((tmp_path / "doctor.json").read_text())["findings"]}
    assert "30 frames a second" in capsys.readouterr().out


def test_command_without_a_usable_frame(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("twohands.predictor.load", lambda method: fake_predictor())
    write_frame(tmp_path / "in")
    (tmp_path / "in" / "rgb" / "000000.png").write_bytes(b"no image")
    assert cli.main(["doctor", str(tmp_path / "in")]) == 2
    assert "could be used; the first:" in capsys.readouterr().err
    assert cli.main(["doctor", str(tmp_path / "missing")]) == 2


def test_page_of_findings(samples):
    found = diagnosis(samples, faults.holed)
    taller, clean = draw_page("a recording", found), draw_page("a recording", diagnosis(samples[:1], lambda s: s.frame))
    red = [np.abs(np.asarray(page).astype(int) - COLOURS["finding"]).sum(axis=2) == 0 for page in (taller, clean)]
    assert red[0].any()
    assert not red[1].any()
