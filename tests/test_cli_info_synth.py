"""`twohands info`: costs of networks, and no need for torch; `twohands synth`: rendered frames and refusals."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from twohands import cli
from twohands.cli import synth
from twohands.config import PRESETS
from twohands.hands import free_hand
from twohands.networks import build_network
from twohands.shards import Shards
from twohands.synth.config import BASIC, CONFIGS, SENSOR_FAMILIES
from twohands.synth.splits import SHIFTED


@pytest.mark.parametrize("preset", ["tiny", "paper-small"])
def test_info_counts_a_network(preset, capsys):
    assert cli.main(["info", preset, "--json"]) == 0
    costs = json.loads(capsys.readouterr().out)
    network = build_network(PRESETS[preset].network, free_hand())
    assert set(costs) == {"parameters", "multiply_adds", "modules"}
    assert costs["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    whole = [costs["modules"][name] for name, _ in network.named_children()]
    for key in ("parameters", "multiply_adds"):
        assert costs[key] == sum(part[key] for part in whole) > 0
    assert cli.main(["info", preset]) == 0
    said = capsys.readouterr().out
    assert f"{costs['multiply_adds']:,}" in said
    assert "fusion.joins" in said


def test_the_hand_is_not_json(tmp_path, capsys):
    assert cli.main(["info", "hand", "--json", "--out", str(tmp_path)]) == 2
    assert "--json is for networks" in capsys.readouterr().err


WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTorch())
from twohands import cli
sys.exit(cli.main(sys.argv[1:]))
"""


def test_without_torch_the_hand_is_described_and_networks_name_the_extra(tmp_path):
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    hand = call("info", "hand", "--out", str(tmp_path))
    assert hand.returncode == 0, hand.stderr
    network = call("info", "tiny")
    assert network.returncode == 2
    assert "pip install 'twohands[train]'" in network.stderr


TINY = replace(BASIC, width=64, height=48)


def test_synth_writes_frames_and_a_sheet(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(CONFIGS, "full", TINY)
    command = ["synth", "--out", str(tmp_path), "--count", "3", "--seed", "5", "--split", "validation", "--preview"]
    assert cli.main([*command, "--sensor", "basic"]) == 0
    said = capsys.readouterr().out
    assert "wrote 3 frames" in said
    assert (tmp_path / "preview.png").is_file()
    shards = Shards(tmp_path)
    assert (len(shards), shards[2].id) == (3, "validation-5-000002")
    assert shards.description["config"] == json.loads(json.dumps(asdict(TINY)))
    assert cli.main([*command, "--seed", "6"]) == 2  # another request
    assert "give another folder" in capsys.readouterr().err


def test_synth_options_name_the_frames():
    frames = synth._frames(3, "test", "no_objects", "lidar", 7)
    assert (frames.seed, frames.split, len(frames)) == (3, "test", 7)
    assert frames.config == replace(CONFIGS["no_objects"], sensor="lidar")
    for name, config in CONFIGS.items():
        assert synth._frames(0, "train", name, None, 1).config == config
    shifted = synth._frames(3, "test_shifted", "full", None, 7)
    assert (shifted.split, shifted.config) == ("test", SHIFTED)


def test_synth_help_names_every_choice():
    assert synth.synth.__doc__ is not None
    for name in (*CONFIGS, *SENSOR_FAMILIES, "mixed", "ideal", "test_shifted"):
        assert name in synth.synth.__doc__


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["--count", "0"], "must be at least 1; got 0"),
        (["--count", "-3"], "must be at least 1; got -3"),
        (["--workers", "0"], "workers must be at least 1; got 0"),
        (["--seed", "-1"], "seed must not be negative; got -1"),
        (["--split", "all"], "unknown split 'all'; choose one of train, validation, test, test_shifted"),
        (["--config", "best"], "unknown configuration 'best'; choose one of full, stored, grips, above, basic"),
        (["--sensor", "sonar"], "sensor 'sonar' is unknown; choose one of time_of_flight"),
        (["--split", "test_shifted", "--config", "basic"], "leave out --config and --sensor"),
        (["--split", "test_shifted", "--sensor", "lidar"], "leave out --config and --sensor"),
    ],
)
def test_synth_refuses(tmp_path, capsys, more, match):
    assert cli.main(["synth", "--out", str(tmp_path / "out"), *more]) == 2
    said = capsys.readouterr().err
    assert said.startswith("twohands: error: ")
    assert match in said
    assert not (tmp_path / "out").exists()


def test_synth_on_a_full_disk(tmp_path, capsys, monkeypatch):
    def fill(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill)
    assert cli.main(["synth", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("twohands: error: the disk of ")
    assert "free some space" in said
