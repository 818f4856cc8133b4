"""Training: the stream of batches, the run that survives a kill, processes that agree, and that it learns."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes import PosedHands
from twohands import cli
from twohands.config import PRESETS, AugmentConfig, TrainConfig
from twohands.data.dataset import DATASETS, TrainingSet
from twohands.experiments.frozen import BackboneMaps, FrozenObjective, frozen_objective, write_backbone_maps
from twohands.geometry.cloud import centers_on
from twohands.hands import free_hand
from twohands.networks import build_network
from twohands.networks.checkpoint import load_checkpoint, save_checkpoint
from twohands.training import objective as objective_module
from twohands.training import train
from twohands.training.batches import BatchStream, collate
from twohands.training.log import RunLog, read_log
from twohands.training.loop import STATE, check_finite, rate
from twohands.training.losses import hand_boxes, surface_of
from twohands.training.objective import Objective
from twohands.training.validate import Validated

TINY = PRESETS["tiny"]
SIZE = TINY.network.image_size
QUICK = replace(TINY.train, batch_size=4, workers=0, save_steps=2, validate_steps=1000, learning_rate=1e-3)
HERE = Path(__file__).parent


def config_of(**changes):
    return replace(TINY, train=replace(QUICK, **changes))


def items_of(count=6, seed=0):
    return TrainingSet(PosedHands(count), SIZE, AugmentConfig(mask_noise=0.5), seed)


def weights_of(folder):
    return dict(load_checkpoint(folder)[0].named_parameters())


def state_of(folder):
    """Return the weights with the statistics of batch normalisation."""
    return load_checkpoint(folder)[0].state_dict()


def assert_same_weights(one, two, **tolerance):
    for (name, a), b in zip(one.items(), two.values(), strict=True):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}", **tolerance)


# batches


def test_every_frame_is_seen_once_an_epoch_in_an_order_of_its_own():
    draws = list(chain(*BatchStream(10, 4, seed=3, first=0, last=5)))
    assert sorted(draws) == [(epoch, index) for epoch in range(2) for index in range(10)]
    first, second = ([index for e, index in draws if e == epoch] for epoch in range(2))
    assert first != second
    assert draws != list(chain(*BatchStream(10, 4, seed=4, first=0, last=5)))


def test_a_stream_continues_where_it_was_cut():
    whole = list(BatchStream(7, 4, seed=0, first=0, last=6))
    assert list(BatchStream(7, 4, seed=0, first=2, last=6)) == whole[2:]


def test_processes_and_accumulation_share_the_frames_of_every_step():
    whole = list(BatchStream(50, 12, seed=0, first=0, last=3))
    shares = [list(BatchStream(50, 12, 0, 0, 3, processes=3, process=p, accumulation=2)) for p in range(3)]
    for step in range(3):
        parts = [shares[process][2 * step + turn] for turn in range(2) for process in range(3)]
        assert list(chain(*parts)) == whole[step]


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="batch_size 8 cannot be cut into 3 processes x accumulation 1"):
        BatchStream(50, 8, 0, 0, 3, processes=3)


def test_parts_too_small_for_their_statistics_are_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        BatchStream(50, 8, 0, 0, 3, processes=2)
        assert not caplog.records
        for process in range(4):
            BatchStream(50, 8, 0, 0, 3, processes=4, process=process)
    assert len(caplog.records) == 1
    assert "takes its statistics over parts of 2 frames" in caplog.text


# the recipe


def test_the_published_rate_drops_tenfold_at_epoch_30():
    recipe = TrainConfig()
    assert [rate(recipe, 0, 100, epoch) for epoch in (0, 29, 30, 79)] == pytest.approx([1, 1, 0.1, 0.1])


def test_cosine_rate_rises_and_ends_at_zero():
    recipe = TrainConfig(schedule="cosine", warmup=0.1)
    rates = [rate(recipe, step, 100, 0) for step in range(100)]
    assert rates[0] == pytest.approx(0.1, abs=0.01)
    assert max(rates) == rates[int(np.argmax(rates))] > 0.95
    assert rates[50] == pytest.approx(0.5)
    assert 0 < rates[-1] < 1e-3


def test_a_loss_that_is_not_finite_names_term_and_frame():
    total = torch.tensor([1.0, float("nan"), 2.0])
    terms = {"root": torch.zeros(3), "edges": torch.tensor([0.0, float("nan"), 0.0])}
    with pytest.raises(FloatingPointError, match=r"frame b is nan: edges\."):
        check_finite(total, terms, ("a", "b", "c"))
    check_finite(torch.ones(3), terms, ("a", "b", "c"))
    alone = collate([items_of()[0, 3]]).sample.id  # a part of one frame
    with pytest.raises(FloatingPointError, match=r"frame posed-3 is nan: edges\."):
        check_finite(total[1:2], {name: values[1:2] for name, values in terms.items()}, alone)


# learning


def test_one_batch_halves_its_loss_in_30_steps():
    torch.manual_seed(0)
    model = free_hand()
    objective = Objective(build_network(TINY.network, model), surface_of(model), TINY.loss, 0.0)
    items = TrainingSet(PosedHands(4), SIZE, AugmentConfig.none(), 0)
    batch = collate([items[0, index] for index in range(4)])
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = objective.train()(batch, 0)[0].mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def test_a_fraction_of_the_frames_sees_the_centres_of_the_network_itself(monkeypatch):
    items = items_of(6)
    batch = collate([items[0, index] for index in range(6)])
    true, _ = hand_boxes(batch.sample)

    def seen(fraction, noise):
        network = build_seeded()
        objective = Objective(network, surface_of(free_hand()), TINY.loss, noise, own_centers=fraction)
        given = []
        reconstruct = network.reconstruct
        monkeypatch.setattr(
            network, "reconstruct", lambda scene, *rest: given.append(scene.centers) or reconstruct(scene, *rest)
        )
        objective.eval()(batch, 0)
        return given[0], centers_on(batch.masks, network.locate(batch.sample.frame).centers)

    centers, _ = seen(0.0, 0.0)
    torch.testing.assert_close(centers, true)
    centers, own = seen(1.0, 0.0)
    torch.testing.assert_close(centers, own)
    noisy, _ = seen(0.0, 0.01)
    assert 0.2 < (noisy - true).std() / (0.01 * SIZE) < 2
    mixed, own = seen(0.5, 0.0)
    kinds = {bool((mixed[b] == own[b]).all()) for b in range(6)}
    assert kinds == {True, False}  # by frame; this seed draws both


# runs


def test_a_run_leaves_its_configuration_log_state_and_checkpoints(tmp_path):
    scores = iter([3.0, 2.0, 5.0])
    config = config_of(steps=3, validate_steps=1)

    def validate(network):
        """The first metric is not the score."""
        score = next(scores)
        return Validated(score, {"found": -score, "mpjpe": score})

    final = train(config, items_of(), tmp_path, validate, progress=False)
    assert final == tmp_path / "final"
    assert json.loads((tmp_path / "config.json").read_text())["train"]["steps"] == 3
    first, *records = read_log(tmp_path)
    assert set(first) >= {"version", "commit", "machine", "seed"}
    assert [record["mpjpe"] for record in records if record["kind"] == "validation"] == [3, 2, 5]
    (trained,) = (record for record in records if record["kind"] == "train")
    assert set(trained) >= {"loss", "root", "center", "learning_rate", "epoch", "cpu_seconds"}
    assert torch.load(tmp_path / STATE, weights_only=True)["progressed"]["best"] == 2
    best, last = weights_of(tmp_path / "best"), weights_of(final)
    assert any((a != b).any() for a, b in zip(best.values(), last.values(), strict=True))
    assert list((tmp_path / "events").glob("events.*"))


class Killed(Exception):
    pass


class Dying:
    """Items with one that cannot be read, where the run ends as if killed."""

    def __init__(self, items, reads):
        self.items, self.reads = items, reads

    def __len__(self):
        return len(self.items)

    def __getitem__(self, draw):
        self.reads -= 1
        if self.reads < 0:
            raise Killed
        return self.items[draw]


def test_two_steps_and_two_more_equal_four_bit_for_bit(tmp_path):
    config = config_of(steps=4)
    train(config, items_of(), tmp_path / "whole", progress=False)
    with pytest.raises(Killed):
        train(config, Dying(items_of(), 3 * 4 + 1), tmp_path / "cut", progress=False)  # dies in the fourth step
    assert torch.load(tmp_path / "cut" / STATE, weights_only=True)["progressed"]["step"] == 2
    train(config, items_of(), tmp_path / "cut", progress=False)
    assert_same_weights(state_of(tmp_path / "whole" / "final"), state_of(tmp_path / "cut" / "final"), rtol=0, atol=0)


def test_a_run_that_ends_in_a_validation_continues_with_it(tmp_path):
    """It does not repeat finished steps."""
    config, steps = config_of(steps=2, save_steps=100, validate_steps=1), []

    def validate(network):
        steps.append(torch.load(tmp_path / STATE, weights_only=True)["progressed"]["step"])
        if len(steps) == 1:
            raise Killed
        return Validated(4.0 - len(steps), {"mpjpe": 4.0 - len(steps)})

    with pytest.raises(Killed):
        train(config, items_of(), tmp_path, validate, progress=False)
    train(config, Dying(items_of(), 4), tmp_path, validate, progress=False)  # enough for the second step
    assert steps == [1, 1, 2]
    validated = [record for record in read_log(tmp_path) if record.get("kind") == "validation"]
    assert [(record["step"], record["mpjpe"]) for record in validated] == [(1, 2.0), (2, 1.0)]
    train(config, items_of(), tmp_path, validate, progress=False)
    assert steps == [1, 1, 2]  # nothing was left to do


PROGRAM = """
import sys
from test_training import Waiting, config_of, items_of, train
if __name__ == "__main__":
    train(config_of(**eval(sys.argv[2])), Waiting(items_of(), int(sys.argv[3])), sys.argv[1], progress=False)
