"""`--hand-model mano`: the product's methods fit MANO for those who have its files, without torch."""

import json
import subprocess
import sys

import numpy as np
import pytest

import twohands
from fakes import PosedHands
from test_cli_info_synth import WITHOUT_TORCH
from twohands import cli
from twohands.evaluation.metrics import mpjpe, mpvpe
from twohands.fitting import HandFitter, located_hands
from twohands.hands import free_hand, mano_hand
from twohands.predictor import NetworkPredictor, load


@pytest.mark.parametrize("method", ["landmarks", "pdfnet"])
def test_the_demo_fits_mano_without_torch(method, tmp_path):
    command = [sys.executable, "-c", WITHOUT_TORCH, "demo", "--method", method, "--hand-model", "mano"]
    subprocess.run([*command, "--out", str(tmp_path)], check=True, capture_output=True, text=True)
    results = twohands.read_results(tmp_path)
    assert str(results["hand_model"]) == "mano"
    assert json.loads((tmp_path / "hands.json").read_text())["hand_model"] == "mano"
    np.testing.assert_array_equal(results["faces"], mano_hand().faces)
    assert (results["present"] >= 0.5).all()
    assert results["fitted"].all()
    assert results["depth_residual"].max() < 0.008  # the packaged frame; 5 mm with the free hand


def test_the_joints_of_a_network_of_the_free_hand_start_a_fit_of_mano():
    """Where the truth is a MANO hand, its fit is closer to it than the network's own mesh could be."""
    model = mano_hand()
    for index in range(2):
        sample = PosedHands(hand_model=model)[index]
        located = located_hands(sample.hands, sample.frame.camera)
        fitted, own = (HandFitter(hand)(sample.frame, located) for hand in (model, free_hand()))
        assert (mpvpe(fitted, sample.hands) < 0.004).all()
        assert (mpjpe(fitted, sample.hands) <= mpjpe(own, sample.hands) + 0.001).all()
        assert fitted.vertices.shape == sample.hands.vertices.shape


def test_a_network_is_fitted_with_the_hand_model_that_is_asked_for():
    predictor = load("pdfnet", hand_model="mano")
    assert isinstance(predictor, NetworkPredictor)
    assert predictor.network.hand_model == "free"
    assert predictor.model.name == "mano"


def test_without_the_fit_a_network_cannot_change_its_hand_model(capsys, tmp_path):
    with pytest.raises(
        ValueError, match="predicts the hand model 'free', and only the fit can turn its hands into 'mano'"
    ):
        load("pdfnet", hand_model="mano", fit=False)
    arguments = ["demo", "--method", "pdfnet", "--hand-model", "mano", "--no-fit", "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 2
    assert "only the fit can turn its hands into 'mano'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="hand model 'nimble' is unknown; known are free, mano"):
        load(hand_model="nimble")


def test_missing_files_of_mano_are_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("TWOHANDS_MANO")
    mano_hand.cache_clear()
    try:
        assert cli.main(["demo", "--hand-model", "mano", "--out", str(tmp_path / "out")]) == 2
        assert "set TWOHANDS_MANO to their folder" in capsys.readouterr().err
    finally:
        mano_hand.cache_clear()
