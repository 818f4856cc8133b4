"""Is a user's copy of a data set what its reader takes it for? Checks on a few frames, each finding with its remedy.

What is wrong with a copy is that one of `hand_checks.EXPLANATIONS` which, undone, makes the hands fit clearly better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time

import numpy as np
from scipy.spatial import KDTree

from twohands.data.hand_checks import EXPLANATIONS, Finding, View, check_order, check_sides, check_unit, fit
from twohands.data.readers.common import ContradictionError, DamagedFileError
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.types import Dataset, Sample

CLEARLY_BETTER, FITTING, MISFIT = 0.15, 0.4, 0.2
"""Shares of joints: by which an explanation must improve the fit, below which neighbouring frames are looked at, and
below which something is wrong. Of true labels half to all fit, depending on what hides the hands; of wrong ones 0.1."""
MESH_GAP = 0.03
"""Metres from a joint to the nearest vertex, on average; 5 to 10 mm in a hand."""
NEIGHBOURS = (1, -1, 2, -2, 3, -3)


@dataclass(frozen=True)
class Facts:
    """What is official of a data set, as far as it is known."""

    sizes: tuple[tuple[int, int], ...] = ()  # width, height of colour and depth; none: of the first frame
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # split -> frames, of any release
    depth: bool = True  # otherwise it has colour alone


_VGA = ((640, 480),)
FACTS = {
    "h2o": Facts(((1280, 720),), {"train": (55_742,), "validation": (11_638,), "test": (23_391,)}),
    "h2o3d": Facts(_VGA, {"test": (15_342,)}),
    "ho3d": Facts(_VGA, {"test": (20_137, 11_524)}),
    "rhd": Facts(((320, 320),), {"train": (41_258 - 2_063,), "validation": (2_063,), "test": (2_728,)}),
    "dexycb": Facts(_VGA),
    "interhand": Facts(((512, 334), (334, 512)), depth=False),
    "freihand": Facts(((224, 224),), {"test": (3_960,)}, depth=False),
    "hocap": Facts(_VGA),
    "contactpose": Facts(((960, 540), (540, 960))),
    "arctic": Facts(((2800, 2000), (2000, 2800)), depth=False),
    "hot3d": Facts(((1408, 1408),), depth=False),
    "hoi4d": Facts(((1920, 1080),)),
    "taco": Facts(((1920, 1080),)),
}
"""Of the data sets' own publications, by the name before an underscore; of what our readers hold out of the official
`train` only RHD's number is known."""


def inspect(
    dataset: Dataset, indices: Sequence[int], facts: Facts | None = None, split: str = "train"
) -> tuple[tuple[Sample, ...], tuple[Finding, ...]]:
    """The frames of `indices` that can be read, and what is wrong with the copy as far as they show it."""
    samples, findings = readable(dataset, indices)
    if facts is not None:
        findings += check_count(len(dataset), facts, split)
    findings += check_sizes(list(samples.values()), facts)
    if (facts is None or facts.depth) and samples:
        findings += check_depth(list(samples.values()))
    findings += check_hands(samples, dataset)
    return tuple(samples.values()), tuple(findings)


