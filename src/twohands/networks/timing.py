"""Time of one frame in a network, part by part, and relative to a bare ResNet50 at the same size.

Measured are forward passes of one frame: float32, eval mode, inference mode, image branch in channels_last as in
training, a random frame with two full clouds. The whole network is measured without hooks and in turn with the bare
ResNet50, so that other load of the machine affects both. The parts are measured in passes of their own.
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
"""Encoder that is the unit of the ratio."""
PARTED = ("image", "fusion")
"""Modules whose children are measured as well."""
STEPS = {"image": "locate"}
"""Names of modules that are reported as the step that they perform."""
HAND_DEPTH, WALL_DEPTH, RELIEF, NOISE = 0.5, 0.8, 0.03, 0.003
"""Metres: depth at the edge of a hand, depth of the wall, height of a hand's bulge, deviation of its pixels."""


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest value of several repeats."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: list[float]) -> Spread:
        """Return the spread of at least one value."""
        return Spread(median(values), min(values), max(values))


@dataclass(frozen=True)
class Timing:
    """Seconds that one frame takes on `threads` threads."""

    image_size: int
    threads: int
    repeats: int
    modules: dict[str, Spread]  # measured with hooks, in order of execution; a part's name is "module.part"
    hooked: Spread  # the passes in which the modules were measured
    whole: Spread  # without hooks
    bare: Spread  # ResNet50 features of the same image
    ratio: Spread  # whole / bare, for pairs measured one after the other


def time_network(config: NetworkConfig, threads: int, repeats: int) -> Timing:
    """Measure the network of a configuration with random weights; the number of threads is restored at the end.

    Raises ValueError for fewer than one thread or repeat, and for the external baselines.
    """
    if min(threads, repeats) < 1:
        raise ValueError(f"threads and repeats must be at least 1; got {threads} and {repeats}")
    network = build_network(config, HAND_MODELS[config.hand_model]()).eval()
    if not isinstance(network, TwoHandNet):
        raise ValueError("only networks that locate, lift and reconstruct are measured part by part")
    bare = RGB_ENCODERS[BARE](in_channels=3, pretrained=False).eval()
    for module in (network.image, bare):
        module.to(memory_format=torch.channels_last)
    frame, masks = random_frame(config.image_size)
    rounds = []
    with num_threads(threads), torch.inference_mode():
        for _ in range(1 + repeats):
            whole = seconds_of(lambda: network(frame, masks))
            rounds.append((whole, seconds_of(lambda: bare(frame.rgb)), *module_times(network, frame, masks)))
    whole, features, modules, hooked = zip(*rounds[1:], strict=True)  # the first round warms up
    return Timing(
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
    """Return the seconds of every step and module of a forward pass, in the order in which they start; and in all."""
    times: dict[str, float] = {}
    with ExitStack() as stack:
        for name, module in _measured(network):
            stack.enter_context(_stopwatch(name, module, times))
        start = perf_counter()
        image = network.locate(frame)
        located = perf_counter()
        clouds = network.lift(frame, masks)  # a step without a module
        times["lift"] = perf_counter() - located
        network.reconstruct(image, clouds, frame.camera)
        whole = perf_counter() - start
    return times, whole


def _measured(network: TwoHandNet) -> Iterator[tuple[str, nn.Module]]:
    """Yield name and module of every child of the network, and of the children of those in PARTED."""
    for name, module in network.named_children():
        step = STEPS.get(name, name)
        yield step, module
        if name in PARTED:
            yield from _called(step, module)


def _called(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the children that are called: the elements of a ModuleList, not the list."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from _called(f"{prefix}.{name}", child)
        else:
            yield f"{prefix}.{name}", child


@contextmanager
def _stopwatch(name: str, module: nn.Module, times: dict[str, float]) -> Iterator[None]:
    """Add the seconds of every call of a module to `times[name]` while the context is open."""
    started = 0.0

    def start(*_: object) -> None:
        nonlocal started
        times.setdefault(name, 0.0)
        started = perf_counter()

    def stop(*_: object) -> None:
        times[name] += perf_counter() - started

    handles = module.register_forward_pre_hook(start), module.register_forward_hook(stop)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def seconds_of(call: Callable[[], object]) -> float:
    """Return the wall-clock seconds of a call."""
    started = perf_counter()
    call()
    return perf_counter() - started


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Let torch compute on `count` threads while the context is open."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def random_frame(size: int, seed: int = 0) -> tuple[RGBDFrame, Tensor]:
    """Return a frame of `size` pixels with a batch axis, and masks (1, 2, size, size) bool of its two hands.

    The hands are bulging discs in front of a wall, 10 cm wide as hands are, about 4600 pixels each at size 384. Their
    depths are noisy, so that no two neighbours of a point are equally far.
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
