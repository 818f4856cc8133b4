"""Log of a training run: `log.jsonl` and TensorBoard events, both cut back to the step at which the run resumes."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from twohands import __version__
from twohands.files import write_atomically

LOG_NAME = "log.jsonl"


class RunLog:
    """Log of a run: records are appended to `log.jsonl`, and their numbers to TensorBoard."""

    def __init__(self, folder: Path, seed: int, first_step: int):
        """Resume the log of a run at `first_step`; later records are dropped, their steps are computed again."""
        self.path = folder / LOG_NAME
        kept = [line for line in read_log(folder) if line.get("step", 0) <= first_step]
        with write_atomically(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self.events = SummaryWriter(str(folder / "events"), purge_step=first_step + 1)
        self._append({**origin(), "seed": seed, "continued_at": first_step} if kept else {**origin(), "seed": seed})

    def write(self, kind: str, step: int, numbers: dict[str, float]) -> None:
        """Append a record: its kind ('train' or 'validation'), the step and its numbers."""
        self._append({"kind": kind, "step": step, **numbers})
        for name, value in numbers.items():
            self.events.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Close the TensorBoard file."""
        self.events.close()

    def _append(self, record: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


def read_log(folder: str | Path) -> list[dict[str, Any]]:
    """Return the records of a run, without a last line that was cut short when the run was killed."""
    path = Path(folder) / LOG_NAME
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def origin() -> dict[str, Any]:
    """Return the origin of a result: version, commit, torch and machine."""
    return {
        "version": __version__,
        "commit": _commit(),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def _commit() -> str:
    """Return the commit hash of this source tree, with '+' if it was changed; 'unknown' outside of a checkout."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=here, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return described.stdout.strip() or "unknown"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
