"""How long one frame takes in a network, part by part, and beside a bare ResNet50 at the same size.

What is measured: the forward pass of batch 1, float32, eval mode, inference mode, image branch in channels_last as in
training, on a random frame whose two clouds are full. The whole is measured without hooks and in turn with the bare
ResNet50, so that whatever else the machine does meets both; the parts are measured in passes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from twohands.config import NetworkConfig
from twohands.geometry.camera import Camera
from twohands.hands import HAND_MODELS
from twohands.networks.build import build_network
from twohands.networks.image_branch import RGB_ENCODERS
from twohands.networks.two_hand_net import TwoHandNet
from twohands.types import RGBDFrame

BARE = "resnet50"
"""The network whose features alone are the unit of the ratio."""
PARTED = ("image", "fusion")
"""Modules whose own modules are measured as well."""
STEPS = {"image": "locate"}
"""Modules that are known by what they do."""
HAND_DEPTH, WALL_DEPTH, RELIEF, NOISE = 0.5, 0.8, 0.03, 0.003
"""Metres: of the edge of a hand and of the wall behind it, by how much a hand bulges, deviation of its pixels."""


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of what repeats gave."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: list[float]) -> Spread:
        """Of at least one value."""
        return Spread(median(values), min(values), max(values))


@dataclass(frozen=True)
class Benchmark:
    """Seconds of one frame on `threads` threads."""

    image_size: int
    threads: int
    repeats: int
    modules: dict[str, Spread]  # in order of execution, measured with hooks; a part has its module's name before a dot
    hooked: Spread  # the passes in which the modules were measured
    whole: Spread  # without hooks
    bare: Spread  # ResNet50 features of the same image
    ratio: Spread  # whole / bare, of the pairs measured one after the other


def benchmark(config: NetworkConfig, threads: int, repeats: int) -> Benchmark:
    """Measures the network of a configuration with random weights; the number of threads is restored at the end.

    Raises ValueError when there is nothing to repeat, no thread, or the network does not locate, lift and reconstruct.
    """
    if min(threads, repeats) < 1:
        raise ValueError(f"threads and repeats must be at least 1; got {threads} and {repeats}")
    network = build_network(config, HAND_MODELS[config.hand_model]()).eval()
    if not isinstance(network, TwoHandNet):
        raise ValueError("only networks that locate, lift and reconstruct are measured part by part")
    network.image.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    bare = RGB_ENCODERS[BARE](in_channels=3, pretrained=False).eval()
    bare.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    frame, masks = random_frame(config.image_size)
    rounds = []
    with num_threads(threads), torch.inference_mode():
        for _ in range(1 + repeats):
            whole = seconds_of(lambda: network(frame, masks))
            rounds.append((whole, seconds_of(lambda: bare(frame.rgb)), *module_times(network, frame, masks)))
    whole, features, modules, hooked = zip(*rounds[1:], strict=True)  # the first round warms up
    return Benchmark(
        image_size=config.image_size,
        threads=threads,
        repeats=repeats,
        modules={name: Spread.of([times[name] for times in modules]) for name in modules[0]},
        hooked=Spread.of(list(hooked)),
        whole=Spread.of(list(whole)),
        bare=Spread.of(list(features)),
        ratio=Spread.of([one / other for one, other in zip(whole, features, strict=True)]),
    )


def module_times(network: TwoHandNet, frame: RGBDFrame, masks: Tensor) -> tuple[dict[str, float], float]:
    """Seconds of every step and module of a forward pass by name, in the order of their beginning; and of the whole."""
    times: dict[str, float] = {}
    with ExitStack() as stack:
        for name, module in _measured(network):
            stack.enter_context(_stopwatch(name, module, times))
        began = perf_counter()
        scene = network.locate(frame)
        located = perf_counter()
        clouds = network.lift(frame, masks)  # the step that is no module
        times["lift"] = perf_counter() - located
        network.reconstruct(scene, clouds, frame.camera)
        whole = perf_counter() - began
    return times, whole


def _measured(network: TwoHandNet) -> Iterator[tuple[str, nn.Module]]:
    """The modules of the network, and those of the PARTED ones."""
    for name, module in network.named_children():
        step = STEPS.get(name, name)
        yield step, module
        if name in PARTED:
            yield from _called(step, module)


def _called(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The children that are called; a list is not, its elements are."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from _called(f"{prefix}.{name}", child)
        else:
            yield f"{prefix}.{name}", child


@contextmanager
def _stopwatch(name: str, module: nn.Module, times: dict[str, float]) -> Iterator[None]:
    """Adds the seconds of every call of a module to its name."""
    began = 0.0

    def start(*_: object) -> None:
        nonlocal began
        times.setdefault(name, 0.0)
        began = perf_counter()

    def stop(*_: object) -> None:
        times[name] += perf_counter() - began

    handles = module.register_forward_pre_hook(start), module.register_forward_hook(stop)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes by the clock on the wall."""
    began = perf_counter()
    call()
    return perf_counter() - began


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """torch computes on so many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def random_frame(size: int, seed: int = 0) -> tuple[RGBDFrame, Tensor]:
    """A frame of `size` pixels with a batch axis, and masks (1, 2, size, size) bool of its two hands.

    The hands are bulging discs of 10 cm in front of a wall, about 4600 pixels each in 384: as large as hands, with
    depths of their own, so that no two points are neighbours at the same distance.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    away = np.stack([np.hypot(columns - u, rows - 0.5) for u in (0.3, 0.7)]) / 0.1  # (2, S, S), 1 at a hand's edge
    masks = away < 1
    bulge = RELIEF * (1 - away.min(axis=0) ** 2) + rng.normal(scale=NOISE, size=(size, size))
    depth = np.where(masks.any(axis=0), HAND_DEPTH - bulge, WALL_DEPTH).astype(np.float32)
    K = np.array([[size, 0, size / 2], [0, size, size / 2], [0, 0, 1]], dtype=np.float32)
    frame = RGBDFrame(rng.uniform(size=(3, size, size)).astype(np.float32), depth, Camera(K, size, size))
    return frame.map(lambda array: torch.from_numpy(array)[None]), torch.from_numpy(masks)[None]
