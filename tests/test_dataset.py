"""Sources by name, mixtures, damaged files, and frames with missing labels."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from fakes import OneSample, PosedHands
from test_training import SIZE, TINY, assert_same_weights, config_of, weights_of
from twohands import cli
from twohands.choices import DatasetName
from twohands.config import AugmentConfig
from twohands.data.dataset import DATASETS, Mixture, TrainingSet, cloud_masks, open_dataset, open_mixture
from twohands.data.inspection import FACTS
from twohands.data.readers.common import DamagedFileError
from twohands.hands import free_hand
from twohands.networks import build_network
from twohands.training import train
from twohands.training.batches import collate
from twohands.training.losses import TERMS, surface_of, total_loss
from twohands.training.objective import Objective
from twohands.types import LEFT, RIGHT

PLAIN = AugmentConfig.none()


class Without:
    """Another data set's frames with some labels missing."""

    def __init__(self, inner, meshes=True, masks=True, definition="free"):
        self.inner, self.meshes, self.masks, self.definition = inner, meshes, masks, definition

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        sample = self.inner[index]
        hands = sample.hands
        if not self.meshes:
            hands = replace(hands, vertices=None, parameters=None)
        return replace(
            sample,
            hands=hands,
            masks=sample.masks if self.masks else None,
            visibility=None,
            visible_fraction=None,
            joint_definition=self.definition,
        )


class Damaged(OneSample):
    """A data set in which the frames at `bad` indices cannot be read."""

    def __init__(self, count, bad):
        super().__init__("frame", count)
        self.bad = set(bad)

    def __getitem__(self, index):
        if index in self.bad:
            error = DamagedFileError(f"{index}.png is truncated")
            error.path = f"{index}.png"
            raise error
        return super().__getitem__(index)


# sources


@pytest.fixture
def opened(monkeypatch):
    """Replace the readers by ones that only record what they are asked for; return the record."""
    for name in DATASETS:
        monkeypatch.setitem(DATASETS, name, lambda folder, split, name=name: (name, folder, split))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("h2o=/data/H2O", ("h2o", "/data/H2O", "test")),
        ("rhd:validation=/data/R=1", ("rhd", "/data/R=1", "validation")),
        ("runs/rate=3/frames", ("synthetic", "runs/rate=3/frames", "test")),
        ("data/synth", ("synthetic", "data/synth", "test")),
    ],
)
def test_a_source_names_data_split_and_folder(opened, source, expected):
    assert open_dataset(source, "test") == expected


