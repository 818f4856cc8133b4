"""Our own network in the product: the exported graphs agree with torch, run without it, and feed the fit."""

import json
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
from twohands.config import PRESETS
from twohands.files import read_depth, read_rgb
from twohands.fitting import HandFitter
from twohands.hands import free_hand
from twohands.metrics import mpjpe
from twohands.networks import build_network, export
from twohands.networks.checkpoint import load_checkpoint
from twohands.networks.export import export_network
from twohands.networks.runner import ModuleRunner
from twohands.predictor import NetworkPredictor, load
from twohands.runtime import LOCATE, METADATA, RECONSTRUCT, SHIPPED, OnnxNetwork
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


VARIANTS = {
    "concat, joints": {"fusion": "concat", "decoder": "joints"},
    "four channels, parameters": {"fusion": "rgb_only", "rgbd_input": True, "decoder": "parameters"},
    "densefusion": {"fusion": "densefusion"},
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


def test_half_storage_is_the_network_with_rounded_weights(exported, tmp_path):
    network, config = network_of()
    export_network(network, config, tmp_path, compact=True)
    sizes = [
        sum((folder / name).stat().st_size for name in (LOCATE, RECONSTRUCT)) for folder in (tmp_path, exported[1])
    ]
    assert sizes[0] < 0.6 * sizes[1]
    rounded = network_of()[0]
    rounded.load_state_dict({k: v.half().float() if v.numel() >= 256 else v for k, v in rounded.state_dict().items()})
    sample = PosedHands()[0]
    given = {"masks": sample.masks, "centers": CENTERS}
    one = NetworkPredictor(ModuleRunner(rounded, config))(sample.frame, **given)
    two = NetworkPredictor(OnnxNetwork(tmp_path))(sample.frame, **given)
    np.testing.assert_allclose(one.vertices, two.vertices, atol=2e-4)  # constants such as Laplacians are rounded, too


def test_a_large_kernel_is_stored_in_steps_of_its_outputs(monkeypatch, exported, tmp_path):
    monkeypatch.setattr(export, "LARGE", 20_000)  # only the second convolution of the centre feature is as large
    network, config = network_of()
    export_network(network, config, tmp_path)
    kernel = network.center_feature.second.weight
    assert kernel.numel() >= 20_000
    operations = [node.op_type for node in onnx.load(tmp_path / RECONSTRUCT).graph.node]
    assert operations.count("DequantizeLinear") == 1
    with torch.no_grad():
        scales = kernel.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
        kernel.copy_((kernel / scales).round() * scales)
    sample = PosedHands()[0]
    given = {"masks": sample.masks, "centers": CENTERS}
    one = NetworkPredictor(ModuleRunner(network, config))(sample.frame, **given)
    two = NetworkPredictor(OnnxNetwork(tmp_path))(sample.frame, **given)
    np.testing.assert_allclose(one.vertices, two.vertices, atol=3e-4)  # everything else is rounded to float16


def test_exported_graphs_give_the_network_back(exported, tmp_path):
    """Statistics of normalisation included, of which the first is made too large for float16."""
    network, config = network_of()
    network.norm.running_var.mul_(1e6)
    export_network(network, config, tmp_path)
    again, read = load_checkpoint(tmp_path)
    assert read == config
    weights = network.state_dict()
    for name, value in again.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-6)
    text = (tmp_path / RECONSTRUCT).read_bytes().replace(b"network.norm.bias", b"another.norm.bias")
    (tmp_path / RECONSTRUCT).write_bytes(text)
    with pytest.raises(ValueError, match=r"lacks the weight norm.bias; export the network again"):
        load_checkpoint(tmp_path)


def test_the_shipped_network_finds_the_hands_of_the_demo_frame():
    folder = Path(str(SHIPPED)).parents[1] / "demo"
    rgb, depth = read_rgb(folder / "color.jpg"), read_depth(folder / "depth.png")
    hands = load("pdfnet")(RGBDFrame.from_arrays(rgb, depth, np.loadtxt(folder / "cam_K.txt")))
    assert (hands.present > 0.5).all()
    assert (hands.quality.depth_residual < 0.006).all()
    assert (hands.quality.depth_support > 0.5).all()


def test_all_shipped_networks_are_small():
    weights = [path for path in Path(str(SHIPPED)).parent.rglob("*") if path.is_file()]
    assert {path.suffix for path in weights} == {".onnx"}
    assert sum(path.stat().st_size for path in weights) <= 25e6


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
predictor = twohands.load("pdfnet", weights={str(exported[1])!r})
K = np.array([[300.0, 0, 159.5], [0, 300, 119.5], [0, 0, 1]])
frame = twohands.RGBDFrame.from_arrays(np.zeros((240, 320, 3), np.uint8), np.full((240, 320), 600, np.uint16), K)
print(predictor(frame).joints.shape)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "(2, 21, 3)"


class Guess:
    """A network that knows the truth up to a few millimetres."""

    image_size, region, reads_depth = 96, "frame", True

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

    def written(**digests):
        for name in (LOCATE, RECONSTRUCT):
            model = onnx.load(folder / name)
            about = json.loads(model.metadata_props[0].value)
            assert about.pop("weights") == export._digest(network)
            model.metadata_props[0].value = json.dumps(about | {"weights": digests[name]} if name in digests else about)
            onnx.save(model, tmp_path / name)
        return tmp_path

    one, two = export._digest(network), export._digest(other)
    for digests in ({LOCATE: one, RECONSTRUCT: two}, {LOCATE: one}, {RECONSTRUCT: one}):
        with pytest.raises(ValueError, match=r"locate.onnx and reconstruct.onnx are of two different networks"):
            OnnxNetwork(written(**digests))
    OnnxNetwork(written())  # as older versions have written them


def test_missing_and_foreign_weights_are_told(tmp_path, exported):
    with pytest.raises(FileNotFoundError, match=r"has no locate.onnx; write it with: twohands export CHECKPOINT --out"):
        load("pdfnet", weights=tmp_path)
    for name in (LOCATE, RECONSTRUCT):
        model = onnx.load(exported[1] / name)
        del model.metadata_props[:]
        model.metadata_props.add(key=METADATA, value='{"format_version": 0}')
        onnx.save(model, tmp_path / name)
    with pytest.raises(ValueError, match="networks of format 0, this version reads 1; export them again"):
        load("pdfnet", weights=tmp_path)
    with pytest.raises(ValueError, match="method 'magic' is unknown; known are landmarks, pdfnet"):
        twohands.load("magic")
    with pytest.raises(ValueError, match="weights belong to method 'pdfnet'"):
        twohands.load("landmarks", weights=tmp_path)
