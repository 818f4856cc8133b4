"""From one RGB-D frame to two meshes. Give your own files, or run it as it is on the packaged frame."""

import sys
from importlib.resources import files

import twohands

demo = files("twohands") / "demo"
color, depth, intrinsics = sys.argv[1:4] or [str(demo / name) for name in ("color.jpg", "depth.png", "cam_K.txt")]

model = twohands.load()
hands = model(twohands.RGBDFrame.open(color, depth, intrinsics))
assert hands.quality is not None

for side, name in ((twohands.LEFT, "left"), (twohands.RIGHT, "right")):
    if not hands.is_present[side]:
        print(f"{name}: not found")
        continue
    x, y, z = hands.joints[side, 0]
    residual = hands.quality.depth_residual[side] * 1e3
    print(f"{name}: wrist at ({x:.3f}, {y:.3f}, {z:.3f}) m, surface {residual:.1f} mm from the measured depth")
