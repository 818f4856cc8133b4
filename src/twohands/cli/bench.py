"""The command `bench`: measure the time that a network takes for one frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tyro.conf import Positional

from twohands.choices import PresetName
from twohands.cli.common import FINE

if TYPE_CHECKING:
    from twohands.networks.timing import Spread, Timing


def bench(
    preset: Positional[PresetName] = "paper",
    threads: int = 2,
    repeats: int = 5,
    json: bool = False,
) -> int:
    """Time a network on one frame: each module, the whole, and the whole relative to a bare ResNet50.

    The time is that of a forward pass on the CPU in float32, with random weights and full point clouds. The ResNet50
    processes the same image.

    Args:
        preset: Preset of the network.
        threads: Number of threads of torch.
        repeats: Number of timed passes after one warm-up pass; the median, fastest and slowest are printed.
        json: Print JSON, in seconds.
    """
    from dataclasses import asdict
    from json import dumps

    from twohands.config import PRESETS
    from twohands.networks.timing import time_network

    measured = time_network(PRESETS[preset].network, threads, repeats)
    print(dumps({"preset": preset, **asdict(measured)}, indent=2) if json else _table(preset, measured))
    return FINE


def _table(preset: str, measured: Timing) -> str:
    size, threads = measured.image_size, measured.threads
    lines = [f"{preset}: one frame of {size}x{size}; threads: {threads}, repeats: {measured.repeats}", ""]
    lines.append(f"{'milliseconds':<28}{'median':>10}{'lowest':>10}{'highest':>10}")
    lines += [_line(_indented(name), spread) for name, spread in measured.modules.items()]
    lines.append(_line("whole, with hooks", measured.hooked))
    lines += ["", _line("whole", measured.whole), _line("bare ResNet50", measured.bare)]
    return "\n".join([*lines, _line("whole / bare ResNet50", measured.ratio, unit=1.0, digits=2)])


def _indented(name: str) -> str:
    """Return the line label, with parts of a module indented."""
    _, dot, part = name.partition(".")
    return f"  {part}" if dot else name


def _line(name: str, spread: Spread, unit: float = 1e-3, digits: int = 1) -> str:
    numbers = (spread.median, spread.low, spread.high)
    return f"{name:<28}" + "".join(f"{value / unit:>10.{digits}f}" for value in numbers)
