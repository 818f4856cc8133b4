"""`twohands evaluate`: measurements in all modes, reports and figures, and refused requests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from fakes import PosedHands
from test_cli_info_synth import WITHOUT_TORCH
from twohands import cli
from twohands.choices import MaskMode
from twohands.cli.choice import Choice
from twohands.config import PRESETS
from twohands.evaluation import figures
from twohands.evaluation.benchmarks import Benchmark
from twohands.evaluation.evaluate import TITLES
from twohands.evaluation.figures import WIDTH, spread
from twohands.evaluation.report import Report
from twohands.hands import free_hand
from twohands.networks import build_network
from twohands.networks.checkpoint import load_checkpoint, save_checkpoint
from twohands.predictor import load
from twohands.runtime import SHIPPED
from twohands.training.validate import evaluate_network
from twohands.types import RGBDFrame, Sample, TwoHands

FRAMES = PosedHands(5)


class Perfect:
    """Predictor that recognises FRAMES by the colour of their background."""

    model = free_hand()

    def __call__(self, frame: RGBDFrame) -> TwoHands:
        return next(sample for sample in FRAMES if np.array_equal(sample.frame.rgb, frame.rgb)).hands


@pytest.fixture
def chosen(monkeypatch) -> list[tuple]:
    """Make methods predict perfectly; return the choices (method, network, hand model, fit)."""
    seen: list[tuple] = []
    true_load = load

    def chosen_load(method, network, *more, **options):
        seen.append((method, network, *more))
        return Perfect() if network is None else true_load(method, network, *more, **options)

    monkeypatch.setattr("twohands.predictor.load", chosen_load)
    monkeypatch.setattr("twohands.evaluation.evaluate.open_frames", lambda data, split: FRAMES)
    return seen


def checkpoint(folder: Path, seed: int = 0, **changes: object) -> Path:
    torch.manual_seed(seed)
    config = replace(PRESETS["tiny"].network, **changes)
    save_checkpoint(build_network(config, free_hand()), config, folder)
    return folder


def evaluate(out: Path, *more: object) -> int:
    return cli.main(["evaluate", "--out", str(out), *map(str, more)])


def test_every_mode_has_a_title():
    assert set(get_args(MaskMode)) == set(TITLES)


def test_a_method_is_measured(tmp_path, capsys, chosen):
    assert evaluate(tmp_path, "--count", 3) == 0
    report = Report.from_json((tmp_path / "report.json").read_text())
    assert (report.frames, len(report.rows)) == (3, 6)
    assert report.summary()["all"]["mpjpe"] == 0
    markdown = (tmp_path / "report.md").read_text()
    assert markdown == report.markdown() + "\n"
    assert capsys.readouterr().out.startswith(markdown)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]
    assert chosen == [(None, None, None, True, True, None)]


def test_method_fit_and_hand_model_are_those_of_the_product(tmp_path, chosen):
    assert evaluate(tmp_path, "--count", 1, "--method", "pdfnet", "--no-fit", "--hand-model", "mano") == 0
    assert evaluate(tmp_path, "--count", 1) == 0
    assert chosen == [("pdfnet", None, "mano", False, True, None), (None, None, None, True, True, None)]


def test_a_user_network_is_trusted(tmp_path, chosen):
    """It may predict hands of impossible size, since the depth of data sets is metric."""
    folder = checkpoint(tmp_path / "net")
    assert Choice(network=folder, fit=False).load(trusted=True).trusted
    assert Choice(network=folder, fit=False).load(trusted=True).fit is None
    assert Choice(network=folder).load(trusted=True).fit is not None


class Labelled(PosedHands):
    """FRAMES with MANO labels for all but the second frame, in two recordings."""

    def __getitem__(self, index: int) -> Sample:
        sample = replace(super().__getitem__(index), joint_definition="mano", id=f"s/{index // 2}/{index}")
        if index == 1:
            bare = replace(sample.hands, vertices=None, parameters=None, present=np.zeros(2, np.float32))
            sample = replace(sample, hands=bare, masks=None, visible_fraction=None)
        return sample


def test_a_benchmark_measures_a_free_hand_by_its_joints(tmp_path, monkeypatch, chosen):
    monkeypatch.setattr("twohands.evaluation.evaluate.open_frames", lambda data, split: Labelled(4))
    assert evaluate(tmp_path, "--data", "dexycb=x") == 0
    document = json.loads((tmp_path / "report.json").read_text())
    assert (document["benchmark"]["mpjpe"], document["benchmark"]["found"]) == (0, 1)
    assert evaluate(tmp_path, "--data", "ho3d=x") == 0
    assert json.loads((tmp_path / "report.json").read_text())["benchmark"]["mpvpe"] is None


def test_a_benchmark_knows_recordings_and_the_report_is_there_before_it(tmp_path, monkeypatch, chosen):
    monkeypatch.setattr("twohands.evaluation.evaluate.open_frames", lambda data, split: Labelled(4))
    given = {}

    def failing(self, predictions, targets, **more):
        given.update(more)
        raise ValueError("no benchmark today")

    monkeypatch.setattr(Benchmark, "measure", failing)
    assert evaluate(tmp_path, "--data", "arctic=x") == 2
    assert given == {"sequences": ["s/0", "s/0", "s/1", "s/1"]}
    assert Report.from_json((tmp_path / "report.json").read_text()).frames == 4


def test_every_mode_is_a_section(tmp_path, chosen):
    folder = checkpoint(tmp_path / "net")
    modes = ("ground_truth", "own", "ground_truth_centers", "own")
    assert evaluate(tmp_path / "out", "--count", 2, "--no-fit", "--network", folder, "--masks", *modes) == 0
    documents = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(documents) == ["ground_truth", "own", "ground_truth_centers"]
    network, config = load_checkpoint(folder)
    for mode, document in documents.items():
        expected = evaluate_network(network, config, [FRAMES[0], FRAMES[1]], mode)
        assert document["hands"] == json.loads(expected.json())["hands"]
        assert document["summary"]["all"]["scored"] == 4  # the hands are known to be there
    assert len({json.dumps(document["hands"]) for document in documents.values()}) > 1
    sections = (tmp_path / "out" / "report.md").read_text().split("## ")[1:]
    assert [section.splitlines()[0] for section in sections] == [
        "Ground-truth masks",
        "Own masks",
        "Ground-truth masks and centres",
    ]
    assert all(section.count("| all | 4 |") == 1 for section in sections)
    assert evaluate(tmp_path / "out", "--count", 1, "--no-fit", "--network", folder, "--masks", "ground_truth") == 0
    assert list(json.loads((tmp_path / "out" / "report.json").read_text())) == ["ground_truth"]


def test_a_checkpoint_in_the_format_of_a_method(tmp_path, chosen):
    """With own masks alone, presence comes from the network, as for a user."""
    folder = checkpoint(tmp_path / "net")
    assert evaluate(tmp_path / "out", "--count", 2, "--no-fit", "--network", folder) == 0
    network, config = load_checkpoint(folder)
    expected = evaluate_network(network, config, [FRAMES[0], FRAMES[1]], "own", known_presence=False)
    assert (tmp_path / "out" / "report.json").read_text() == expected.json()


@pytest.fixture
def captions(monkeypatch) -> list[list[str]]:
    """Captions of every figure that is drawn."""
    seen: list[list[str]] = []
    original = figures.contact_sheet
    monkeypatch.setattr(
        figures, "contact_sheet", lambda *arguments: seen.append(list(arguments[1])) or original(*arguments)
    )
    return seen


def test_figures(tmp_path, chosen, captions):
    assert evaluate(tmp_path, "--figures", 3) == 0
    names = ["000_posed-0.jpg", "002_posed-2.jpg", "004_posed-4.jpg"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == names
    assert all(Image.open(tmp_path / "figures" / name).width == 3 * (WIDTH + 4) + 4 for name in names)
    assert [labels[2] for labels in captions] == ["light\nMPJPE 0.0 mm, AL-MPJPE 0.0 mm"] * 3
    assert evaluate(tmp_path, "--count", 1, "--figures", 9) == 0  # all frames there are; earlier figures are removed
    assert [path.name for path in (tmp_path / "figures").iterdir()] == names[:1]


def test_baselines_are_measured_in_the_same_mode(tmp_path, chosen, captions):
    folders = [checkpoint(tmp_path / "runs" / f"concat-{seed}" / "final", seed) for seed in (0, 1)]
    own, *baselines = [*folders, checkpoint(tmp_path / "plain", 2)]
    more = ("--masks", "ground_truth", "own", "--count", 1, "--figures", 1, "--baselines", *baselines)
    assert evaluate(tmp_path / "out", "--no-fit", "--network", own, *more) == 0
    assert Image.open(tmp_path / "out" / "figures" / "000_posed-0.jpg").width == 5 * (WIDTH + 4) + 4
    titles = []
    for folder, label in zip((own, *baselines), captions[0][2:5], strict=True):
        network, config = load_checkpoint(folder)
        metrics = evaluate_network(network, config, [FRAMES[0]], "ground_truth").summary()["all"]
        title, errors = label.split("\n")
        titles.append(title)
        assert errors == f"MPJPE {metrics['mpjpe'] * 1e3:.1f} mm, AL-MPJPE {metrics['al_mpjpe'] * 1e3:.1f} mm"
    assert titles == ["concat-0", "concat-1", "plain"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [("runs/tables/concat-0/final", "concat-0"), ("run/best", "run"), ("nets/mine", "mine"), ("nets/mine/", "mine")],
)
def test_names_of_networks(folder, name):
    assert Choice(network=Path(folder)).title == name


@pytest.mark.parametrize(
    ("total", "number", "indices"), [(10, 2, [0, 9]), (9, 3, [0, 4, 8]), (2, 5, [0, 1]), (5, 1, [0]), (500, 0, [])]
)
def test_figures_are_spread_evenly(total, number, indices):
    assert spread(total, number) == indices


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["--baselines", "runs/one/final"], "add --figures N"),
        (["--figures", "-1"], "--figures must be 0 or more; got -1"),
        (
            ["--masks", "own", "ground_truth"],
            "--masks ground_truth needs a network: add --method pdfnet or --network",
        ),
        (["--masks"], "--masks needs one or more of own, ground_truth"),
        (
            ["--network", "nowhere"],
            "nowhere holds no network; give a checkpoint, for example RUN/final, or the folder of `twohands export`",
        ),
        (["--network", "nowhere", "--method", "landmarks"], "nowhere holds no network"),
        (["--figures", "1", "--baselines", "nowhere"], "nowhere holds no network.*for example RUN/final"),
        (["--checkpoint", "nowhere"], "--checkpoint is no longer an option; use --network FOLDER, with --no-fit"),
        (["--weights=nowhere"], "--weights is no longer an option; use --network FOLDER"),
        (["--rivals", "nowhere"], "--rivals is no longer an option; use --baselines"),
        (["--count", "0"], "nothing to evaluate: --count 0, 5 frames"),
    ],
)
def test_refused(tmp_path, capsys, chosen, more, match):
    assert evaluate(tmp_path / "out", *more) == 2
    captured = capsys.readouterr()
    assert re.search(match, captured.err), captured.err
    assert captured.err.startswith("twohands: error: ")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_without_torch_names_the_extra(tmp_path):
    folder = str(checkpoint(tmp_path / "net"))
    command = [sys.executable, "-c", WITHOUT_TORCH, "evaluate", "--network", folder, "--out", str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "pip install 'twohands[train]'" in result.stderr


def test_rendered_frames_from_a_folder(tmp_path):
    """Use real shards, graphs with and without meshes, true masks and a figure, without fakes."""
    assert cli.main(["synth", "--out", str(tmp_path / "shards"), "--count", "2", "--split", "validation"]) == 0
    small = checkpoint(tmp_path / "net", fusion="rgb_only", decoder="joints")  # its export takes a third of the time
    assert cli.main(["export", str(small), "--out", str(tmp_path / "onnx")]) == 0
    more = ("--no-fit", "--network", SHIPPED, "--masks", "ground_truth", "--baselines", tmp_path / "onnx")
    assert evaluate(tmp_path / "out", "--data", tmp_path / "shards", *more, "--figures", 1) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["ground_truth"]["frames"] == 2
    assert len(list((tmp_path / "out" / "figures").glob("*.jpg"))) == 1
