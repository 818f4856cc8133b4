"""Shards are read back as written, a killed run resumes to the same bytes, and damage is found and named."""

import errno
import fcntl
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import types
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from twohands.shards import Shards, write_shards
from twohands.shards.index import index_text, noted_records
from twohands.shards.records import ENDINGS
from twohands.synth.config import BASIC
from twohands.synth.engine import SyntheticHands
from twohands.synth.preview import describe, write_preview

TINY = replace(BASIC, width=64, height=48)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.name != ".lock"}


class Remembered(SyntheticHands):
    """Draws every frame once per process."""

    drawn: ClassVar = {}

    def __getitem__(self, index):
        if index not in self.drawn:
            self.drawn[index] = super().__getitem__(index)
        return self.drawn[index]


def write(folder, workers=1):
    dataset = Remembered(21, config=TINY)
    return write_shards(dataset, 14, folder, dataset.content, workers, progress=False, per_shard=4)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder of 14 frames in shards of 4, written by one process."""
    return write(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copy(written, tmp_path):
    """Return a copy of `written` that a test may change."""
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_round_trip(written):
    dataset, stored = SyntheticHands(21, config=TINY), Shards(written)
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
        np.testing.assert_array_equal(copy.visible_fraction, sample.visible_fraction)
        assert np.abs(copy.frame.rgb - sample.frame.rgb).mean() < 0.02  # JPEG
        assert describe(copy) == describe(sample)
    with pytest.raises(IndexError):
        stored[14]


SCRIPT = """
import pickle, sys, time
from twohands.shards import write_shards

class Drawn:
    def __init__(self, path, seconds):
        self.path, self.seconds = path, seconds

    def __getitem__(self, index):
        time.sleep(self.seconds if index > 3 else 0)
        return stored(self.path)[0][index]

def stored(path):
    with open(path, "rb") as stream:
        return pickle.load(stream)

if __name__ == "__main__":
    path, out, seconds = sys.argv[1:]
    write_shards(Drawn(path, float(seconds)), 14, out, stored(path)[1], 2, False, 4)
