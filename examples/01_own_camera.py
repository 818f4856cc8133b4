"""A loop over frames of your own camera: arrays in, wrist poses out. Replace `frames` by your driver."""

from collections.abc import Iterator

import numpy as np

import twohands


def frames() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Colour (H, W, 3) uint8, depth (H, W) uint16 in millimetres registered to it, intrinsics (3, 3) of the colour."""
    from importlib.resources import files

    from PIL import Image

    demo = files("twohands") / "demo"
    color = np.asarray(Image.open(str(demo / "color.jpg")))
    depth = np.asarray(Image.open(str(demo / "depth.png")))
    for _ in range(2):
        yield color, depth, np.loadtxt(str(demo / "cam_K.txt"))


model = twohands.load()
for color, depth, K in frames():
    hands = model(twohands.RGBDFrame.from_arrays(color, depth, K, depth_unit=0.001))
    assert hands.parameters is not None
    wrists = hands.parameters.T_camera_from_wrist[hands.is_present]  # (found hands, 4, 4)
    print(np.round(wrists[:, :3, 3].astype(float), 3).tolist(), "metres")
