"""The command `synth`: render synthetic frames into shards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twohands.cli.common import FINE, check_folder

if TYPE_CHECKING:
    from twohands.synth.engine import SyntheticHands


def synth(
    out: Path,
    count: int = 100,
    seed: int = 0,
    split: str = "train",
    config: str = "full",
    sensor: str | None = None,
    workers: int = 1,
    preview: bool = False,
) -> int:
    """Render synthetic frames of two hands with ground truth into shards; the same command resumes an interrupted run.

    Args:
        out: Folder for the shards.
        count: Number of frames.
        seed: Seed of the frames; on one machine a frame depends only on split, seed, index and configuration.
        split: train, validation or test, which have disjoint hand shapes; or test_shifted, which has the hand shapes of
            the test split with other cameras, light, clutter and views, and allows no other configuration.
        config: full; stored (full with the textures and models of the asset cache); grips (mostly people who face the
            camera with objects in front of their hands); above (a camera looks down on people from any side); basic
            (the first engine); or full without one part: no_sleeves, no_objects, no_sensor_noise, no_contact,
            no_clutter.
        sensor: Depth camera in place of the configuration's: time_of_flight, active_stereo, structured_light, lidar,
            mixed (one of them for each frame), ideal (no noise, no holes, perfectly registered) or basic (the first
            engine's).
        workers: Number of rendering processes.
        preview: Also write a contact sheet of the first frames.
    """
    from twohands.shards import Shards, write_shards
    from twohands.synth.preview import mix_report, write_preview

    check_folder(out)
    dataset = _frames(seed, split, config, sensor, count)
    write_shards(dataset, count, out, dataset.content, workers)
    shards = Shards(out)
    print(mix_report(shards, count))
    print(f"wrote {count} frames to {out}/")
    if preview:
        print(f"wrote {write_preview(shards, dataset.parts, out / 'preview.png', min(count, 12))}")
    return FINE


def _frames(seed: int, split: str, config: str, sensor: str | None, count: int) -> SyntheticHands:
    """Return the frames that the options describe."""
    from dataclasses import replace

    from twohands.synth.acts.poses import SPLITS
    from twohands.synth.config import CONFIGS
    from twohands.synth.engine import SyntheticHands
    from twohands.synth.splits import SHIFTED

    if split == "test_shifted":
        if config != "full" or sensor is not None:
            raise ValueError("--split test_shifted has a configuration of its own; leave out --config and --sensor")
        return SyntheticHands(seed, "test", SHIFTED, count)
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; choose one of {', '.join((*SPLITS, 'test_shifted'))}")
    if config not in CONFIGS:
        raise ValueError(f"unknown configuration {config!r}; choose one of {', '.join(CONFIGS)}")
    chosen = CONFIGS[config]
    if sensor is not None:
        chosen = replace(chosen, sensor=sensor)
    if sensor == "ideal":
        chosen = replace(chosen, registration=0.0, cut_out=0.0, lost_object=0.0)
    return SyntheticHands(seed, split, chosen, count)
