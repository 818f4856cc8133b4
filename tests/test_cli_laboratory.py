"""`twohands info`: what the networks cost, and what needs no torch."""

import json
import subprocess
import sys

import pytest

from twohands import cli
from twohands.config import PRESETS
from twohands.hands import free_hand
from twohands.networks import build_network


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
