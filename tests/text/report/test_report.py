"""Rows, summary and report from rollouts whose errors are known by construction."""

from __future__ import annotations

import io
import json
import re

import jsonschema
import numpy as np
import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from physworld.metrics.scores import HORIZON, METRICS, ROLLOUT, Metric
from physworld.text.evaluation.evaluation import EvalCases, EvalResult
from physworld.text.report.charts import shift_chart
from physworld.text.report.figures import to_tensorboard
from physworld.text.report.report import print_table, score_rollouts, summarise, write_report
from physworld.text.report.sections import shift_table, unmoved
from physworld.types import Body, Scene, Trajectory

from repository import ROOT

HORIZONS = [1, 5]
METHODS = ("model", "copy_last", "linear", "ballistic", "floor")
# px off at every frame, by scenario: linear is the best single baseline (mean 6), copy_last is best on "b"
OFF = {
    "a": {"model": 2.0, "copy_last": 20.0, "linear": 4.0, "ballistic": 8.0, "floor": 0.5},
    "b": {"model": 3.0, "copy_last": 6.0, "linear": 8.0, "ballistic": 10.0, "floor": 0.5},
}


def straight(name: str, off: float = 0.0) -> Trajectory:
    body = Body(shape="circle", size=(10.0,), position=(100.0, 100.0))
    scene = Scene(name=name, category="test", difficulty=2, text="", bodies=(body,), gravity=(0.0, 0.0))
    position = np.full((5, 1, 2), (100.0 + off, 100.0))
    return Trajectory(
        scene=scene, position=position, velocity=np.zeros((5, 1, 2)), angle=np.zeros((5, 1)), spin=np.zeros((5, 1))
    )


def rows(counts: dict[str, int], held_out: tuple[str, ...] = (), parse_ok=None, off=OFF):
    names = [name for name, count in counts.items() for _ in range(count)]
    meta = [{"index": i, "start_frame": 3 * (i % 2), "seed": 7, "held_out": n in held_out} for i, n in enumerate(names)]
    return score_rollouts(
        [straight(n) for n in names],
        {m: [straight(n, off[n][m]) for n in names] for m in METHODS},
        [True] * len(names) if parse_ok is None else parse_ok,
        HORIZONS,
        meta,
    )


def test_a_row_per_rollout_and_method():
    got = rows({"a": 2, "b": 1}, held_out=("b",))
    assert len(got) == 3 * 5
    who = {"scenario": "a", "difficulty": 2, "index": 0, "start_frame": 0, "seed": 7, "held_out": False}
    errors = {f"{name}@{h}": 0.0 for h in HORIZONS for name, metric in METRICS.items() if metric.when == HORIZON}
    errors |= {f"{name}@{h}": 2.0 for h in HORIZONS for name in ("rmse", "position_mae")}
    errors |= {
        "copied": None,
        "moves_right": None,
        "event_velocity_rmse": None,
        "flight_momentum_error": 0.0,
        "flight_energy_error": 0.0,
    }
    errors |= {f"events_{name}": 0 for name in ("true", "said", "matched", "late")}
    errors |= {f"events_{name}_impulse": 0.0 for name in ("true", "said", "found", "right")}
    where = {"category": "test", "objects": 1, "shift": "", "distance": 0.0, "told": True, "missing": 0, "drifted": 0}
    assert got[0] == {**who, **where, "method": "model", "parsed": True, "valid_frames": 5, **errors}


@pytest.mark.parametrize(("when", "interval"), [(HORIZON, False), (HORIZON, True), (ROLLOUT, False)])
def test_a_metric_is_one_entry(tmp_path, monkeypatch, when, interval):
    """It is in the rows, in metrics.json (after its schema), in the report and in TensorBoard."""

    def furthest(target, predicted) -> float:
        return float(np.abs(predicted.position - target.position).max()) + len(target)

    toy = Metric(label="furthest body", unit="px", function=furthest, when=when, interval=interval)
    monkeypatch.setitem(METRICS, "furthest", toy)
    scored = rows({"a": 2, "b": 2})
    key = "furthest@5" if when == HORIZON else "furthest"
    assert [row[key] for row in scored if row["method"] == "model"] == [7, 7, 8, 8]
    if when == HORIZON:
        assert scored[0]["furthest@1"] == 3
    summary = summarise(scored)
    text = write_report(tmp_path, summary, [], command="c", split="val").read_text()
    assert "Furthest body by horizon, px:" in text if interval else "| furthest body, px | 7.50 / 7.50 |" in text
    block = json.loads((tmp_path / "metrics.json").read_text())["seen"]
    found = block["horizons"]["5"]["furthest"] if interval else block["details"][key]
    assert found["model"]["mean"] == 7.5
    schema = json.loads((ROOT / "docs" / "metrics.schema.json").read_text())
    jsonschema.validate(block, {"$ref": "#/$defs/block", "$defs": schema["$defs"]})
    truth = [straight("a"), straight("b")]
    cases = EvalCases(given=truth, truth=truth, meta=[], left_out={})
    summary["curves"] = {"model": [1.0] * 5}
    result = EvalResult(rows=scored, summary=summary, cases=cases, predicted=truth)
    for _ in range(2):  # an evaluation that is made again in its folder
        to_tensorboard(tmp_path, "toy", "standard", {"tried": [1, 2], "tokens": np.int64(3)}, result, {})
    events = EventAccumulator(str(tmp_path / "tensorboard" / "toy")).Reload()
    assert [event.value for event in events.Scalars(f"metrics/{key}")] == [7.5]


