"""Settings of the region network of method `light` and of its training."""

from __future__ import annotations

from dataclasses import dataclass, field

from twohands.config import Config


@dataclass(frozen=True)
class RegionConfig(Config):
    """The region network of method `light`; each switch is a row of its ablation."""

    colour: bool = True
    """Feature maps of the landmark network."""
    landmarks: bool = True
    """Landmarks of the landmark network, its presence and its side."""
    join: str = "transform"
    """Join of depth and colour: 'transform', the paper's formula (1), or 'concat'."""
    refinements: int = 2
    """Rounds in which tokens of the joints move the joints."""
    cross_hand: bool = True
    """Attention to the joints of the person's other hand."""
    widths: tuple[int, int, int, int] = (32, 48, 96, 160)
    """Channels at strides 2, 4, 8 and 16 of the depth picture. At stride 2 there are at least 16: with fewer, oneDNN
    3.12, which PyTorch uses, ends the process on processors with AVX-512."""
    tokens: int = 128
    """Channels of a joint's token."""

    def __post_init__(self) -> None:
        if self.join not in ("transform", "concat"):
            raise ValueError(f"join is 'transform' or 'concat'; got {self.join!r}")
        if self.widths[0] < 16 or min(*self.widths, self.tokens) < 4 or self.refinements < 0:
            raise ValueError("the first of widths must be at least 16, others and tokens 4, and refinements 0")


@dataclass(frozen=True)
class LightConfig(Config):
    """Training of the region network of method `light`, in stages that each start from the average of the last one."""

    network: RegionConfig = field(default_factory=RegionConfig)
    stages: int = 6
    """Stages, each with one cosine of the learning rate."""
    steps: int = 3000
    """Optimiser steps of a stage."""
    batch_size: int = 12
    """Frames of a step; each gives two regions."""
    learning_rate: float = 1e-3
    """Largest learning rate of AdamW."""
    workers: int = 1
    """Processes that load frames; 0 loads them in the training process."""
    save_steps: int = 250
    """Steps after which the state is saved from which an interrupted run resumes."""
    seed: int = 0
    """Seed of the initial weights, of the order of the frames and of all random changes."""

    def __post_init__(self) -> None:
        for name in ("stages", "steps", "batch_size", "save_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate}")
        if min(self.workers, self.seed) < 0:
            raise ValueError(f"workers and seed must be at least 0; got {self.workers}, {self.seed}")