def spread_over(total: int, count: int) -> list[int]:
    """At most `count` indices, evenly spread over `total`."""
    count = min(count, total)
    return [index * total // count for index in range(count)]


def readable(dataset: Dataset, indices: Sequence[int]) -> tuple[dict[int, Sample], list[Finding]]:
    """The samples by index, and a finding for every way in which others cannot be read."""
    samples: dict[int, Sample] = {}
    failed: dict[str, list[str]] = {}
    for index in indices:
        try:
            samples[index] = dataset[index]
        except ValueError as error:
            failed.setdefault(_failure(error), []).append(str(error))
    remedies = {
        "stale list": "the list of the split names frames that this copy does not have; take the list of the same "
        "release, or unpack the archives with these frames",
        "missing file": "unpack the archive that holds it",
        "damaged file": "copy such files from the data set again",
        "contradiction": "files of different releases or conversions may be mixed",
    }
    return samples, [
        Finding(kind, f"{len(said)} of {len(indices)} frames cannot be read, first: {said[0]}; {remedies[kind]}")
        for kind, said in failed.items()
    ]


def reading_rate(dataset: Dataset, indices: Sequence[int]) -> float:
    """Frames that a core reads in a second of its own time, files in the file system's cache; broken ones left out."""
    started, count = process_time(), 0
    for index in indices:
        with suppress(ValueError):
            dataset[index]
            count += 1
    return count / max(process_time() - started, 1e-9)


def _failure(error: ValueError) -> str:
    if isinstance(error, ContradictionError) or not isinstance(error, DamagedFileError):
        return "contradiction"
    if error.path is None or error.path.exists():
        return "damaged file"
    return "missing file" if _has_siblings(error.path) else "stale list"


def _has_siblings(path: Path) -> bool:
    """Whether any other file of the frame is there: of its number, in its folder or in those beside it."""
    digits = path.stem[len(path.stem.rstrip("0123456789")) :]
    if not digits:
        return path.parent.is_dir()
    folders = [path.parent] if digits != path.stem else path.parent.parent.glob("*/")
    return any(any(folder.glob(f"*{digits}.*")) for folder in folders)


def check_count(count: int, facts: Facts, split: str) -> list[Finding]:
    """Whether the split has as many frames as published."""
    official = facts.counts.get(split)
    if official is None or count in official:
        return []
    named = " or ".join(f"{number:,}" for number in official)
    text = f"the split {split} has {count:,} frames here, officially {named}; unpack what is missing, or use it as part"
    return [Finding("count", text)]


def check_sizes(samples: Sequence[Sample], facts: Facts | None) -> list[Finding]:
    """Whether all images are of the official size, or, where none is known, of the first one's."""
    sizes = [(sample.frame.camera.width, sample.frame.camera.height) for sample in samples]
    right = facts.sizes if facts is not None and facts.sizes else tuple(sizes[:1])
    for sample, size in zip(samples, sizes, strict=True):
        if size not in right:
            said = "as published" if facts is not None and facts.sizes else "as others"
            named = " or ".join(f"{width}x{height}" for width, height in right)
            text = f"{sample.id} is {size[0]}x{size[1]}, not {named} {said}; take the original images"
            return [Finding("image size", text)]
    return []


def check_depth(samples: Sequence[Sample]) -> list[Finding]:
    """Whether depth is measured in most frames."""
    empty = [sample.id for sample in samples if not sample.frame.depth.any()]
    if 2 * len(empty) < len(samples):
        return []
    text = f"{len(empty)} of {len(samples)} frames have no depth reading, first {empty[0]}; unpack the depth again"
    return [Finding("no depth", text)]


def check_hands(samples: Mapping[int, Sample], dataset: Dataset) -> list[Finding]:
    """What is wrong with the labels of the hands, causes before what follows from them."""
    views = {(index, side): view for index, sample in samples.items() for side, view in _views(sample).items()}
    if not views:
        return []
    findings, scale = check_unit([view.joints for view in views.values()])
    views = {key: replace(view, joints=view.joints / scale) for key, view in views.items()}
    findings += check_order([view.joints for view in views.values()])
    ordered = not any(finding.kind == "joint order" for finding in findings)
    placed = check_place(views, dataset)
    findings += placed
    if ordered and not any(finding.kind in ("camera axes", "frame numbers") for finding in placed):
        turns = {
            key: matrix_from_axis_angle(np.asarray(samples[key[0]].hands.parameters.rotation[key[1]]))  # type: ignore[union-attr]
            for key in views
            if samples[key[0]].hands.parameters is not None
        }
        findings += check_sides({key: view.joints for key, view in views.items()}, turns)
    return findings or check_meshes(list(samples.values()))


def _views(sample: Sample) -> dict[int, View]:
    hands, frame = sample.hands, sample.frame
    present = hands.present_sides
    return {side: View(np.asarray(hands.joints[side], np.float64), frame.depth, frame.camera) for side in present}


def check_place(views: Mapping[tuple[int, int], View], dataset: Dataset) -> list[Finding]:
    """Whether joints lie on the measured depth; views by (index, side). Neighbouring frames are read when they do not.

    Names the one of EXPLANATIONS which does better, or the neighbour to whose image the labels belong.
    """
    now = float(np.mean([fit(view) for view in views.values()]))
    fits = [float(np.mean([fit(cause.undo(view)) for view in views.values()])) for cause in EXPLANATIONS]
    best = int(np.argmax(fits))
    shifts = {0: now}
    if now < FITTING:
        shifts.update((shift, _fit_of_neighbours(views, dataset, shift)) for shift in NEIGHBOURS)
    shift = max(shifts, key=shifts.__getitem__)
    enough = max(now + CLEARLY_BETTER, MISFIT)
    if fits[best] >= max(enough, shifts[shift]):
        cause = EXPLANATIONS[best]
        return [Finding(cause.kind, f"{cause.text} ({now:.0%} of the joints fit as they are, {fits[best]:.0%} then)")]
    if shifts[shift] >= enough:
        text = (
            f"the labels fit the images {abs(shift)} frames {'later' if shift > 0 else 'earlier'} ({now:.0%} of the "
            f"joints fit as they are, {shifts[shift]:.0%} then): frame numbers are shifted; extract the images again"
        )
        return [Finding("frame numbers", text)]
    if now >= MISFIT:
        return []
    text = f"only {now:.0%} of the joints lie on what the images show: images and labels do not belong together"
    return [Finding("place", f"{text}; compare the overlay, and take both from the same release")]


def _fit_of_neighbours(views: Mapping[tuple[int, int], View], dataset: Dataset, shift: int) -> float:
    """Mean fit of labels in the frames `shift` later; 0 where there is none."""
    fits = []
    for (index, _), view in views.items():
        if 0 <= index + shift < len(dataset):
            try:
                frame = dataset[index + shift].frame
            except ValueError:  # reported where it is itself looked at
                continue
            fits.append(fit(View(view.joints, frame.depth, frame.camera)))
    return float(np.mean(fits)) if fits else 0.0


def check_meshes(samples: Sequence[Sample]) -> list[Finding]:
    """Whether joints lie in the meshes of their hands."""
    gaps = []
    for sample in samples:
        vertices = sample.hands.vertices
        if vertices is not None:
            present = sample.hands.present_sides
            gaps += [KDTree(vertices[side]).query(sample.hands.joints[side])[0].mean() for side in present]
    if not gaps or np.median(gaps) < MESH_GAP:
        return []
    text = f"joints lie {1000 * np.median(gaps):.0f} mm from the nearest vertex of their mesh: joints and MANO values"
    return [Finding("meshes", f"{text} are not of one release, or MANO's files are not the original ones; take these")]
