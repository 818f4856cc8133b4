"""Measure the doctor of recordings with its own predictor: planted faults that it names, and clean recordings.

    python tools/measure_doctor.py runs/doctor --clean 5 --real FOLDER

Recordings are of three kinds. `sequence`: rendered sequences of each depth camera. `frames`: rendered frames of one
person through one focal length; their faults in time are planted into frames that move over each other. `real`: a
recording of the user. Every fault is planted into one recording of each kind, and those that may depend on the depth
camera into sequences of all four. The rendered frames and one row of JSON for every recording are kept in the output
folder; what is there is not done again. The last thing is a table, which is also written to `table.md`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import tyro

from measure_recording_checks import MARGIN, OnePerson, moving
from planted_recordings import FAULTS, RATE, Base, Recording
from planted_recordings import MARGIN as LITTLE
from twohands.cli.reading import with_progress
from twohands.doctor.examination import Diagnosis, examine
from twohands.doctor.hands import CarefulPredictor
from twohands.files import write_atomically
from twohands.predictor import Predictor
from twohands.shards import Shards, write_shards
from twohands.sources.opening import open_source
from twohands.synth.config import FULL, SENSOR_FAMILIES, SynthConfig
from twohands.synth.engine import SyntheticHands
from twohands.synth.sequence import filmed, render_sequence
from twohands.types import Sample, no_hands

WIDTH, HEIGHT = 480, 360
"""Size of rendered images in pixels."""
LONG, SHORT, SINGLE = 26, 22, 22
"""Number of frames of the recordings that get faults in time, of the clean ones, and of single frames."""
MOVING, BOTH = 22, 2
"""Number of frames that move over each other, and the kind of their motion: of hands and scene."""
FOCAL = (0.78, 0.80)
"""Range of the focal length of single frames, in image widths."""
SINGLE_SENSORS = ("time_of_flight", "active_stereo")
"""Depth cameras of single frames."""
KINDS = ("sequence", "frames", "real")
CLEAN = "clean"


@dataclass(frozen=True)
class Case:
    """A recording that is examined."""

    kind: str
    sensor: str
    number: int
    fault: str  # CLEAN, or a key of FAULTS

    @property
    def name(self) -> str:
        """Name of its row."""
        return f"{self.kind}-{self.sensor}-{self.number}-{self.fault.replace(' ', '_')}"


@dataclass(frozen=True)
class Frames:
    """Maker of the recordings without faults, which keeps their rendered frames in `out`."""

    out: Path
    real: Path | None
    seed: int
    split: str

    @lru_cache(maxsize=1)  # noqa: B019  # the cases of one base follow each other
    def base(self, kind: str, sensor: str, number: int) -> Base:
        """Return a recording without faults."""
        if kind == "real":
            assert self.real is not None
            return real_base(self.real)
        if kind == "sequence":
            length = SHORT if number else LONG
            sequence = render_sequence(self.seed + number, self.split, self._config(sensor), length, RATE)
            samples = self._stored(sequence, length, f"{kind}-{sensor}-{number}")
            return Base(samples, [sample.frame for sample in samples], LITTLE, sequence)
        config = filmed(replace(self._config(sensor), focal=FOCAL))
        person = OnePerson(self.seed + number, self.split, config)
        samples = self._stored(person, SINGLE, f"{kind}-{sensor}-{number}")
        consecutive = moving(samples[0], samples[1], np.random.default_rng(self.seed), MOVING, BOTH)
        return Base(samples, consecutive, MARGIN, person)

    def _config(self, sensor: str) -> SynthConfig:
        return replace(FULL, width=WIDTH, height=HEIGHT, sensor=sensor)

    def _stored(self, engine: SyntheticHands, count: int, name: str) -> list[Sample]:
        folder = write_shards(engine, count, self.out / "frames" / name, engine.content, progress=False)
        return [Shards(folder)[index] for index in range(count)]


def real_base(folder: Path) -> Base:
    """Return the first frames of a recording; where its hands are is not known."""
    source, samples = open_source(folder), []
    hands = replace(no_hands(), present=np.ones(2, np.float32))
    for entry in source:
        samples.append(Sample(entry.open(), hands, None, None, None, "free", entry.name))
        if len(samples) == LONG:
            break
    return Base(samples, [sample.frame for sample in samples])


def cases(clean: int, real: bool) -> Iterator[Case]:
    """Yield all recordings, those of one base together."""
    if real:
        for name in (CLEAN, *FAULTS):
            yield Case("real", "real", 0, name)
    for place, sensor in enumerate(SENSOR_FAMILIES):
        yield Case("sequence", sensor, 0, CLEAN)
        for turn, (name, fault) in enumerate(FAULTS.items()):
            if fault.of_depth or turn % len(SENSOR_FAMILIES) == place:
                yield Case("sequence", sensor, 0, name)
    for place, sensor in enumerate(SINGLE_SENSORS):
        yield Case("frames", sensor, 0, CLEAN)
        for turn, name in enumerate(FAULTS):
            if turn % len(SINGLE_SENSORS) == place:
                yield Case("frames", sensor, 0, name)
    for number in range(1, clean):
        for sensor in SENSOR_FAMILIES:
            yield Case("sequence", sensor, number, CLEAN)


def spoiled(base: Base, case: Case, seed: int) -> Recording | None:
    """Return the recording of a case, None if its fault does not apply."""
    if case.fault == CLEAN:
        samples = base.samples[:SHORT]
        return Recording([sample.frame for sample in samples], length=len(samples))
    rng = np.random.default_rng([seed, list(FAULTS).index(case.fault), *case.sensor.encode()])
    return FAULTS[case.fault].plant(base, rng)


def row_of(case: Case, diagnosis: Diagnosis, seconds: float) -> dict:
    """Return what is kept of a diagnosis."""
    found = diagnosis.as_dict()
    return {**asdict(case), "findings": found["findings"], "checks": found["checks"], "cpu_seconds": round(seconds, 1)}


def answer(row: dict) -> str:
    """Return whether the doctor names the fault of a row, with the words that have to be there, and in which frames."""
    fault = FAULTS[row["fault"]]
    if not fault.codes:
        lines = [line["measured"] + line["remedy"] for line in row["checks"]]
        return "yes" if any(fault.says in line for line in lines) else "no"
    for finding in row["findings"]:
        if finding["code"].startswith(fault.codes) and fault.says in finding["sentence"]:
            frames = re.search(r"\(in (\d+ of \d+) frames", finding["sentence"])
            return f"yes, {frames[1]}" if frames else "yes"
    return f"no ({said(row)})"


def table_of(rows: Iterable[dict]) -> str:
    """Return the tables of planted faults and of clean recordings as Markdown."""
    rows = list(rows)
    columns = [("sequence", sensor) for sensor in SENSOR_FAMILIES] + [("frames", ""), ("real", "")]
    heads = [f"{kind}, {sensor}" if sensor else kind for kind, sensor in columns]
    lines = [f"| planted | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name in FAULTS:
        cells = []
        for kind, sensor in columns:
            own = [r for r in rows if (r["fault"], r["kind"]) == (name, kind) and sensor in (r["sensor"], "")]
            cells.append("; ".join(map(answer, own)) or "-")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| clean | recordings | with a finding | findings |", "|---|---|---|---|"]
    clean = [row for row in rows if row["fault"] == CLEAN]
    for kind, sensor in dict.fromkeys((row["kind"], row["sensor"]) for row in clean):
        own = [row for row in clean if (row["kind"], row["sensor"]) == (kind, sensor)]
        wrong = [row for row in own if row["findings"]]
        found = "; ".join(f"{row['number']}: {said(row)}" for row in wrong) or "none"
        lines.append(f"| {kind}, {sensor} | {len(own)} | {len(wrong)} | {found} |")
    return "\n".join(lines) + "\n"


def said(row: dict) -> str:
    """Return the kinds of findings of a row."""
    return ", ".join(finding["code"] for finding in row["findings"]) or "nothing"


def examined(frames: Frames, wanted: list[Case], predictor: Predictor) -> Iterator[Case]:
    """Examine the recordings without a row, and yield all whose row is there."""
    for case in wanted:
        path = frames.out / "rows" / f"{case.name}.json"
        if not path.exists():
            recording = spoiled(frames.base(case.kind, case.sensor, case.number), case, frames.seed)
            if recording is None:
                continue
            start = time.process_time()
            row = row_of(case, examine(recording, predictor=predictor), time.process_time() - start)
            with write_atomically(path) as temporary:
                temporary.write_text(json.dumps(row, indent=1) + "\n")
        yield case


def main(
    out: tyro.conf.Positional[Path],
    clean: int = 5,
    real: Path | None = None,
    seed: int = 20_261_300,
    split: str = "test",
) -> None:
    """Examine the recordings, with `clean` sequences of each depth camera without a fault, and print the table."""
    (out / "rows").mkdir(parents=True, exist_ok=True)
    wanted = list(cases(clean, real is not None))
    work = examined(Frames(out, real, seed, split), wanted, CarefulPredictor())
    done = list(with_progress(work, len(wanted), "recordings"))
    table = table_of(json.loads((out / "rows" / f"{case.name}.json").read_text()) for case in done)
    (out / "table.md").write_text(table)
    print(table)


if __name__ == "__main__":
    tyro.cli(main)
