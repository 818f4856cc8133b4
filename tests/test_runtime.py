"""Networks in the product: the exported graphs agree with torch, run without it, and feed the fit."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import twohands
from fakes import PosedHands
from test_training import assert_same_weights, config_of, items_of, weights_of
from twohands.config import PRESETS
from twohands.evaluation.metrics import mpjpe
from twohands.files import read_depth, read_rgb
from twohands.fitting import HandFitter
from twohands.hands import free_hand
from twohands.networks import FUSIONS, Fusion, build_network, export
from twohands.networks.checkpoint import load_checkpoint, save_checkpoint
from twohands.networks.export import export_network
from twohands.networks.fusion import colours_at
from twohands.networks.runner import ModuleRunner
from twohands.predictor import NetworkPredictor, load
from twohands.runtime import LOCATE, RECONSTRUCT, SHIPPED, OnnxNetwork
from twohands.training import train
from twohands.training.objective import build_objective
from twohands.types import RGBDFrame

TINY = PRESETS["tiny"].network
CENTERS = np.array([[100.0, 120.0], [220.0, 118.0]], np.float32)


def network_of(**changes):
    torch.manual_seed(0)
    config = replace(TINY, **changes)
    return build_network(config, free_hand()).eval(), config


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    network, config = network_of()
    export_network(network, config, folder, compact=False)
    return network, folder


def change_metadata(source, target, change):
    """Write the graphs of a folder into another one, their metadata replaced by change(name, metadata)."""
    for name in (LOCATE, RECONSTRUCT):
        model = onnx.load(source / name)
        model.metadata_props[0].value = json.dumps(change(name, json.loads(model.metadata_props[0].value)))
        onnx.save(model, target / name)


VARIANTS = {
    "concat, joints": {"fusion": "concat", "decoder": "joints"},
    "densefusion, four channels, parameters": {"fusion": "densefusion", "rgbd_input": True, "decoder": "parameters"},
}


@pytest.mark.parametrize("given", [{}, {"masks": True, "centers": CENTERS}], ids=["own", "given"])
def test_the_graphs_agree_with_torch(exported, given):
    network, folder = exported
    sample = PosedHands()[0]
    given = {**given, "masks": sample.masks} if given else {}
    one = NetworkPredictor(ModuleRunner(network, TINY))(sample.frame, **given)
    two = NetworkPredictor(OnnxNetwork(folder))(sample.frame, **given)
    np.testing.assert_allclose(one.vertices, two.vertices, atol=1e-4)  # 0.1 mm
    np.testing.assert_allclose(one.joints, two.joints, atol=1e-4)
    np.testing.assert_allclose(one.present, two.present, atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_other_fusions_and_decoders_export(name, tmp_path):
    network, config = network_of(**VARIANTS[name])
    export_network(network, config, tmp_path, compact=False)
    sample = PosedHands()[1]
    one = ModuleRunner(network, config)
    two = OnnxNetwork(tmp_path)
    given = {"masks": sample.masks, "centers": CENTERS}  # untrained networks see hands of any size
    hands = [NetworkPredictor(runner, trusted=True)(sample.frame, **given) for runner in (one, two)]
    np.testing.assert_allclose(hands[0].joints, hands[1].joints, atol=1e-4)
    assert (hands[0].parameters is None) == (hands[1].parameters is None)


def test_stored_weights_are_rounded(monkeypatch, exported, tmp_path):
    """They are stored as float16, and a large kernel in steps of its outputs."""
    monkeypatch.setattr(export, "LARGE", 20_000)  # only the second convolution of the centre feature is as large
    network, config = network_of()
    for name in (LOCATE, RECONSTRUCT):
        model = onnx.load(exported[1] / name)
        export._store_compactly(model.graph)
        onnx.checker.check_model(model)
        onnx.save(model, tmp_path / name)
    sizes = [
        sum((folder / name).stat().st_size for name in (LOCATE, RECONSTRUCT)) for folder in (tmp_path, exported[1])
    ]
    assert sizes[0] < 0.6 * sizes[1]
    operations = [node.op_type for node in onnx.load(tmp_path / RECONSTRUCT).graph.node]
    assert operations.count("DequantizeLinear") == 1
    kernel = network.center_feature.second.weight.detach()
    assert kernel.numel() >= 20_000
    scales = kernel.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    rounded = {k: v.half().float() if v.numel() >= 256 else v for k, v in network.state_dict().items()}
    rounded["center_feature.second.weight"] = (kernel / scales).round() * scales
    network.load_state_dict(rounded)
    sample = PosedHands()[0]
    given = {"masks": sample.masks, "centers": CENTERS}
    one = NetworkPredictor(ModuleRunner(network, config))(sample.frame, **given)
    two = NetworkPredictor(OnnxNetwork(tmp_path))(sample.frame, **given)
    np.testing.assert_allclose(one.vertices, two.vertices, atol=2e-4)  # constants such as Laplacians are rounded, too


@pytest.fixture(scope="module")
def colour_only(tmp_path_factory):
    """A network that reads no depth, its configuration and its graphs; some statistics are too large for float16."""
    network, config = network_of(fusion="rgb_only", decoder="joints")
    network.norm.running_var.mul_(1e6)
    folder = tmp_path_factory.mktemp("colour_only")
    export_network(network, config, folder)
    return network, config, folder


def test_exported_graphs_give_the_network_back(colour_only, tmp_path):
    """This includes the statistics of normalisation; weights are stored compactly unless export is told otherwise."""
    network, config, folder = colour_only
    again, read = load_checkpoint(folder)
    assert read == config
    stored = [tensor for name in (LOCATE, RECONSTRUCT) for tensor in onnx.load(folder / name).graph.initializer]
    assert max(np.prod(t.dims) for t in stored if t.data_type == onnx.TensorProto.FLOAT) < 1000  # those statistics
    weights = network.state_dict()
    for name, value in again.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-6)
    shutil.copy(folder / LOCATE, tmp_path)
    text = (folder / RECONSTRUCT).read_bytes().replace(b"network.norm.bias", b"another.norm.bias")
    (tmp_path / RECONSTRUCT).write_bytes(text)
    with pytest.raises(ValueError, match=r"lacks the weight norm.bias; export the network again"):
        load_checkpoint(tmp_path)


def test_a_run_starts_from_exported_graphs(exported, tmp_path):
    network, start = exported
    recipe = config_of(steps=1, learning_rate=1e-9, seed=1)  # weights of its own would be others
    objective, origins = build_objective(recipe, start=start), {"start": str(start)}
    final = train(recipe, items_of(), tmp_path, None, objective, origins, progress=False)
    assert_same_weights(dict(network.named_parameters()), weights_of(final), rtol=1e-3, atol=1e-5)
    with pytest.raises(ValueError, match=r"holds a run with start = .*exported"):
        train(recipe, items_of(), tmp_path, origins={"start": None}, progress=False)


def test_the_shipped_network_finds_the_hands_of_the_demo_frame():
    folder = Path(str(SHIPPED)).parents[1] / "demo"
    rgb, depth = read_rgb(folder / "color.jpg"), read_depth(folder / "depth.png")
    hands = load("pdfnet")(RGBDFrame.from_arrays(rgb, depth, np.loadtxt(folder / "cam_K.txt")))
    assert (hands.present > 0.5).all()
    assert (hands.quality.depth_residual < 0.006).all()
    assert (hands.quality.depth_support > 0.5).all()


def test_all_shipped_networks_are_small():
    weights = [path for path in Path(str(SHIPPED)).parent.rglob("*") if path.is_file()]
    assert {path.suffix for path in weights} == {".onnx", ".npz"}
    assert sum(path.stat().st_size for path in weights) <= 40e6


def test_given_masks_and_centres_are_used(exported):
    predictor = NetworkPredictor(OnnxNetwork(exported[1]))
    sample = PosedHands()[0]
    given = predictor(sample.frame, masks=sample.masks, centers=CENTERS)
    assert given.present.tolist() == [1, 1]
    swapped = predictor(sample.frame, masks=sample.masks[::-1], centers=CENTERS[::-1])
    assert np.abs(swapped.joints.mean(axis=1) - given.joints.mean(axis=1)).max() > 0.05
    assert predictor(sample.frame, masks=sample.masks & False, centers=CENTERS).present.tolist() == [0, 0]


def test_a_network_runs_without_torch(exported):
    code = f"""