"""


class Waiting:
    """Items that come no more after a number of reads, so that a run is still at work when it is killed."""

    def __init__(self, items, reads):
        self.items, self.reads = items, reads

    def __len__(self):
        return len(self.items)

    def __getitem__(self, draw):
        self.reads -= 1
        if self.reads < 0:
            time.sleep(600)
        return self.items[draw]


def started(folder, launcher=(), reads=1000, **changes):
    """Start a process that trains in `folder`, and waits after a number of reads."""
    program = folder.parent / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, *launcher, str(program), str(folder), repr(changes), str(reads)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_run_survives_kill_9(tmp_path):
    process = started(tmp_path / "run", reads=4 * 4 + 1, steps=8, save_steps=1)  # it waits in the fifth step
    until = time.monotonic() + 240
    while not (tmp_path / "run" / STATE).exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output
    config = config_of(steps=8, save_steps=1)
    assert 0 < torch.load(tmp_path / "run" / STATE, weights_only=True)["progressed"]["step"] < 8
    train(config, items_of(), tmp_path / "run", progress=False)
    train(config, items_of(), tmp_path / "whole", progress=False)
    assert_same_weights(state_of(tmp_path / "whole" / "final"), state_of(tmp_path / "run" / "final"), rtol=0, atol=0)
    steps = [record["step"] for record in read_log(tmp_path / "run") if record.get("kind") == "train"]
    assert steps == [8]


def test_two_processes_learn_what_one_does_with_two_parts_of_each_batch(tmp_path):
    """Compare weights only: one process keeps the statistics of both parts, two keep those of the first."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    process = started(tmp_path / "two", launcher, steps=2)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    train(config_of(steps=2, accumulation=2), items_of(), tmp_path / "one", progress=False)
    one, two = weights_of(tmp_path / "one" / "final"), weights_of(tmp_path / "two" / "final")
    assert_same_weights(one, two, rtol=1e-4, atol=1e-5)
    start = dict(build_seeded().named_parameters())
    assert max(float((one[name] - start[name]).detach().abs().max()) for name in one) > 1e-3  # the weights did change


