"""A report as one HTML page that needs nothing else: tables from the Markdown, charts as SVG, pictures inside."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #2d343c; background: #fafaf7; margin: 2rem auto; max-width: 76rem;
  padding: 0 1.5rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-top: 1px solid #d0d4de; padding-top: 1rem; }
table { border-collapse: collapse; font-size: 13px; margin: .6rem 0 1.2rem; display: block; overflow-x: auto; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #e3e6ec; white-space: nowrap; text-align: right; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 9rem; }
th { background: #eef0f4; position: sticky; top: 0; } tr:hover td { background: #f2f5fa; }
pre { background: #eef0f4; padding: .8rem; overflow-x: auto; } figure { margin: 1rem 0; display: inline-block; }
figure svg, figure img, figure video { max-width: 100%; height: auto; } figcaption { font-size: 13px; color: #5b6570; }
.charts { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
"""
HARMLESS = re.compile(r"https?://[^\s\x00-\x1f]+|[^:\s\x00-\x1f]*")  # a link: of the web, or relative, without a scheme
KINDS = {".gif": "image/gif", ".png": "image/png", ".mp4": "video/mp4"}


def page(
    markdown: str,
    charts: Mapping[str, str],
    galleries: Sequence[tuple[str, str, Sequence[tuple[str, Path]]]] = (),
) -> str:
    """The whole page.

    Args:
        markdown: the report without its pictures; it begins with a title.
        charts: caption -> <svg> text.
        galleries: (title, text, captions and files of GIF, PNG or MP4), put into the page as they are.
    """
    title, _, rest = _body(markdown).partition("</h1>")
    parts = [title + "</h1>"]
    drawn = [_figure(svg, caption) for caption, svg in charts.items()]
    parts += ['<div class="charts">', *drawn, "</div>"] if drawn else []
    parts.append(rest)
    for name, text, pictures in galleries:
        parts += [f"<h2>{html.escape(name)}</h2>", f"<p>{html.escape(text)}</p>"]
        parts += [_figure(_embedded(file), caption) for caption, file in pictures]
    whole = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(_first_line(markdown))}</title><style>{STYLE}</style></head><body>",
        *parts,
        "</body></html>",
    ]
    return "\n".join(whole)


def _body(markdown: str) -> str:
    """Names in the text (of runs, of files) may hold anything: nothing of it is taken as HTML, no picture is fetched,
    and links lead to files beside the page or to a page of the web."""
    from markdown import Markdown
    from markdown.treeprocessors import Treeprocessor

    writer = Markdown(extensions=["tables", "fenced_code", "sane_lists"])
    writer.preprocessors.deregister("html_block")
    for pattern in ("html", "autolink", "automail"):
        writer.inlinePatterns.deregister(pattern)
    writer.ESCAPED_CHARS.append("<")
    last = Treeprocessor(writer)
    last.run = _disarm
    writer.treeprocessors.register(last, "harmless", -1)  # after all that writes links
    ampersand = "\ue000"  # a private letter, as its writer would leave `&amp;` in the text as it stands
    return writer.convert(markdown.replace("&", ampersand)).replace(ampersand, "&amp;")


def _disarm(root: Any) -> None:
    """Pictures become their names, and links that lead elsewhere the text that they stand on."""
    for node in list(root.iter()):
        if node.tag == "img":
            node.tag, node.text = "span", node.get("alt")
            node.attrib.clear()
        elif node.tag == "a" and not HARMLESS.fullmatch(node.get("href", "")):
            node.tag = "span"
            node.attrib.clear()


def _figure(inside: str, caption: str) -> str:
    return f"<figure>{inside}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _embedded(file: Path) -> str:
    kind = KINDS[file.suffix]
    source = f'src="data:{kind};base64,{base64.b64encode(file.read_bytes()).decode("ascii")}"'
    return f"<video {source} controls loop muted></video>" if kind.startswith("video") else f'<img {source} alt="">'


def _first_line(markdown: str) -> str:
    return re.sub(r"\\(.)", r"\1", markdown.partition("\n")[0].removeprefix("# ").strip())
