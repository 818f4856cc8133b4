"""Frames on disk: `write_shards` stores a data set, `SyntheticShards` reads it back.

A folder holds `index.json` and `shard-00000.tar`, ... of 50 frames each. A shard appears under its name only when it is
complete, and its bytes depend on the data set alone: writing again resumes, any number of workers writes the same.
Of each frame: `NNNNNN.jpg` colour, `.depth.png` 16-bit millimetres, `.masks.png` 0 none, 1 left, 2 right, `.npz` truth.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib.resources import files as resource_files
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from twohands.files import locked, write_atomically
from twohands.synth.config import GENERATOR_VERSION
from twohands.synth.engine import Description, SyntheticHands, describe
from twohands.synth.sensor import STEP
from twohands.types import HandParameters, RGBDFrame, Sample, TwoHands

FRAMES_PER_SHARD = 50
INDEX_NAME = "index.json"
_FORMAT = 1
_JPEG_QUALITY = 95
_WATCH = 0.3  # seconds between looks at the parent process


def write_shards(
    dataset: SyntheticHands,
    count: int,
    out: str | Path,
    workers: int = 1,
    progress: bool = True,
    per_shard: int = FRAMES_PER_SHARD,
) -> Path:
    """Write frames 0 .. count - 1 into the folder `out`, skipping the shards that are there; returns the folder.

    Raises ValueError when the request cannot be right: a count below 1, a folder that cannot be written or that holds
    something else than an unfinished run of the same request.
    """
    if count < 1:
        raise ValueError(f"the number of frames must be at least 1; got {count}")
    if workers < 1:
        raise ValueError(f"the number of workers must be at least 1; got {workers}")
    folder = Path(out)
    _claim(folder, _description(dataset, count, per_shard))
    frames = {
        number: range(first, min(count, first + per_shard))
        for number, first in enumerate(range(0, count, per_shard))
        if not _shard_path(folder, number).exists()
    }
    with _alone(folder), _bar(progress, count, count - sum(map(len, frames.values()))) as advance:
        if workers == 1 or len(frames) <= 1:
            for number, span in frames.items():
                _write_shard(dataset, _shard_path(folder, number), span, advance)
        else:
            _write_in_parallel(dataset, folder, frames, min(workers, len(frames)), advance)
    return folder


class SyntheticShards:
    """A written data set; `shards[index]` is the stored frame, with the colours of its JPEG."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        path = self.folder / INDEX_NAME
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; write frames there with: twohands synth --out {folder}")
        self.description = json.loads(path.read_text())
        if self.description.get("format") != _FORMAT:
            raise ValueError(f"{path} has format {self.description.get('format')}, this version reads {_FORMAT}")
        self.count = int(self.description["count"])
        self.per_shard = int(self.description["frames_per_shard"])
        shards = -(-self.count // self.per_shard)
        absent = sum(not _shard_path(self.folder, number).exists() for number in range(shards))
        if absent:
            raise ValueError(
                f"{self.folder} lacks {absent} of {shards} shards; "
                "run the same `twohands synth` command again to finish it"
            )
        self._members: dict[int, dict[str, tuple[int, int]]] = {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f"frame {index} of {self.count}")
        shard = index // self.per_shard
        if shard not in self._members:
            with tarfile.open(_shard_path(self.folder, shard)) as archive:
                self._members[shard] = {member.name: (member.offset_data, member.size) for member in archive}
        name = f"{index:06d}"
        with _shard_path(self.folder, shard).open("rb") as stream:
            parts = {ending: self._bytes(stream, shard, f"{name}.{ending}") for ending in _ENDINGS}
        identity = f"{self.description['split']}-{self.description['seed']}-{name}"
        return decode_sample(parts, identity)

    def describe(self, index: int) -> Description:
        """The figures of a stored frame."""
        sample = self[index]
        return describe(sample.hands, np.asarray(sample.shares), np.asarray(sample.masks), sample.frame.camera)

    def _bytes(self, stream: Any, shard: int, name: str) -> bytes:
        offset, size = self._members[shard][name]
        stream.seek(offset)
        return stream.read(size)


_ENDINGS = ("jpg", "depth.png", "masks.png", "npz")


def encode_sample(sample: Sample) -> dict[str, bytes]:
    """The four files of a frame by their ending."""
    assert sample.masks is not None
    assert sample.hands.parameters is not None
    masks = (sample.masks[0] + 2 * sample.masks[1]).astype(np.uint8)
    depth = np.round(sample.frame.depth / STEP).astype(np.uint16)
    parameters = sample.hands.parameters
    targets = {
        **{name: getattr(sample.hands, name) for name in ("vertices", "joints", "present")},
        **{name: getattr(parameters, name) for name in ("pose", "shape", "rotation", "translation")},
        "visibility": sample.visibility,
        "shares": sample.shares,
        "K": sample.frame.camera.K,
    }
    stream = io.BytesIO()
    np.savez(stream, **targets)
    return {
        "jpg": _image_bytes(sample.frame.rgb_uint8(), "JPEG", quality=_JPEG_QUALITY, subsampling=0),
        "depth.png": _image_bytes(depth, "PNG", compress_level=3),
        "masks.png": _image_bytes(masks, "PNG", compress_level=3),
        "npz": stream.getvalue(),
    }


def decode_sample(parts: dict[str, bytes], identity: str) -> Sample:
    """The frame that `encode_sample` stored."""
    images = [np.array(Image.open(io.BytesIO(parts[ending]))) for ending in _ENDINGS[:3]]
    with np.load(io.BytesIO(parts["npz"])) as archive:
        truth = {name: archive[name] for name in archive.files}
    parameters = HandParameters(*(truth[name] for name in ("pose", "shape", "rotation", "translation")))
    return Sample(
        frame=RGBDFrame.from_arrays(images[0], images[1].astype(np.uint16), truth["K"], depth_unit=STEP),
        hands=TwoHands(truth["vertices"], truth["joints"], truth["present"], parameters),
        masks=np.stack([images[2] == 1, images[2] == 2]),
        visibility=truth["visibility"],
        shares=truth["shares"],
        joint_definition="free",
        id=identity,
    )


def _image_bytes(image: np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


def _write_shard(dataset: SyntheticHands, path: Path, indices: range, advance: Callable[[int], None]) -> None:
    with write_atomically(path) as temporary:
        with (
            temporary.open("wb") as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for index in indices:
                for ending, content in encode_sample(dataset[index]).items():
                    header = tarfile.TarInfo(f"{index:06d}.{ending}")  # no time, no owner: the same bytes anywhere
                    header.size = len(content)
                    archive.addfile(header, io.BytesIO(content))
                advance(1)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())


def _write_in_parallel(
    dataset: SyntheticHands, folder: Path, frames: dict[int, range], workers: int, advance: Callable[[int], None]
) -> None:
    context = get_context("spawn")  # forked children would inherit locks of the progress bar's thread
    counter = context.Value("q", 0)
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(os.getpid(), counter))
    told = 0
    try:
        waiting = {pool.submit(_work, dataset, _shard_path(folder, number), span) for number, span in frames.items()}
        while waiting:
            finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
            count = counter.value
            advance(count - told)
            told = count
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_frames_done: Any = None  # in a worker: the counter shared with the parent


def _start_worker(parent: int, counter: Any) -> None:
    """Remember the counter and end with the parent, however it ends."""
    global _frames_done
    _frames_done = counter

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(dataset: SyntheticHands, path: Path, indices: range) -> None:
    def advance(steps: int) -> None:
        with _frames_done.get_lock():
            _frames_done.value += steps

    _write_shard(dataset, path, indices, advance)


@contextmanager
def _bar(show: bool, total: int, done: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not show) as bar:
        task = bar.add_task("frames", total=total, completed=done)
        yield lambda steps: bar.advance(task, steps)


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.tar"


@cache
def _hand_digest() -> str:
    assets = resource_files("twohands.hands") / "assets"
    names = ("free_hand.npz", "skin_maps.png")
    return hashlib.sha256(b"".join((assets / name).read_bytes() for name in names)).hexdigest()[:16]


def _description(dataset: SyntheticHands, count: int, per_shard: int) -> dict[str, Any]:
    described = {
        "format": _FORMAT,
        "generator": GENERATOR_VERSION,
        "hand": _hand_digest(),
        "split": dataset.split,
        "seed": dataset.seed,
        "count": count,
        "frames_per_shard": per_shard,
        "config": asdict(dataset.config),
    }
    return json.loads(json.dumps(described))  # tuples become lists, as they will when read


def _claim(folder: Path, description: dict[str, Any]) -> None:
    """Make the folder ours: new, empty, or begun with the same description."""
    path = folder / INDEX_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            _refuse_other_request(folder, json.loads(path.read_text()), description)
        elif any(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
            raise ValueError(f"{folder} holds other files; give a new or empty folder")
        else:
            with write_atomically(path) as temporary:
                temporary.write_text(json.dumps(description, indent=1) + "\n")
    except OSError as error:
        raise ValueError(f"cannot write into {folder} ({error.strerror}); give a folder you may write to") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else writes into the folder meanwhile; the half-written files of a run that died are removed."""
    with locked(folder / INDEX_NAME) as alone:
        if not alone:
            raise ValueError(f"another run is writing into {folder}; wait for it or give another folder")
        for stale in folder.glob(".shard-*.tar"):
            stale.unlink(missing_ok=True)
        yield


def _refuse_other_request(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if differing:
        name = differing[0]
        raise ValueError(
            f"{folder} was begun with {name} = {found.get(name)}, not {wanted[name]}; "
            "give another folder, or the same request to resume"
        )
