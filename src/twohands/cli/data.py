"""The command `data`: check or pack the copy of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from twohands.choices import DatasetName, Split
from twohands.cli.common import FINDINGS, FINE, check_folder

if TYPE_CHECKING:
    from PIL import Image

    from twohands.types import Dataset, Sample

LOOKED_AT = 24
"""Number of frames that are checked by default."""
SHOWN = 12
"""Largest number of frames on the overlay sheet."""


def data(
    action: Positional[Literal["check", "pack"]],
    name: Positional[DatasetName],
    root: Positional[Path],
    split: Split = "train",
    frames: int | None = None,
    out: Path = Path("out/data"),
    workers: int = 1,
) -> int:
    """Check your copy of a public data set, or pack it into shards that are read several times faster.

    Args:
        action: check examines some frames for wrong files, sizes, units, intrinsics, axes, mirroring, joints and sides,
            prints each fault with the fix, and draws the labels over colour and depth; the exit code is 1 if there is a
            fault, else 0. pack writes the frames of a split into a folder for `train --data` and `evaluate --data`; the
            same command resumes it.
        name: The data set.
        root: Folder of your copy.
        split: Split of the data set.
        frames: Number of frames; by default check examines 24, spread over the split, and pack writes all.
        out: Folder for the picture of check, or for the shards of pack.
        workers: Number of processes for pack.
    """
    from twohands.data.dataset import open_dataset

    check_folder(out)
    if frames is not None and frames < 1:
        raise ValueError(f"--frames must be 1 or more; got {frames}")
    dataset = open_dataset(f"{name}:{split}={root}")
    if action == "check":
        return _check(dataset, name, split, frames or LOOKED_AT, out)
    from twohands.data.packing import pack

    print(f"wrote {pack(dataset, name, split, out, frames, workers)}/")
    return FINE


def _check(dataset: Dataset, name: str, split: str, frames: int, out: Path) -> int:
    from twohands.data.inspection import FACTS, inspect, reading_rate, spread_over

    chosen = spread_over(len(dataset), frames)
    samples, findings = inspect(dataset, chosen, FACTS.get(name.partition("_")[0]), split)
    hands = sum(int(sample.hands.is_present.sum()) for sample in samples)
    print(
        f"{name}, split {split}: {len(dataset):,} frames; looked at {len(samples)} of them with {hands} labelled hands"
    )
    for finding in findings:
        print(f"  {finding.kind}: {finding.text}")
    if samples:
        print(f"a core reads {reading_rate(dataset, chosen):.0f} frames a second")
        print(f"wrote {_write_sheet(samples, out / f'{name}_{split}.png')}")
    print(f"{len(findings)} to mend" if findings else "all is well")
    return FINDINGS if findings else FINE


def _write_sheet(samples: Sequence[Sample], path: Path) -> Path:
    """Write colour and depth of some frames with their labelled joints; return the path."""
    from PIL import Image

    from twohands.data.inspection import spread_over
    from twohands.files import write_atomically
    from twohands.pictures import color_depth, contact_sheet

    images, labels = [], []
    for sample in (samples[index] for index in spread_over(len(samples), SHOWN)):
        for picture in (sample.frame.rgb_uint8(), color_depth(sample.frame.depth)):
            images.append(_with_hands(Image.fromarray(picture), sample))
            labels.append(sample.id)
    with write_atomically(path) as temporary:
        Image.fromarray(contact_sheet(images, labels)).save(temporary)
    return path


def _with_hands(picture: Image.Image, sample: Sample):
    """Return the picture (H, W, 3) uint8 with the hands that are in front of the camera and not far outside."""
    import numpy as np

    from twohands.pictures import draw_skeleton

    camera = sample.frame.camera
    for side in sample.hands.present_sides:
        joints = sample.hands.joints[side]
        if (joints[:, 2] > 0.01).all() and (np.abs(camera.project(joints)) < 10 * camera.width).all():
            draw_skeleton(picture, joints, camera)
    return np.asarray(picture)
