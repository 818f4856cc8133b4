"""The command `doctor`: diagnose a recording."""

from __future__ import annotations

import json as text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from twohands.cli.common import FINDINGS, FINE, check_folder
from twohands.cli.reading import SOURCE, OfSource, check_live, opened, with_progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twohands.doctor.table import Check

STYLES = {"ok": "green", "finding": "bold red", "unknown": "yellow"}
"""Colours of the verdicts."""


def doctor(
    recording: Annotated[Positional[Path], tyro.conf.arg(metavar="RECORDING")],
    json: Path | None = None,
    page: Path | None = None,
    reading: OfSource = SOURCE,
) -> int:
    """Diagnose a recording: print what is wrong and the remedy. The exit code is 1 if there is a finding, else 0.

    It reads any local recording that `run` reads, but no cameras, and examines up to 60 frames spread over it.

    Args:
        recording: File or folder of the recording.
        json: JSON file to write, with the table and the findings.
        page: PNG file to write, with depth edges on colour, the hands found, a histogram of depth, and the table.
    """
    from twohands.doctor.examination import Examination
    from twohands.doctor.hands import CarefulPredictor
    from twohands.doctor.page import write_page
    from twohands.files import write_atomically

    for path in (json, page):
        if path is not None:
            check_folder(path.parent)
    check_live(recording, reading, Path(), "doctor")
    source = opened(recording, reading)
    examination = Examination(source, CarefulPredictor())
    for _ in with_progress(examination.work(), None):
        pass
    diagnosis = examination.diagnosis()
    _print_table(diagnosis.checks)
    if json is not None:
        with write_atomically(json) as temporary:
            temporary.write_text(text.dumps(diagnosis.as_dict(), allow_nan=False, indent=1) + "\n", encoding="utf-8")
    if page is not None:
        write_page(page, recording.name, diagnosis)
    count = len(diagnosis.findings)
    verdict = "nothing is wrong" if diagnosis.is_clean else f"{count} finding{'' if count == 1 else 's'}"
    print(f"{diagnosis.looked_at} of {diagnosis.frames} frames examined: {verdict}")
    return FINE if diagnosis.is_clean else FINDINGS


def _print_table(checks: Iterable[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("what", "measured", "verdict", "remedy")
    for line in checks:
        cells = (line.what, line.measured, Text(line.verdict, STYLES[line.verdict]), line.remedy)
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    Console().print(table)