def build_seeded():
    torch.manual_seed(0)
    return build_network(TINY.network, free_hand())


def test_the_folder_of_another_run_is_refused(tmp_path):
    train(config_of(steps=1), items_of(), tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"train.learning_rate = 0.001, not 0.01; give another --out"):
        train(config_of(steps=1, learning_rate=1e-2), items_of(), tmp_path, progress=False)


def test_a_run_folder_knows_its_data(tmp_path, monkeypatch, capsys):
    sets = {"one": PosedHands(4), "two": PosedHands(5), "moved/one": PosedHands(4)}
    monkeypatch.setitem(DATASETS, "synthetic", lambda folder, split: sets[folder])
    changes = ["--train.steps", "1", "--train.batch-size", "4", "--train.workers", "0"]

    monkeypatch.setattr(objective_module, "build_network", lambda config, model, *_: build_network(config, model))

    def command(*data):
        return cli.main(["train", "tiny", "--out", str(tmp_path / "run"), *changes, "--data", *data])

    assert command("one", "one") == command("one", "moved/one") == 0
    for other, difference in (
        (["one", "two"], "data.1.count = 4, not 5"),
        (["one"], "data.1.name = 'synthetic', not None"),
        (["one", "one", "--mix", "1", "2"], "data.1.weight = 1.0, not 2.0"),
        (["one", "one", "--pretrained"], "pretrained = False, not True"),
        (["one", "one", "--validation", "one"], None),
    ):
        assert (command(*other) == 0) == (difference is None)
        assert difference is None or f"holds a run with {difference}; give another --out" in capsys.readouterr().err


