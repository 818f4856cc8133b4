"""Findings travel with frames and hands, and a doubtful hand can be told from others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fakes import K, fake_predictor, make_frame, make_hands
from twohands.checks.examiner import EVERY, FIRST_FRAMES, Examiner, check, is_due
from twohands.findings import Finding, findings_from_text, findings_to_text
from twohands.results import hands_of_row, make_row
from twohands.types import RGBDFrame, TwoHands

FINDING = Finding("invalid_readings", "note", "65535 in 3 % of the frame: no reading; “0” says so", {"share": 0.03})


def with_confidence(left: float, right: float) -> TwoHands:
    hands = make_hands()
    assert hands.quality is not None
    return replace(hands, quality=replace(hands.quality, confidence=np.array([left, right], np.float32)))


def test_text_keeps_everything():
    assert findings_from_text(findings_to_text([FINDING, FINDING])) == (FINDING, FINDING)
    assert findings_to_text([]) == ""
    assert findings_from_text("") == ()
    assert str(FINDING) == FINDING.sentence


def test_a_batch_has_no_findings():
    noted = replace(make_frame(), findings=(FINDING,))
    batch = RGBDFrame.stack([noted, make_frame()])
    assert batch.findings == ()
    assert batch.depth.shape == (2, *noted.depth.shape)
    hands = TwoHands.stack([replace(make_hands(), findings=(FINDING,), examined=True), make_hands()])
    assert (hands.findings, hands.examined) == ((), False)


def test_findings_of_the_frame_reach_the_hands():
    noted = replace(make_frame(), findings=(FINDING,))
    assert FINDING in check(noted)
    hands = fake_predictor()(noted)
    assert hands.findings == (FINDING,)
    assert not hands.examined
    assert Examiner(fake_predictor().reconstruct).examine(noted, hands).findings.count(FINDING) == 1


def test_schedule():
    assert all(is_due(index, 2, 2) for index in range(FIRST_FRAMES))
    later = [index for index in range(FIRST_FRAMES, 1000) if is_due(index, 2, 2)]
    assert later == list(range(EVERY, 1000, EVERY))
    assert is_due(777, 1, 2)
    assert not is_due(777, 2, 1)
    predictor = fake_predictor()
    predictor.examiner = Examiner(predictor.reconstruct)
    examined = [predictor(make_frame()).examined for _ in range(FIRST_FRAMES + 5)]
    assert examined == [True] * FIRST_FRAMES + [False] * 5


def test_doubt_and_status():
    hands = with_confidence(0.49, 0.5)
    assert hands.doubtful.tolist() == [True, False]
    assert hands.status == ["fitted", "unfitted"]
    absent = replace(hands, present=np.array([0.2, 1.0], np.float32))
    assert absent.doubtful.tolist() == [False, False]
    assert absent.status == ["absent", "unfitted"]
    assert make_hands().doubtful.tolist() == [False, False]  # without a confidence nothing is doubted


def test_rows_keep_doubt_and_findings():
    hands = replace(with_confidence(0.3, 0.9), findings=(FINDING,), examined=True)
    row = make_row("000074", hands, K)
    assert row["doubtful"].tolist() == [True, False]
    again = hands_of_row(row)
    assert again.findings == (FINDING,)
    assert again.examined
    assert again.quality is not None
    np.testing.assert_allclose(again.quality.confidence, [0.3, 0.9], rtol=1e-6)
    assert again.status == hands.status
