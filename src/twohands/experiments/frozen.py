"""Maps of a frozen image branch, stored once for every frame, on which fusions and decoders train on equal terms.

A folder holds one memory-mapped array per field, and `complete.npy` with the frames that are done, so that a killed run
resumes. Frames are not augmented, since stored features cannot follow the image; masks, centres and points are drawn
again in every epoch.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from twohands.claims import claim, read_claim, refuse_other
from twohands.config import AugmentConfig, ExperimentConfig
from twohands.data.augment import imperfect_masks
from twohands.data.dataset import Draw, TrainingItem, cloud_masks, stackable
from twohands.geometry.camera import Camera
from twohands.geometry.record import Array
from twohands.networks import TwoHandNet
from twohands.networks.checkpoint import WEIGHTS, load_checkpoint
from twohands.networks.image_branch import ImageFeatures, normalised
from twohands.training.batches import collate
from twohands.training.objective import Objective, build_objective
from twohands.types import Dataset, RGBDFrame, Sample, TwoHands
from twohands.views import square_sample

INDEX, COMPLETE = "index.json", "complete.npy"
DEPTH_STEP = 1e-4
"""Length of a stored step of depth, metres."""
BATCH = 16
"""Number of frames that are computed at once."""
_FORMAT = 3
_FIX = "remove that folder, or give another --out"


@dataclass(frozen=True)
class BackboneItem(TrainingItem):
    """A training item with stored features of the image branch, float16; `scene` returns them as float32."""

    stem: Array  # (*B, C, S/2, S/2)
    fused: Array  # (*B, C, S/4, S/4)
    center_logits: Array  # (*B, 2, S/4, S/4)
    mask_logits: Array  # (*B, 2, S/4, S/4)
    centers: Array  # (*B, 2, 2) pixels, the image branch's own

    def scene(self) -> ImageFeatures:
        """Return the features of the network's `locate`, but with the item's masks and both hands present."""
        pyramid = (normalised(self.sample.frame.rgb), self.stem.float(), self.fused.float())
        logits, centers = (self.center_logits.float(), self.mask_logits.float()), self.centers.float()
        return ImageFeatures(pyramid, *logits, centers, torch.ones_like(centers[..., 0]), self.masks)


class BackboneMaps:
    """Training items from a folder of `write_backbone_maps`."""

    def __init__(self, folder: str | Path, config: AugmentConfig, seed: int, data: Mapping[str, Any]):
        """Open the maps; only the noise of masks is used from the configuration.

        Raise ValueError when frames are missing, or are not those that `data` names, see `identity_of`.
        """
        self.folder, self.config, self.seed = Path(folder), config, seed
        if not (self.folder / INDEX).exists():
            raise FileNotFoundError(f"{self.folder} holds no backbone maps; write_backbone_maps fills it")
        self.index = read_claim(self.folder / INDEX, _FIX)
        refuse_other(f"{self.folder} holds maps", self.index, {"format": _FORMAT, "data": data}, _FIX)
        complete = np.load(self.folder / COMPLETE, mmap_mode="r")
        if not complete.all():
            raise ValueError(
                f"{self.folder} lacks {(~complete).sum()} of {len(complete)} frames; run it again to finish"
            )
        self.arrays = {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in self.index["fields"]}

    def __len__(self) -> int:
        return int(self.index["count"])

    def __getitem__(self, draw: Draw) -> BackboneItem:
        epoch, index = draw
        row = {name: np.array(array[index]) for name, array in self.arrays.items()}
        sample = _sample(row, f"{self.index['data']['name']}-{self.index['data']['split']}-{index:06d}")
        assert sample.masks is not None
        rng = np.random.default_rng((self.seed, epoch, index))
        masks = imperfect_masks(sample.masks, sample.frame.depth, self.config, rng)
        maps = [row[name] for name in ("stem", "fused", "center_logits", "mask_logits", "centers")]
        return BackboneItem(sample, masks, np.array([self.seed, epoch, index]), *maps)


def is_complete(folder: str | Path) -> bool:
    """Return whether a folder has the maps of all its frames."""
    path = Path(folder) / COMPLETE
    return path.exists() and bool(np.load(path, mmap_mode="r").all())


def write_backbone_maps(
    checkpoint: str | Path,
    dataset: Dataset,
    data: Mapping[str, Any],
    folder: str | Path,
    advance: Callable[[int], None],
) -> None:
    """Write the maps of every frame of `dataset` into `folder`, skipping finished frames.

    `data` identifies the frames, see `identity_of`. Raise ValueError when the folder belongs to another checkpoint or
    other data, or when its disk has no room.
    """
    folder = Path(folder)
    network, config = load_checkpoint(checkpoint)
    assert isinstance(network, TwoHandNet)
    weights = hashlib.sha256((Path(checkpoint) / WEIGHTS).read_bytes()).hexdigest()[:16]
    index = {"format": _FORMAT, "weights": weights, "data": {**data}, "count": len(dataset), "size": config.image_size}

    def rows_of(indices: Iterable[int]) -> dict[str, np.ndarray]:
        return _rows(
            network, [square_sample(dataset[index], config.image_size) for index in indices], config.hand_model
        )

    first = rows_of([0])
    _claim(folder, index, first)
    arrays = {name: np.lib.format.open_memmap(folder / f"{name}.npy", "r+") for name in first}
    complete = np.lib.format.open_memmap(folder / COMPLETE, "r+")
    advance(int(complete.sum()))
    missing = np.flatnonzero(~complete)
    for begin in range(0, len(missing), BATCH):
        chosen = missing[begin : begin + BATCH]
        for name, values in rows_of(chosen.tolist()).items():
            arrays[name][chosen] = values
        complete[chosen] = True
        advance(len(chosen))


@torch.no_grad()
def _rows(network: TwoHandNet, samples: list[Sample], hand_model: str) -> dict[str, np.ndarray]:
    """Return the arrays to store for some frames, by field, with one row per frame."""
    unused = np.zeros(3, dtype=np.int64)
    item = collate([TrainingItem(stackable(sample, hand_model), cloud_masks(sample), unused) for sample in samples])
    batch = item.sample
    scene = network.locate(batch.frame)
    _, stem, fused = scene.pyramid

    def half(tensor: Tensor) -> np.ndarray:
        return tensor.numpy().astype(np.float16)

    def plain(name: str) -> np.ndarray:
        return getattr(batch.hands, name).numpy()

    assert batch.meshes_known is not None
    return {
        "stem": half(stem),
        "fused": half(fused),
        "center_logits": half(scene.center_logits),
        "mask_logits": half(scene.mask_logits),
        "centers": scene.centers.numpy(),
        "rgb": (batch.frame.rgb.numpy() * 255 + 0.5).astype(np.uint8),
        "depth": np.round(batch.frame.depth.numpy() / DEPTH_STEP).clip(0, 65535).astype(np.uint16),
        "K": batch.frame.camera.K.numpy(),
        "masks": np.packbits(item.masks.numpy(), axis=-1),
        "meshes_known": batch.meshes_known.numpy(),
        "vertices": plain("vertices"),
        "joints": plain("joints"),
        "present": plain("present"),
    }


def _sample(row: dict[str, np.ndarray], identity: str) -> Sample:
    """Return the stored frame with its truth."""
    size = row["rgb"].shape[-1]
    rgb, depth = row["rgb"].astype(np.float32) / 255, row["depth"].astype(np.float32) * np.float32(DEPTH_STEP)
    masks = np.unpackbits(row["masks"], axis=-1, count=size).astype(bool)
    hands = TwoHands(row["vertices"], row["joints"], row["present"])
    frame = RGBDFrame(rgb, depth, Camera(row["K"], size, size))
    return Sample(frame, hands, masks, None, None, "free", identity, meshes_known=row["meshes_known"])


def _claim(folder: Path, index: dict[str, Any], first: dict[str, np.ndarray]) -> None:
    """Claim the folder for these maps and create empty arrays, or check that it belongs to them."""
    if not (folder / INDEX).exists():
        _make_arrays(folder, index["count"], first)
    claim(folder / INDEX, {**index, "fields": sorted(first)}, f"{folder} holds maps", _FIX)


def _make_arrays(folder: Path, count: int, first: dict[str, np.ndarray]) -> None:
    """Create empty arrays of `count` rows like those of `first`. Raise ValueError when the disk has no room."""
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = count * sum(values[0].nbytes for values in first.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"the maps of {count} frames take {needed / 1e9:.1f} GB, the disk of {folder} has "
            f"{free / 1e9:.1f} GB left; free some space, give another --out, or train on fewer frames"
        )
    for name, values in first.items():
        shape = (count, *values.shape[1:])
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype=values.dtype, shape=shape).flush()
    np.save(folder / COMPLETE, np.zeros(count, dtype=bool))


class FrozenObjective(Objective):
    """The objective of a network with a frozen image branch: weights and batch statistics stay fixed."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.network.image.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but the image branch, which stays as in evaluation."""
        super().train(mode)
        self.network.image.eval()
        return self

    def locate(self, network: TwoHandNet, item: TrainingItem) -> ImageFeatures:
        """Return the stored maps of the batch, or compute them for frames that have none."""
        return item.scene() if isinstance(item, BackboneItem) else super().locate(network, item)


def frozen_objective(config: ExperimentConfig, backbone: str | Path) -> Objective:
    """Return an objective that takes over the image branch of a checkpoint. Raise ValueError when it does not fit."""
    objective = build_objective(config, kind=FrozenObjective)
    try:
        objective.network.image.load_state_dict(load_checkpoint(backbone)[0].image.state_dict())
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()[:300]
        raise ValueError(
            f"the image branch of {backbone} is not that of this network: {reason}; give a backbone of the same preset"
        ) from None
    return objective
