"""The commands of research: `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from twohands.cli.common import FINE, check_folder
from twohands.config import PRESETS, ExperimentConfig

Preset = Annotated[
    tyro.extras.subcommand_type_from_defaults(PRESETS, prefix_names=False),  # type: ignore[valid-type]
    tyro.conf.arg(name=""),
]


def train(
    config: Preset,
    data: str,
    out: Path,
    validation: str | None = None,
    trunk: Path | None = None,
    pretrained: bool = False,
) -> int:
    """Train a network in a run folder; the same command continues a run that was interrupted.

    Several processes or machines: `torchrun ... -m twohands.cli train ...`.

    Args:
        config: The preset, with any value of it changed.
        data: Frames to train on: a folder of shards, or NAME=FOLDER.
        out: The run folder: configuration, log, TensorBoard events, checkpoints.
        validation: Frames of which the camera-space error decides which checkpoint is the best.
        trunk: A checkpoint folder whose image branch is taken over and kept frozen.
        pretrained: Start the image encoder from ImageNet weights.
    """
    from twohands.data.dataset import TrainingSet, open_dataset
    from twohands.training import train as run

    check_folder(out)
    assert isinstance(config, ExperimentConfig)
    items = TrainingSet(open_dataset(data), config.network.image_size, config.augment, config.train.seed)
    print(f"wrote {run(config, items, out, _validator(validation, config), trunk, pretrained)}/")
    return FINE
