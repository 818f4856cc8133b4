"""Check on a few frames whether a user's copy of a data set matches its reader; each finding names the fix.

The fault of a copy is the one of `hand_checks.EXPLANATIONS` whose inverse makes the hands fit clearly better.
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
"""Fractions of joints: by which an explanation must improve the fit, below which neighbouring frames are tried, and
below which something is wrong. Half to all of true labels fit, depending on occlusion; 0.1 of wrong labels do."""
MESH_GAP = 0.03
"""Mean distance in metres from joints to the nearest vertex from which meshes are wrong; 5 to 10 mm in a hand."""
NEIGHBOURS = (1, -1, 2, -2, 3, -3)


@dataclass(frozen=True)
class Facts:
    """Known official facts of a data set."""

    sizes: tuple[tuple[int, int], ...] = ()  # width, height of colour and depth; empty: as in the first frame
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # split -> frames, of any release
    depth: bool = True  # False: colour alone


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
"""Facts from the data sets' own publications, by the name before an underscore. Of the splits that readers hold out of
the official `train` only RHD's has a known number of frames."""


def inspect(
    dataset: Dataset, indices: Sequence[int], facts: Facts | None = None, split: str = "train"
) -> tuple[tuple[Sample, ...], tuple[Finding, ...]]:
    """Return the readable frames among `indices`, and the faults of the copy that they show."""
    samples, findings = readable(dataset, indices)
    if facts is not None:
        findings += check_count(len(dataset), facts, split)
    findings += check_sizes(list(samples.values()), facts)
    if (facts is None or facts.depth) and samples:
        findings += check_depth(list(samples.values()))
    findings += check_hands(samples, dataset)
    return tuple(samples.values()), tuple(findings)


def spread_over(total: int, count: int) -> list[int]:
    """Return at most `count` indices, evenly spread over `total`."""
    count = min(count, total)
    return [index * total // count for index in range(count)]


def readable(dataset: Dataset, indices: Sequence[int]) -> tuple[dict[int, Sample], list[Finding]]:
    """Return the readable samples by index, and a finding for every kind of failure of the others."""
    samples: dict[int, Sample] = {}
    failed: dict[str, list[str]] = {}
    for index in indices:
        try:
            samples[index] = dataset[index]
        except ValueError as error:
            failed.setdefault(_failure(error), []).append(str(error))
    fixes = {
        "stale list": "the list of the split names frames that this copy does not have; take the list of the same "
        "release, or unpack the archives with these frames",
        "missing file": "unpack the archive that holds it",
        "damaged file": "copy such files from the data set again",
        "contradiction": "files of different releases or conversions may be mixed",
    }
    return samples, [
        Finding(kind, f"{len(errors)} of {len(indices)} frames cannot be read, first: {errors[0]}; {fixes[kind]}")
        for kind, errors in failed.items()
    ]


def reading_rate(dataset: Dataset, indices: Sequence[int]) -> float:
    """Return frames per second of CPU time of one core, with files in the file system's cache; skip broken frames."""
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
    """Return whether another file of the frame exists: one with its number, in its folder or in folders beside it."""
    digits = path.stem[len(path.stem.rstrip("0123456789")) :]
    if not digits:
        return path.parent.is_dir()
    folders = [path.parent] if digits != path.stem else path.parent.parent.glob("*/")
    return any(any(folder.glob(f"*{digits}.*")) for folder in folders)


def check_count(count: int, facts: Facts, split: str) -> list[Finding]:
    """Check that the split has the published number of frames."""
    official = facts.counts.get(split)
    if official is None or count in official:
        return []
    named = " or ".join(f"{number:,}" for number in official)
    text = f"the split {split} has {count:,} frames here, officially {named}; unpack what is missing, or use it as part"
    return [Finding("count", text)]


def check_sizes(samples: Sequence[Sample], facts: Facts | None) -> list[Finding]:
    """Check that all images have the official size or, if none is known, the size of the first one."""
    sizes = [(sample.frame.camera.width, sample.frame.camera.height) for sample in samples]
    right = facts.sizes if facts is not None and facts.sizes else tuple(sizes[:1])
    for sample, size in zip(samples, sizes, strict=True):
        if size not in right:
            source = "as published" if facts is not None and facts.sizes else "as others"
            named = " or ".join(f"{width}x{height}" for width, height in right)
            text = f"{sample.id} is {size[0]}x{size[1]}, not {named} {source}; take the original images"
            return [Finding("image size", text)]
    return []


def check_depth(samples: Sequence[Sample]) -> list[Finding]:
    """Check that most frames have measured depth."""
    empty = [sample.id for sample in samples if not sample.frame.depth.any()]
    if 2 * len(empty) < len(samples):
        return []
    text = f"{len(empty)} of {len(samples)} frames have no depth reading, first {empty[0]}; unpack the depth again"
    return [Finding("no depth", text)]


def check_hands(samples: Mapping[int, Sample], dataset: Dataset) -> list[Finding]:
    """Return the faults of the hands' labels, causes before their consequences."""
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
    """Check that joints are on the measured depth; views by (index, side). If not, neighbouring frames are read.

    The finding names the one of EXPLANATIONS that fits better, or the neighbour to whose image the labels belong.
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
    """Return the mean fit of labels in the frames `shift` later; 0 without such frames."""
    fits = []
    for (index, _), view in views.items():
        if 0 <= index + shift < len(dataset):
            try:
                frame = dataset[index + shift].frame
            except ValueError:  # reported when the frame itself is inspected
                continue
            fits.append(fit(View(view.joints, frame.depth, frame.camera)))
    return float(np.mean(fits)) if fits else 0.0


def check_meshes(samples: Sequence[Sample]) -> list[Finding]:
    """Check that joints are inside the meshes of their hands."""
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
