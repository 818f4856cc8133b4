"""Write frames of the split "test_shifted" with colours of the second renderer (path tracing).

Depth, masks, ground truth and scenes are the engine's: frame k here and frame k of `splits.shifted_frames` differ in
the renderer only.

Run: python tools/render_shifted.py --out shifted/ --count 300
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tyro

from twohands.shards import write_shards
from twohands.synth.second_renderer import SAMPLES, MitsubaHands
from twohands.synth.splits import shifted_frames


def main(out: Path, count: int = 300, size: str = "640x480", samples: int = SAMPLES) -> None:
    """Render with every core. The same command resumes an unfinished folder."""
    frames = shifted_frames()
    width, height = (int(side) for side in size.split("x"))
    frames.config = replace(frames.config, width=width, height=height)
    dataset = MitsubaHands(frames, samples)
    write_shards(dataset, count, out, dataset.content)
    print(f"wrote {count} frames into {out}")


if __name__ == "__main__":
    tyro.cli(main)