def test_a_metric_that_is_read_once_has_no_table_by_horizon():
    with pytest.raises(ValueError, match="has no table by horizon"):
        Metric(label="toy", function=lambda t, p: 0.0, when=ROLLOUT, interval=True)


def test_scenario_types_weigh_the_same_and_both_yardsticks_are_right():
    part = summarise(rows({"a": 3, "b": 1}))["seen"]["horizons"]["5"]
    assert part["rmse"]["model"]["mean"] == pytest.approx(2.5)  # not 2.25, the mean over rollouts
    assert part["rmse"]["model"]["median"] == 2 and part["rmse"]["model"]["count"] == 4
    assert part["best_baseline"] == "linear"
    assert part["ratio_best"]["mean"] == pytest.approx(2.5 / 6)
    assert part["rmse"]["best_per_scenario"]["mean"] == pytest.approx((4 + 6) / 2)
    assert part["ratio_best_per_scenario"]["mean"] == pytest.approx(2.5 / 5)
    assert part["ratio"]["copy_last"]["mean"] == pytest.approx(2.5 / 13)


def test_seen_and_held_out_are_apart():
    got = summarise(rows({"a": 2, "b": 2}, held_out=("b",)))
    assert got["seen"]["scenarios"] == ["a"] and got["held_out"]["scenarios"] == ["b"]
    assert got["all"]["rollouts"] == 4 and got["scenarios"]["b"]["held_out"]
    assert got["headline"]["rmse@5/model"] == 2 and got["headline"]["ratio_best@5"] == 0.5
    assert got["held_out"]["horizons"]["5"]["best_baseline"] == "copy_last"
    assert summarise(rows({"b": 2}, held_out=("b",)))["seen"] is None


def test_scenes_moved_out_of_distribution_count_only_as_such() -> None:
    """They are copies of scenes that count already: taken together they would make one scene look like many."""
    plain = rows({"a": 3, "b": 2}, held_out=("b",))
    moved = [{**row, "shift": "zero_gravity@1", "distance": 1.0, "rmse@5": 9 * row["rmse@5"]} for row in plain]
    alone, both = summarise(plain), summarise([*plain, *moved])
    for part in ("all", "seen", "held_out", "scenarios"):
        assert both[part] == alone[part]
    assert both["breakdown"]["difficulty"] == alone["breakdown"]["difficulty"]
    assert both["breakdown"]["shift"]["zero_gravity@1"]["rollouts"] == 5


def test_parse_rate_counts_the_model_only():
    scored = rows({"a": 3, "b": 1}, parse_ok=[True, False, True, True])
    assert [(row["method"], row["index"]) for row in scored if not row["parsed"]] == [("model", 1)]
    got = summarise(scored)
    assert got["parse_rate"] == 0.75 and got["scenarios"]["a"]["parse_rate"] == pytest.approx(2 / 3)


def test_a_prediction_that_is_not_a_number_is_infinitely_wrong_and_json_still_reads(tmp_path):
    off = {"a": {**OFF["a"], "model": float("nan")}}
    got = summarise(rows({"a": 2}, off=off))
    part = got["seen"]["horizons"]["5"]
    assert part["rmse"]["model"]["mean"] is None and part["ratio_best"]["mean"] is None
    text = write_report(tmp_path, got, [], command="c", split="val").read_text()
    assert "∞" in text and "the model is worse" in text
    json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)


def test_a_baseline_without_error_leaves_no_ratio_but_a_report(tmp_path):
    off = {"a": {**OFF["a"], "linear": 0.0}}
    got = summarise(rows({"a": 1}, off=off))
    assert got["seen"]["horizons"]["5"]["ratio_best"] is None
    assert "linear makes no error at all" in write_report(tmp_path, got, [], command="c", split="val").read_text()


