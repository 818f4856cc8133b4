"""Measure how often registered frames are called unregistered, and how often planted faults are found.

    python tools/measure_registration_checks.py SHARDS... --rows runs/registration.jsonl [--limit 500] [--fit]

Each frame of the folders, which `twohands synth` wrote, is judged as it is and with one planted fault, the next kind
for every next frame. Frames that are in the file of rows already are not judged again. `--fit` prints rules that are
fitted to the rows, for `checks/registration.py`; fit on training and validation frames only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from scipy.optimize import minimize

from planted_faults import FAULTS
from twohands import load
from twohands.checks import registration
from twohands.checks.colour import check_channel_order
from twohands.shards import Shards
from twohands.synth.config import SynthConfig
from twohands.synth.engine import SyntheticHands
from twohands.types import RGBDFrame

BUDGETS = {"whole": 0.003, "hands": 0.02}
"""Fractions of registered frames on which each fitted rule may raise an alarm."""


def main(folders: tyro.conf.Positional[tuple[Path, ...]], rows: Path, limit: int | None = None, fit: bool = False):
    """Judge the frames of shards, at most `limit` of each folder, and print tables; write the values to `rows`."""
    rows.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []
    done = {row["id"] for row in known}
    with rows.open("a") as stream:
        for folder in folders:
            for row in judged(folder, limit, done):
                known.append(row)
                stream.write(json.dumps(row) + "\n")
                stream.flush()
    if fit:
        for name in BUDGETS:
            print(f"{name.upper()}_RULE = {fitted(known, name)}")
    print(table_of_alarms(known))
    print(table_of_detections(known))


def judged(folder: Path, limit: int | None, done: set[str]) -> Iterator[dict]:
    """Yield the rows of the frames of a folder that are not done: one as they are, one with a planted fault."""
    shards = Shards(folder)
    stored: dict[str, Any] = shards.description["config"]
    options: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
    config = SynthConfig(**options)
    engine = SyntheticHands(shards.description["seed"], shards.description["split"], config)
    predictor = load(trusted=True)
    for index in range(min(len(shards), limit or len(shards))):
        name, plant = list(FAULTS.items())[index % len(FAULTS)]
        if f"{folder.name} {index}" in done:
            continue
        sample = shards[index]
        sensor = config.sensor if config.sensor != "mixed" else engine.parts(index)[0]
        rng = np.random.default_rng([18, index])
        row = {"id": f"{folder.name} {index}", "sensor": sensor, **judge(sample.frame, predictor.reconstruct)}
        yield {**row, "fault": ""}
        planted = plant(rng, sample, engine, index)
        if planted is not None:
            frame, size = planted
            yield {**row, "fault": name, "size": size, **judge(frame, predictor.reconstruct)}


def judge(frame: RGBDFrame, reconstruct: Callable) -> dict:
    """Return the number of hands found in a frame, the values of both rules, and the order of the channels."""
    try:
        hands = reconstruct(frame)
    except ValueError:  # refused, which is an answer too
        return {"found": 0, "whole": None, "hands": None, "blue": False}
    whole = registration.whole_values(frame)
    around = registration.hand_values(frame, hands) if hands.present_sides else None
    return {
        "found": len(hands.present_sides),
        "whole": None if whole is None else whole.tolist(),
        "hands": None if around is None else around.tolist(),
        "blue": bool(check_channel_order(frame, hands, reconstruct)),
    }


def alarms(row: dict) -> bool:
    """Return whether a row has the finding `depth_not_registered`."""
    rules = {"whole": registration.WHOLE_RULE, "hands": registration.HANDS_RULE}
    return any(row[name] and registration.score(np.array(row[name]), rule) > 0 for name, rule in rules.items())


def fitted(rows: list[dict], name: str) -> tuple[float, ...]:
    """Return the weights of a logistic regression on registered and unregistered frames, constant last.

    The constant is set so that the rule's budget of registered frames is used. Small shifts are left out, since they
    are as large as the errors of some registered frames.
    """
    left_out = ("blue_first", "small_shift")
    rows = [row for row in rows if row[name] and row["fault"] not in left_out and (row["found"] or not row["fault"])]
    values = np.array([row[name] for row in rows])
    wrong = np.array([bool(row["fault"]) for row in rows])
    balance = np.where(wrong, 0.5 / wrong.sum(), 0.5 / (~wrong).sum())
    design = np.column_stack([values, np.ones(len(values))])

    def loss(weights: np.ndarray) -> float:
        odds = np.where(wrong, -1, 1) * (design @ weights)
        return float((balance * np.logaddexp(0, odds)).sum() + 1e-3 * (weights[:-1] ** 2).sum())

    weights = minimize(loss, np.zeros(design.shape[1])).x
    scores = values[~wrong] @ weights[:-1]
    weights[-1] = -np.quantile(scores, 1 - BUDGETS[name])
    return tuple(round(float(weight), 3) for weight in weights)


def table_of_alarms(rows: list[dict]) -> str:
    """Return the false alarms for every depth camera."""
    lines = ["| depth camera | registered frames | not registered | blue first |", "|---|---|---|---|"]
    clean = [row for row in rows if not row["fault"]]
    for sensor in [*sorted({row["sensor"] for row in clean}), "all"]:
        own = [row for row in clean if sensor in (row["sensor"], "all")]
        counts = sum(map(alarms, own)), sum(row["blue"] for row in own)
        lines.append(f"| {sensor} | {len(own)} | " + " | ".join(f"{n} ({n / len(own):.1%})" for n in counts) + " |")
    return "\n".join(lines)


def table_of_detections(rows: list[dict]) -> str:
    """Return the detections of every kind of fault among the frames with a found hand."""
    lines = ["| fault | frames with a hand | detected |", "|---|---|---|"]
    for name in FAULTS:
        own = [row for row in rows if row["fault"] == name and (row["found"] or name == "blue_first")]
        lines += [_line(name, own, alarms if name != "blue_first" else lambda row: row["blue"])]
        if name == "shift":
            for low, high in ((8, 10), (10, 15), (15, 30), (30, 60)):
                lines += [_line(f"shift, {low}-{high} px", [r for r in own if low <= r["size"] < high], alarms)]
    return "\n".join(line for line in lines if line)


def _line(name: str, rows: list[dict], found: Callable[[dict], bool]) -> str:
    return f"| {name} | {len(rows)} | {sum(map(found, rows)) / len(rows):.1%} |" if rows else ""


if __name__ == "__main__":
    tyro.cli(main)
