"""The report kit: figures and tables keep their digits, pages need nothing else, charts show what they are given."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from physworld.io.images import write_gif
from physworld.reporting.charts import interval_bars, new_axes, pixels, svg
from physworld.reporting.html import page
from physworld.reporting.markdown import figure, header, span, table
from physworld.reporting.report import Gallery, captioned, write_report


def interval(mean: float | None, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"mean": mean, "low": low, "high": high}


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, "", "∞"), (0.0, "", "0.00"), (0.00123, "", "0.0012"), (1.234, "", "1.23"), (12.34, "", "12.3"),
        (-123.4, "", "-123"), (0.5, ".3f", "0.500"), (None, ".3f", "∞"),
    ],
)  # fmt: skip
def test_a_figure(value: float | None, form: str, text: str) -> None:
    assert figure(value, form) == text


def test_an_interval() -> None:
    assert span(None) == "–"
    assert span(interval(0.5, 0.25, 0.75), ".1f", 100) == "50.0 (25.0–75.0)"
    assert span(interval(1.5, None, None)) == "1.50"  # a single sample
    assert span({**interval(1.5, 1.5, 1.5), "n": 1}) == span({**interval(1.5, 1.5, 1.5), "count": 1}) == "1.50 (n = 1)"
    assert span({**interval(0.0, 0.0, 0.8), "count": 1}) == "0.00 (0.00–0.80)"  # a share of one has an interval
    assert span(interval(1.5, 1.0, None)) == "1.50 (1.00–∞)"
    assert span(interval(None, None, None)) == "∞ (∞–∞)"


def test_a_table_has_as_many_cells_in_every_line() -> None:
    lines = table(["", "a", "b"], [["x", "1", "2"], ["y", "3", "4"]])
    assert lines == ["|  | a | b |", "| :-- | --: | --: |", "| x | 1 | 2 |", "| y | 3 | 4 |", ""]


def test_the_head_says_how_to_get_it_again() -> None:
    lines = header("Title", "python evaluate.py run=x", {"seed": [0, 7], "samples": 12000, "commit": "abc"})
    assert lines[0] == "# Title" and "python evaluate.py run=x" in lines
    assert {"- seed: 0, 7", "- samples: 12,000", "- commit: abc"} <= set(lines)


def test_a_page_needs_nothing_else_and_names_are_no_markup(tmp_path: Path) -> None:
    picture = write_gif(tmp_path / "pictures" / "two words_x.gif", np.zeros((2, 8, 8, 3), dtype=np.uint8), 10)
    chart = interval_bars({"a<b": {"row": interval(0.5, 0.4, 0.6)}}, label="share", reference=0.5)
    lines = [*header("<script>alert()</script>", "c", {}), *table(["", "a"], [["<img src=x>", "1"]])]
    gallery = Gallery(title="Clips", text="Truth & model.", pictures=captioned([picture]))
    write_report(tmp_path, lines, {"A chart": chart}, [gallery, Gallery(title="Empty", text="", pictures=[])])
    text = (tmp_path / "report.md").read_text()
    assert "![two words x](pictures/two%20words_x.gif)" in text and "Empty" not in text
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page and "A chart" in page and "<table>" in page and "Truth &amp; model." in page
    assert re.findall(r'src="(.{14})', page) == ["data:image/gif"]
    assert "<script" not in page and "<img src=x>" not in page and not re.search(r"<(link|iframe)\b", page)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[a](b_c/d.html) [w](https://arxiv.org/abs/1)",
         '<a href="b_c/d.html">a</a> <a href="https://arxiv.org/abs/1">w</a>'),
        ("[a](javascript:alert(1)) [b](<java\tscript:1>) [c](data:text/html;base64,x) [d](JaVaScRiPt&#58;1)",
         '<span>a</span> <span>b</span> <span>c</span> <a href="JaVaScRiPt&amp;#58;1">d</a>'),  # no scheme: not decoded
        ("[a][y] ![x](http://t.example/p.png) ![y][y]\n\n[y]: vbscript:1",
         "<span>a</span> <span>x</span> <span>y</span>"),
    ],
)  # fmt: skip
def test_links_lead_nowhere_that_runs_and_no_picture_is_fetched(text: str, shown: str) -> None:
    assert f"<p>{shown}</p>" in page(f"# T\n\n{text}", {})


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    gallery = Gallery(title="Clips", text="", pictures=captioned([tmp_path / "no.gif"]))
    with pytest.raises(ValueError, match=r"no\.gif does not exist"):
        write_report(tmp_path, ["# x"], {}, [gallery])
    assert not list(tmp_path.iterdir())


def test_bars_are_as_long_as_their_figures() -> None:
    cells = {
        "parse": {"model": interval(0.5, 0.25, 0.75), "other": None},
        "schema": {"model": interval(1.0, 1.0, 1.0), "other": interval(None, None, None)},
        "rest": {"model": {"mean": 0.2, "n": 3}, "other": interval(0.1, None, 0.3)},
    }
    chart = interval_bars(cells, label="%", scale=100, reference=50)
    (axes,) = chart.axes
    nothing = np.nan  # no bar is drawn
    widths = [50, 100, 20, nothing, nothing, 10]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(widths, nan_ok=True)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["parse", "schema", "rest"]
    (line,) = [c for c in axes.lines if list(c.get_xdata()) == [50, 50]]
    assert line.get_color() == "#D51E1E"
    assert svg(chart) == svg(chart) and pixels(chart).shape[2] == 3


def test_axes_side_by_side() -> None:
    figure, both = new_axes(6.0, 2.0, columns=2)
    assert len(both) == len(figure.axes) == 2


def test_a_row_without_figures_keeps_its_colour_in_the_legend() -> None:
    chart = interval_bars({"a": {"x": interval(1.0, 0.5, 1.5), "y": None}}, label="m")
    first, second = (patch.get_facecolor() for patch in chart.legends[0].get_patches())
    assert first != second
    assert all(np.isnan(bar.get_width()) for bar in chart.axes[0].containers[-1].patches)
