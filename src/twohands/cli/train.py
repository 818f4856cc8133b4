"""The command `train`: train a network in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from twohands.cli.common import FINE, check_folder
from twohands.config import PRESETS, ExperimentConfig
from twohands.light_config import LightConfig

Preset = Annotated[
    tyro.extras.subcommand_type_from_defaults({"light": LightConfig(), **PRESETS}, prefix_names=False),  # type: ignore[valid-type]
    tyro.conf.arg(name=""),
]


def train(
    config: Preset,
    data: tuple[str, ...],
    out: Path,
    mix: tuple[float, ...] = (),
    validation: str | None = None,
    pretrained: bool = False,
    start: Path | None = None,
) -> int:
    """Train a network; the same command resumes an interrupted run.

    For several processes or machines use: torchrun ... -m twohands train ...

    Args:
        config: The preset; each of its values is an option.
        data: Training frames from one or several sources: a folder of shards, or NAME=FOLDER for a copy of a data set
            (its split "train"; NAME:SPLIT=FOLDER for another split). `twohands data --help` lists the NAMEs.
            Preset light takes only folders of shards.
        out: The run folder, for configuration, log, TensorBoard events and checkpoints.
        mix: How many times the frames of each source appear in an epoch, 1 or more; by default once.
        validation: Frames for selecting the best checkpoint by its error in the camera frame with true masks; frames
            without masks use the measured points near the labelled bones.
        pretrained: Initialise the image encoder with ImageNet weights.
        start: Initialise all weights from a checkpoint folder or exported graphs; "shipped" for the packaged network.
    """
    from twohands.data.dataset import TrainingSet, identity_of, open_dataset, open_mixture
    from twohands.runtime import SHIPPED
    from twohands.training import train as run
    from twohands.training.objective import build_objective
    from twohands.training.validate import Validation

    check_folder(out)
    if isinstance(config, LightConfig):
        if mix or pretrained:
            raise ValueError("--mix and --pretrained belong to the other presets; leave them out with 'light'")
        from twohands.locate.region_reader import SHIPPED_LIGHT
        from twohands.training.region_loop import train_light

        start = Path(str(SHIPPED_LIGHT)) if str(start) == "shipped" else start
        print(f"wrote {train_light(config, [Path(folder) for folder in data], out, validation, start=start)}/")
        return FINE
    assert isinstance(config, ExperimentConfig)
    mixture = open_mixture(data, "train", mix)
    parts = zip(data, mix or (1.0,) * len(data), mixture.datasets, strict=True)
    frames = {"data": [{**identity_of(source, "train", len(part)), "weight": weight} for source, weight, part in parts]}
    validate = None
    if validation is not None:
        held_out = open_dataset(validation, "validation")
        validate = Validation(held_out, config.network, config.train.validation_frames)
    if str(start) == "shipped":
        start = Path(str(SHIPPED))
    items = TrainingSet.of(mixture, config)
    origins = {**frames, "start": start and str(start), "pretrained": pretrained}
    print(f"wrote {run(config, items, out, validate, build_objective(config, pretrained, start), origins)}/")
    return FINE
