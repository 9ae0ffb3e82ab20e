"""Pictures of scenes on one page: an HTML file that holds every animation, and a contact sheet.

Both are functions of the scenes alone: the same scenes give the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from physworld import scenarios
from physworld.drawing.pen import GROUND, INK, mix
from physworld.drawing.render import font, render
from physworld.io.atomic import replacing
from physworld.io.images import gif_bytes
from physworld.scenarios._parts import counted
from physworld.sim.pymunk_sim import simulate
from physworld.types import Scene, Trajectory

ANIMATION, TILE = (320, 240), (240, 180)  # px, width and height
EVERY = 2  # simulated frames per picture of an animation: 30 a second, because a GIF shows no more than 50
STILL_TRAIL = 24  # frames
COLUMNS = 7  # of the contact sheet: six categories of 6-7 types take one row each, the last one two
LABEL, HEADING, GAP = 16, 26, 4  # px
STYLE = """
body { margin: 0 auto; padding: 1rem 2rem; max-width: 1400px; font: 15px/1.4 system-ui, sans-serif;
       color: #2d343c; background: #fafaf7; }
nav a { margin-right: 1rem; }
section { display: grid; grid-template-columns: repeat(auto-fill, 320px); gap: 1.4rem 1rem; }
h2 { border-bottom: 2px solid #7a828a; text-transform: capitalize; }
figure { margin: 0; }
img { border: 1px solid #d0d4de; display: block; }
figcaption b { font-size: 16px; }
.facts { color: #7a828a; font-size: 13px; }
"""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One scene, ready to be shown."""

    scene: Scene
    origin: str  # what draws this scene again: seed, split, index
    animation: bytes  # GIF
    still: np.ndarray  # (H, W, 3) uint8, TILE


def card(scene: Scene, origin: str, *, frames: int) -> Card:
    """Simulate a scene for `frames` frames and draw it."""
    trajectory = simulate(scene, frames)
    moving = render(trajectory, size=ANIMATION, every=EVERY)
    t = liveliest(trajectory, STILL_TRAIL)
    still = render(trajectory.window(max(0, t - STILL_TRAIL), t + 1), size=TILE, trails=STILL_TRAIL)[-1]
    return Card(scene=scene, origin=origin, animation=gif_bytes(moving, 1 / scene.dt / EVERY), still=still)


def liveliest(trajectory: Trajectory, frames: int) -> int:
    """The frame before which the scene's bodies went furthest within `frames` frames: the longest trails."""
    paths = np.linalg.norm(np.diff(trajectory.position, axis=0), axis=-1)  # (T-1, N) px
    # Beyond the canvas nothing is seen, and one body that is shot off must not choose for all the others.
    paths = np.where(_seen(trajectory)[1:], np.minimum(paths, 15.0), 0.0).sum(axis=1)
    gone = np.concatenate([[0.0], np.cumsum(paths)])
    return int(np.argmax(gone - np.concatenate([np.zeros(min(frames, len(gone))), gone[:-frames]])))


def _seen(trajectory: Trajectory) -> np.ndarray:
    """(T, N) bool: the body's centre is on the canvas."""
    inside = (trajectory.position >= 0) & (trajectory.position <= trajectory.scene.canvas)
    return np.asarray(inside.all(axis=-1))


def _grouped(cards: Iterable[Card]) -> list[tuple[str, list[Card]]]:
    """Cards by category, in the categories' own order; types by name, each from easy to hard."""
    order = {category: place for place, category in enumerate(scenarios.CATEGORIES)}
    cards = sorted(cards, key=lambda c: (order.get(c.scene.category, len(order)), c.scene.name, c.scene.difficulty))
    return [(category, list(group)) for category, group in groupby(cards, key=lambda c: c.scene.category)]


def _bodies(scene: Scene) -> str:
    return counted(len(scene.bodies), "body", "bodies")


def page(cards: Sequence[Card]) -> str:
    """The whole page, animations included; it loads nothing from anywhere."""
    groups = _grouped(cards)
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>physworld scenarios</title>',
        f"<style>{STYLE}</style></head><body>\n<h1>physworld scenarios</h1>",
        f"<p>Types: {len({c.scene.name for c in cards})}. ○ = held out: no training run may draw from it. "
        "A light line on each body marks its angle, coloured lines where it was.</p>\n<nav>",
        *(f'<a href="#{escape(category)}">{escape(category)}</a>' for category, _ in groups),
        "</nav>\n",
    ]
    for category, group in groups:
        parts.append(f'<h2 id="{escape(category)}">{escape(category)}</h2>\n<section>\n')
        parts.extend(_figure(each) for each in group)
        parts.append("</section>\n")
    return "".join([*parts, "</body></html>\n"])


def _figure(shown: Card) -> str:
    scene = shown.scene
    facts = [f"difficulty {scene.difficulty}", _bodies(scene)]
    if scene.joints:
        facts.append(f"joints: {len(scene.joints)}")
    held = " ○" if scene.name in scenarios.HELD_OUT else ""
    data = base64.b64encode(shown.animation).decode("ascii")
    return (
        f'<figure><img width="{ANIMATION[0]}" height="{ANIMATION[1]}" alt="{escape(scene.text)}" '
        f'src="data:image/gif;base64,{data}"><figcaption><b>{escape(scene.name)}{held}</b> {escape(scene.text)}'
        f'<div class="facts">{escape(" · ".join([*facts, shown.origin]))}</div></figcaption></figure>\n'
    )


def contact_sheet(cards: Sequence[Card]) -> np.ndarray:
    """(H, W, 3) uint8: one tile per card under its category's heading; a ring marks held-out types."""
    groups = _grouped(cards)
    rows = sum(-(-len(group) // COLUMNS) for _, group in groups)
    wide, high = TILE[0] + GAP, TILE[1] + LABEL + GAP
    sheet = Image.new("RGB", (COLUMNS * wide + GAP, rows * high + len(groups) * HEADING), mix(INK, GROUND, 0.12))
    draw, top = ImageDraw.Draw(sheet), 0
    for category, group in groups:
        draw.text((2 * GAP, top + HEADING // 2), category, fill=INK, font=font(17), anchor="lm")
        top += HEADING
        for place, each in enumerate(group):
            row, column = divmod(place, COLUMNS)
            x, y = GAP + column * wide, top + row * high
            sheet.paste(Image.fromarray(each.still), (x, y))
            middle = y + TILE[1] + LABEL // 2
            draw.text((x + 3, middle), each.scene.name, fill=INK, font=font(12), anchor="lm")
            if each.scene.name in scenarios.HELD_OUT:
                ring = x + 9 + draw.textlength(each.scene.name, font=font(12))
                draw.ellipse((ring, middle - 3, ring + 6, middle + 3), outline=INK)
            size = f"D{each.scene.difficulty}, {_bodies(each.scene)}"
            draw.text((x + TILE[0] - 3, middle), size, fill=INK, font=font(12), anchor="rm")
        top += -(-len(group) // COLUMNS) * high
    return np.asarray(sheet)


def write_gallery(directory: Path, cards: Sequence[Card]) -> tuple[Path, Path]:
    """Write gallery.html and contact_sheet.png; each file is whole or absent."""
    html, png = directory / "gallery.html", directory / "contact_sheet.png"
    with replacing(html) as temporary:
        temporary.write_text(page(cards), encoding="utf-8")
    # 256 colours of its own: a third of the size, and no difference to the eye.
    picture = Image.fromarray(contact_sheet(cards)).quantize(256, dither=Image.Dither.NONE)
    with replacing(png) as temporary:
        picture.save(temporary, "PNG", optimize=True)
    return html, png
