"""The commands around the product: `info`, `synth`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from twohands.cli.common import FINE, check_folder

if TYPE_CHECKING:
    from twohands.hands import HandModel


def info(
    topic: Positional[Literal["hand", "paper", "paper-small", "tiny"]],
    out: Path = Path("out/info"),
    json: bool = False,
) -> int:
    """Print what the hand model is (and write a picture of its poses and shapes), or what a network costs.

    Args:
        topic: The hand model, or the preset of a network.
        out: Folder for the picture of the hand model.
        json: Print the costs of a network as JSON.
    """
    if topic != "hand":
        print(_costs(topic, json))
        return FINE
    if json:
        raise ValueError("--json is for networks; the hand model is described in words")
    return _info_hand(out)


def _costs(preset: str, as_json: bool) -> str:
    """Parameters and multiply-adds of one frame, of each module and of the whole network."""
    from json import dumps

    from twohands.config import PRESETS
    from twohands.hands import HAND_MODELS
    from twohands.networks import build_network, count

    config = PRESETS[preset].network
    modules = count(build_network(config, HAND_MODELS[config.hand_model]()), config.image_size)
    total = modules.pop("total")
    if as_json:
        costs = {name: dict(zip(("parameters", "multiply_adds"), cost, strict=True)) for name, cost in modules.items()}
        return dumps({"parameters": total[0], "multiply_adds": total[1], "modules": costs}, indent=2)
    lines = [f"{preset}: one frame of {config.image_size}x{config.image_size}", ""]
    lines.append(f"{'module':<28}{'parameters':>14}{'multiply-adds':>18}")
    lines += [f"{name:<28}{cost[0]:>14,}{cost[1]:>18,}" for name, cost in (*modules.items(), ("total", total))]
    return "\n".join(lines)


def _info_hand(out: Path) -> int:
    """Prints what the hand model is, and writes a picture sheet of its poses and shapes."""
    from PIL import Image

    from twohands.files import write_atomically
    from twohands.hands import free_hand
    from twohands.hands.free import MESH_LEVELS, free_hand_arrays, pose_prior
    from twohands.overlay import picture_sheet

    check_folder(out)
    model, arrays, prior = free_hand(), free_hand_arrays(), pose_prior()
    length, breadth = _hand_size(model)
    print(f"the {model.name} hand: {len(model.rest_vertices)} vertices, {len(model.right_faces)} faces, 21 joints")
    print(
        f"  size      {length * 1e3:.0f} mm from wrist to middle finger tip, {breadth * 1e3:.0f} mm over the knuckles"
    )
    print(f"  levels    {', '.join(map(str, MESH_LEVELS))} vertices")
    print(
        f"  pose      15 joints, anatomical limits, {len(prior.names)} named poses, {len(prior.components)} components"
    )
    print(f"  shape     {model.num_shape} components, in standard deviations")
    print(f"  source    {arrays['source']}")
    print(f"  licence   {arrays['license']}")
    with write_atomically(out / "hand.png") as temporary:
        Image.fromarray(picture_sheet(model)).save(temporary)
    print(f"wrote {out / 'hand.png'}")
    return FINE


def synth(
    out: Path,
    count: int = 100,
    seed: int = 0,
    workers: int = 1,
    split: str = "train",
    preview: bool = False,
) -> int:
    """Render synthetic frames of two hands with their truth into shards; an interrupted run can be continued.

    Args:
        out: Folder for the shards.
        count: Number of frames.
        seed: Seed of the frames; a frame is a function of split, seed and index alone.
        workers: Processes that render.
        split: train, validation or test: disjoint hand shapes.
        preview: Write a contact sheet of the first frames as well.
    """
    from twohands.synth.engine import SyntheticHands
    from twohands.synth.preview import mix_report, write_preview
    from twohands.synth.shards import SyntheticShards, write_shards

    check_folder(out)
    dataset = SyntheticHands(seed, split, count=count)
    write_shards(dataset, count, out, workers)
    shards = SyntheticShards(out)
    print(mix_report(shards, count))
    print(f"wrote {count} frames to {out}/")
    if preview:
        print(f"wrote {write_preview(shards, out / 'preview.png', min(count, 12))}")
    return FINE


def _hand_size(model: HandModel) -> tuple[float, float]:
    """Metres from wrist along the middle finger to its tip, and over the knuckles, of the mean right hand."""
    from math import dist

    joints = model(model.neutral()).joints[1].tolist()
    return sum(dist(joints[a], joints[a + 1]) for a in (9, 10, 11)) + dist(*joints[:10:9]), dist(*joints[5:18:12])