def test_what_ends_a_run_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(DATASETS, "synthetic", lambda folder, split: PosedHands(4))
    arguments = ["train", "tiny", "--data", "one", "--out", str(tmp_path / "run"), "--train.workers", "0"]
    other = replace(TINY.network, fused_channels=16)
    save_checkpoint(build_network(other, free_hand()), other, tmp_path / "other")
    with pytest.raises(
        ValueError, match=r"other is not that of this network: size mismatch.*give a backbone of the same"
    ):
        frozen_objective(TINY, tmp_path / "other")
    monkeypatch.setattr(Objective, "forward", lambda self, item, epoch: (torch.full((8,), float("nan")), {}))
    assert cli.main(arguments) == 2
    assert "the loss of frame posed-" in capsys.readouterr().err


def test_a_log_is_cut_back_to_where_the_run_continues(tmp_path):
    log = RunLog(tmp_path, 0, 0)
    for step in (20, 40):
        log.write("train", step, {"loss": step})
    log.close()
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"kind": "tra')
    RunLog(tmp_path, 0, 20).close()
    assert [record["step"] for record in read_log(tmp_path) if "kind" in record] == [20]
    assert read_log(tmp_path)[-1]["continued_at"] == 20


# a frozen image branch

POSED = {"name": "posed", "split": "train"}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbone")
    save_checkpoint(build_seeded(), TINY.network, folder / "checkpoint")
    write_backbone_maps(folder / "checkpoint", PosedHands(6), POSED, folder / "maps", lambda count: None)
    return folder


def test_maps_of_the_backbone_train_as_frames_do(backbone):
    network, _ = load_checkpoint(backbone / "checkpoint")
    objective = FrozenObjective(network, surface_of(free_hand()), TINY.loss, 0.01).eval()
    plain = TrainingSet(PosedHands(6), SIZE, AugmentConfig.none(), 0)
    maps = BackboneMaps(backbone / "maps", AugmentConfig.none(), 0, POSED)
    assert maps[2, 4].sample.id == "posed-train-000004"
    one, two = (objective(collate([items[2, index] for index in (4, 1)]), 0) for items in (plain, maps))
    torch.testing.assert_close(one[0], two[0], rtol=5e-3, atol=0)  # maps are float16, colours 8-bit
    for name in one[1]:
        torch.testing.assert_close(one[1][name], two[1][name], rtol=2e-2, atol=1e-4)


def test_a_frozen_image_branch_does_not_move(backbone, tmp_path):
    maps = BackboneMaps(backbone / "maps", AugmentConfig(mask_noise=0.5), 0, POSED)
    config = config_of(steps=2)
    objective = frozen_objective(config, backbone / "checkpoint")
    final = train(config, maps, tmp_path, objective=objective, progress=False)
    before, after = load_checkpoint(backbone / "checkpoint")[0], load_checkpoint(final)[0]
    for name, value in before.image.state_dict().items():
        torch.testing.assert_close(value, after.image.state_dict()[name], rtol=0, atol=0)
    assert any((a != b).any() for a, b in zip(before.decoder.parameters(), after.decoder.parameters(), strict=True))


def test_maps_continue_after_a_kill_and_refuse_others(backbone, tmp_path):
    counted = []

    class Failing(PosedHands):
        def __getitem__(self, index):
            if index >= 17:
                raise Killed
            return super().__getitem__(index)

    checkpoint = backbone / "checkpoint"
    with pytest.raises(Killed):
        write_backbone_maps(checkpoint, Failing(18), POSED, tmp_path / "maps", counted.append)
    with pytest.raises(ValueError, match="lacks 2 of 18 frames"):
        BackboneMaps(tmp_path / "maps", AugmentConfig.none(), 0, POSED)
    write_backbone_maps(checkpoint, PosedHands(18), POSED, tmp_path / "maps", counted.append)
    assert counted == [0, 16, 16, 2]
    assert len(BackboneMaps(tmp_path / "maps", AugmentConfig.none(), 0, POSED)) == 18
    others = {**POSED, "name": "others"}
    for attempt in (
        lambda: write_backbone_maps(checkpoint, PosedHands(18), others, tmp_path / "maps", counted.append),
        lambda: BackboneMaps(tmp_path / "maps", AugmentConfig.none(), 0, others),
    ):
        with pytest.raises(ValueError, match=r"holds maps with data.name = 'posed', not 'others'; remove that folder"):
            attempt()


def test_maps_that_the_disk_has_no_room_for_are_refused(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 8, 1_000_000))
    with pytest.raises(
        ValueError, match=r"the maps of 90 frames take 0\.\d GB, .* 0\.0 GB left; free some space, give"
    ):
        write_backbone_maps(backbone / "checkpoint", PosedHands(90), POSED, tmp_path / "maps", lambda count: None)
    assert not list((tmp_path / "maps").iterdir())
