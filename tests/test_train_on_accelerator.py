"""The training script of machines with a GPU, on the CPU: files below 16 MB, resumable, loadable; nothing stops it."""

import importlib.util
import json
import os
import signal
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes import PosedHands
from twohands.config import PRESETS
from twohands.geometry.record import TensorRecord
from twohands.light_config import RegionConfig
from twohands.locate.landmarks import MAP_SHAPES
from twohands.networks.region_checkpoint import load_region_network
from twohands.region import DEPTH_SIZE
from twohands.synth.engine import SyntheticHands
from twohands.training.batches import collate as collate_frames
from twohands.training.objective import build_objective
from twohands.training.pieces import load_pieces, save_pieces
from twohands.training.region_items import MESH_LEVEL, RegionItem
from twohands.training.region_loop import Learner, Place, collate
from twohands.training.region_loss import RegionObjective, region_input
from twohands.training.rendering import MOST_VIEWS, Pool, Renderers, Source, views_of

PATH = Path(__file__).parent.parent / "tools" / "train_on_accelerator.py"
SPEC = importlib.util.spec_from_file_location("train_on_accelerator", PATH)
assert SPEC is not None
assert SPEC.loader is not None
script = sys.modules["train_on_accelerator"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)

TINY = PRESETS["tiny"]
SMALL = RegionConfig(widths=(16, 8, 16, 16), tokens=16)
LARGEST = 16_000_000
"""Bytes of a file that can be brought back from such a machine."""