"""


@pytest.fixture
def command(written, tmp_path):
    """Return a function that gives the command of a script, which writes the frames of `written` with two workers."""
    dataset = Remembered(21, config=TINY)
    (tmp_path / "frames.pickle").write_bytes(pickle.dumps(([dataset[index] for index in range(14)], dataset.content)))

    def command_of(seconds, first=""):
        (tmp_path / "run.py").write_text(first + SCRIPT)
        return [sys.executable, *(str(tmp_path / name) for name in ("run.py", "frames.pickle", "out")), str(seconds)]

    return command_of


def children(process):
    """Return the numbers of the processes that have `process` as their parent."""
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
def test_a_killed_run_leaves_no_worker_and_resumes_to_the_same_bytes(written, command, tmp_path):
    folder = tmp_path / "out"
    parent = subprocess.Popen(command(0.1))
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
    write(folder)
    assert contents(folder) == contents(written)  # nothing lost, doubled or half written
    assert all((folder / name).stat().st_mtime_ns == stamp for name, stamp in finished.items())  # not written again


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("early", [True, False])
def test_ctrl_c_ends_the_workers_at_once_and_silently(written, command, tmp_path, early):
    """The workers end both while they draw and while they still import."""
    folder = tmp_path / "out"
    parent = subprocess.Popen(
        command(60, "import twohands.synth.engine\n" if early else ""),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # the parent of the tests may ignore Ctrl-C
    )
    try:
        end = time.monotonic() + 60
        while not (len(children(parent.pid)) > 2 if early else list(folder.glob("shard-*.tar"))):
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(0.3)  # wait until the imports have started
        os.killpg(parent.pid, signal.SIGINT)
        _, said = parent.communicate(timeout=40)
    finally:
        parent.kill()
    assert said.count("Traceback") == said.count("KeyboardInterrupt\n") == 1  # the parent's own
    assert "SpawnProcess" not in said
    write(folder)
    assert contents(folder) == contents(written)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_in_the_background_of_a_script_ctrl_c_is_for_others(written, command, tmp_path):
    """Two workers write the bytes that one process writes."""
    folder = tmp_path / "out"
    parent = subprocess.Popen(
        command(0.1),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        end = time.monotonic() + 60
        while not list(folder.glob("shard-*.tar")):
            assert time.monotonic() < end
            time.sleep(0.01)
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.wait(timeout=60) == 0
    finally:
        parent.kill()
    assert contents(folder) == contents(written)


def test_no_machine_and_no_time_in_a_shard(written):
    for path in written.glob("*.tar"):
        with tarfile.open(path) as archive:
            for member in archive:
                assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
                if member.name.endswith("png"):
                    chunks = archive.extractfile(member).read()
                    assert not any(name in chunks for name in (b"tIME", b"tEXt", b"iTXt", b"eXIf"))


def test_the_index_tells_of_every_shard(written):
    index = json.loads((written / "index.json").read_text())
    assert list(index) == [
        *(
            "format",
            "generator",
            "renderer",
            "hand",
            "assets",
            "split",
            "seed",
            "config",
            "count",
            "frames_per_shard",
            "shards",
        )
    ]
    assert index["config"] == json.loads(json.dumps(asdict(TINY)))
    assert list(index["shards"]) == [f"shard-{number:05d}.tar" for number in range(4)]
    for number, (name, record) in enumerate(index["shards"].items()):
        content = (written / name).read_bytes()
        assert (record["first"], record["size"]) == (4 * number, len(content))
        assert record["sha256"] == hashlib.sha256(content).hexdigest()
        with tarfile.open(written / name) as archive:
            assert [member[:2] for member in record["members"]] == [[m.offset_data, m.size] for m in archive]


def test_webdataset_sees_one_sample_per_frame(written):
    """Readers of WebDataset cut a name at its first dot and group neighbours with the same key."""
    seen = []
    for path in sorted(written.glob("*.tar")):
        with tarfile.open(path) as archive:
            names = [name.partition(".") for name in archive.getnames()]
        seen += [(key, [name[2] for name in group]) for key, group in groupby(names, lambda name: name[0])]
    assert seen == [(f"{index:06d}", list(ENDINGS)) for index in range(14)]


def test_what_a_killed_run_had_no_time_to_note_is_kept(written, copy):
    """The run was killed after the last shard appeared and before the index was written."""
    index = json.loads((copy / "index.json").read_text())
    records = noted_records(index)
    del records[2], index["shards"]
    (copy / "index.json").write_text(index_text(index, records))
    stamp = (copy / "shard-00002.tar").stat().st_mtime_ns
    np.testing.assert_array_equal(Shards(copy)[9].frame.rgb, Shards(written)[9].frame.rgb)
    write(copy)
    assert contents(copy) == contents(written)
    assert (copy / "shard-00002.tar").stat().st_mtime_ns == stamp
    (copy / "index.json").write_text(index_text(index, records))
    os.truncate(copy / "shard-00002.tar", 30_000)
    with pytest.raises(ValueError, match=r"shard-00002.tar is damaged .*; delete shard-00002.tar and run the same"):
        write(copy)


def test_reading_keeps_no_file_open_and_survives_pickling(written):
    stored = Shards(written)
    before = len(os.listdir("/proc/self/fd"))
    frames = [stored[index] for index in (0, 5, 13)]
    assert len(os.listdir("/proc/self/fd")) == before
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stored))[5].frame.rgb, frames[1].frame.rgb)


def test_the_first_format_is_still_read(written, copy):
    index = json.loads((copy / "index.json").read_text())
    del index["shards"], index["assets"], index["config"]["sensor"]
    (copy / "index.json").write_text(json.dumps({**index, "format": 1}))
    old, new = Shards(copy), Shards(written)
    for number in (3, 4, 13):
        assert old[number].id == new[number].id
        np.testing.assert_array_equal(old[number].frame.rgb, new[number].frame.rgb)
    with pytest.raises(ValueError, match="format = 1, not 2; give another folder"):
        write(copy)
    (copy / "index.json").write_text(json.dumps({**index, "format": 3}))
    with pytest.raises(ValueError, match="has format 3, this version reads 1 and 2"):
        Shards(copy)


RECORD = {"first": 0, "size": 9, "sha256": "", "members": []}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"format": 2}',
        *(
            json.dumps({"format": 2, "count": 1, "frames_per_shard": 50, "split": "train", **change})
            for change in (
                {"count": "1"},
                {"count": 0},
                {"frames_per_shard": 0},
                {"split": None},
                {"shards": []},
                {"shards": {"shard-00000.tar": {"first": 0, "size": 1}}},
                {"shards": {"shard-00000.tar": RECORD}},
                {"shards": {"shard-00000.tar": {**RECORD, "first": 999}}},
            )
        ),
    ],
)
def test_a_damaged_index_is_told_in_one_sentence(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    for attempt in (Shards, write):
        with pytest.raises(ValueError, match=r"index.json is damaged .*; copy it again or write the frames again"):
            attempt(tmp_path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_flipped_byte_is_found(written, copy, ending):
    path = copy / "shard-00001.tar"
    with tarfile.open(path) as archive:
        member = archive.getmember(f"000006.{ending}")
    content = bytearray(path.read_bytes())
    content[member.offset_data + member.size // 2] ^= 4
    path.write_bytes(content)
    stored = Shards(copy)
    assert stored[5].id == "train-21-000005"  # its neighbours are whole
    remedy = r".*; delete shard-00001.tar and run the same `twohands synth`"
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"shard-00001.tar is damaged \(000006.{ending} {remedy}"):
            stored[6]
    with pytest.raises(ValueError, match=rf"shard-00001.tar is damaged \(it is not what was written\){remedy}"):
        write(copy)


def test_a_short_or_missing_shard_is_found_and_the_remedy_works(written, copy):
    path, whole = copy / "shard-00001.tar", Shards(copy)
    for size in (20_000, 0):
        os.truncate(path, size)
        for attempt in (lambda: Shards(copy), lambda: whole[7], lambda: write(copy)):
            with pytest.raises(ValueError, match=r"shard-00001.tar is damaged .*; delete shard-00001.tar and run"):
                attempt()
    path.unlink()
    with pytest.raises(ValueError, match=r"shard-00001.tar is missing; run the same `twohands synth` or"):
        whole[4]
    with pytest.raises(ValueError, match=r"lacks 1 of 4 shards \(shard-00001.tar\); run the same"):
        Shards(copy)
    write(copy)
    assert contents(copy) == contents(written)


def test_a_full_disk(written, tmp_path, monkeypatch):
    """The second shard finds no room. Finished files stay, half-written ones do not."""
    sync, calls = os.fsync, []

    def fill(descriptor):
        calls.append(descriptor)
        if len(calls) > 4:  # the index twice, a shard, the index
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(ValueError, match=r"the disk of .* is full; free some space and run the same `twohands synth`"):
        write(tmp_path / "out")
    assert {*contents(tmp_path / "out")} == {"index.json", "shard-00000.tar"}
    monkeypatch.setattr(os, "fsync", sync)
    assert contents(write(tmp_path / "out")) == contents(written)


class Deadly(SyntheticHands):
    """Ends its process, like the system when memory runs out."""

    def __getitem__(self, index):
        os._exit(9)


def test_a_lost_worker(tmp_path):
    match = r"a worker was ended from outside.*with fewer --workers .*under `if __name__ == \"__main__\":`"
    with pytest.raises(ValueError, match=match):
        write_shards(Deadly(21, config=TINY), 8, tmp_path, {"split": "train"}, workers=2, progress=False, per_shard=4)


class Sent:
    """One frame again and again; it records in the parent each time it is sent to a worker."""

    times: ClassVar = []

    def __init__(self, sample):
        self.sample = sample

    def __getitem__(self, index):
        return replace(self.sample, id=str(index))

    def __getstate__(self):
        self.times.append(1)
        return vars(self)


def test_a_worker_is_sent_the_data_set_once(tmp_path):
    """The data set may be a list of a million frames."""
    frames = Sent(Remembered(21, config=TINY)[0])
    write_shards(frames, 6, tmp_path, {"split": "train"}, workers=2, progress=False, per_shard=1)
    assert 1 <= len(Sent.times) <= 2


def test_frames_of_other_assets_do_not_mix(tmp_path, monkeypatch):
    assets = types.ModuleType("twohands.synth.things.assets")
    monkeypatch.setitem(sys.modules, assets.__name__, assets)

    def fail(*arguments):
        pytest.fail("nothing is drawn here")

    monkeypatch.setitem(write_shards.__globals__, "_write_shard", fail)
    dataset = SyntheticHands(21, config=replace(TINY, photographs=0.5))
    for digest in ("one", "two"):
        assets.load_assets = lambda digest=digest: types.SimpleNamespace(digest=digest)
        with pytest.raises((pytest.fail.Exception, ValueError)) as caught:
            write_shards(dataset, 2, tmp_path, dataset.content, progress=False)
        assert json.loads((tmp_path / "index.json").read_text())["assets"] == "one"
    assert "assets = 'one', not 'two'" in str(caught.value)


def test_two_runs_do_not_mix(written):
    with (written / ".lock").open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another run is writing"):
            write(written)


def test_doors(written, tmp_path):
    dataset = SyntheticHands(21, config=TINY)
    with pytest.raises(ValueError, match="at least 1; got -3"):
        write_shards(dataset, -3, tmp_path / "a", dataset.content)
    with pytest.raises(ValueError, match="workers"):
        write_shards(dataset, 3, tmp_path / "a", dataset.content, workers=0)
    with pytest.raises(ValueError, match="seed = 21, not 22; give another folder"):
        write_shards(dataset, 14, written, SyntheticHands(22, config=TINY).content, per_shard=4)
    other = SyntheticHands(21, config=replace(TINY, table=0.5))
    with pytest.raises(ValueError, match="config"):
        write_shards(dataset, 14, written, other.content, per_shard=4)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="new or empty folder"):
        write_shards(dataset, 3, tmp_path / "other", dataset.content)
    with pytest.raises(ValueError, match="give a folder you may write to"):
        write_shards(dataset, 3, tmp_path / "other" / "holiday.jpg", dataset.content)
    with pytest.raises(FileNotFoundError, match="twohands synth"):
        Shards(tmp_path / "nothing")


def test_contact_sheet(written, tmp_path):
    path = write_preview(Shards(written), SyntheticHands(1).parts, tmp_path / "preview.png", count=5)
    with Image.open(path) as image:
        assert image.width > 3 * 640
        assert 2 * 240 < image.height < 2 * 265
        assert np.asarray(image).std() > 20
