"""Runs that are killed in the middle of their work."""

import os
import subprocess
import sys
import time
from pathlib import Path


def kill_after_three_rows(code: str, out: Path) -> None:
    """Run Python code, kill its process when three rows are stored below `out`, and wait until its children end."""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent, start_new_session=True)
    started = time.monotonic()
    while len(list(out.rglob("rows/*.npz"))) < 3 and process.poll() is None:
        assert time.monotonic() - started < 120
        time.sleep(0.01)
    process.kill()
    process.wait()
    while _group_lives(process.pid):
        assert time.monotonic() - started < 240
        time.sleep(0.05)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
