"""Runs over many recordings: each is done once and as if it were alone, and one that fails costs itself only."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from fakes import grey_predictor, write_frame
from kills import kill_after_three_rows
from many import SIZE, alone, content, orders, write_recording
from twohands import cli
from twohands.batch import BatchRun, Orders, Tracking
from twohands.batch.executors import by_processes
from twohands.batch.overview import Overview, path_of
from twohands.batch.part import Frames
from twohands.batch.recordings import Unit, find_units, is_one, shard_of
from twohands.batch.unit import DEADLY, Outcome, UnitWork
from twohands.findings import Finding
from twohands.sources.remote import changes, matching, staged


def names(given: list, out: Path = Path("out")) -> list[str]:
    return [unit.name for unit in find_units([str(word) for word in given], out)]


def test_every_recording_has_a_name_of_its_own(tmp_path, caplog):
    assert names([tmp_path / "a.bag", tmp_path / "b.v2", tmp_path / "c"]) == ["a", "b.v2", "c"]
    assert not caplog.messages
    assert names(["x/1/rec.bag", "x/2/rec.bag", "y.bag"]) == ["1_rec", "2_rec", "y"]
    assert "2 recordings share their names" in caplog.messages[0]
    same = names(["p/1/rec.bag", "q/1/rec.bag", "p/1/REC.mcap"])
    assert len({name.casefold() for name in same}) == 3
    assert same[::-1] == names(["p/1/REC.mcap", "q/1/rec.bag", "p/1/rec.bag"])  # whatever the order
    assert names(["s3://bucket/day/a.bag", "file:///b/c.mcap"]) == ["a", "c"]
    assert names(["a.bag", "./a.bag", "b.bag"]) == ["a", "b"]
    assert caplog.messages[-1] == "1 recordings are given more than once and are taken once"
    unit = find_units(["a.bag"], Path("out"))[0]
    assert (unit.address, unit.folder) == (os.path.abspath("a.bag"), Path.cwd() / "out" / "a")


def test_lists_and_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one/b.bag", "one/a.bag", "two/c.bag", "d[1].bag"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(["one/*.bag"]) == ["a", "b"]
    assert names(["**/*.bag"]) == ["d[1]", "a", "b", "c"]
    Path("list.txt").write_text("# of today\ntwo/c.bag\n\none/*.bag\n  d[1].bag \nmissing.bag\n")
    assert names(["list.txt"]) == ["c", "a", "b", "d[1]", "missing"]
    assert is_one(["d[1].bag"])
    assert is_one(["missing.bag"])
    for given in (["one/*.bag"], ["list.txt"], ["a.bag", "b.bag"], ["x?.bag"]):
        assert not is_one(given)
    with pytest.raises(ValueError, match=r"no recording matches x\?\.bag; .* in quotes"):
        names(["x?.bag"])
    with pytest.raises(FileNotFoundError, match=r"list none\.txt does not exist"):
        names(["none.txt"])
    Path("empty.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match=r"empty\.txt names no recording"):
        names(["empty.txt"])


def test_shards_share_out_all_recordings():
    units = find_units([f"{number}.bag" for number in range(11)], Path("out"))
    shards = [shard_of(units, f"{number}/4") for number in (1, 2, 3, 4)]
    assert [len(shard) for shard in shards] == [3, 3, 3, 2]
    assert sorted(unit.name for shard in shards for unit in shard) == sorted(unit.name for unit in units)
    assert [unit.name for unit in shards[1]] == ["1", "5", "9"]
    assert len({path_of(Path("out"), shard) for shard in ("1/4", "2/4", None)}) == 3
    for text in ("0/4", "5/4", "1", "a/b", "-1/4", "1/0"):
        with pytest.raises(ValueError, match="--shard must be I/N with I from 1 to N"):
            shard_of(units, text)


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Three recordings, one of which is deadly, and a file that is none."""
    monkeypatch.setattr(Frames, "size", SIZE)
    for number, count in enumerate((20, 8, 12)):
        write_recording(tmp_path / "in" / f"r{number}.npz", count, number, deadly=5 if number == 2 else None)
    (tmp_path / "in" / "bad.npz").write_text("no recording")
    return tmp_path / "in"


