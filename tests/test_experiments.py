"""The comparisons: rows build, results are kept and pooled, tables show measured and missing values."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import OneSample, PosedHands
from twohands import cli
from twohands.config import PRESETS
from twohands.evaluation.report import HandRow, Report, pooled
from twohands.evaluation.scoring import MODES
from twohands.experiments import ROWS, TABLES, run, run_tables, write_tables
from twohands.experiments.rows import CITED, NAMES
from twohands.experiments.run import Plan, read_result, result_path
from twohands.experiments.tables import reports_of
from twohands.files import locked
from twohands.hands import free_hand
from twohands.networks import build_network
from twohands.shards import write_shards

pytestmark = pytest.mark.usefixtures("few_steps")


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_a_network(name):
    build_network(replace(PRESETS["tiny"].network, **ROWS[name].changes), free_hand())


def test_tables_name_rows_that_exist_and_published_values_have_all_columns():
    for table in TABLES.values():
        assert {name for name, _ in table.lines} <= set(ROWS)
        assert {name for claim in table.claims for name, _ in claim[1:3]} <= set(ROWS)
        assert set(table.cited) <= set(CITED)
        assert all(mode in ROWS[name].modes for name, mode in table.lines)
    for row in ROWS.values():
        assert set(row.published) <= set(row.modes) <= set(MODES)
        assert all(len(published.values) == len(NAMES) for published in row.published.values())
    full = ROWS["full"].published["ground_truth"]
    assert [full.mean(name) for name in NAMES] == pytest.approx([10.63, 10.04, 7.84, 7.95], abs=0.011)  # its Table III


def described(**changes):
    """Return the identity of the frames of a plan."""
    train = {"name": "posed", "split": "train", "seed": 1, "config": {"clutter": 0.5, "focal": [1.0, 2.0]}, "count": 8}
    return {"data": {**train, **changes}, "test": {**train, "split": "test", "count": 3}}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    tiny = replace(PRESETS["tiny"], train=replace(PRESETS["tiny"].train, batch_size=4))
    places, sets = (folder / "runs", folder / "rows"), (PosedHands(8), PosedHands(3))
    return Plan(tiny, *places, *sets, described(), 0.02, 0.02, 0.02, seeds=1)


def test_a_table_is_trained_measured_kept_and_printed(plan, tmp_path):
    said = []
    run_tables(plan, ["table4"], said.append)
    result = read_result(plan.reports, "parameters", 0)
    assert set(result["reports"]) == {"ground_truth"}
    assert set(read_result(plan.reports, "full", 0)["reports"]) == set(MODES)
    assert result["steps"] == max(1, round(60 * 0.02 / result["seconds_a_step"]))
    assert result["curve"][-1][0] == result["steps"]
    assert len(reports_of(plan.reports, "full", "ground_truth")[0].rows) == 6
    write_tables(plan.reports, tmp_path / "tables.md", "Tables", "twohands experiment")
    text = (tmp_path / "tables.md").read_text()
    assert "| DenseFusion | given masks | not run |" in text
    assert "| Hasson et al. | cited in the paper | - | - | - | - | - | 39.56 / 41.87 |" in text
    assert text.count("| not run |") > 5
    assert "Table II:" not in text  # none of its rows is there
    line = next(line for line in text.splitlines() if line.startswith("| the graph decoder beats"))
    assert line.split(" | ")[1] == "+5.97"
    count = len(said)
    run_tables(plan, ["table4"], said.append)
    assert len(said) == count  # nothing was left to do


def test_a_row_can_be_asked_for_by_name(tmp_path):
    assert run.rows_of("table4") == ["parameters", "full"]
    assert run.rows_of("intaghand_depth") == ["intaghand_depth"]
    arguments = ["experiment", "table5", "--data", str(tmp_path / "a"), "--test", str(tmp_path / "b")]
    with pytest.raises(ValueError, match="'table5' is neither a table nor a row; known are table1, table2, table3"):
        run.rows_of("table5")
    assert cli.main(arguments) == 2


@pytest.mark.parametrize(
    ("change", "said", "place", "again"),
    [
        ({"minutes": 0.05}, "minutes = 0.02, not 0.05", "full-0", "minutes = 0.02, not 0.05"),
        ({"backbone_minutes": 0.05}, "backbone_minutes = 0.02, not 0.05", "backbone", "minutes = 0.02, not 0.05"),
        (
            {"frames": described(config={})},
            "data.config.clutter = 0.5, not None",
            "backbone",
            "data.config.clutter = 0.5",
        ),
        ({"frames": {**described(), "test": {}}}, "test.name = 'posed', not None", "full-0", "test.name = 'posed'"),
    ],
)
def test_other_frames_and_budgets_are_refused(plan, tmp_path, change, said, place, again):
    """Tables never mix conditions: results and unfinished runs of other frames or budgets are refused."""
    run_tables(plan, ["table4"], lambda text: None)
    other = replace(plan, **change)
    with pytest.raises(ValueError, match=f"full-0.json.gz was begun with {said}; give the same frames and budgets"):
        run_tables(other, ["table2"], lambda text: None)  # no row of it is there
    with pytest.raises(ValueError, match=f"runs/{place} was begun with {again}"):
        run.run_row(replace(other, reports=tmp_path), "full", 0, lambda text: None)


def test_a_backbone_that_was_cut_while_it_was_written_is_made_again(plan, tmp_path, monkeypatch):
    begun = replace(plan, folder=tmp_path)
    begun.backbone.mkdir(parents=True)
    (begun.backbone / ".weights.1-ab.safetensors").write_bytes(b"half")
    made = []
    monkeypatch.setattr(run, "_with_budget", lambda config, *_: config)
    monkeypatch.setattr(run, "train", lambda config, items, folder, **_: made.append(folder))
    monkeypatch.setattr(run, "write_backbone_maps", lambda backbone, *_: made.append(backbone))
    run._make_backbone(begun, lambda text: None)
    assert made == [begun.backbone.parent, begun.backbone]


def test_another_number_of_steps_is_refused(plan, tmp_path):
    begun = replace(plan, folder=tmp_path / "runs", reports=tmp_path / "rows", steps=2)
    run.run_row(begun, "rgbd_4channel", 0, lambda text: None)
    result_path(begun.reports, "rgbd_4channel", 0).unlink()
    with pytest.raises(ValueError, match="rgbd_4channel-0 was begun with 2 steps, not 3; remove it, or give another"):
        run.run_row(replace(begun, steps=3), "rgbd_4channel", 0, lambda text: None)


def test_a_row_that_another_process_is_at_is_left_to_it(plan, tmp_path):
    elsewhere = replace(plan, folder=tmp_path / "runs", reports=tmp_path / "rows")
    with locked(elsewhere.folder / "backbone" / run.LOCK) as mine:
        assert mine
        assert not run.run_row(elsewhere, "full", 0, lambda text: None)  # the backbone is being made
    with locked(elsewhere.folder / "rgbd_4channel-0" / run.LOCK):
        assert not run.run_row(elsewhere, "rgbd_4channel", 0, lambda text: None)
    assert not list(elsewhere.folder.rglob("budget.json"))


def test_a_row_learns_from_the_training_frames_alone_and_is_measured_on_every_test_frame(tmp_path, monkeypatch):
    """The published program measures 100 frames."""
    frames, others, name = OneSample("train", 5), OneSample("test", 120), "rgbd_4channel"
    network = replace(PRESETS["tiny"].network, decoder="joints")
    plan = Plan(
        replace(PRESETS["tiny"], network=network),
        tmp_path / "runs",
        tmp_path / "rows",
        frames,
        others,
        described(),
        steps=1,
    )
    train = run.train

    def watched(*arguments, **options):
        result = train(*arguments, **options)
        assert frames.read
        assert not others.read
        frames.read.clear()
        return result

    monkeypatch.setattr(run, "train", watched)
    run.run_row(plan, name, 0, lambda text: None)
    assert not frames.read
    assert others.read == list(range(120))
    result = read_result(plan.reports, name, 0)
    measured = result["reports"]["ground_truth"]
    assert measured["frames"] == 120
    assert [step for step, _ in result["curve"]] == [1]
    assert {name: result[name] for name in ("data", "test")} == described()
    assert {hand["sample"] for hand in measured["hands"]} == {f"test-{index}" for index in range(120)}


def test_a_folder_is_not_both_trained_on_and_tested_on(tmp_path, capsys):
    shards(tmp_path, train=1, copy=1)
    for other in (f"synthetic={tmp_path}/train/.", f"{tmp_path}/copy"):
        arguments = ["--data", f"{tmp_path}/train", "--test", other, "--out", f"{tmp_path}/out"]
        assert cli.main(["experiment", "table4", *arguments]) == 2
        assert "--data and --test are the same frames" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_results_and_tables_go_to_the_folder_of_the_runs(tmp_path, monkeypatch):
    """Files of the checkout are not changed."""
    seen = []
    shards(tmp_path, train=1, test=2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "run_row", lambda plan, *_: seen.append(plan) is None)
    assert cli.main(["experiment", "full", "--data", "train", "--test", "test", "--out", "runs"]) == 0
    assert seen[0].reports == Path("runs/rows")
    assert seen[0].frames["data"] == {"name": "synthetic", "split": "train", "seed": 1, "count": 1}
    assert (tmp_path / "runs" / "tables.md").read_text().startswith("# The tables of the paper, on synthetic frames")


def shards(folder, **seeds):
    """Write two folders of one frame."""
    for name, seed in seeds.items():
        content = {"split": "train", "seed": seed}
        write_shards(OneSample(name, 1), 1, folder / name, content, progress=False)


def report(errors):
    rows = [
        HandRow(str(i), 0, 1.0, 0.3, True, True, {"mpjpe": e} if np.isfinite(e) else {}) for i, e in enumerate(errors)
    ]
    return Report(tuple(rows), 0, len(rows))


def test_seeds_are_pooled_hand_by_hand():
    together = pooled([report([0.01, 0.02, np.nan]), report([0.03, np.nan, np.nan])])
    assert [row.errors for row in together.rows] == [{"mpjpe": pytest.approx(0.02)}, {"mpjpe": 0.02}, {}]


def test_verdicts_follow_the_interval(tmp_path):
    def write(name, values, seed=0, own=0.0):
        modes = (("ground_truth", values), ("own", values + own))
        reports = {mode: json.loads(report(errors).json()) for mode, errors in modes}
        stored = {"reports": reports, "cpu_seconds": 60, "steps": 1, "commit": "c"}
        stored["curve"] = [[20 * step, 100.0 - step] for step in range(1, 21)]
        path = result_path(tmp_path, name, seed)
        path.write_bytes(gzip.compress(json.dumps({**stored, "machine": "m"}).encode()))

    noise = np.random.default_rng(0).normal(0, 0.004, 40)
    write("full", np.full(40, 0.02))
    write("parameters", 0.025 + noise)
    write("concat", 0.02 + noise)
    write("no_center_feature", 0.015 + noise)

    def claims():
        write_tables(tmp_path, tmp_path / "tables.md", "Tables", "twohands experiment")
        return {line.split(" | ")[0]: line for line in (tmp_path / "tables.md").read_text().splitlines()}

    lines = claims()  # single runs do not show the effect of chance
    assert lines["| the graph decoder beats hand-model parameters"].endswith("| 40 | not resolved |")
    write("full", np.full(40, 0.03), seed=1)
    lines = claims()  # chance has more effect than a decoder
    assert lines["| the graph decoder beats hand-model parameters"].endswith("| 40 | not resolved |")
    write("full", np.full(40, 0.0201), seed=1)
    lines = claims()
    assert lines["| the graph decoder beats hand-model parameters"].endswith("| 40 | as in the paper |")
    assert lines["| the feature transform beats concatenation"].endswith("| 40 | not resolved |")
    assert lines["| the centre feature helps"].endswith("| 40 | the other way round |")
    masks = "| ground-truth masks beat own masks"
    assert masks not in {line for line in lines if lines[line].endswith("as in the paper |")}
    for seed, values, own in ((0, 0.02, 0.001), (1, 0.05, 0.0011)):
        write("full", np.full(40, values), seed, own)
    lines = claims()  # the runs end far apart, but both lose as much by their own masks
    assert "| +1.05 (" in lines[masks]
    assert lines[masks].endswith("| 40 | as in the paper |")
    write("full", np.full(40, 0.05), 1, -0.001)
    assert claims()[masks].endswith("| 40 | not resolved |")
    assert "| concat | 0 | 98 | 96 | 94 | 92 | 90 | 88 | 86 | 84 | 82 | 80 |" in (tmp_path / "tables.md").read_text()
