"""Write the packaged demo frame: one synthetic frame, chosen because it looks like a real one.

    python tools/build_demo_frame.py

It has both hands, a held object, a checkered cloth and holes in the depth. The files are `color.jpg`, `depth.png`
(16 bit, millimetres) and `cam_K.txt` in `src/twohands/demo`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from twohands.files import write_atomically
from twohands.shards.records import encode_sample
from twohands.synth.config import BASIC
from twohands.synth.engine import SyntheticHands

SEED, INDEX = 2026, 71
FOLDER = Path(__file__).parent.parent / "src" / "twohands" / "demo"
LARGEST = 600_000  # bytes of all files, since they are part of the package


def main() -> None:
    sample = SyntheticHands(SEED, config=BASIC)[INDEX]
    stored = encode_sample(sample)
    with write_atomically(FOLDER / "color.jpg") as temporary:
        temporary.write_bytes(stored["jpg"])
    with write_atomically(FOLDER / "depth.png") as temporary:
        depth = np.round(sample.frame.depth / 0.001).astype(np.uint16)
        Image.fromarray(depth).save(temporary, compress_level=9)
    with write_atomically(FOLDER / "cam_K.txt") as temporary:
        np.savetxt(temporary, sample.frame.camera.K, fmt="%.4f")
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    if size > LARGEST:
        raise ValueError(f"the demo frame has {size} bytes, more than {LARGEST}; choose another one")
    print(f"wrote {FOLDER} ({size / 1000:.0f} kB): {sample.id}")


if __name__ == "__main__":
    main()