def here(units: list[Unit], **more) -> dict[str, Outcome]:
    """Return the outcomes of the work of this process."""
    work = UnitWork(Orders(grey_predictor, {}, **more))
    return outcomes(work.outcome(unit) for unit in units)


def outcomes(found) -> dict[str, Outcome]:
    return {outcome.name: outcome for outcome in found}


def test_each_is_done_once_and_as_if_alone(tmp_path, recordings):
    """A process is killed by one recording, once; another recording is none."""
    out, deaths = tmp_path / "out", tmp_path / "deaths"
    deaths.mkdir()
    units = find_units([f"{recordings}/*.npz"], out)
    done = outcomes(by_processes(orders(deaths), units, 2))
    assert (deaths / "died").exists()
    assert {name: bool(outcome.error) for name, outcome in done.items()} == {
        "bad": True, "r0": False, "r1": False, "r2": False,
    }  # fmt: skip
    assert "bad.npz" in done["bad"].error
    assert [done[name].summary["frames"] for name in ("r0", "r1", "r2")] == [20, 8, 12]
    for name in ("r0", "r1", "r2"):
        assert content(out / name) == alone(recordings / f"{name}.npz", tmp_path / "alone" / name), name
    again = here(units)
    assert {name for name, outcome in again.items() if outcome.was_there} == {"r0", "r1", "r2"}
    assert again["r1"].summary == done["r1"].summary
    assert [finding.code for finding in again["r1"].findings] == [finding.code for finding in done["r1"].findings]
    write_recording(recordings / "bad.npz", 3)  # repaired
    os.utime(recordings / "r0.npz", (1, 1))  # changed
    later = here(units)
    assert {name for name, outcome in later.items() if outcome.was_there} == {"r1", "r2"}
    assert not any(outcome.error for outcome in later.values())
    assert not here(units[1:2], tracking=Tracking(smooth=0.1))["r0"].was_there


def test_a_recording_that_always_kills_costs_itself_only(tmp_path, recordings):
    units = find_units([str(recordings / "r2.npz"), str(recordings / "r1.npz")], tmp_path / "out")
    done = outcomes(by_processes(orders(tmp_path / "missing"), units, 1))
    assert done["r2"].error == DEADLY
    assert done["r1"].summary["frames"] == 8
    assert not (tmp_path / "out" / "r2" / "done.json").exists()


def test_a_parent_that_is_killed_loses_nothing_and_leaves_nobody(tmp_path, recordings):
    out, whole = tmp_path / "out", alone(recordings / "r0.npz", tmp_path / "alone")
    code = f"""
from pathlib import Path
import many
from twohands.batch.executors import by_processes
from twohands.batch.part import Frames
from twohands.batch.recordings import Unit, find_units
for _ in by_processes(many.orders(Path()), find_units([{str(recordings / "r0.npz")!r}], Path({str(out)!r})), 1):
    pass
"""
    kill_after_three_rows(code, out)
    assert not (out / "r0" / "done.json").exists()
    done = here(find_units([str(recordings / "r0.npz")], out))
    assert not done["r0"].was_there
    assert content(out / "r0") == whole


def test_the_overview(tmp_path):
    units = find_units(["a.bag", "b.bag", "c.bag", "d.bag"], tmp_path)
    overview = Overview(units)
    summary = {"frames": 10, "failed": 2, "found": {"left": 3, "right": 4}, "doubtful": 1}
    finding = Finding("depth_frozen", "warning", "depth is frozen; look at it")
    overview.add(Outcome("c", "", summary, (finding,), wall={"fit": 1.0}, cpu={"fit": 0.5}))
    overview.add(Outcome("a", "", {**summary, "failed": 0}, (finding,), was_there=True))
    overview.add(Outcome("b", "it is broken"))
    assert overview.line() == (
        "2 of 4 recordings (1 were finished before), 20 frames: left found in 6, right found in 8, 1 failed, 2 frames "
        "failed"
    )
    assert [str(finding) for finding in overview.findings()] == ["a and 1 more: depth is frozen; look at it"]
    assert not overview.is_whole
    overview.write(tmp_path / "summary.json")
    stored = json.loads((tmp_path / "summary.json").read_text())
    assert (stored["recordings"], stored["finished"], stored["frames"], stored["doubtful"]) == (4, 2, 20, 2)
    assert stored["findings"] == {"depth_frozen": {"recordings": 2, "first": "a"}}
    assert stored["of"]["b"] == {"recording": os.path.abspath("b.bag"), "error": "it is broken"}
    assert stored["of"]["d"]["error"] == "not done yet"
    assert stored["of"]["c"]["found"] == {"left": 3, "right": 4}


