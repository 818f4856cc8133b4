"""The command `export`: write a trained network as graphs that run without torch."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from twohands.cli.common import FINE, check_folder


def export(checkpoint: Positional[Path], out: Path) -> int:
    """Export a trained network as ONNX graphs, which `--network FOLDER` runs without torch.

    Args:
        checkpoint: Folder of a checkpoint, for example RUN/final, or RUN/best of preset light.
        out: Folder for locate.onnx and reconstruct.onnx, or for region.onnx of preset light.
    """
    from twohands.networks.checkpoint import load_checkpoint
    from twohands.networks.export import export_network
    from twohands.networks.region_checkpoint import is_region_checkpoint, load_region_network
    from twohands.networks.region_export import export_region_network
    from twohands.runtime import REGION_GRAPH

    check_folder(out)
    if is_region_checkpoint(checkpoint):
        export_region_network(load_region_network(checkpoint), out)
        print(f"wrote {out}/{REGION_GRAPH}")
        return FINE
    export_network(*load_checkpoint(checkpoint), out)
    print(f"wrote {out}/locate.onnx and {out}/reconstruct.onnx")
    return FINE