def random_item(seed: int) -> RegionItem:
    """An item of plausible numbers without a frame; every second one shows two hands."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.03, (2, *shape)).astype(np.float32)

    return RegionItem(
        axes=np.tile(np.eye(3, dtype=np.float32), (2, 1, 1)),
        region_depth=np.full(2, 0.5, np.float32),
        depth=draw(DEPTH_SIZE, DEPTH_SIZE),
        maps=tuple(draw(*shape).astype(np.float16) for shape in MAP_SHAPES),
        landmarks=draw(21, 3),
        seen=np.full((2, 2), 0.8, np.float32),
        companions=np.asarray(1.0, np.float32),
        joints=draw(21, 3),
        vertices=draw(MESH_LEVEL, 3),
        shown=np.full(2, seed % 2, np.float32),
        right=np.ones(2, np.float32),
        mask=np.zeros((2, DEPTH_SIZE // 4, DEPTH_SIZE // 4), np.float32),
    )


class Stub:
    """Items at once, in the place of processes that render."""

    split, alive, faults, frames = "no frames", True, 0, 4

    def __init__(self, source, count, tell):
        self.items, self.held_out = 8, [random_item(number) for number in range(4)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def take(self):
        return self.held_out[:4]


class Watch:
    """A clock that leaves time for a number of looks, the fraction of which has passed."""

    began = 0.0

    def __init__(self, looks: int, whole: int):
        self.looks, self.whole, self.done = looks, whole, 0

    @property
    def left(self) -> float:
        self.done += 1
        return 3600.0 * (self.looks - self.done)

    def passed(self, began: float) -> float:
        return self.done / self.whole

    def due(self, name: str, seconds: float) -> bool:
        return name == "save" and self.done % 4 == 0


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_region_network(folder / "best").state_dict()


@pytest.fixture(scope="module")
def frame_item():
    """A training item of the tiny network of whole frames, from a frame with two hands."""
    return script.FrameViews(TINY)(PosedHands()[0], np.random.default_rng(0))


def test_a_run_is_cut_carried_and_continued(tmp_path, monkeypatch):
    """A cut run continues its stage, a whole one begins another; each folder is complete and its network loads."""
    monkeypatch.setattr(script, "Renderers", Stub)
    monkeypatch.setattr(script, "FIRST_BATCHES", 1)
    place = Place()

    def run(out: str, resume: Path | None, looks: int) -> dict:
        script.train_light(tmp_path / out, Watch(looks, 10), resume, 1, 4, place, SMALL)
        state = load_pieces(tmp_path / out)
        assert state is not None
        return state

    cut = run("cut", None, 6)
    assert 0 < cut["progress"] < 1
    assert cut["step"] > 0
    for name, value in weights(tmp_path / "cut").items():
        assert torch.equal(value, cut["averaged"][name])
    continued = run("continued", tmp_path / "cut", 12)
    assert continued["step"] > cut["step"]
    assert continued["progress"] == 1
    following = run("following", tmp_path / "continued", 5)
    assert following["before"] == continued["step"]
    rows = [json.loads(line) for line in (tmp_path / "following" / "log.jsonl").read_text().splitlines()]
    assert len(rows) >= 3
    assert np.isfinite(rows[-1]["mpjpe_mm"])
    bare = run("from a checkpoint", tmp_path / "cut" / "best", 1)
    assert bare["step"] == 0
    start = weights(tmp_path / "cut")
    for name, value in weights(tmp_path / "from a checkpoint").items():
        assert torch.equal(value, start[name])
    with pytest.raises(SystemExit, match="neither a state nor a checkpoint"):
        run("nothing", tmp_path / "missing", 1)


def test_the_files_of_the_default_network_can_be_brought_back(tmp_path):
    """With the optimiser's state, which exists after a step: few files below 16 MB, no more than two folders deep."""
    learner = Learner(RegionConfig(), 1e-3)
    learner.learn(collate([random_item(1), random_item(2)]), 1e-3)
    save_pieces(tmp_path, learner.step, {**learner.state(), "progress": 0.5})
    learner.save(tmp_path / "best")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < LARGEST
    assert len(files) < 8
    again = Learner(RegionConfig(), 1e-3)
    state = load_pieces(tmp_path)
    assert state is not None
    again.resume(state)
    for learned in (learner, again):
        learned.learn(collate([random_item(3), random_item(5)]), 1e-3)
    for one, other in zip(learner.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_state_that_is_not_whole_gives_way_to_the_one_before(tmp_path):
    values = {"numbers": torch.arange(1000)}
    save_pieces(tmp_path, 1, values, limit=3000)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(kept) > 1
    save_pieces(tmp_path, 2, {"numbers": torch.arange(1001)}, limit=3000)
    assert not any(name in kept for name in os.listdir(tmp_path))
    next(iter(sorted(tmp_path.iterdir()))).unlink()  # as if writing had ended before this piece
    assert load_pieces(tmp_path) is None
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    state = load_pieces(tmp_path)
    assert state is not None
    assert torch.equal(state["numbers"], values["numbers"])


def test_bf16_reaches_the_maps_alone():
    """The outputs are float32 and near those of float32; training in bf16 lowers the loss."""
    torch.manual_seed(0)
    item = collate([random_item(number) for number in (1, 3)])
    learner = Learner(SMALL, 1e-3, Place("cpu", bf16=True))
    network = learner.network.eval()
    given = region_input(item, SMALL)
    with torch.no_grad():
        exact = network(given)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(given)
    assert not torch.equal(exact.joints, rough.joints)
    assert (exact.joints - rough.joints).abs().max() < 1e-3
    assert {rough.joints.dtype, rough.sigma.dtype, rough.mask.dtype, rough.pose.dtype} == {torch.float32}
    learner.objective.train()
    losses = [float(learner.learn(item, 3e-3)["loss"]) for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]
    assert all(value.dtype != torch.bfloat16 for value in learner.averaged.values())


def test_objectives_are_wholly_on_their_device(frame_item, monkeypatch):
    """On the device `meta`, which has no autocast, an array that stayed on the CPU raises an error."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    loss, _ = RegionObjective(SMALL).to("meta")(collate([random_item(1), random_item(3)]).to("meta"))
    loss.backward()
    assert loss.device.type == "meta"
    objective = script.on_device(build_objective(TINY), "meta")
    batch = collate_frames([frame_item] * 2)
    clouds = objective.network.lift(batch.sample.frame, batch.masks).to("meta")  # it chooses pixels by their values
    monkeypatch.setattr(objective.network, "lift", lambda *_: clouds)
    loss, _ = objective(replace(batch.to("meta"), draw=batch.draw), TINY.loss.late_epoch)
    loss.mean().backward()
    assert loss.device.type == "meta"


def test_new_items_replace_the_oldest():
    one = sum(array.nbytes for array in _leaves(random_item(0)))
    pool: Pool[RegionItem] = Pool(4.5 * one, "cpu")
    pool.add([random_item(number) for number in range(3)])
    assert pool.capacity == 4
    pool.add([random_item(number) for number in range(3, 6)])
    drawn = pool.draw(64)
    assert drawn.depth.shape == (64, 2, DEPTH_SIZE, DEPTH_SIZE)
    firsts = {float(values) for values in drawn.depth[:, 0, 0, 0]}
    assert firsts == {float(random_item(number).depth[0, 0, 0]) for number in range(2, 6)}


def _leaves(item: RegionItem) -> list[np.ndarray]:
    return [item.axes, item.region_depth, item.depth, *item.maps, item.landmarks, item.seen, item.companions,
            item.joints, item.vertices, item.shown, item.right, item.mask]  # fmt: skip


def test_views_follow_from_what_is_measured():
    assert views_of(0.7, 0.1) == 4
    assert views_of(0.7, 10.0) == 1
    assert views_of(100.0, 0.0) == MOST_VIEWS


@dataclass(frozen=True)
class Numbered(TensorRecord):
    """An item of one array."""

    number: np.ndarray


class Frames(SyntheticHands):
    """Frames that cost nothing: one cannot be drawn, another ends its process."""

    def __getitem__(self, index):
        if index == 3:
            raise ValueError("no such frame")
        if index == 6 and self.split == "train":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return index


def numbered(sample, rng) -> Numbered:
    return Numbered(np.full(4, sample))


def test_renderers_go_on_when_a_frame_fails_and_when_one_of_them_is_killed():
    told: list[str] = []
    source = Source(Frames(1), numbered, Frames(2, "validation"), 3, numbered)
    until, seen = time.monotonic() + 240, set()
    with Renderers(source, 1, told.append) as renderers:
        while time.monotonic() < until and not any(number > 10_000 for number in seen):
            seen |= {int(item.number[0]) for item in renderers.take()}
            time.sleep(0.05)
        assert sorted(int(item.number[0]) for item in renderers.held_out) == [0, 1, 2]
        assert {0, 1, 2, 4, 5} <= seen
        assert any(number > 10_000 for number in seen)
        assert renderers.faults == 2
        assert any("no such frame" in text for text in told)
        assert any("another one takes its place" in text for text in told)


def test_timing_and_training_of_the_whole_frame_network(frame_item, tmp_path, monkeypatch):
    """A tiny network on one rendered frame: rows of the timing, then AL-MPJPE against steps."""

    class Whole(Stub):
        def __init__(self, source, count, tell):
            self.items, self.held_out = 4, [frame_item]

        def take(self):
            return [frame_item] * 4

    monkeypatch.setattr(script, "Renderers", Whole)
    monkeypatch.setattr(script, "FIRST_BATCHES", 1)
    monkeypatch.setattr(script, "TIMED_BATCHES", (2,))
    monkeypatch.setattr(script, "TIMED_REPEATS", 1)
    script.train_paper(tmp_path, Watch(6, 8), 1, 4, "cpu", TINY, False)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    timed = [row for row in rows if row["kind"] == "timing"]
    assert len(timed) == 4
    assert all(row["forward_s"] > 0 and row["step_s"] > 0 for row in timed)
    assert rows[-1]["step"] > 0
    assert rows[-1]["al_mpjpe_mm"] > 0
