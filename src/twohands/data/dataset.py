"""Turn any data sets into augmented training items of network size, pure functions of (seed, epoch, index)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from twohands.config import AugmentConfig, ExperimentConfig
from twohands.data.augment import augmented, imperfect_masks
from twohands.data.readers.common import DamagedFileError
from twohands.geometry.record import Array, TensorRecord
from twohands.hands.mano_files import NUM_VERTICES
from twohands.hands.skeleton import BONES
from twohands.shards import Shards
from twohands.shards.index import INDEX_NAME, read_index
from twohands.types import Dataset, Sample, TwoHands

Draw = tuple[int, int]
"""(epoch, index): the index-th frame in its augmentation for that epoch."""


def _reader(module: str, name: str, *protocol: str) -> Callable[[str, str], Dataset]:
    """Return an opener for a class of `twohands.data.readers`, which is imported when a data set is opened."""
    return lambda folder, split: getattr(import_module(f"twohands.data.readers.{module}"), name)(
        folder, split, *protocol
    )


def _shards(folder: str, split: str) -> Dataset:
    """Open a folder of shards. Raise ValueError for a data set that was packed from another split."""
    shards = Shards(folder)
    name, packed = (shards.description.get(key) for key in ("data_set", "split"))
    if name is not None and packed != split:
        raise ValueError(
            f"{folder} holds the split {packed} of {name}, not {split}; pack {split} into another folder, or say that "
            f"{packed} is meant: synthetic:{packed}={folder}"
        )
    return shards


DATASETS: dict[str, Callable[[str, str], Dataset]] = {
    "synthetic": _shards,
    "h2o": _reader("h2o", "H2O"),
    "h2o3d": _reader("h2o3d", "H2O3D"),
    "ho3d": _reader("ho3d", "HO3D"),
    "rhd": _reader("rhd", "RHD"),
    "dexycb": _reader("dexycb", "DexYCB", "s0"),
    "dexycb_s1": _reader("dexycb", "DexYCB", "s1"),
    "dexycb_s2": _reader("dexycb", "DexYCB", "s2"),
    "dexycb_s3": _reader("dexycb", "DexYCB", "s3"),
    "interhand": _reader("interhand", "InterHand"),
    "freihand": _reader("freihand", "FreiHAND"),
    "hocap": _reader("hocap", "HOCap"),
    "contactpose": _reader("contactpose", "ContactPose"),
    "arctic": _reader("arctic", "ARCTIC"),
    "hot3d": _reader("hot3d", "HOT3D"),
    "hoi4d": _reader("hoi4d", "HOI4D"),
    "taco": _reader("taco", "TACO"),
}
"""Name -> function that opens a folder and a split."""
SPLITS = ("train", "validation", "test")
RENDERED = ("generator", "renderer", "split", "seed", "config")
"""Keys in the index of rendered shards that identify their frames, see `shards.index`."""
NEAR_A_BONE = 0.025
"""Largest distance, in metres, between a bone and readings that belong to the hand, for frames without masks."""
_SOURCE = re.compile(r"(\w+)(?::(\w+))?=(.+)")
_TRIES = 100
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingItem(TensorRecord):
    """One frame of a training batch."""

    sample: Sample  # at network size, see `stackable`; its frame is the network's input
    masks: Array  # (*B, 2, S, S) bool: masks that select the clouds' points; less perfect than the sample's
    draw: Array  # (*B, 3) int64 seed, epoch and index: seed of everything else that is drawn for this frame


class Mixture:
    """Several data sets as one: an epoch has each frame of a data set `weight` times, all evenly interleaved; the frame
    of an index depends on the lengths and weights alone.
    """

    def __init__(self, datasets: Sequence[Dataset], weights: Sequence[float] = ()):
        """Mix data sets; a weight of 1.5 gives every frame once and the first half twice, without weights all are 1.

        Raises ValueError for no data sets, for weights below 1, which would lose frames, and for too few or many.
        """
        if not datasets:
            raise ValueError("there is no data set; name one or more")
        weights = tuple(weights) or (1.0,) * len(datasets)
        if len(weights) != len(datasets):
            raise ValueError(f"there are {len(datasets)} data sets but {len(weights)} weights; give one for each")
        if not all(1 <= weight < float("inf") for weight in weights):
            raise ValueError(
                f"weights say how often a frame comes in an epoch, 1 or more; got {min(weights)}. "
                "Raise those of the other data sets instead"
            )
        self.datasets = tuple(datasets)
        counts = [round(weight * len(dataset)) for weight, dataset in zip(weights, datasets, strict=True)]
        order = np.argsort(np.concatenate([(np.arange(count) + 0.5) / count for count in counts]), kind="stable")
        self._owners = np.repeat(np.arange(len(counts)), counts)[order]
        self._numbers = np.concatenate([np.arange(count) for count in counts])[order]

    def __len__(self) -> int:
        return len(self._owners)

    def __getitem__(self, index: int) -> Sample:
        """Return the frame at `place(index)`."""
        owner, number = self.place(index)
        return self.datasets[owner][number]

    def place(self, index: int) -> tuple[int, int]:
        """Return the number of the data set, and the index in it."""
        owner = int(self._owners[index])
        return owner, int(self._numbers[index]) % len(self.datasets[owner])


class TrainingSet:
    """Frames of a data set at network size, with a new augmentation in every epoch.

    A frame with a damaged file is replaced by another frame; a warning names each such file once per process.
    """

    def __init__(
        self,
        dataset: Dataset,
        size: int,
        config: AugmentConfig,
        seed: int,
        region: str = "frame",
        hand_model: str = "free",
    ):
        """Take `region` and `hand_model` from the `NetworkConfig`."""
        self.dataset, self.size, self.config, self.seed = dataset, size, config, seed
        self.region, self.hand_model = region, hand_model
        self._warned: set[str] = set()

    @classmethod
    def of(cls, dataset: Dataset, config: ExperimentConfig) -> TrainingSet:
        """Return the training set of a run with this configuration."""
        network = config.network
        return cls(dataset, network.image_size, config.augment, config.train.seed, network.region, network.hand_model)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw) -> TrainingItem:
        """Return the item of an epoch and an index. Raise DamagedFileError when hardly any frame can be read."""
        epoch, index = draw
        rng = np.random.default_rng((self.seed, epoch, index))
        sample = augmented(self._readable(epoch, index), self.size, self.config, rng, self.region)
        masks = imperfect_masks(cloud_masks(sample), sample.frame.depth, self.config, rng)
        if sample.hand_model not in (None, self.hand_model):
            self._warn(
                f"meshes of {sample.id} and others are of the hand model {sample.hand_model!r}, the network's is "
                f"{self.hand_model!r}: such frames train it by their joints and masks alone",
                sample.joint_definition,
            )
        return TrainingItem(stackable(sample, self.hand_model), masks, np.array([self.seed, epoch, index]))

    def _readable(self, epoch: int, index: int) -> Sample:
        """Return the frame or, if a file of it is damaged, another one drawn from (seed, epoch, index)."""
        rng = np.random.default_rng((self.seed, epoch, index, 3))
        for _ in range(_TRIES):
            try:
                return self.dataset[index]
            except DamagedFileError as error:
                self._warn(f"left out: {error}", str(error.path or error))
                index = int(rng.integers(len(self.dataset)))
        return self.dataset[index]

    def _warn(self, warning: str, about: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            _log.warning("%s", warning)


def stackable(sample: Sample, hand_model: str) -> Sample:
    """Return the sample in a form that stacks with samples of any data set: only what losses read, missing labels 0.

    `presence_known`, `meshes_known` and `masks_known` mark true labels. Filling keeps a batch a plain random draw of
    all frames; batches of one kind would tie the gradient of a step to one data set. Meshes of another hand model are
    not known.
    """
    meshed, masked = sample.hand_model == hand_model, sample.masks is not None
    known = np.ones(2, dtype=bool) if sample.presence_known is None else np.asarray(sample.presence_known)
    hands = sample.hands
    vertices = hands.vertices if meshed else np.zeros((2, NUM_VERTICES, 3), dtype=hands.joints.dtype)
    return replace(
        sample,
        hands=TwoHands(vertices, hands.joints, hands.present),
        masks=sample.masks if masked else np.zeros((2, *sample.frame.depth.shape), dtype=bool),
        visibility=None,
        visible_fraction=None,
        presence_known=known,
        meshes_known=np.full(2, meshed),
        masks_known=masked & known,
    )


def cloud_masks(sample: Sample) -> np.ndarray:
    """Return masks (2, H, W) bool that select the points of the hands' clouds: the masks of the sample if it has some.

    Otherwise these are the pixels with readings within NEAR_A_BONE of a hand's bones, which are no labels of masks.
    """
    if sample.masks is not None:
        return np.asarray(sample.masks)
    frame = sample.frame
    points = frame.camera.rays() * frame.depth[..., None]
    masks = np.zeros((2, *frame.depth.shape), dtype=bool)
    fractions = np.linspace(0, 1, 5)[:, None, None]
    for side in sample.hands.present_sides:
        joints = sample.hands.joints[side]
        starts, ends = (joints[[bone[end] for bone in BONES]] for end in (0, 1))
        bones = (starts + fractions * (ends - starts)).reshape(-1, 3)
        low, high = bones.min(axis=0) - NEAR_A_BONE, bones.max(axis=0) + NEAR_A_BONE
        boxed = (frame.depth > 0) & ((points > low) & (points < high)).all(axis=-1)
        masks[side][boxed] = KDTree(bones).query(points[boxed])[0] < NEAR_A_BONE
    return masks


def open_dataset(source: str, split: str = "train") -> Dataset:
    """Open 'NAME=FOLDER' or 'NAME:SPLIT=FOLDER', with NAME one of DATASETS, or a folder of synthetic shards.

    `split`, one of SPLITS, is used if the source names none; a folder of rendered shards has only its own. Raises
    ValueError for unknown names, and for packed shards of another split.
    """
    named = _SOURCE.fullmatch(source)
    if named is None:
        return DATASETS["synthetic"](source, split)
    name, chosen, folder = named[1], named[2] or split, named[3]
    if name not in DATASETS:
        raise ValueError(f"data set {name!r} is unknown; known are {', '.join(DATASETS)}")
    if chosen not in SPLITS:
        raise ValueError(f"split {chosen!r} is unknown; choose one of {', '.join(SPLITS)}")
    return DATASETS[name](folder, chosen)


def name_of(source: str) -> str:
    """Return the name of a source's data set, see `open_dataset`; "synthetic" for rendered shards."""
    name, _, folder = _parts(source)
    return _index(folder).get("data_set", name) if name == "synthetic" else name


def identity_of(source: str, split: str, count: int) -> dict[str, Any]:
    """Return plain values that identify the `count` frames of `open_dataset(source, split)` in any folder: name, split,
    count, and for rendered frames the values that they were rendered from.
    """
    name, chosen, folder = _parts(source)
    index = _index(folder) if name == "synthetic" else {}
    rendered = {key: index[key] for key in RENDERED if key in index}
    return {"name": index.get("data_set", name), "split": chosen or split, **rendered, "count": count}


def _parts(source: str) -> tuple[str, str | None, str]:
    """Return name, split if the source names one, and folder."""
    named = _SOURCE.fullmatch(source)
    return ("synthetic", None, source) if named is None else (named[1], named[2], named[3])


def _index(folder: str) -> dict[str, Any]:
    """Return the index of a folder of shards, empty if it has none."""
    return read_index(Path(folder)) if (Path(folder) / INDEX_NAME).exists() else {}


def open_mixture(sources: Sequence[str], split: str = "train", weights: Sequence[float] = ()) -> Mixture:
    """Open one or several sources as one mixture, see `open_dataset` and `Mixture`."""
    return Mixture([open_dataset(source, split) for source in sources], weights)