@pytest.mark.parametrize(("model", "words"), [(2.0, "below it"), (9.0, "the model is worse")])
def test_the_verdict_follows_the_numbers(tmp_path, model, words):
    got = summarise(rows({"a": 2}, off={"a": {**OFF["a"], "model": model}}))
    text = write_report(tmp_path, got, [], command="c", split="val").read_text()
    assert words in text and "not told apart" not in text


def test_single_rollouts_are_not_passed_off_as_certainty(tmp_path):
    for counts, warned in (({"a": 2, "b": 1}, True), ({"a": 2, "b": 2}, False)):
        text = write_report(tmp_path, summarise(rows(counts)), [], command="c", split="val").read_text()
        assert ("too narrow to trust" in text) is warned


def test_single_scenes_have_no_interval_and_no_verdict(tmp_path):
    single = summarise(rows({"a": 1, "b": 1}, off={"a": {**OFF["a"], "model": 0.5}, "b": {**OFF["b"], "model": 0.5}}))
    part = single["seen"]["horizons"]["5"]
    for interval in (*part["rmse"].values(), *part["ratio"].values(), part["ratio_best"]):
        assert interval["mean"] is not None and interval["low"] is None and interval["high"] is None
    text = write_report(tmp_path, single, [], command="c", split="val").read_text()
    assert "each type has a single scene, which cannot vary, so there is no interval and no verdict" in text
    assert "below it, with" not in text and "too narrow" not in text and not re.search(r"\d \(\d[\d.]*–", text)
    out = io.StringIO()
    print_table(single, Console(file=out, width=200))
    assert "no interval and no verdict" in " ".join(out.getvalue().split()) and "–0." not in out.getvalue()
    two = summarise(rows({"a": 2, "b": 1}))["seen"]["horizons"]["5"]
    assert two["ratio_best"]["low"] is not None


def test_types_that_were_not_trained_on_are_called_what_they_are(tmp_path):
    off = {"pong": OFF["a"], "bowling": OFF["b"], "tower": OFF["b"], "billiards": OFF["a"]}
    untrained = ("pong", "bowling", "tower")
    for names, words in (
        (off, "2 of these 3 are held-out types, kept from every training set (bowling, pong); each other is"),
        (("billiards", "pong"), "All of them are held-out types"),
        (("billiards", "tower"), "none is one of the held-out types"),
    ):
        summary = summarise(rows(dict.fromkeys(names, 2), held_out=untrained, off=off))
        text = write_report(tmp_path, summary, [], command="c", split="val").read_text()
        assert "## Scenario types not trained on" in text and words in text and "never trained on" not in text


def test_nothing_is_cut_where_there_is_no_terminal():
    out = io.StringIO()
    print_table(summarise(rows({"a": 2, "b": 2}, held_out=("b",))), Console(file=out, width=40))
    text = out.getvalue()
    assert "…" not in text and text.count("0.50 (0.50–0.50)") == 4
    for word in ("copy-last", "ballistic", "model / best"):
        assert text.count(word) == 2


def test_no_table_of_a_page_is_wider_than_the_methods_and_one(tmp_path):
    summary = summarise(rows({"a": 2, "b": 2}))
    text = write_report(tmp_path, summary, [], command="c", split="val").read_text()
    heads = re.findall(r"^\| frames ahead \|.*$", text, flags=re.M)
    assert heads and max(head.count("|") - 1 for head in heads) <= len(METHODS) + 1
    assert "model / linear" in text and "skill" in text


def test_report_holds_tables_statement_and_pictures(tmp_path):
    figure = tmp_path / "figures" / "a b.gif"
    figure.parent.mkdir()
    figure.write_bytes(b"GIF89a")
    summary = summarise(rows({"a": 2, "b": 2}, held_out=("b",)))
    path = write_report(
        tmp_path, summary, [figure], command="python evaluate.py run=x", split="val", notes={"commit": "abc"}
    )
    text = path.read_text()
    assert path.name == "report.md" and "![a b](figures/a%20b.gif)" in text
    counts = ("4 rollouts of 4 scenes", "between 0 and 3", "root seed 7", "`val`")
    for piece in (*counts, "python evaluate.py run=x", "- commit: abc"):
        assert piece in text, piece
    seen, held = re.findall(r"^\| (a|b) \| 2 \| 100% \| (.*) \|$", text, flags=re.M)
    assert seen[1].split(" | ") == [
        "2.00 / 2.00",
        "20.0 / 20.0",
        "4.00 / 4.00",
        "8.00 / 8.00",
        "0.50 / 0.50",
        "0.50 (0.50–0.50)",
        "0.50",
    ]
    assert held[0] == "b" and text.index("not trained on") < text.index("| b | 2 |")
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored.pop("measured") == {"command": "python evaluate.py run=x", "split": "val", "commit": "abc"}
    assert stored == summary  # plain JSON data before and after
    assert {p.name for p in tmp_path.iterdir()} == {"SHA256SUMS", "figures", "metrics.json", "report.html", "report.md"}


