"""The command for copies of data sets: `data check`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from twohands.cli.common import FINE, check_folder

if TYPE_CHECKING:
    from PIL import Image

    from twohands.types import Sample

FINDINGS = 1
"""Exit code of a check that found something."""
SHOWN = 12
"""Frames on the overlay sheet, at most."""


def data(
    action: Positional[Literal["check"]],
    name: Positional[Literal["h2o", "h2o3d", "ho3d", "rhd", "dexycb", "synthetic"]],
    root: Positional[Path],
    split: Literal["train", "validation", "test"] = "train",
    frames: int = 24,
    out: Path = Path("out/data"),
) -> int:
    """Check your copy of a data set on some frames: files, sizes, units, intrinsics, axes, mirroring, joints, sides.

    Prints what is wrong and how to mend it, and writes a sheet of the labels over colour and depth. Exit code 0 when
    all is well, 1 otherwise.

    Args:
        action: check.
        name: The data set.
        root: Folder of the copy.
        split: Its frames that are looked at.
        frames: How many, spread evenly over the split.
        out: Folder for the sheet.
    """
    from twohands.data.dataset import open_dataset
    from twohands.data.inspection import FACTS, inspect, spread_over

    assert action == "check"
    check_folder(out)
    if frames < 1:
        raise ValueError(f"--frames must be 1 or more; got {frames}")
    dataset = open_dataset(f"{name}:{split}={root}")
    samples, findings = inspect(dataset, spread_over(len(dataset), frames), FACTS.get(name), split)
    hands = sum(int((sample.hands.present >= 0.5).sum()) for sample in samples)
    print(
        f"{name}, split {split}: {len(dataset):,} frames; looked at {len(samples)} of them with {hands} labelled hands"
    )
    for finding in findings:
        print(f"  {finding.kind}: {finding.text}")
    if samples:
        print(f"wrote {_write_sheet(samples, out / f'{name}_{split}.png')}")
    print(f"{len(findings)} to mend" if findings else "all is well")
    return FINDINGS if findings else FINE


def _write_sheet(samples: Sequence[Sample], path: Path) -> Path:
    """Colour and depth of some frames with the labelled joints on them."""
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
    """The picture (H, W, 3) uint8 with those hands that can be drawn: ahead of the camera, and not far outside."""
    import numpy as np

    from twohands.pictures import draw_skeleton

    camera = sample.frame.camera
    for side in np.flatnonzero(sample.hands.present >= 0.5):
        joints = sample.hands.joints[side]
        if (joints[:, 2] > 0.01).all() and (np.abs(camera.project(joints)) < 10 * camera.width).all():
            draw_skeleton(picture, joints, camera)
    return np.asarray(picture)