@pytest.mark.parametrize(
    ("name", "kind"), [("h2o", "H2O"), ("h2o3d", "H2O3D"), ("ho3d", "HO3D"), ("rhd", "RHD"), ("dexycb", "DexYCB")]
)
def test_every_name_has_its_reader(name, kind, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        open_dataset(f"{name}={tmp_path}")
    from importlib import import_module

    module = import_module(f"twohands.data.readers.{name}")
    monkeypatch.setattr(module, kind, lambda folder, split, *protocol: (folder, split))
    assert open_dataset(f"{name}:test=somewhere") == ("somewhere", "test")


def test_what_cannot_be_opened_is_told(opened):
    with pytest.raises(ValueError, match="data set 'nyu' is unknown; known are synthetic, h2o"):
        open_dataset("nyu=/data")
    with pytest.raises(ValueError, match="split 'all' is unknown; choose one of train, validation, test"):
        open_dataset("h2o:all=/data")
    with pytest.raises(ValueError, match="there is no data set"):
        open_mixture(())


# mixtures


def test_a_mixture_has_every_frame_as_often_as_its_weight_says():
    sets = OneSample("large", 10), OneSample("small", 3), OneSample("half", 4)
    mixture = Mixture(sets, (1, 3, 1.5))
    places = [mixture.place(index) for index in range(len(mixture))]
    assert len(mixture) == 10 + 9 + 6
    counts = {place: places.count(place) for place in places}
    assert counts == {
        **{(0, index): 1 for index in range(10)},
        **{(1, index): 3 for index in range(3)},
        **{(2, index): 2 if index < 2 else 1 for index in range(4)},
    }
    assert places == [Mixture(sets, (1, 3, 1.5)).place(index) for index in range(len(mixture))]
    owners = [owner for owner, _ in places[:12]]  # evenly: any half has half of each
    assert [owners.count(owner) for owner in range(3)] == [5, 4, 3]
    assert mixture[places.index((1, 2))].id == "small-2"


def test_one_source_alone_keeps_its_order():
    mixture = Mixture([OneSample("only", 5)])
    assert [mixture.place(index) for index in range(5)] == [(0, index) for index in range(5)]


@pytest.mark.parametrize("weights", [(1,), (1, 0.5), (1, float("nan"))])
def test_weights_that_cannot_be_meant(weights):
    with pytest.raises(ValueError, match=r"give one for each|1 or more"):
        Mixture([OneSample("a", 2), OneSample("b", 2)], weights)


def test_a_run_on_a_mixture_continues_bit_for_bit(tmp_path):
    def items():
        mixture = Mixture([PosedHands(3), Without(PosedHands(2), meshes=False, masks=False)], (1, 2))
        return TrainingSet(mixture, SIZE, AugmentConfig(mask_noise=0.5), 0)

    whole = train(config_of(steps=4), items(), tmp_path / "whole", progress=False)

    class Dying:
        left = 11

        def __len__(self):
            return len(items())

        def __getitem__(self, draw):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return items()[draw]

    with pytest.raises(KeyboardInterrupt):
        train(config_of(steps=4), Dying(), tmp_path / "cut", progress=False)
    cut = train(config_of(steps=4), items(), tmp_path / "cut", progress=False)
    assert_same_weights(weights_of(whole), weights_of(cut), rtol=0, atol=0)


def test_the_command_mixes_what_it_is_given(tmp_path, monkeypatch):
    sets = {"one": PosedHands(2), "two": Without(PosedHands(3), meshes=False)}
    monkeypatch.setitem(DATASETS, "synthetic", lambda folder, split: sets[folder])
    seen = []

    def run(config, items, *rest):
        seen.append((len(items), items.hand_model))
        return tmp_path

    monkeypatch.setattr("twohands.training.train", run)
    monkeypatch.setattr("twohands.training.objective.build_objective", lambda *_: None)  # MANO's files are missing
    command = ["train", "tiny", "--out", str(tmp_path / "run"), "--data", "one", "two"]
    assert cli.main([*command, "--mix", "2", "1"]) == 0
    assert cli.main([*command, "--network.hand-model", "mano"]) == 0
    assert seen == [(7, "free"), (5, "mano")]


# damaged files


def test_a_damaged_frame_is_replaced_by_one_that_the_draw_chooses(caplog):
    items = TrainingSet(Damaged(50, {4, 7}), SIZE, PLAIN, 0)
    chosen = [[items[epoch, index].sample.id for epoch in range(6)] for index in (4, 7, 5)]
    again = TrainingSet(Damaged(50, {4, 7}), SIZE, PLAIN, 0)
    assert again[3, 4].sample.id == chosen[0][3]
    assert len(set(chosen[0])) > 3
    assert not {"frame-4", "frame-7"} & {*chosen[0], *chosen[1]}
    assert set(chosen[2]) == {"frame-5"}


def test_each_damaged_file_is_named_once(caplog):
    items = TrainingSet(Damaged(50, {4, 7}), SIZE, PLAIN, 0)
    with caplog.at_level(logging.WARNING):
        for index in (4, 7, 4, 4):
            items[0, index]
    assert [record.getMessage() for record in caplog.records] == [
        "left out: 4.png is truncated",
        "left out: 7.png is truncated",
    ]


def test_a_data_set_without_a_frame_that_can_be_read():
    with pytest.raises(DamagedFileError, match="png is truncated"):
        TrainingSet(Damaged(3, range(3)), SIZE, PLAIN, 0)[0, 0]


# missing labels


def test_frames_with_and_without_labels_are_one_batch():
    kinds = [(True, True), (False, True), (True, False), (False, False)]
    items = [TrainingSet(Without(PosedHands(4), *kind), SIZE, PLAIN, 0)[0, index] for index, kind in enumerate(kinds)]
    sample = collate(items).sample
    assert sample.meshes_known.tolist() == [[meshes] * 2 for meshes, _ in kinds]
    assert sample.masks_known.tolist() == [[masks] * 2 for _, masks in kinds]
    assert sample.hands.vertices.shape == (4, 2, 778, 3)
    assert not sample.hands.vertices[1].any()
    assert not sample.masks[2].any()
    torch.testing.assert_close(sample.hands.vertices[0].numpy(), PosedHands(1)[0].hands.vertices)


def test_a_hand_without_labels_is_neither_there_nor_away():
    class OneSide(Without):
        def __getitem__(self, index):
            return replace(super().__getitem__(index), presence_known=np.array([False, True]))

    items = [TrainingSet(kind(PosedHands(2)), SIZE, PLAIN, 0)[0, 0] for kind in (Without, OneSide)]
    mirrored = TrainingSet(OneSide(PosedHands(2)), SIZE, replace(PLAIN, mirror=1.0), 0)[0, 0]
    sample = collate([*items, mirrored]).sample
    assert sample.presence_known.tolist() == [[True, True], [False, True], [True, False]]
    assert sample.masks_known.tolist() == sample.presence_known.tolist()


def objective(decoder="graph"):
    torch.manual_seed(0)
    config = replace(TINY.network, decoder=decoder)
    return Objective(build_network(config, free_hand()), surface_of(free_hand()), TINY.loss, 0.0)


@pytest.mark.parametrize("missing", [{"meshes": False}, {"masks": False}, {"meshes": False, "masks": False}])
def test_a_frame_in_a_mixed_batch_counts_as_among_its_kind(missing):
    """Loss terms of present labels equal those of the full frame; masked terms are 0."""
    full = [TrainingSet(PosedHands(2), SIZE, PLAIN, 0)[0, index] for index in range(2)]
    poor = TrainingSet(Without(PosedHands(2), **missing), SIZE, PLAIN, 0)[0, 1]
    poor = replace(poor, masks=full[1].masks)  # the same clouds
    model = objective().eval()
    output = model.predict(collate(full))
    _, whole = total_loss(output, collate(full).sample, model.surface, TINY.loss, 30)
    _, mixed = total_loss(output, collate([full[0], poor]).sample, model.surface, TINY.loss, 30)
    of_meshes = {"vertices", "coarse", "absolute_vertices", "vertices_2d", "edges", "normals"}
    zero = (set() if missing.get("meshes", True) else of_meshes) | (set() if missing.get("masks", True) else {"mask"})
    for name in TERMS:
        torch.testing.assert_close(mixed[name][0], whole[name][0])
        torch.testing.assert_close(mixed[name][1], torch.zeros(()) if name in zero else whole[name][1])


def test_joints_alone_train_the_joint_decoder(tmp_path):
    items = TrainingSet(Without(PosedHands(4), meshes=False, definition="annotated"), SIZE, PLAIN, 0)
    batch = collate([items[0, index] for index in range(4)])
    model = objective("joints").train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        total, terms = model(batch, 0)
        total.mean().backward()
        optimizer.step()
        losses.append(float(total.detach().mean()))
    assert losses[-1] < 0.8 * losses[0]
    assert all(not terms[name].any() for name in ("vertices", "coarse", "edges", "normals"))
    assert all(terms[name].all() for name in ("joints", "root", "mask", "center"))


def test_meshes_of_another_hand_model_are_not_labels(caplog):
    """Both models have 778 vertices: used as each other's labels they would silently teach nonsense."""
    theirs = Without(PosedHands(2), definition="mano")
    with caplog.at_level(logging.WARNING):
        items = TrainingSet(theirs, SIZE, PLAIN, 0, hand_model="free")
        sample = items[0, 0].sample
        items[0, 1]
    assert not sample.meshes_known.any()
    assert sample.masks_known.all()
    assert len(caplog.records) == 1
    assert "are of the hand model 'mano', the network's is 'free'" in caplog.text
    assert TrainingSet(theirs, SIZE, PLAIN, 0, hand_model="mano")[0, 0].sample.meshes_known.all()


def test_without_masks_the_clouds_are_cut_near_the_bones():
    sample = PosedHands()[2]
    found = cloud_masks(replace(sample, masks=None))
    for side in (LEFT, RIGHT):
        assert (found[side] & sample.masks[side]).sum() > 0.85 * sample.masks[side].sum()
        assert (found[side] & ~sample.masks[side]).sum() < 0.02 * sample.masks[side].sum()
    item = TrainingSet(Without(PosedHands(3), masks=False), SIZE, PLAIN, 0)[0, 2]
    assert item.masks.any(axis=(1, 2)).all()
    absent = replace(sample, hands=replace(sample.hands, present=np.array([1.0, 0.0], np.float32)))
    assert not cloud_masks(replace(absent, masks=None))[RIGHT].any()


def test_frames_of_colour_alone_train(tmp_path):
    """Without depth there are no points; the loss still exists and is finite."""

    class ColourOnly(PosedHands):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return replace(sample, frame=replace(sample.frame, depth=np.zeros_like(sample.frame.depth)))

    items = TrainingSet(Mixture([PosedHands(3), ColourOnly(3)]), SIZE, PLAIN, 0)
    empty = [items[0, index] for index in range(6) if not items[0, index].sample.frame.depth.any()]
    assert len(empty) == 3
    train(config_of(steps=2), items, tmp_path, progress=False)


def test_every_data_set_is_listed_and_keeps_the_contract():
    assert set(get_args(DatasetName)) == set(DATASETS)
    for name in {name.partition("_")[0] for name in DATASETS} - {"synthetic"}:
        tests = (Path(__file__).parent / f"test_reader_{name}.py").read_text()
        assert f'check_contract(f"{name}' in tests, name
        assert name in FACTS