def test_every_table_row_has_as_many_cells_as_its_head(tmp_path):
    summary = summarise(rows({"a": 2, "b": 1}, held_out=("b",)))
    text = write_report(tmp_path, summary, [], command="c", split="val").read_text()
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_screen_table_names_methods_and_marks_the_best_baseline():
    out = io.StringIO()
    print_table(summarise(rows({"a": 2, "b": 2})), Console(file=out, width=120))
    text = out.getvalue()
    for word in ("model", "copy-last", "linear", "ballistic", "floor", "6.00*", "0.42 (0.42–0.42)", "100.0% parsed"):
        assert word in text, word


def test_plain_sentences_for_what_cannot_be_scored(tmp_path):
    with pytest.raises(ValueError, match="no rollouts to summarise"):
        summarise([])
    target, meta = straight("a"), {"index": 0, "start_frame": 0, "seed": 0, "held_out": False}
    both = {"model": [target], "linear": [target]}
    with pytest.raises(ValueError, match="at least one of copy_last, linear, ballistic"):
        score_rollouts([target], {"model": [target]}, [True], HORIZONS, [meta])
    with pytest.raises(ValueError, match="got model, magic"):
        score_rollouts([target], {"model": [target], "magic": [target]}, [True], HORIZONS, [meta])
    with pytest.raises(ValueError, match="compare the count"):
        score_rollouts([target], both, [5], HORIZONS, [meta])
    with pytest.raises(ValueError, match="2 entries in meta"):
        score_rollouts([target], both, [True], HORIZONS, [meta, meta])
    with pytest.raises(ValueError, match="lacks held_out"):
        score_rollouts([target], both, [True], HORIZONS, [{k: v for k, v in meta.items() if k != "held_out"}])
    with pytest.raises(ValueError, match=r"outside 1\.\.5"):
        score_rollouts([target], both, [True], [30], [meta])
    scored = score_rollouts([target], both, [True], HORIZONS, [meta])
    with pytest.raises(ValueError, match="scored twice"):
        summarise(scored * 2)
    with pytest.raises(ValueError, match="other rollouts"):
        summarise([*scored, {**scored[0], "index": 1}])
    with pytest.raises(ValueError, match="does not exist"):
        write_report(tmp_path, summarise(scored), [tmp_path / "no.gif"], command="c", split="val")


@pytest.mark.filterwarnings("error")
def test_a_chart_without_lines_has_no_legend() -> None:
    """One scene that is predicted to the last digit gives no ratio to draw."""
    part = {"rmse": {"model": {"mean": 0.0}}}
    figure = shift_chart({"horizons": [5], "breakdown": {"shift": {"": part, "low_gravity@1": part}}}, [])
    assert figure.axes[0].get_legend() is None


def test_moved_scenes_are_compared_with_the_same_scenes_as_they_are() -> None:
    """A hard type that cannot be moved must not make the others look better out of distribution."""
    off = {"a": dict.fromkeys(METHODS, 2.0), "b": dict.fromkeys(METHODS, 98.0)}
    plain = rows({"a": 2, "b": 2}, off=off)
    moved = [{**row, "shift": "low_gravity@1", "distance": 0.8} for row in rows({"a": 2}, off={"a": off["a"]})]
    for row in moved:
        row["rmse@5"] = 4.0
    everything = [*plain, *moved]
    summary = summarise(everything)
    assert unmoved(everything, 5) == {"low_gravity@1": 2.0, "": 50.0}
    assert unmoved(moved, 5).get("low_gravity@1") is None  # nobody asked
    text = "\n".join(shift_table(summary, everything))
    (row,) = [line for line in text.split("\n") if "gravity at level 1" in line]
    assert "at level 1 | 0.80 | 2 |" in row and row.endswith("| 2.00 |")
    (line,) = [one for one in shift_chart(summary, everything).axes[0].lines if one.get_label() == "low_gravity"]
    assert line.get_ydata()[0] == pytest.approx(2.0)  # not 4 / 50
