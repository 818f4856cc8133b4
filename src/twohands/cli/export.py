"""The command `export`: write a trained network as graphs that run without torch."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from twohands.cli.common import FINE, check_folder


def export(checkpoint: Positional[Path], out: Path) -> int:
    """Write a trained network as the two ONNX graphs that `--network FOLDER` runs without torch.

    Args:
        checkpoint: Folder of a checkpoint, for example RUN/final.
        out: Folder for locate.onnx and reconstruct.onnx.
    """
    from twohands.networks.checkpoint import load_checkpoint
    from twohands.networks.export import export_network

    check_folder(out)
    export_network(*load_checkpoint(checkpoint), out)
    print(f"wrote {out}/locate.onnx and {out}/reconstruct.onnx")
    return FINE
