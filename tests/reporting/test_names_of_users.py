"""Names of folders, files and runs may hold any sign: on the screen, in Markdown and in HTML they are letters."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from physworld.reporting.charts import interval_bars, svg
from physworld.reporting.html import page
from physworld.reporting.markdown import header, plain, table
from physworld.reporting.progress import bar
from physworld.reporting.screen import screen

from repository import ROOT

NAMES = [
    "[bold]x[/y]|z", "[/]", "[red", ":smile:",
    "a|b", "a\\|b", "<b>&amp;</b>", "*x*", "_x_", "__init__", "_x", "$x$", "`x`", "```", "[x](y)", "#1",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_on_the_screen(name: str) -> None:
    out = io.StringIO()
    console = screen(200, out)
    console.print(f"-> {name}", soft_wrap=True)
    shown = Table(title=name)
    shown.add_column(name)
    shown.add_row(name)
    console.print(shown)
    assert out.getvalue().count(name) >= 4
    terminal = Console(file=io.StringIO(), force_terminal=True, width=200)
    with bar(name, 2, terminal) as done:
        done(1)
    assert name in terminal.file.getvalue()  # type: ignore[attr-defined]
    assert f"-> {name}\n" in out.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_in_a_report(name: str) -> None:
    facts = {"folder": name}
    lines = [*header(name, f"python train.py hydra.run.dir={name}", facts), *table(["name", "x"], [[plain(name), "1"]])]
    made = page("\n".join(lines), {name: "<svg></svg>"}, [(name, name, [])])

    def texts(tag: str) -> list[str]:
        inside = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", made, re.DOTALL)
        return [html.unescape(re.sub(r"<[^>]*>", "", text)).strip() for text in inside]

    assert texts("li") == [f"folder: {name}"]
    assert texts("h1") == [name] and texts("title") == [name] and texts("h2") == [name]
    assert texts("td") == [name, "1"] and texts("figcaption") == [name]
    assert texts("code") == [f"python train.py hydra.run.dir={name}"]


def test_a_cell_that_nobody_made_plain_stays_one_cell() -> None:
    assert table(["a"], [["x|y\nz"], ["x\\|y"]])[2:4] == ["| x\\|y z |", "| x\\|y |"]


@pytest.mark.parametrize("name", [*NAMES, "$x_{", "a$b$c", "$\\frac{$"])
def test_in_a_chart(name: str) -> None:
    cell = {"mean": 1.0, "low": 0.5, "high": 2.0}
    drawn = svg(interval_bars({name: {f"run {name}": cell}}, label=name))
    texts = [html.unescape(text).strip() for text in re.findall(r"<text[^>]*>(.*?)</text>", drawn, re.DOTALL)]
    assert texts.count(name) == 2 and f"run {name}" in texts


def test_every_console_is_the_shared_one() -> None:
    """Rich's own reads `[x]` as markup, and a folder's name may hold it."""
    makers = re.compile(r"\b(Console|get_console)\(|from rich import print|from_markup")
    found = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "physworld").rglob("*.py"))
        if makers.search(path.read_text(encoding="utf-8"))
    ]
    assert found == [str(Path("physworld/reporting/screen.py"))]
