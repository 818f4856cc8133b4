"""The options of the synthetic frames, and the named configurations."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

GENERATOR_VERSION = 2
"""Raised whenever the same (config, split, seed, index) gives another frame, see `SynthConfig.generator`."""
SENSOR_FAMILIES = ("time_of_flight", "active_stereo", "structured_light", "lidar")
CLOSEST_ROOTS = 0.05
"""Smallest distance in metres between the roots of hands that are placed close together without touching."""
DEEPEST_COVER = 0.85
"""Largest fraction of a hand that one thing may hide in some frames."""
_NOT_FRACTIONS = ("width", "height", "generator", "close_distance", "roll", "registration", "farthest", "clear_lens")


@dataclass(frozen=True)
class SynthConfig:
    """Settings of the synthetic frames. Fractions are of all frames unless stated otherwise; 0 switches a part off."""

    width: int = 640  # pixels
    height: int = 480  # pixels
    focal: tuple[float, float] = (0.55, 1.05)
    """Range of the focal length, in image widths."""
    generator: int = GENERATOR_VERSION
    """Generator version, part of every random seed. 1 is for `BASIC` alone: other frames of version 1 are drawn no
    more."""

    # people and camera
    two_hands: float = 0.80
    one_hand: float = 0.15
    """`two_hands`, `one_hand`: fractions of frames with two hands and with one. The remaining frames show no hand."""
    close_roots: float = 0.20
    """Fraction of two-hand frames with roots (joint 9) closer than `close_distance`. A few of them cannot be placed."""
    close_distance: float = 0.12
    """Upper bound of the distance between close roots, in metres; at least `CLOSEST_ROOTS` + 0.01."""
    contact: float = 0.45
    """Fraction of two-hand frames in which the hands touch, with roots closer than 8 cm where possible."""
    mirrored: float = 0.20
    """Fraction of two-hand frames without contact in which one hand's fingers mirror the other's, unless they grasp."""
    crossed: float = 0.05
    """Fraction of two-hand frames with distant hands in which the left hand is on the person's right."""
    egocentric: float = 0.60
    """Fraction of frames seen from the person's own head. The others are seen from outside."""
    facing: float = 0.72
    """Fraction of the placements from outside in which the person faces the camera; others are seen from beside.

    Of the frames a little fewer face it, since more of their placements are refused."""
    behind: float = 0.0
    """Fraction of the placements from outside in which the camera looks the same way as the person, for example from
    the ceiling down on the table; taken from those that are seen from beside."""
    pitch_outside: tuple[float, float] = (0.0, 50.0)
    """Range of the angle by which a camera outside looks down, in degrees."""
    lower_outside: float = 0.10
    """Mean distance of the hands below the picture's middle as seen from outside, in image heights."""
    level_shoulders: bool = True
    """A person seen from outside is upright. False: each arm of the first engine draws its own shoulder."""
    clear_lens: float = 0.14
    """Least distance of arms and head from a camera outside, in metres."""
    far: float = 0.62
    """Fraction of the frames from outside in which the person is far away: up to `farthest`, hands of `far_hand`."""
    farthest: float = 2.0
    """Largest depth of the roots of a person who is far away, in metres."""
    far_hand: float = 0.044
    """`smallest_hand` of a person who is far away."""
    distance: tuple[float, float] = (0.25, 1.20)
    """Range of the depth of the roots, in metres."""
    smallest_hand: float = 0.11
    """Smallest projected length of a stretched hand at its distance, in image widths."""
    roll: float = 10.0
    """Standard deviation of the camera's roll, in degrees."""
    truncated: float = 0.08
    """Fraction of frames in which up to a third of a hand's joints may be outside the image, instead of a tenth."""

    # objects
    held: float = 0.45
    """Fraction of the frames with hands, but without contact, in which one hand is posed to hold an object."""
    closed_grasps: float = 1.0
    """Fraction of held objects around which the fingers are closed. Others are fitted between fingers already posed."""
    object_first: float = 0.20
    """Fraction of held objects that stand before palm and fingers as seen from the camera, and hide most of them."""
    models: float = 0.0
    """Fraction of objects from the scanned or drawn models of the asset cache (`tools/fetch_synth_assets.py`)."""
    decals: float = 0.5
    """Fraction of objects with a printed picture."""
    occluder: float = 0.25
    """Fraction of frames in which an object stands between the camera and a hand, where there is room for it."""
    floating: float = 0.14
    """Fraction of frames in which an object that nobody holds hangs between the camera and a hand."""
    largest_cover: float = 0.5
    """Largest fraction of a hand's outline that an occluder may hide. A larger occluder is left out."""
    deep_cover: float = 0.35
    """Fraction of frames in which an occluder may hide up to `DEEPEST_COVER` of a hand."""

    # arms
    sleeves: float = 0.50
    """Fraction of people in long sleeves, which end with a step in depth above the wrist."""
    watches: float = 0.25
    """Fraction of arms with a watch or bracelets."""
    rings: float = 0.25
    """Fraction of hands with one or two rings."""

    # surroundings
    table: float = 0.85  # fraction of frames with a table
    clutter: float = 0.6
    """Fraction of frames with objects, cables, papers and walls within 30 cm of the hands."""
    distractors: float = 0.25
    """Fraction of frames with skin-coloured or arm-shaped objects, or another person's forearm without a hand."""
    photographs: float = 0.0
    """Fraction of surfaces with a texture of the asset cache in place of a procedural one."""

    # light and colour camera
    environment: float = 0.8
    """Fraction of frames lit by a measured environment (spherical harmonics). Others have a sky and a ground colour."""
    second_lamp: float = 0.35  # fraction of frames with a second lamp
    occlusion: bool = True
    """Ambient occlusion: surroundings give less light where surfaces are close to each other."""
    skin: bool = True
    """All skin tones, with palms, nails and redness per person. False: the first engine's people, without wear."""
    camera_faults: bool = True
    """Motion blur, defocus, noise that grows with the light, JPEG, and a cheap camera's exposure and white balance."""

    # depth camera
    sensor: str = "mixed"
    """One of SENSOR_FAMILIES, `mixed`, `ideal` (depth without noise and holes), or `basic` (the first engine's)."""
    registration: float = 1.0
    """Scale of the registration errors: pixel offset and delay between colour and depth, and intrinsics."""
    cut_out: float = 0.05
    """Fraction of frames with hands in which only hands and held objects have readings."""
    lost_object: float = 0.20
    """Fraction of held objects that have few readings or none, as dark and shiny ones."""

    def __post_init__(self) -> None:
        if self.width < 32 or self.height < 32:
            raise ValueError(f"synthetic frames must be at least 32x32 pixels; got {self.width}x{self.height}")
        for name, value in vars(self).items():
            if isinstance(value, (int, float)) and name not in _NOT_FRACTIONS and not 0 <= value <= 1:
                raise ValueError(f"{name} is a fraction between 0 and 1; got {value}")
        least = {"roll": 0.0, "registration": 0.0, "close_distance": 0.06, "farthest": 0.2, "clear_lens": 0.0}
        for name, low in least.items():
            if not low <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number of {low:g} or more; got {getattr(self, name)}")
        if self.two_hands + self.one_hand > 1:
            raise ValueError("two_hands + one_hand must be at most 1; the rest are frames without hands")
        if self.contact + self.close_roots > 1:
            raise ValueError("contact + close_roots must be at most 1; the rest have their hands apart")
        if self.facing + self.behind > 1:
            raise ValueError("facing + behind must be at most 1; the rest are seen from beside")
        for name in ("focal", "distance"):
            low, high = getattr(self, name)
            if not 0 < low < high < math.inf:
                raise ValueError(f"{name} must be a rising pair of positive numbers; got {getattr(self, name)}")
        if not -90 <= self.pitch_outside[0] < self.pitch_outside[1] <= 90:
            raise ValueError(f"pitch_outside must be a rising pair within -90 and 90; got {self.pitch_outside}")
        known = (*SENSOR_FAMILIES, "mixed", "ideal", "basic")
        if self.sensor not in known:
            raise ValueError(f"sensor {self.sensor!r} is unknown; choose one of {', '.join(known)}")


