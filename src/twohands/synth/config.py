"""What can be chosen about the synthetic frames, and the named choices."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

GENERATOR_VERSION = 1
"""Part of every random seed; raised whenever the same (config, split, seed, index) gives another frame."""
SENSOR_FAMILIES = ("time_of_flight", "active_stereo", "structured_light", "lidar")
CLOSEST_ROOTS = 0.05
"""Metres between the roots of hands that are asked to be close and do not touch, at least."""
_NOT_SHARES = ("width", "height", "close_distance", "roll", "registration")


@dataclass(frozen=True)
class SynthConfig:
    """One family of frames. Shares are of all frames unless said otherwise; a share of 0 switches a part off."""

    width: int = 640
    height: int = 480
    focal: tuple[float, float] = (0.55, 1.05)
    """Range of the focal length in image widths."""

    # who and where
    two_hands: float = 0.80
    one_hand: float = 0.15
    """The remaining frames show no hand."""
    close_roots: float = 0.20
    """Two-hand frames whose roots (joint 9) are asked to be closer than `close_distance`; a few cannot be placed."""
    close_distance: float = 0.12
    """Metres; a centimetre more than `CLOSEST_ROOTS` or further."""
    contact: float = 0.45
    """Two-hand frames whose hands touch, with roots closer than 8 cm where they can be."""
    mirrored: float = 0.20
    """Two-hand frames without touch in which the fingers of one hand mirror the other's, unless they grasp a thing."""
    crossed: float = 0.05
    """Two-hand frames with hands far apart, the left one on the person's right."""
    egocentric: float = 0.80
    """Frames seen from the person's own head; the others are seen from the other side or from beside."""
    distance: tuple[float, float] = (0.25, 1.20)
    """Range of the roots' depth in metres."""
    smallest_hand: float = 0.11
    """Smallest length of a stretched hand at its distance, in image widths."""
    roll: float = 10.0
    """Degrees of deviation of the camera's roll."""
    truncated: float = 0.08
    """Frames in which up to a third of a hand's joints may lie outside the image, and not a tenth."""

    # things
    held: float = 0.45
    """Frames, of those with hands that do not touch, in which one hand is posed to hold something."""
    closed_grasps: float = 1.0
    """Held things that the fingers are closed on; the others are fitted between fingers that stay as they are."""
    models: float = 0.0
    """Things that are scanned or drawn models of the asset cache (`tools/fetch_synth_assets.py`), not made here."""
    decals: float = 0.5
    """Things with a printed picture."""
    occluder: float = 0.25
    """Frames in which something stands between the camera and a hand, where there is room for it."""
    floating: float = 0.10
    """Frames in which something held by nobody hangs between the camera and a hand."""
    largest_cover: float = 0.5
    """An occluder that would hide more than this share of a hand's outline is not put there."""

    # arms
    sleeves: float = 0.50
    """People in sleeves that end with a step in depth above the wrist."""
    watches: float = 0.25
    """Arms with a watch or a bracelet."""
    rings: float = 0.25
    """Hands with one ring or two."""

    # surroundings
    table: float = 0.85
    clutter: float = 0.6
    """Frames with things, cables, papers and walls within 30 cm of the hands."""
    distractors: float = 0.25
    """Frames with skin-coloured or arm-shaped things, or somebody else's forearm without a hand."""
    photographs: float = 0.0
    """Surfaces that show textures of the asset cache, not procedural ones."""

    # light and colour camera
    environment: float = 0.8
    """Frames lit by a measured environment (spherical harmonics), the others by a sky and a ground colour."""
    second_lamp: float = 0.35
    occlusion: bool = True
    """Surroundings light less where surfaces lie close to each other."""
    skin: bool = True
    """The full range of skin tones with palms, nails and redness, people apart."""
    camera_faults: bool = True
    """Motion blur, defocus, noise that grows with the light, JPEG, exposure and white balance of cheap cameras."""

    # depth camera
    sensor: str = "mixed"
    """One of SENSOR_FAMILIES, `mixed`, `ideal` (depth without noise and holes), or `basic`, the first engine's."""
    registration: float = 1.0
    """Scale of the errors of registration: pixels between colour and depth, time between them, and intrinsics."""

    def __post_init__(self) -> None:
        if self.width < 32 or self.height < 32:
            raise ValueError(f"synthetic frames must be at least 32x32 pixels; got {self.width}x{self.height}")
        for name, value in vars(self).items():
            if isinstance(value, (int, float)) and name not in _NOT_SHARES and not 0 <= value <= 1:
                raise ValueError(f"{name} is a share between 0 and 1; got {value}")
        least = {"roll": 0.0, "registration": 0.0, "close_distance": 0.06}
        for name, low in least.items():
            if not low <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number of {low:g} or more; got {getattr(self, name)}")
        if self.two_hands + self.one_hand > 1:
            raise ValueError("two_hands + one_hand must be at most 1; the rest are frames without hands")
        if self.contact + self.close_roots > 1:
            raise ValueError("contact + close_roots must be at most 1; the rest have their hands apart")
        for name in ("focal", "distance"):
            low, high = getattr(self, name)
            if not 0 < low < high < math.inf:
                raise ValueError(f"{name} must be a rising pair of positive numbers; got {getattr(self, name)}")
        known = (*SENSOR_FAMILIES, "mixed", "ideal", "basic")
        if self.sensor not in known:
            raise ValueError(f"sensor {self.sensor!r} is unknown; choose one of {', '.join(known)}")


BASIC = SynthConfig(
    close_roots=0.36,
    contact=0.0,
    mirrored=0.0,
    egocentric=0.90,
    distance=(0.30, 0.90),
    smallest_hand=0.125,
    roll=6.0,
    truncated=0.05,
    closed_grasps=0.0,
    decals=0.0,
    floating=0.0,
    watches=0.0,
    rings=0.0,
    table=0.90,
    clutter=0.0,
    distractors=0.0,
    environment=0.0,
    second_lamp=0.0,
    occlusion=False,
    skin=False,
    camera_faults=False,
    sensor="basic",
    registration=0.0,
)
FULL = SynthConfig()
CONFIGS = {
    "full": FULL,
    "stored": replace(FULL, models=0.4, photographs=0.65),
    "basic": BASIC,
    "no_sleeves": replace(FULL, sleeves=0.0, watches=0.0, rings=0.0),
    "no_objects": replace(FULL, held=0.0, occluder=0.0, floating=0.0),
    "no_sensor_noise": replace(FULL, sensor="ideal", registration=0.0),
    "no_contact": replace(FULL, contact=0.0),
    "no_clutter": replace(FULL, clutter=0.0, distractors=0.0),
}
"""`stored` adds the textures and models of the asset cache to `full`, which needs no download; `basic` is the first
engine, to compare with; the others leave one part of `full` out."""