import sys
class Missing:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "numba"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import numpy as np, twohands
predictor = twohands.load(network={str(exported[1])!r})
K = np.array([[300.0, 0, 159.5], [0, 300, 119.5], [0, 0, 1]])
frame = twohands.RGBDFrame.from_arrays(np.zeros((240, 320, 3), np.uint8), np.full((240, 320), 600, np.uint16), K)
print(predictor(frame).joints.shape)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "(2, 21, 3)"


class MeanColour(Fusion):
    """A fusion as a user may add it: the mean colour at the points, whatever their depth."""

    reads_depth, reads_center = False, False

    def __init__(self, colour_channels):
        super().__init__()
        self.channels = 16
        self.layer = torch.nn.Linear(colour_channels, self.channels)

    def forward(self, clouds, pyramid, center):
        return self.layer(colours_at(pyramid[-1], clouds.pixels, pyramid).mean(dim=2))


def test_a_registered_fusion_is_exported_with_what_it_reads(monkeypatch, tmp_path):
    """Its checkpoint needs the registration, its graphs do not."""
    monkeypatch.setitem(FUSIONS, "mean_colour", lambda config, channels: MeanColour(channels[-1]))
    network, config = network_of(fusion="mean_colour", decoder="joints")
    save_checkpoint(network, config, tmp_path / "checkpoint")
    export_network(network, config, tmp_path / "onnx", compact=False)
    monkeypatch.delitem(FUSIONS, "mean_colour")
    with pytest.raises(ValueError, match=r"'mean_colour' is unknown; .*\. If it is your own, import the module"):
        load_checkpoint(tmp_path / "checkpoint")
    one, two = ModuleRunner(network, config), OnnxNetwork(tmp_path / "onnx")
    assert not one.reads_depth
    assert not two.reads_depth
    sample = PosedHands()[0]
    hands = [NetworkPredictor(runner, trusted=True)(sample.frame, masks=sample.masks) for runner in (one, two)]
    np.testing.assert_allclose(hands[0].joints, hands[1].joints, atol=1e-4)