BASIC = SynthConfig(
    generator=1,
    close_roots=0.36,
    contact=0.0,
    mirrored=0.0,
    egocentric=0.90,
    facing=0.5,
    pitch_outside=(8.0, 65.0),
    lower_outside=0.03,
    level_shoulders=False,
    clear_lens=0.0,
    far=0.0,
    distance=(0.30, 0.90),
    smallest_hand=0.125,
    roll=6.0,
    truncated=0.05,
    closed_grasps=0.0,
    object_first=0.0,
    deep_cover=0.0,
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
    cut_out=0.0,
    lost_object=0.0,
)
FULL = SynthConfig()
CONFIGS = {
    "full": FULL,
    "stored": replace(FULL, models=0.4, photographs=0.65),
    "grips": replace(FULL, egocentric=0.2, facing=1.0, contact=0.1, held=0.9, object_first=0.8),
    "above": replace(FULL, egocentric=0.0, facing=0.25, behind=0.45, pitch_outside=(40.0, 88.0), lower_outside=0.03),
    "basic": BASIC,
    "no_sleeves": replace(FULL, sleeves=0.0, watches=0.0, rings=0.0),
    "no_objects": replace(FULL, held=0.0, occluder=0.0, floating=0.0),
    "no_sensor_noise": replace(FULL, sensor="ideal", registration=0.0, cut_out=0.0, lost_object=0.0),
    "no_contact": replace(FULL, contact=0.0),
    "no_clutter": replace(FULL, clutter=0.0, distractors=0.0),
}
"""Named configurations. `stored` adds the textures and models of the asset cache to `full`, which needs no download.
`grips` and `above` have what is rare or missing in `full`: people who face the camera with objects before their hands,
and cameras that look steeply down on people from any side. `basic` is the first engine, for comparison. Each of the
others leaves one part of `full` out."""
