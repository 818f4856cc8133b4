"""Recordings in memory, and the faults that are planted into them for the doctor.

A fault is planted into the whole of a recording. `Fault.plant` takes the recording that it spoils, see `Base`, and a
random generator; it returns None where the fault does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.ndimage import uniform_filter1d

import measure_intrinsics_checks as intrinsics
import measure_people_checks as people
import measure_recording_checks as motion
import planted_faults
from twohands.doctor.examination import spread
from twohands.doctor.look import PEOPLE
from twohands.geometry.distortion import Lens, undistorted
from twohands.sources.source import Entry
from twohands.synth.engine import SyntheticHands
from twohands.types import RGBDFrame, Sample

RATE = 30.0
LOOKED_AT = 4
"""Number of frames, spread over a recording, that get a fault which each frame shows alone."""
SIZED = 22
"""Number of frames that get a fault of the size of hands, which is judged from 20 on."""
MARGIN = 2
"""Number of frames before and after those of a recording with a fault in time, from which depth is taken."""
BENT = -0.2
"""Radial coefficient k1 of images that a lens has bent."""
Change = Callable[[Sample], RGBDFrame]


@dataclass
class Recording:
    """Frames in memory; `passes` counts the iterations."""

    frames: Sequence[RGBDFrame | str]  # or why one cannot be read
    seconds: Sequence[float | None] = ()
    length: int | None = None
    about: str = "planted frames"
    intrinsics: None = None
    passes: int = 0

    def __iter__(self) -> Iterator[Entry]:
        self.passes += 1
        for number, frame in enumerate(self.frames):
            seconds = self.seconds[number] if self.seconds else number / RATE
            yield Entry(f"{number:06d}", seconds, partial(_opened, frame))


def _opened(frame: RGBDFrame | str) -> RGBDFrame:
    if isinstance(frame, str):
        raise ValueError(frame)
    return frame


@dataclass(frozen=True)
class Base:
    """A recording without faults."""

    samples: Sequence[Sample]
    consecutive: Sequence[RGBDFrame]
    """The frames for faults in time, `margin` of them before and after the recording."""
    margin: int = MARGIN
    engine: SyntheticHands | None = None
    """Engine that has drawn the samples, under their numbers."""


@dataclass(frozen=True)
class Fault:
    """A fault of a recording, and how the doctor names it."""

    codes: tuple[str, ...]
    """Kinds of findings of which one has to be there; none: a line of the table says it."""
    says: str
    """Part of that finding's sentence, or of the line."""
    plant: Callable[[Base, np.random.Generator], Recording | None]
    of_depth: bool = False
    """Dependence on the depth camera is possible."""


# Changes of a frame --------------------------------------------------------------------------------------------------


def in_unit(right: float, read: float, sample: Sample) -> RGBDFrame:
    """Return depth that is stored in steps of `right` metres and was read as if they were `read` metres."""
    return replace(sample.frame, depth=sample.frame.depth * np.float32(read / right), depth_unit=read)


def holed(sample: Sample) -> RGBDFrame:
    """Return the frame without 70 % of the readings on the hands, in the whole image where there are no masks."""
    gone = np.random.default_rng(0).random(sample.frame.depth.shape) < 0.7
    if sample.masks is not None:
        gone &= sample.masks.any(axis=0)
    return replace(sample.frame, depth=np.where(gone, np.float32(0), sample.frame.depth))


def far(sample: Sample) -> RGBDFrame:
    """Return the same picture through a lens of three times the focal length: the hands keep their size."""
    frame, K = sample.frame, sample.frame.camera.K.copy()
    K[[0, 1], [0, 1]] *= 3
    known = frame.depth > 0
    on_hands = known if sample.masks is None else known & sample.masks.any(axis=0)
    farther = 2 * np.float32(np.percentile(frame.depth[on_hands if on_hands.any() else known], 20))
    depth = np.where(known, frame.depth + farther, np.float32(0))
    return replace(frame, depth=depth, camera=replace(frame.camera, K=K))


