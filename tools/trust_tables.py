"""Tables and pictures of the confidence and sigma of hands with known errors. Used by tools/calibrate_trust.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from trust_formulas import RIGHT_WITHIN, Hands
from twohands.fitting.trust import Trust

BINS = 10
SIZE, MARGIN = 420, 50
"""Side of a picture and width of its frame, pixels."""
COLORS = ((40, 90, 200), (210, 90, 30), (40, 150, 80), (150, 60, 160))


@dataclass(frozen=True)
class Judged:
    """Hands of known error with their confidence and sigma."""

    hands: Hands
    confidence: np.ndarray  # (N,)
    sigma: np.ndarray  # (N, 21, 2) metres

    @property
    def right(self) -> np.ndarray:
        return self.hands.error < RIGHT_WITHIN


def judged(hands: Hands, trust: Trust) -> Judged:
    """Return hands with the confidence and sigma that their features give."""
    return Judged(hands, *trust.judge(hands.hand, hands.joint))


def reliability(found: Judged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean confidence, fraction of right hands and number of hands of BINS bins of equal count."""
    bins = np.array_split(np.argsort(found.confidence, kind="stable"), BINS)
    rows = [(found.confidence[one].mean(), found.right[one].mean(), len(one)) for one in bins]
    said, true, count = (np.array(column) for column in zip(*rows, strict=True))
    return said, true, count


def calibration_error(found: Judged) -> float:
    """Return the expected calibration error."""
    said, true, count = reliability(found)
    return float((np.abs(said - true) * count).sum() / count.sum())


def risk_coverage(found: Judged) -> tuple[np.ndarray, np.ndarray]:
    """Return the fraction of hands kept (N,), most confident first, and the fraction of wrong ones among them (N,)."""
    wrong = ~found.right[np.argsort(-found.confidence, kind="stable")]
    number = np.arange(1, len(wrong) + 1)
    return number / len(wrong), np.cumsum(wrong) / number


def table(found: Mapping[str, Judged]) -> str:
    """Return Markdown tables about every set."""
    names = "".join(f" {name} |" for name in found)
    head = f"| |{names}\n|---|{'---|' * len(found)}\n"
    rows = {
        "found hands": [f"{len(one.confidence)}" for one in found.values()],
        "right (below 20 mm), %": [f"{100 * one.right.mean():.1f}" for one in found.values()],
        "mean confidence, %": [f"{100 * one.confidence.mean():.1f}" for one in found.values()],
        "expected calibration error": [f"{calibration_error(one):.3f}" for one in found.values()],
        "area under risk-coverage": [f"{risk_coverage(one)[1].mean():.3f}" for one in found.values()],
        "over 30 mm: all found, %": [f"{100 * (one.hands.error > 0.03).mean():.1f}" for one in found.values()],
        "over 30 mm: confidence >= 0.5, %": [
            f"{100 * (one.hands.error > 0.03)[one.confidence >= 0.5].mean():.1f}" for one in found.values()
        ],
        "below 15 mm with confidence < 0.5, %": [
            f"{100 * (one.confidence < 0.5)[one.hands.error < 0.015].mean():.1f}" for one in found.values()
        ],
    }
    text = head + "".join(f"| {name} | {' | '.join(values)} |\n" for name, values in rows.items())
    text += "\n| errors inside 1 / 1.96 sigma, % (median sigma, mm) |" + names + f"\n|---|{'---|' * len(found)}\n"
    for axis, direction in enumerate(("along", "across")):
        for title, chosen in (("all joints", None), ("visible joints", True), ("hidden joints", False)):
            cells = [coverage(one, axis, direction, chosen) for one in found.values()]
            text += f"| {direction} the ray, {title} | {' | '.join(cells)} |\n"
    return text


def coverage(found: Judged, axis: int, direction: str, visible: bool | None) -> str:
    """Return a cell: percentages of the joint errors of one direction inside 1 and 1.96 sigma, and the median sigma."""
    errors = np.abs(getattr(found.hands, direction))  # (N, 21, D)
    chosen = np.isfinite(found.hands.error)[:, None] & np.ones_like(found.hands.visible)
    if visible is not None:
        chosen &= found.hands.visible == visible
    if not chosen.any():
        return "-"
    ratio = errors[chosen] / found.sigma[..., axis][chosen][:, None]
    middle = 1e3 * np.median(found.sigma[..., axis][chosen])
    return f"{100 * (ratio < 1).mean():.1f} / {100 * (ratio < 1.96).mean():.1f} ({middle:.1f})"


def pictures(found: Mapping[str, Judged], folder: Path) -> None:
    """Write reliability.png and risk_coverage.png with a curve for every set."""
    curves = {name: reliability(one)[:2] for name, one in found.items()}
    _draw(curves, "confidence", "fraction below 20 mm", 1.0, True).save(folder / "reliability.png")
    curves = {name: risk_coverage(one) for name, one in found.items()}
    highest = max(0.1, float(np.ceil(10 * max(risk[len(risk) // 20 :].max() for _, risk in curves.values())) / 10))
    _draw(curves, "fraction of hands kept", "fraction of them wrong", highest, False).save(folder / "risk_coverage.png")


def _draw(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], across: str, up: str, highest: float, diagonal: bool
) -> Image.Image:
    picture = Image.new("RGB", (SIZE + 2 * MARGIN, SIZE + 2 * MARGIN), "white")
    pen = ImageDraw.Draw(picture)

    def place(x: float, y: float) -> tuple[float, float]:
        return MARGIN + x * SIZE, MARGIN + (1 - min(y / highest, 1.0)) * SIZE

    for tick in np.linspace(0, 1, 6):
        pen.line([place(tick, 0), place(tick, highest)], fill=(225, 225, 225))
        pen.line([place(0, tick * highest), place(1, tick * highest)], fill=(225, 225, 225))
        pen.text((place(tick, 0)[0] - 8, SIZE + MARGIN + 6), f"{tick:.1f}", fill="black")
        pen.text((MARGIN - 34, place(0, tick * highest)[1] - 6), f"{tick * highest:.2f}", fill="black")
    pen.text((MARGIN + SIZE / 2 - 60, SIZE + MARGIN + 26), across, fill="black")
    pen.text((MARGIN, MARGIN - 20), up, fill="black")
    if diagonal:
        pen.line([place(0, 0), place(1, 1)], fill=(150, 150, 150))
    for number, (name, (x, y)) in enumerate(curves.items()):
        color = COLORS[number % len(COLORS)]
        pen.line([place(float(a), float(b)) for a, b in zip(x, y, strict=True)], fill=color, width=2)
        if diagonal:
            for a, b in zip(x, y, strict=True):
                u, v = place(float(a), float(b))
                pen.ellipse([u - 3, v - 3, u + 3, v + 3], fill=color)
        pen.text((MARGIN + 12, MARGIN + 10 + 16 * number), name, fill=color)
    return picture
