"""Timing measures every part of the network; no test depends on the speed of the machine."""

import json

import pytest
import torch

from twohands import cli
from twohands.config import PRESETS
from twohands.geometry.cloud import hand_clouds
from twohands.hands import free_hand
from twohands.networks import build_network
from twohands.networks.timing import module_times, num_threads, random_frame, time_network

TINY = PRESETS["tiny"].network
PARTS = ["locate.encoder", "locate.fused", "locate.center_head", "locate.mask_head"]
JOINS = [f"fusion.{name}" for name in ("joins.0", "abstractions.0", "joins.1", "abstractions.1", "joins.2")]
ORDER = ["locate", *PARTS, "lift", "center_feature", "fusion", *JOINS, "fusion.last", "fusion.center_join", "norm"]
SLACK = 1e-6  # seconds, of the clock


@pytest.mark.parametrize("preset", PRESETS)
def test_every_point_of_the_clouds_is_another_pixel(preset):
    config = PRESETS[preset].network
    frame, masks = random_frame(config.image_size)
    clouds = hand_clouds(frame.depth, masks, frame.camera, config.num_points, depth_range=config.depth_range)
    assert clouds.valid.all()
    for hand in range(2):
        assert len(clouds.pixels[0, hand].unique(dim=0)) == config.num_points
    size = clouds.points.amax(dim=2) - clouds.points.amin(dim=2)
    assert (size > torch.tensor([0.08, 0.08, 0.02])).all()
    assert (size < torch.tensor([0.12, 0.12, 0.08])).all()


def test_parts_are_in_order_positive_and_no_longer_than_the_whole():
    network = build_network(TINY, free_hand()).eval()
    with torch.inference_mode():
        times, whole = module_times(network, *random_frame(TINY.image_size))
    assert [name for name in times if name not in ("root", "decoder")] == ORDER
    assert {"root", "decoder"} < set(times)
    assert min(times.values()) > 0
    assert sum(time for name, time in times.items() if "." not in name) <= whole + SLACK
    for module, parts in (("locate", PARTS), ("fusion", [name for name in times if name.startswith("fusion.")])):
        assert sum(times[name] for name in parts) <= times[module] + SLACK
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_spreads_hold_their_medians_and_threads_are_restored():
    before = torch.get_num_threads()
    found = time_network(TINY, threads=before + 1, repeats=3)
    assert torch.get_num_threads() == before
    for spread in (*found.modules.values(), found.hooked, found.whole, found.bare, found.ratio):
        assert 0 < spread.low <= spread.median <= spread.high
    with pytest.raises(AssertionError), num_threads(before + 1):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before


def test_the_command_prints_a_table_or_json(capsys):
    options = ["bench", "tiny", "--threads", "1", "--repeats", "1"]
    assert cli.main([*options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {
        *("preset", "image_size", "threads", "repeats"),
        *("modules", "hooked", "whole", "bare", "ratio"),
    }
    assert set(found["modules"]) == {*ORDER, "decoder", "root"}
    assert set(found["ratio"]) == {"median", "low", "high"}
    assert found["ratio"]["median"] == pytest.approx(found["whole"]["median"] / found["bare"]["median"])
    assert cli.main(options) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "tiny: one frame of 96x96; threads: 1, repeats: 1"
    assert [line.split()[0] for line in said[3 : 3 + len(found["modules"])]][:2] == ["locate", "encoder"]
    assert said[-1].startswith("whole / bare ResNet50")


@pytest.mark.parametrize("arguments", [["huge"], ["tiny", "--threads", "0"], ["tiny", "--repeats", "0"]])
def test_what_cannot_be_measured_is_refused(arguments, capsys):
    assert cli.main(["bench", *arguments]) == 2
    assert capsys.readouterr().err
