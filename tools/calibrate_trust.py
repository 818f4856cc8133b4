"""Calibrate the confidence and the sigma of hands (`fitting/trust.py`) on frames with known hands.

    python tools/calibrate_trust.py collect SHARDS ... --out landmarks.npz --method landmarks
    python tools/calibrate_trust.py collect SHARDS ... --out holes.npz --method landmarks --fault holes --limit 100
    python tools/calibrate_trust.py fit landmarks.npz holes.npz ... --method landmarks
    python tools/calibrate_trust.py report test=test.npz shifted=shifted.npz --method landmarks --out report/

`collect` runs a predictor over folders of shards, also over those that are still being written, and stores everything
that is known about every found hand. It resumes: its parts are kept in a folder beside the output. Some frames are
collected again with damaged depth, which rendered frames never have: what is unheard-of would not lower the confidence.
`fit` writes the coefficients into the package, `report` measures those on other frames.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from trust_formulas import calibrated, document_of
from trust_records import FOUND, Fault, Recorder, damaged, packed, read_hands, rows_of
from trust_tables import judged, pictures, table
from twohands import load
from twohands.choices import Method
from twohands.files import write_atomically
from twohands.fitting import HandFitter, trust
from twohands.predictor import NetworkPredictor, Predictor, TwoHandPredictor
from twohands.shards.index import frames_by_shard, noted_records, read_index, shard_path
from twohands.shards.reading import mapped
from twohands.shards.records import decode_sample
from twohands.types import Sample

app = tyro.extras.SubcommandApp()
ASSET = Path(trust.__file__).parent / trust.COEFFICIENTS


@app.command
def collect(
    shards: tyro.conf.Positional[list[Path]],
    out: Path,
    method: Method = "landmarks",
    fit: bool = True,
    limit: int | None = None,
    fault: Fault = "none",
) -> None:
    """Run a predictor over the finished shards of folders and store what is known about every found hand.

    Args:
        shards: folders of shards.
        out: archive to write.
        method: method of the predictor.
        fit: fit the hand model to the measured points.
        limit: number of frames of each folder, from the first on.
        fault: damage to the depth of every frame, see `damaged`.
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
                rows.extend(rows_of(damaged(sample, fault), predictor, recorder))
            with write_atomically(path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, **packed(rows))  # type: ignore
            print(f"{path.name}: {len(rows)} hands", flush=True)
    contents = [dict(np.load(path)) for path in paths]
    merged: dict[str, Any] = {name: np.concatenate([content[name] for content in contents]) for name in contents[0]}
    with write_atomically(out) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **merged)  # type: ignore
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
            yield decode_sample(
                record.files(content, frame), f"{folder.name}-{index['split']}-{index['seed']}-{frame:06d}"
            )


@app.command
def fit(
    archives: tyro.conf.Positional[list[Path]], method: Method = "landmarks", fit: bool = True, out: Path = ASSET
) -> None:
    """Fit the coefficients of one calibration to the hands of archives; those of the others stay as they are.

    Args:
        archives: archives that `collect` wrote with this method.
        method: method of the archives.
        fit: whether the hands were fitted.
        out: coefficients of all calibrations.
    """
    document = json.loads(out.read_text()) if out.exists() else {}
    document[trust.calibration_name(method, fit)] = document_of(calibrated(read_hands(archives)))
    with write_atomically(out) as temporary:
        temporary.write_text(one_line_each(document))


def one_line_each(document: dict[str, Any]) -> str:
    """Return JSON with a line for every part of every calibration."""
    parts = []
    for name, calibration in document.items():
        lines = ",\n  ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in calibration.items())
        parts.append(f" {json.dumps(name)}: {{\n  {lines}\n }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


@app.command
def report(sets: tyro.conf.Positional[list[str]], out: Path, method: Method = "landmarks", fit: bool = True) -> None:
    """Measure the shipped coefficients on other frames: tables, and pictures of both curves of every set.

    Args:
        sets: NAME=ARCHIVE of hands that `collect` stored.
        out: folder for report.md and the pictures.
        method: method of the archives.
        fit: whether the hands were fitted.
    """
    out.mkdir(parents=True, exist_ok=True)
    measured = trust.shipped_trust(method, fit)
    found = {name: judged(read_hands([Path(path)]), measured) for name, path in (one.split("=", 1) for one in sets)}
    text = table(found)
    (out / "report.md").write_text(text)
    pictures(found, out)
    print(text)


if __name__ == "__main__":
    app.cli()
