"""Calibrate the confidence and the sigma of hands (`fitting/trust.py`) on frames with known hands.

    python tools/calibrate_trust.py collect SHARDS ... --out landmarks.npz --method landmarks

`collect` runs a predictor over folders of shards, also over those that are still being written, and stores everything
that is known about every found hand. It resumes: its parts are kept in a folder beside the output.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from twohands import load
from twohands.choices import Method
from twohands.files import write_atomically
from twohands.fitting import HandFitter
from twohands.fitting.trust import Observation
from twohands.geometry.camera import Camera
from twohands.predictor import NetworkPredictor, Predictor, TwoHandPredictor
from twohands.shards.index import frames_by_shard, noted_records, read_index, shard_path
from twohands.shards.reading import mapped
from twohands.shards.records import decode_sample
from twohands.types import RGBDFrame, Sample

app = tyro.extras.SubcommandApp()
CLOUD = 180
"""Largest number of points of the fit, see `FitConfig`."""


class Recorder:
    """Stand-in for `Trust` that keeps the observations of the frame."""

    def __init__(self):
        self.observations: list[Observation] = []

    def __call__(self, observations: list[Observation]) -> tuple[np.ndarray, np.ndarray]:
        self.observations = observations
        return np.full(2, np.nan, np.float32), np.full((2, 21, 2), np.nan, np.float32)


@app.command
def collect(
    shards: tyro.conf.Positional[list[Path]],
    out: Path,
    method: Method = "landmarks",
    fit: bool = True,
    limit: int | None = None,
) -> None:
    """Run a predictor over the finished shards of folders and store what is known about every found hand.

    Args:
        shards: folders of shards.
        out: archive to write.
        method: method of the predictor.
        fit: fit the hand model to the measured points.
        limit: number of frames of each folder, from the first on.
    """
    parts = out.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)
    predictor, recorder = load(method, fit=fit, trusted=True), Recorder()
    recording(predictor).trust = recorder
    paths = []
    for folder in shards:
        for number, indices in finished(folder, limit):
            path = parts / f"{folder.name}-{number:05d}-{len(indices)}.npz"
            paths.append(path)
            if path.exists():
                continue
            rows: list[dict[str, Any]] = []
            for sample in samples(folder, number, indices):
                rows.extend(rows_of(sample, predictor, recorder))
            with write_atomically(path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, **packed(rows))
            print(f"{path.name}: {len(rows)} hands", flush=True)
    contents = [dict(np.load(path)) for path in paths]
    merged = {name: np.concatenate([content[name] for content in contents]) for name in contents[0]}
    with write_atomically(out) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **merged)
    print(f"{out}: {int((merged['kind'] == FOUND).sum())} found hands in {len(paths)} shards")


def recording(predictor: Predictor) -> HandFitter | NetworkPredictor:
    """Return the part of a predictor that judges the hands."""
    assert isinstance(predictor, TwoHandPredictor | NetworkPredictor)
    if predictor.fit is None:
        assert isinstance(predictor, NetworkPredictor)
        return predictor
    assert isinstance(predictor.fit, HandFitter)
    return predictor.fit


def finished(folder: Path, limit: int | None) -> Iterator[tuple[int, range]]:
    """Yield the number and the frames of every finished shard of a folder."""
    index = read_index(folder)
    spans, records = frames_by_shard(int(index["count"]), int(index["frames_per_shard"])), noted_records(index)
    for number in sorted(records):
        indices = spans[number] if limit is None else range(spans[number].start, min(spans[number].stop, limit))
        if len(indices):
            yield number, indices


def samples(folder: Path, number: int, indices: range) -> Iterator[Sample]:
    """Yield frames of one shard."""
    index = read_index(folder)
    record = noted_records(index)[number]
    with mapped(shard_path(folder, number)) as content:
        for frame in indices:
            yield decode_sample(record.files(content, frame), f"{folder.name}-{index['split']}-{index['seed']}-{frame:06d}")


FOUND, MISSED = 1, 0


def rows_of(sample: Sample, predictor: Predictor, recorder: Recorder) -> list[dict[str, Any]]:
    """Return what is known about the hands of a frame: one row for each hand that is found or there."""
    recorder.observations = []
    try:
        predictor(sample.frame)
    except ValueError as error:
        print(f"{sample.id}: {error}")
    observations = {observation.side: observation for observation in recorder.observations}
    rows = []
    for side in range(2):
        truth = {
            "frame": np.array(sample.id, dtype="U64"),
            "side": side,
            "kind": FOUND if side in observations else MISSED,
            "there": bool(sample.hands.present[side] >= 0.5),
            "true_joints": np.asarray(sample.hands.joints[side], np.float32),
            "other_true_joints": np.asarray(sample.hands.joints[1 - side], np.float32),
            "other_there": bool(sample.hands.present[1 - side] >= 0.5),
            "visibility": np.asarray(sample.visibility[side], np.float32),
            "visible_fraction": np.float32(sample.visible_fraction[side]),
            "K": np.asarray(sample.frame.camera.K, np.float64),
            "size": np.array(sample.frame.depth.shape[::-1]),
        }
        if side in observations:
            rows.append({**truth, **stored(observations[side], sample.frame)})
        elif truth["there"]:
            rows.append(truth)
    return rows


def stored(seen: Observation, frame: RGBDFrame) -> dict[str, Any]:
    """Return the arrays of an observation, and the colours at its vertices."""
    K, f4 = np.asarray(seen.camera.K), np.float32
    pixels = Camera(K, seen.camera.width, seen.camera.height).project(np.maximum(seen.vertices, [-9, -9, 0.01]))
    columns = np.clip(np.rint(pixels[:, 0]), 0, seen.camera.width - 1).astype(int)
    rows = np.clip(np.rint(pixels[:, 1]), 0, seen.camera.height - 1).astype(int)
    result = {
        "present": f4(seen.present),
        "vertices": seen.vertices.astype(f4),
        "joints": seen.joints.astype(f4),
        **{name: getattr(seen, name) for name in ("facing", "visible", "inside")},
        "measured": seen.measured.astype(f4),
        "vertex_colors": np.rint(frame.rgb[:, rows, columns].T * 255).astype(np.uint8),
        "side_odds": f4(seen.side_odds),
        "depth_gain": f4(seen.depth_gain),
        "has_other": seen.other is not None,
    }
    if seen.found is None:
        return result
    evidence, solved = seen.found.evidence, seen.found.solved
    state, cloud = solved.rig.state, np.full((CLOUD, 4), np.nan, f4)
    if solved.cloud is not None:
        cloud[: len(solved.cloud.points)] = np.column_stack([solved.cloud.points, solved.cloud.weights])
    return {
        **result,
        "rotation": state.rotation,
        "translation": state.translation,
        "angles": state.angles,
        "shape": state.shape,
        "energy": f4(solved.energy),
        "landmark_energy": f4(seen.found.landmark_energy),
        "fitted": solved.cloud is not None,
        "cloud": cloud,
        "matrix": np.asarray(solved.matrix, f4),
        "window_K": np.asarray(evidence.camera.K),
        "window_size": np.array([evidence.camera.width, evidence.camera.height]),
        "plane": evidence.plane,
        "relative": evidence.relative,
        "landmark_depth": evidence.landmark_depth,
        "palm_depth": evidence.palm_depth,
        "number_of_points": len(evidence.points),
        "points": evidence.points.astype(f4),
        "point_colors": np.rint(evidence.colors * 255).astype(np.uint8),
    }


RAGGED = ("points", "point_colors")


def packed(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return the rows as arrays by name; missing values are NaN or 0, points of all hands follow one another."""
    template: dict[str, np.ndarray] = {}
    for row in rows:
        template |= {name: np.asarray(value) for name, value in row.items() if name not in template}
    result = {}
    for name, example in template.items():
        if name in RAGGED:
            result[name] = np.concatenate([row[name] for row in rows if name in row])
            continue
        fill = np.full_like(example, np.nan) if example.dtype.kind == "f" else np.zeros_like(example)
        result[name] = np.stack([np.asarray(row.get(name, fill)) for row in rows])
    return result


if __name__ == "__main__":
    app.cli()