def small(sample: Sample) -> RGBDFrame:
    """Return every fifth pixel of the frame."""
    frame = sample.frame
    camera = frame.camera.resize(frame.camera.width // 5, frame.camera.height // 5)
    return replace(frame, rgb=frame.rgb[:, 2::5, 2::5], depth=frame.depth[2::5, 2::5], camera=camera)


def lit(gain: float, sample: Sample) -> RGBDFrame:
    """Return the frame `gain` times as bright, cut off at white."""
    return replace(sample.frame, rgb=np.clip(sample.frame.rgb * np.float32(gain), 0, 1))


def blurred(sample: Sample) -> RGBDFrame:
    """Return colour that is blurred over 15 pixels from left to right."""
    return replace(sample.frame, rgb=uniform_filter1d(sample.frame.rgb, 15, axis=2))


def without_depth(sample: Sample) -> RGBDFrame:
    """Return the frame without a reading."""
    return replace(sample.frame, depth=np.zeros_like(sample.frame.depth))


def longer(factor: float, sample: Sample) -> RGBDFrame:
    """Return the frame with a focal length that is `factor` times the right one."""
    K = sample.frame.camera.K.copy()
    K[[0, 1], [0, 1]] *= factor
    return replace(sample.frame, camera=replace(sample.frame.camera, K=K))


def bent(known: bool, sample: Sample) -> RGBDFrame:
    """Return the frame as a lens bends it; `known`: read with the coefficients, which undo it."""
    frame, coefficients = sample.frame, (BENT, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    rgb, depth, _ = undistorted(frame.rgb_uint8(), frame.depth, frame.camera, Lens("inverse", coefficients))
    K = np.asarray(frame.camera.K, np.float64)
    if not known:
        return RGBDFrame.from_arrays(rgb, depth, K, depth_unit=1.0)
    return RGBDFrame.from_arrays(rgb, depth, {"K": K, "D": list(coefficients[:5])}, depth_unit=1.0)


# Plants --------------------------------------------------------------------------------------------------------------


def in_each(change: Change, frames: int = LOOKED_AT) -> Callable[[Base, np.random.Generator], Recording]:
    """Return the plant of a change of every frame."""

    def plant(base: Base, rng: np.random.Generator) -> Recording:
        return _recording([change(base.samples[place]) for place in spread(len(base.samples), frames)])

    return plant


def by_tool(name: str, least: float = 0.0) -> Callable[[Base, np.random.Generator], Recording | None]:
    """Return the plant of a fault of `planted_faults` of at least this size, the same in every frame."""

    def plant(base: Base, rng: np.random.Generator) -> Recording | None:
        if base.engine is None and name == "own_view":
            return None
        while True:
            seed, frames = int(rng.integers(1 << 32)), []
            for place in spread(len(base.samples), LOOKED_AT):
                same, engine = np.random.default_rng(seed), base.engine
                planted = planted_faults.FAULTS[name](same, base.samples[place], engine, place)  # type: ignore[arg-type]
                if planted is None:
                    return None
                frames.append(planted)
            if frames[0][1] >= least:
                return _recording([frame for frame, _ in frames])

    return plant


def with_intrinsics(name: str) -> Callable[[Base, np.random.Generator], Recording]:
    """Return the plant of the wrong numbers of `measure_intrinsics_checks`."""

    def plant(base: Base, rng: np.random.Generator) -> Recording:
        seed, frames = int(rng.integers(1 << 32)), []
        for place in spread(len(base.samples), LOOKED_AT):
            frame = base.samples[place].frame
            numbers, _ = intrinsics.FAULTS[name](np.random.default_rng(seed), frame.camera)
            camera = intrinsics.camera_of(numbers, frame.camera.width, frame.camera.height)
            frames.append(replace(frame, camera=camera))
        return _recording(frames)

    return plant


def in_order(name: str) -> Callable[[Base, np.random.Generator], Recording]:
    """Return the plant of depth of other frames, by an order of `measure_recording_checks`."""

    def plant(base: Base, rng: np.random.Generator) -> Recording:
        return _recording(motion.paired(base.consecutive, motion.FAULTS[name], base.margin))

    return plant


def of_four_hands(base: Base, rng: np.random.Generator) -> Recording:
    """Return two frames side by side, which are half of the recording apart."""
    unknown, half = np.full((2, 21, 2), np.nan), len(base.samples) // 2
    frames = []
    for place in spread(half, LOOKED_AT):
        both = (base.samples[place].frame, base.samples[place + half].frame)
        frames.append(people.beside(*(people.Window(frame, unknown, "") for frame in both)).frame)
    return _recording(frames)


def with_times(change: Callable[[list[float]], list[float]]) -> Callable[[Base, np.random.Generator], Recording]:
    """Return the plant of other time stamps."""

    def plant(base: Base, rng: np.random.Generator) -> Recording:
        frames = [base.samples[place].frame for place in spread(len(base.samples), LOOKED_AT)]
        return _recording(frames, change([number / RATE for number in range(len(frames))]))

    return plant


def unreadable(base: Base, rng: np.random.Generator) -> Recording:
    """Return a recording of which every third frame cannot be read."""
    frames = [base.samples[place].frame for place in spread(len(base.samples), LOOKED_AT)]
    return _recording(["the depth image is damaged; copy it again" if n % 3 == 1 else f for n, f in enumerate(frames)])


def _recording(frames: Sequence[RGBDFrame | str], seconds: Sequence[float] = ()) -> Recording:
    return Recording(frames, seconds, len(frames))


_SQUARE, _OFF = "fx and fy differ by 3.5 to 30 %", "principal point 10 to 30 % off"
_COPY = "copy it again"
FAULTS: dict[str, Fault] = {
    "0.2 mm read as 1 mm": Fault(("depth_unit",), "0.0002", in_each(partial(in_unit, 0.0002, 0.001))),
    "1 mm read as 0.1 mm": Fault(("depth_unit",), "0.001", in_each(partial(in_unit, 0.001, 0.0001))),
    "shift of 15 to 60 px": Fault(("depth_not_registered",), "", by_tool("shift", 15.0), True),
    "shift of 8 to 10 px": Fault(("depth_not_registered",), "", by_tool("small_shift")),
    "field of view of depth": Fault(("depth_not_registered",), "", by_tool("field_of_view"), True),
    "camera beside": Fault(("depth_not_registered",), "", by_tool("beside"), True),
    "own view of depth": Fault(("depth_not_registered",), "", by_tool("own_view"), True),
    "depth mirrored": Fault(("depth_mirrored",), "", by_tool("mirrored_depth"), True),
    "colour mirrored": Fault(("depth_mirrored",), "", by_tool("mirrored_color"), True),
    "K of twice the size": Fault(("intrinsics_",), "would fit", with_intrinsics("K of twice the size")),
    "K in another order": Fault(("intrinsics_order",), "in the order", with_intrinsics("order cx,cy,fx,fy")),
    "fx and fy differ": Fault(("intrinsics_",), "square pixels", with_intrinsics(_SQUARE)),
    "principal point off": Fault(("intrinsics_",), "the principal point", with_intrinsics(_OFF)),
    "focal length 1.5 times too long": Fault(("hand_size",), "too large", in_each(partial(longer, 1.5), SIZED)),
    "focal length 1.5 times too short": Fault(("hand_size",), "too small", in_each(partial(longer, 1 / 1.5), SIZED)),
    "distortion, coefficients given": Fault((), "undone, by up to", in_each(partial(bent, True))),
    "distortion, coefficients missing": Fault((), "give a calibration", in_each(partial(bent, False))),
    "blue first": Fault(("blue_first",), "", by_tool("blue_first")),
    "depth late by 2": Fault(("depth_late",), "", in_order("late by 2"), True),
    "depth early by 1": Fault(("depth_early",), "", in_order("early by 1")),
    "depth frozen in a tenth": Fault(("depth_frozen",), "", in_order("a tenth frozen")),
    "every third depth repeated": Fault(("depth_frozen",), "", in_order("every 3rd repeated")),
    "holes on the hands": Fault(("holes_on_hands",), "", in_each(holed), True),
    "hands far away": Fault(("hands_out_of_range",), "far for", in_each(far)),
    "hands small": Fault(("hands_small",), "", in_each(small)),
    "four hands": Fault(PEOPLE, "", of_four_hands),
    "dark": Fault(("too_dark",), "", in_each(partial(lit, 0.06))),
    "overexposed": Fault(("overexposed",), "", in_each(partial(lit, 8.0))),
    "blurred": Fault(("blurred",), "", in_each(blurred)),
    "frames dropped": Fault(("dropped_frames",), "", with_times(lambda t: [*t[:2], *(s + 1 / RATE for s in t[2:])])),
    "times out of order": Fault(("times_out_of_order",), "", with_times(lambda t: [t[0], t[2], t[1], *t[3:]])),
    "a third unreadable": Fault(("unreadable_frame",), _COPY, unreadable),
}
