"""Method `light`: the region network as a module and as a shipped graph, its training items, and its locator."""

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.hands import free_hand
from twohands.hands.skeleton import ROOT
from twohands.light_config import LightConfig, RegionConfig
from twohands.locate.region_reader import SHIPPED_LIGHT, RegionReader
from twohands.networks.region_checkpoint import load_region_network, save_region_network
from twohands.networks.region_export import open_region_network
from twohands.networks.region_network import RegionNetwork, RegionOutput
from twohands.predictor import load
from twohands.region import Region, region_at, views
from twohands.shards import Shards, write_shards
from twohands.synth.config import FULL
from twohands.synth.engine import SyntheticHands
from twohands.training.region_items import Disturbance
from twohands.training.region_loop import CALM, Stage, collate, run_stage, train_light
from twohands.training.region_loss import RegionObjective, mesh, region_input
from twohands.training.region_set import ECHO_STEPS, ECHOES, RegionSet, echoed
from twohands.types import LEFT, RIGHT

SMALL = RegionConfig(widths=(16, 8, 16, 16), tokens=16)
SWITCHES = [
    {},
    {"colour": False},
    {"landmarks": False},
    {"join": "concat"},
    {"refinements": 0},
    {"cross_hand": False},
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """Six rendered frames of two hands each."""
    folder = tmp_path_factory.mktemp("light") / "frames"
    config = replace(FULL, two_hands=1.0, one_hand=0.0, width=320, height=240)
    frames = SyntheticHands(5, "train", config, 6)
    write_shards(frames, 6, folder, frames.content)
    return folder


def test_targets_are_the_hands_of_the_frame(shards):
    """Joints and vertices of an item, taken back to the camera, are those of the sample."""
    items = RegionSet([shards], 0, replace(CALM, other_side=0, elsewhere=0))
    sample = items.shards[shards][0]
    item = items.item(sample, np.random.default_rng(0))
    for side in (LEFT, RIGHT):
        if item.shown[side] == 0:
            continue
        region = Region(item.axes[side].astype(float), np.float64(item.region_depth[side]))
        joints = region.from_plane(item.joints[side].astype(float))
        np.testing.assert_allclose(joints, sample.hands.joints[side], atol=2e-5)
        vertices = item.vertices[side] @ item.axes[side]
        about = np.asarray(sample.hands.vertices)[side][items.vertex_ids] - sample.hands.joints[side][ROOT]
        np.testing.assert_allclose(vertices, about, atol=2e-5)
        assert np.linalg.det(item.axes[side]) == pytest.approx(-1 if side == LEFT else 1, abs=1e-5)
        assert np.abs(item.joints[side, :, :2]).max() < 0.2


def test_the_hand_lies_where_its_mask_and_depth_say(shards):
    items = RegionSet([shards], 0, replace(CALM, other_side=0, elsewhere=0))
    checked = 0
    for number in range(6):
        item = items[number]
        for side in (LEFT, RIGHT):
            if item.shown[side] > 0.7 and item.mask[side].sum() > 40:
                rows, columns = np.nonzero(item.mask[side] > 0.5)
                middle = ((np.stack([columns, rows], axis=-1) + 0.5) / 28 - 0.5) * 0.26
                assert np.linalg.norm(middle.mean(axis=0) - item.joints[side, :, :2].mean(axis=0)) < 0.05
                checked += 1
    assert checked > 3


def test_hands_shown_as_of_the_other_side_say_so(shards):
    items = RegionSet([shards], 0, replace(CALM, other_side=1.0, elsewhere=0))
    item = items[0]
    there = item.shown > 0
    assert there.any()
    assert (item.right[there] == 0).all()
    assert item.companions == 0


def test_a_blind_region_has_no_depth_and_a_dark_one_no_colour(shards):
    blind = RegionSet([shards], 0, Disturbance(no_depth=1.0, no_colour=0.0))[0]
    assert np.isnan(blind.depth).all()
    assert np.abs(blind.maps[0]).max() > 0
    dark = RegionSet([shards], 0, Disturbance(no_depth=0.0, no_colour=1.0))[0]
    assert np.isfinite(dark.depth).any()
    assert not any(np.abs(values).max() > 0 for values in dark.maps)
    assert (dark.seen[:, 0] == 0).all()


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_every_ablation_learns(shards, switches):
    """Some steps on one batch lower its loss; what a switch leaves out does not change the output."""
    torch.manual_seed(0)
    items = RegionSet([shards], 0, replace(CALM, alone=0))
    batch = collate([items[number] for number in range(4)])
    objective = RegionObjective(replace(SMALL, **switches))
    optimizer = torch.optim.Adam(objective.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss, _ = objective(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    objective.eval()
    config = objective.network.config
    with torch.no_grad():
        given = region_input(batch, config)
        first = objective.network(given).joints
        dark = objective.network(replace(given, maps=tuple(torch.zeros_like(m) for m in given.maps))).joints
        bare = objective.network(
            replace(given, landmarks=torch.zeros_like(given.landmarks), seen=torch.zeros_like(given.seen))
        ).joints
    assert (first - dark).abs().max() == 0 if not config.colour else (first - dark).abs().max() > 0
    assert (first - bare).abs().max() == 0 if not config.landmarks else (first - bare).abs().max() > 0


def test_companions_see_each_other_and_nobody_else(shards):
    torch.manual_seed(0)
    items = RegionSet([shards], 0, replace(CALM, other_side=0, elsewhere=0))
    batch = collate([items[number] for number in range(3)])
    network = RegionNetwork(SMALL, 10).eval()
    for name, value in network.named_parameters():
        if name.endswith("gate"):
            torch.nn.init.ones_(value)
    given = region_input(batch, SMALL)
    pairs = torch.block_diag(*(torch.tensor([[0.0, 1.0], [1.0, 0.0]]) for _ in range(3)))
    with torch.no_grad():
        together = network(replace(given, companion=pairs)).joints
        changed = replace(given, companion=pairs, depth=given.depth.clone())
        changed.depth[1] += 0.05
        moved = (network(changed).joints - together).abs().amax(dim=(1, 2))
        lonely = network(replace(given, companion=torch.zeros_like(pairs))).joints
    assert moved[0] > 0
    assert moved[1] > 0
    assert (moved[2:] == 0).all()
    assert (lonely - together).abs().max() > 0


def test_parameters_draw_the_right_hand():
    """The mesh of the loss is that of the hand model, for the same pose."""
    model = free_hand(252)
    rng = np.random.default_rng(0)
    parameters = model.neutral()
    parameters = replace(
        parameters,
        pose=rng.normal(0, 0.3, (2, 15, 3)),
        shape=rng.normal(0, 1, (2, 10)),
        rotation=rng.normal(0, 1, (2, 3)),
    )
    hands = model(parameters)
    nothing = torch.zeros(1)
    own = slice(RIGHT, RIGHT + 1)
    output = RegionOutput(
        nothing, nothing, (), nothing, nothing,
        rotation=torch.tensor(matrix_from_axis_angle(parameters.rotation[own]), dtype=torch.float32),
        pose=torch.tensor(matrix_from_axis_angle(parameters.pose[own]), dtype=torch.float32),
        shape=torch.tensor(parameters.shape[own], dtype=torch.float32),
    )  # fmt: skip
    vertices, joints = mesh(output, model.map(torch.as_tensor))
    np.testing.assert_allclose(vertices[0].numpy(), np.asarray(hands.vertices)[RIGHT], atol=1e-5)
    np.testing.assert_allclose(joints[0].numpy(), hands.joints[RIGHT], atol=1e-5)


def test_items_come_back_in_later_batches():
    """Whatever step a stage resumes at; most items of a long stage are drawn once and learned from ECHOES times."""
    numbers = echoed(1000, 300, 0, 12)
    assert len(numbers) == 300 * 12
    assert numbers[12 * 100 :] == echoed(1000, 200, 100, 12)
    batches = np.array(numbers).reshape(300, 12)
    assert all(len(set(batch)) == 12 for batch in batches.tolist())
    item = batches[150, 0]
    steps = np.flatnonzero((batches == item).any(axis=1))
    assert steps.tolist() == [150 - ECHO_STEPS * echo for echo in reversed(range(ECHOES))]


def test_an_item_that_comes_back_is_not_drawn_again(shards):
    items = RegionSet([shards], 4)
    assert items[7] is items[7]


def test_a_stage_resumes_where_it_was_stopped(shards, tmp_path, monkeypatch):
    """A run that is stopped and continued ends with the weights of one that was not."""
    stage = Stage("one", (shards,), steps=4, batch=2, workers=0)
    torch.manual_seed(0)
    assert run_stage(stage, SMALL, tmp_path / "whole", save_steps=2, tell=lambda _: None)
    torch.manual_seed(0)
    clock = iter(range(100))
    with monkeypatch.context() as patched:
        patched.setattr("twohands.training.region_loop.time.time", lambda: next(clock))
        assert not run_stage(stage, SMALL, tmp_path / "cut", save_steps=2, tell=lambda _: None, until=2.5)
    assert run_stage(stage, SMALL, tmp_path / "cut", save_steps=2, tell=lambda _: None)
    whole, cut = (load_region_network(tmp_path / name / "best").state_dict() for name in ("whole", "cut"))
    for name, value in whole.items():
        assert torch.equal(value, cut[name]), name


def test_a_stopped_stage_keeps_its_last_step(shards, tmp_path):
    """SIGTERM after the second step: the state and the checkpoint are written, and the run ends as interrupted."""
    stage = Stage("one", (shards,), steps=40, batch=2, workers=0)

    def terminate(step: int) -> None:
        if step == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, SMALL, tmp_path, save_steps=1000, tell=lambda _: None, show=terminate)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 2
    load_region_network(tmp_path / "best")


def test_the_shipped_graph_starts_a_run(shards, tmp_path):
    """Its weights, read back, say what the graph says."""
    network = open_region_network(Path(str(SHIPPED_LIGHT)))
    items = RegionSet([shards], 0, CALM)
    given = region_input(collate([items[0]]), network.config)
    session = RegionReader().session
    names = ("axes", "region_depth", "depth", "map_0", "map_1", "map_2", "landmarks", "seen", "companion")
    values = (
        given.region.axes,
        given.region.depth,
        given.depth,
        *given.maps,
        given.landmarks,
        given.seen,
        given.companion,
    )
    with torch.no_grad():
        output = network(given)
    feeds = {name: value.numpy() for name, value in zip(names, values, strict=True)}
    present, joints = session.run(("present", "joints"), feeds)
    np.testing.assert_allclose(np.asarray(joints), output.joints.numpy(), atol=1e-4)
    np.testing.assert_allclose(np.asarray(present), output.present.numpy(), atol=1e-2)
    stage = Stage("one", (shards,), steps=1, batch=1, workers=0, learning_rate=0.0)
    run_stage(stage, network.config, tmp_path, tell=lambda _: None, weights=network.state_dict())
    started = load_region_network(tmp_path / "best").state_dict()
    own = network.state_dict()
    assert all(torch.equal(own[name], value) for name, value in started.items() if name.endswith("weight"))


def test_a_checkpoint_of_another_method_is_refused(tmp_path):
    save_region_network(RegionNetwork(SMALL, 10), tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"light"', '"pdfnet"'))
    with pytest.raises(ValueError, match="no network of method 'light'"):
        load_region_network(tmp_path)


def test_frames_that_cannot_be_trained_on_are_refused_before_anything_is_written(shards, tmp_path):
    class OfMano:
        def __getitem__(self, index: int):
            return replace(Shards(shards)[index], joint_definition="mano")

    write_shards(OfMano(), 2, tmp_path / "mano", {"split": "train", "seed": 0}, progress=False)
    (tmp_path / "empty").mkdir()
    for name, reason in (("mano", "lacks meshes of the free hand"), ("empty", "has no shards")):
        with pytest.raises(ValueError, match=reason):
            train_light(LightConfig(), [tmp_path / name], tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", [None, "light", "pdfnet"])
def test_a_checkpoint_of_light_is_to_be_exported_first(tmp_path, method):
    save_region_network(RegionNetwork(SMALL, 10), tmp_path)
    with pytest.raises(ValueError, match=r"twohands export .* --out GRAPH"):
        load(method, network=tmp_path)


@pytest.fixture(scope="module")
def reader() -> RegionReader:
    return RegionReader()


def test_mirrored_frames_give_mirrored_hands(reader, shards):
    """Within 0.1 mm, as the region network sees the same pictures."""
    sample = RegionSet([shards], 0).shards[shards][1]
    frame = sample.frame
    camera = frame.camera.map(np.float64)
    rgb, depth = np.asarray(frame.rgb), np.asarray(frame.depth)
    other = replace(frame, rgb=rgb[:, :, ::-1].copy(), depth=depth[:, ::-1].copy(), camera=frame.camera.mirror())
    for side in (LEFT, RIGHT):
        pixel = camera.project(np.asarray(sample.hands.joints[side], float)[[9]])[0]
        place = float(sample.hands.joints[side][9, 2])
        here = reader(views(frame, [region_at(camera, pixel, 0.4, place, side == LEFT)]))
        mirror = np.array([camera.width - 1 - pixel[0], pixel[1]])
        there = reader(views(other, [region_at(other.camera.map(np.float64), mirror, -0.4, place, side != LEFT)]))
        np.testing.assert_allclose(here.joints * [-1, 1, 1], there.joints, atol=1e-4)
        np.testing.assert_allclose(here.present, there.present, atol=1e-3)


def test_the_reader_takes_no_regions(reader, shards):
    frame = RegionSet([shards], 0).shards[shards][0].frame
    assert reader(views(frame, [])).joints.shape == (0, 21, 3)


def test_a_folder_without_graph_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"twohands export"):
        RegionReader(str(tmp_path))