def test_urls_are_read_from_a_copy(tmp_path, recordings):
    pytest.importorskip("fsspec")
    url = f"file://{recordings}/r0.npz"
    assert matching(f"file://{recordings}/r?.npz") == [f"file://{recordings}/r{number}.npz" for number in range(3)]
    with staged(url) as path:
        assert path != recordings / "r0.npz"
        assert path.read_bytes() == (recordings / "r0.npz").read_bytes()
        assert changes(url) == changes(str(path))
    assert not path.exists()
    write_frame(recordings / "folder")
    with staged(f"file://{recordings}/folder") as path:
        assert sorted(str(file.relative_to(path)) for file in path.rglob("*.*")) == [
            "cam_K.txt", "depth/000000.png", "rgb/000000.png",
        ]  # fmt: skip
        assert changes(f"file://{recordings}/folder") == changes(str(path))
    with pytest.raises(FileNotFoundError, match=r"missing\.bag does not exist"), staged("file:///missing.bag"):
        pass
    with pytest.raises(ValueError, match="not an address that fsspec knows"):
        changes("nowhere://x/a.bag")
    stamp = recordings.stat().st_mtime_ns // 1000 * 1000
    os.utime(recordings / "r0.npz", ns=(stamp, stamp))
    out = tmp_path / "out"
    units = find_units([url], out)
    assert not here(units)["r0"].error
    whole = alone(recordings / "r0.npz", tmp_path / "alone")
    assert {name for name in whole if content(out / "r0")[name] != whole[name]} == {"run.json"}  # it names the URL
    assert json.loads((out / "r0" / "run.json").read_text())["recording"] == url
    assert here(units)["r0"].was_there


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ValueError, match=r"pip install 'twohands\[fsspec\]'"):
        changes("s3://bucket/a.bag")
    monkeypatch.setitem(sys.modules, "ray", None)
    from twohands.batch.ray_cluster import by_ray

    with pytest.raises(ValueError, match=r"pip install 'twohands\[ray\]'"):
        next(by_ray(orders(Path()), [], 1, None))


def run(*words: object) -> int:
    return cli.main(["run", *(str(word) for word in words)])


def test_the_command(tmp_path, capsys):
    """The networks are the true ones: they find nothing in these frames."""
    for name in ("a", "b"):
        write_recording(tmp_path / f"{name}.npz", 2)
    (tmp_path / "c.npz").write_text("no recording")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/c.npz\n{tmp_path}/a.npz\n{tmp_path}/b.npz\n")
    out = tmp_path / "out"
    assert run(tmp_path / "list.txt", "--out", out, "--shard", "1/2", "--no-vertices", "--timings") == 3
    told = capsys.readouterr()
    assert "1 of 2 recordings, 2 frames: left found in 0, right found in 0, 1 failed; wrote" in told.out
    assert "decode" in told.out
    assert "twohands: c: " in told.err
    assert "b: the frames have no time stamps" in told.err
    assert sorted(path.name for path in out.iterdir()) == ["b", "summary-1-of-2.json"]
    (tmp_path / "c.npz").unlink()
    write_recording(tmp_path / "c.npz", 3)
    assert run(tmp_path / "list.txt", "--out", out, "--no-vertices") == 0
    assert "3 of 3 recordings (1 were finished before), 7 frames" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["a", "b", "c", "summary-1-of-2.json", "summary.json"]
    assert json.loads((out / "summary.json").read_text())["frames"] == 7