def test_a_network_exported_before_still_loads(colour_only, tmp_path):
    """The first exports do not state whether they read depth; the shipped network is one of them."""
    assert OnnxNetwork(SHIPPED).reads_depth
    network, config = load_checkpoint(Path(str(SHIPPED)))
    assert network.reads_depth
    assert config.fusion == "pdfnet"
    folder = colour_only[2]
    change_metadata(folder, tmp_path, lambda name, metadata: {**metadata, "reads_depth": True})
    assert OnnxNetwork(tmp_path).reads_depth
    change_metadata(folder, tmp_path, lambda name, metadata: {k: metadata[k] for k in metadata if k != "reads_depth"})
    assert not OnnxNetwork(tmp_path).reads_depth


class Guess:
    """A network that predicts the truth up to a few millimetres."""

    image_size, region, reads_depth, hand_model = 96, "frame", True, "free"

    def __init__(self, hands, error):
        self.hands = replace(hands, joints=hands.joints + error, present=np.ones(2), parameters=None)

    def __call__(self, frame, masks=None, centers=None, step=None):
        return self.hands


def test_the_fit_improves_what_the_network_says():
    model = free_hand()
    for index in range(2):
        sample = PosedHands()[index]
        error = np.random.default_rng(index).normal(0, 0.006, (2, 21, 3)) + [0, 0, 0.015]
        guess = Guess(sample.hands, error.astype(np.float32))
        plain = NetworkPredictor(guess, model)(sample.frame)
        fitted = NetworkPredictor(guess, model, HandFitter(model))(sample.frame)
        before, after = (mpjpe(hands, sample.hands) for hands in (plain, fitted))
        assert (after < 0.7 * before).all(), (before, after)
        assert fitted.quality.fitted.all()
        assert np.isfinite(fitted.parameters.pose).all()


def test_graphs_of_two_networks_are_no_pair(tmp_path, exported):
    network, folder = exported
    other = network_of()[0]
    assert export._digest(other) == export._digest(network)
    with torch.no_grad():
        next(other.parameters()).flatten()[0] += 1e-6

    def write(**digests):
        def change(name, metadata):
            assert metadata.pop("weights") == export._digest(network)
            return {**metadata, "weights": digests[name]} if name in digests else metadata

        change_metadata(folder, tmp_path, change)

    one, two = export._digest(network), export._digest(other)
    for digests in ({LOCATE: one, RECONSTRUCT: two}, {LOCATE: one}, {RECONSTRUCT: one}):
        write(**digests)
        with pytest.raises(ValueError, match=r"locate.onnx and reconstruct.onnx are of two different networks"):
            OnnxNetwork(tmp_path)
    write()  # as older versions have written them
    OnnxNetwork(tmp_path)


def test_missing_and_foreign_networks_are_reported(tmp_path, exported):
    with pytest.raises(FileNotFoundError, match=r"holds no network; give a checkpoint, .*`twohands export`"):
        load(network=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"has no locate.onnx; write it with: twohands export CHECKPOINT --out"):
        OnnxNetwork(tmp_path)
    change_metadata(exported[1], tmp_path, lambda name, metadata: {"format_version": 0})
    with pytest.raises(ValueError, match="networks of format 0, this version reads 1; export them again"):
        load("pdfnet", tmp_path)
    with pytest.raises(ValueError, match="method 'magic' is unknown; known are light, landmarks, pdfnet"):
        twohands.load("magic")
    with pytest.raises(ValueError, match="holds a network of method 'pdfnet'"):
        twohands.load("landmarks", exported[1])
