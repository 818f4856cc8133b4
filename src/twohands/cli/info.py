"""The command `info`: describe a hand model or a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from twohands.cli.common import FINE, check_folder

if TYPE_CHECKING:
    from twohands.hands import HandModel


def info(
    topic: Positional[Literal["hand", "mano", "paper", "paper-small", "tiny"]],
    path: Positional[Path | None] = None,
    out: Path = Path("out/info"),
    json: bool = False,
) -> int:
    """Describe a hand model and draw its poses and shapes, or print the parameters and multiply-adds of a network.

    Args:
        topic: The free hand, MANO, or the preset of a network.
        path: Folder of MANO's files; by default the value of TWOHANDS_MANO.
        out: Folder for the picture of the hand model.
        json: Print the numbers of a network as JSON.
    """
    if path is not None and topic != "mano":
        raise ValueError("only 'info mano' takes a path: the folder of MANO's files")
    if topic not in ("hand", "mano"):
        print(_costs(topic, json))
        return FINE
    if json:
        raise ValueError("--json is for networks; hand models are described in words")
    return _info_mano(path, out) if topic == "mano" else _info_hand(out)


def _costs(preset: str, as_json: bool) -> str:
    """Return a table of parameters and multiply-adds for one frame, by module and in total."""
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


def _info_mano(path: Path | None, out: Path) -> int:
    """Print the contents of MANO's files, and write the picture sheet."""
    from os import environ

    from twohands.hands.mano import FOLDER_VARIABLE, hand_model, shape_directions
    from twohands.hands.mano_files import read_mano
    from twohands.types import LEFT

    folder = path or environ.get(FOLDER_VARIABLE)
    if folder is None:
        raise ValueError(f"give the folder of MANO's files, or set {FOLDER_VARIABLE} to it")
    check_folder(out)
    mano = read_mano(folder)
    model = hand_model(mano)
    length, breadth = _hand_size(model)
    raw, repaired = (shape_directions(mano, LEFT, name) for name in ("raw", "flip_x"))
    mirrored = float(abs(mano.sides[0].vertices * [-1, 1, 1] - mano.sides[1].vertices).max())
    print(f"MANO in {mano.folder}: {len(model.rest_vertices)} vertices, {len(model.right_faces)} faces, 21 joints")
    print(
        f"  size      {length * 1e3:.0f} mm from wrist to middle finger tip, {breadth * 1e3:.0f} mm over the knuckles"
    )
    print(f"  shape     {model.num_shape} components; pose: 15 joints, 45 components, pose blend shapes")
    print(f"  left      the mirror image of the right hand within {mirrored * 1e3:.2g} mm")
    state = "is repaired" if abs(raw - repaired).max() < 1e-3 else "has the sign of one axis wrong; data sets say which"
    print(f"  left      the shape basis of its file {state}")
    return _write_sheet(model, out / "mano.png")


def _info_hand(out: Path) -> int:
    """Print facts about the free hand, and write a picture sheet of its poses and shapes."""
    from twohands.hands import free_hand
    from twohands.hands.free import MESH_LEVELS, free_hand_arrays, pose_prior

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
    return _write_sheet(model, out / "hand.png")


def _write_sheet(model: HandModel, path: Path) -> int:
    from PIL import Image

    from twohands.files import write_atomically
    from twohands.overlay import picture_sheet

    with write_atomically(path) as temporary:
        Image.fromarray(picture_sheet(model)).save(temporary)
    print(f"wrote {path}")
    return FINE


def _hand_size(model: HandModel) -> tuple[float, float]:
    """Return length (wrist along the middle finger) and knuckle breadth of the mean right hand, metres."""
    from math import dist

    joints = model(model.neutral()).joints[1].tolist()
    return sum(dist(joints[a], joints[a + 1]) for a in (9, 10, 11)) + dist(*joints[:10:9]), dist(*joints[5:18:12])
