"""Shards: what is written is read back, a killed run resumes to the same bytes, workers die with their parent."""

import fcntl
import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twohands.synth.config import SynthConfig
from twohands.synth.engine import SyntheticHands
from twohands.synth.preview import write_preview
from twohands.synth.shards import SyntheticShards, write_shards

TINY = SynthConfig(width=64, height=48)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """14 frames in shards of 4, written by one process."""
    return write_shards(
        SyntheticHands(21, config=TINY), 14, tmp_path_factory.mktemp("whole"), progress=False, per_shard=4
    )


def test_round_trip(written):
    dataset, stored = SyntheticHands(21, config=TINY), SyntheticShards(written)
    assert len(stored) == 14
    assert sorted(contents(written)) == ["index.json", *(f"shard-{n:05d}.tar" for n in range(4))]
    for index in (0, 5, 13):
        sample, copy = dataset[index], stored[index]
        assert copy.id == sample.id
        np.testing.assert_array_equal(copy.frame.depth, sample.frame.depth)
        np.testing.assert_array_equal(copy.frame.camera.K, sample.frame.camera.K)
        np.testing.assert_array_equal(copy.masks, sample.masks)
        for name in ("vertices", "joints", "present"):
            np.testing.assert_array_equal(getattr(copy.hands, name), getattr(sample.hands, name))
        for name in ("pose", "shape", "rotation", "translation"):
            np.testing.assert_array_equal(getattr(copy.hands.parameters, name), getattr(sample.hands.parameters, name))
        np.testing.assert_array_equal(copy.visibility, sample.visibility)
        np.testing.assert_array_equal(copy.shares, sample.shares)
        assert np.abs(copy.frame.rgb - sample.frame.rgb).mean() < 0.02  # JPEG
        described, original = stored.describe(index), dataset.describe(index)
        assert described == original
    with pytest.raises(IndexError):
        stored[14]


SCRIPT = """
import sys
from twohands.synth.config import SynthConfig
from twohands.synth.engine import SyntheticHands
from twohands.synth.shards import write_shards
if __name__ == "__main__":
    write_shards(SyntheticHands(21, config=SynthConfig(width=64, height=48)), 14, sys.argv[1], 2, False, 4)
"""


def children(process):
    """Process numbers whose parent is `process`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
            except OSError:
                continue
            if int(status.rsplit(")", 1)[1].split()[1]) == process:
                found.append(int(entry.name))
    return found


def is_alive(process):
    try:
        return (Path("/proc") / str(process) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_killed_run_leaves_no_worker_and_resumes_to_the_same_bytes(written, tmp_path):
    script, folder = tmp_path / "run.py", tmp_path / "out"
    script.write_text(SCRIPT)
    parent = subprocess.Popen([sys.executable, str(script), str(folder)])
    try:
        end = time.monotonic() + 60
        while not list(folder.glob("shard-*.tar")) and time.monotonic() < end and parent.poll() is None:
            time.sleep(0.01)
        workers = children(parent.pid)
        assert workers
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    end = time.monotonic() + 10
    while any(is_alive(worker) for worker in workers) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [worker for worker in workers if is_alive(worker)]
    finished = {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.tar")}
    assert finished
    (folder / f".shard-00003.{parent.pid}-abcdef.tar").write_bytes(b"half a shard of the killed run")
    write_shards(SyntheticHands(21, config=TINY), 14, folder, workers=1, progress=False, per_shard=4)
    assert contents(folder) == contents(written)  # nothing lost, doubled or half written
    assert all((folder / name).stat().st_mtime_ns == stamp for name, stamp in finished.items())  # not written again


def test_bytes_do_not_depend_on_the_workers(written, tmp_path):
    write_shards(SyntheticHands(21, config=TINY), 14, tmp_path / "two", workers=2, progress=False, per_shard=4)
    assert contents(tmp_path / "two") == contents(written)


def test_no_machine_and_no_time_in_a_shard(written):
    for path in written.glob("*.tar"):
        with tarfile.open(path) as archive:
            for member in archive:
                assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
                if member.name.endswith("png"):
                    chunks = archive.extractfile(member).read()
                    assert not any(name in chunks for name in (b"tIME", b"tEXt", b"iTXt", b"eXIf"))
    assert set(json.loads((written / "index.json").read_text())) == {
        *("format", "generator", "hand", "split", "seed", "count", "frames_per_shard", "config")
    }


def test_two_runs_do_not_mix(written):
    with (written / "index.json").open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another run is writing"):
            write_shards(SyntheticHands(21, config=TINY), 14, written, progress=False, per_shard=4)


def test_doors(written, tmp_path):
    dataset = SyntheticHands(21, config=TINY)
    with pytest.raises(ValueError, match="at least 1; got -3"):
        write_shards(dataset, -3, tmp_path / "a")
    with pytest.raises(ValueError, match="workers"):
        write_shards(dataset, 3, tmp_path / "a", workers=0)
    with pytest.raises(ValueError, match="seed = 21, not 22; give another folder"):
        write_shards(SyntheticHands(22, config=TINY), 14, written, per_shard=4)
    with pytest.raises(ValueError, match="config"):
        write_shards(SyntheticHands(21), 14, written, per_shard=4)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="new or empty folder"):
        write_shards(dataset, 3, tmp_path / "other")
    with pytest.raises(ValueError, match="give a folder you may write to"):
        write_shards(dataset, 3, tmp_path / "other" / "holiday.jpg")
    with pytest.raises(FileNotFoundError, match="twohands synth"):
        SyntheticShards(tmp_path / "nothing")


def test_an_unfinished_folder_is_not_read(tmp_path):
    folder = write_shards(SyntheticHands(21, config=TINY), 2, tmp_path, progress=False, per_shard=1)
    (folder / "shard-00001.tar").unlink()
    with pytest.raises(ValueError, match="lacks 1 of 2 shards"):
        SyntheticShards(folder)


def test_contact_sheet(written, tmp_path):
    path = write_preview(SyntheticShards(written), tmp_path / "preview.png", count=5)
    with Image.open(path) as image:
        assert image.width > 3 * 480
        assert 2 * 180 < image.height < 2 * 200
        assert np.asarray(image).std() > 20