def test_the_command_refuses(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("twohands.predictor.load", lambda *choice: None)
    one, out = write_recording(tmp_path / "a.npz", 2), tmp_path / "out"
    (out / "old").mkdir(parents=True)
    (out / "old" / "run.json").write_text("{}")
    for words, message in (
        ((one, "--out", out, "--shard", "1/2"), "divide several recordings"),
        ((one, "--out", out, "--executor", "ray"), "divide several recordings"),
        ((one, one, "--out", out, "--ray-address", "auto"), "--ray-address needs --executor ray"),
        ((one, one, "--out", out, "--shard", "3/2"), "--shard must be I/N"),
        ((f"{tmp_path}/x*.npz", "--out", out), "no recording matches"),
        ((one, one, "--out", out / "old"), "holds the results of one recording; give another --out"),
    ):
        assert run(*words) == 2, message
        assert message in capsys.readouterr().err
    (out / "summary.json").write_text("{}")
    monkeypatch.setattr("twohands.predictor.load", lambda *choice: grey_predictor())
    assert run(one, "--out", out) == 2
    assert "holds the summary.json of something else" in capsys.readouterr().err


def test_an_interrupted_command_says_what_is_done(tmp_path, capsys, monkeypatch):
    def interrupted(orders, units, workers):
        yield Outcome(units[0].name, "", {"frames": 5, "failed": 0, "found": {"left": 1, "right": 2}, "doubtful": 0})
        raise KeyboardInterrupt

    monkeypatch.setattr("twohands.predictor.load", lambda *choice: None)
    monkeypatch.setattr("twohands.batch.executors.by_processes", interrupted)
    assert run(tmp_path / "a.bag", tmp_path / "b.bag", "--out", tmp_path / "out") == 130
    assert "interrupted: 1 of 2 recordings, 5 frames" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["of"]["b"]["error"] == "not done yet"


class Broken(MemoryFileSystem):
    """A place that cannot be reached, with an error of a class of its own."""

    protocol = "broken"

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("broken://")

    def find(self, path, **how):
        raise RuntimeError("Unable to locate credentials")

    glob = find


def test_a_recording_in_the_memory_of_fsspec(tmp_path, monkeypatch):
    """Its notes are made from the copy, which must be there until then."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    there, notes = [], BatchRun.notes.fget
    assert notes is not None

    def noted(batch):
        there.append(bool(list(tmp_path.glob("twohands-*/ü rec.npz"))))
        return notes(batch)

    monkeypatch.setattr(BatchRun, "notes", property(noted))
    local = write_recording(tmp_path / "rec.npz", 9)
    for address in ("memory://bucket/day 1/ü rec.npz", "memory://bucket/day 1/empty.npz"):
        with fsspec.open(address, "wb") as stream:
            stream.write(local.read_bytes() if "rec" in address else b"")
    units = find_units(["memory://bucket/day 1/*.npz"], tmp_path / "out")
    assert [unit.name for unit in units] == ["empty", "ü rec"]
    empty, done = (UnitWork(Orders(grey_predictor, {})).outcome(unit) for unit in units)
    assert empty.error == f"{units[0].address} is empty (0 bytes); copy or record it again"
    assert (done.error, done.summary["frames"]) == ("", 9)
    assert [finding.code for finding in done.findings][:1] == ["assumed_times"]
    assert there == [True]


def test_places_that_cannot_be_read_are_named(tmp_path):
    fsspec.register_implementation("broken", Broken, clobber=True)
    message = r"broken://bucket/a.* cannot be read \(Unable to locate credentials\); check the address, the network and"
    for use in (matching, changes, lambda address: staged(address).__enter__()):
        with pytest.raises(ValueError, match=message):
            use("broken://bucket/a*.npz")
    with pytest.raises(ValueError, match="broken://bucket is a whole bucket or disk; give a recording in it"):
        staged("broken://bucket").__enter__()
