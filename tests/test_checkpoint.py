"""Checkpoints: a folder gives back its network, or an error that states why not."""

import json
from dataclasses import replace

import pytest
import torch

from twohands.config import PRESETS
from twohands.geometry.camera import Camera
from twohands.hands import free_hand
from twohands.networks import build_network
from twohands.networks.checkpoint import CONFIG, WEIGHTS, load_checkpoint, save_checkpoint, start_from
from twohands.types import RGBDFrame

TINY = replace(PRESETS["tiny"].network, fusion="concat", depth_range=(0.1, 1.5))
SIZE = TINY.image_size


def outputs(network):
    torch.manual_seed(1)
    K = torch.tensor([[[90.0, 0, 48], [0, 90, 48], [0, 0, 1]]])
    depth = 0.4 + 0.1 * torch.rand(1, SIZE, SIZE)
    frame = RGBDFrame(torch.rand(1, 3, SIZE, SIZE), depth, Camera(K, SIZE, SIZE))
    masks = torch.zeros(1, 2, SIZE, SIZE, dtype=torch.bool)
    masks[:, :, 20:60, 20:60] = True
    found = []
    with torch.inference_mode():
        network(frame, masks).map(lambda array: found.append(array) or array)
    return found


@pytest.fixture(scope="module")
def network():
    """Return a network with running statistics that differ from those of a new one."""
    torch.manual_seed(0)
    network = build_network(TINY, free_hand()).train()
    outputs(network)
    return network.eval()


def test_a_folder_gives_back_its_network(network, tmp_path):
    save_checkpoint(network, TINY, tmp_path / "run")
    again, config = load_checkpoint(tmp_path / "run")
    assert config == TINY
    assert not again.training
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [CONFIG, WEIGHTS]
    for one, two in zip(outputs(network), outputs(again), strict=True):
        assert torch.equal(one, two)


def test_weights_in_channels_last_are_stored(network, tmp_path):
    save_checkpoint(network.to(memory_format=torch.channels_last), TINY, tmp_path)
    again, _ = load_checkpoint(tmp_path)
    for name, value in again.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_other_formats_are_refused(network, tmp_path, version):
    save_checkpoint(network, TINY, tmp_path)
    values = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**values, "format_version": version}))
    with pytest.raises(ValueError, match=f"has checkpoint format {version}, this version of twohands reads format 1"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(network, tmp_path, name):
    save_checkpoint(network, TINY, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"is not a checkpoint: it has no {name}"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (CONFIG, b"{", "is not JSON"),
        (CONFIG, b"[]", "checkpoint format None"),
        (CONFIG, b'{"format_version": 1}', "has no 'network'"),
        (CONFIG, b'{"format_version": 1, "network": {"hand_model": "claw"}}', "'claw' is unknown; known are free"),
        (CONFIG, b'{"format_version": 1, "network": {"depth": 3}}', "does not know depth"),
        (WEIGHTS, b"nothing", "cannot be read as safetensors"),
    ],
)
def test_broken_files_are_refused_in_a_sentence(network, tmp_path, name, content, message):
    save_checkpoint(network, TINY, tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path)


def test_weights_of_another_network_are_refused(network, tmp_path):
    save_checkpoint(network, replace(TINY, fusion="pdfnet"), tmp_path)
    with pytest.raises(ValueError, match=r"are not those of its config.json: Missing key"):
        load_checkpoint(tmp_path)


def seeded(config, seed):
    torch.manual_seed(seed)
    return build_network(config, free_hand())


def test_a_network_starts_from_another(tmp_path):
    """Weights of single vertices are not copied from a network of another hand model."""
    other, mine = seeded(TINY, 1), seeded(TINY, 2)
    save_checkpoint(other, TINY, tmp_path)
    own = {name: value.clone() for name, value in mine.state_dict().items()}
    start_from(mine, replace(TINY, hand_model="mano"), tmp_path)
    kept = [name for name in own if name.endswith(("full_mesh", "embedding"))]
    assert len(kept) == 4
    for name, value in mine.state_dict().items():
        torch.testing.assert_close(value, own[name] if name in kept else other.state_dict()[name], rtol=0, atol=0)
    start_from(mine, TINY, tmp_path)
    for name, value in mine.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], rtol=0, atol=0)


def test_a_network_of_another_kind_is_no_start(tmp_path):
    other = replace(
        TINY, fused_channels=12, point_widths=((8, 8, 8), (8, 8, 8), (24, 24, 24)), decoder_widths=(16, 16, 8)
    )
    save_checkpoint(seeded(other, 0), other, tmp_path)
    with pytest.raises(ValueError, match=r"is another one: .* weights have the same name and shape"):
        start_from(seeded(TINY, 0), TINY, tmp_path)
