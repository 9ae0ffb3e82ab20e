"""The gallery: one page and one sheet, whole in themselves, the same bytes from the same command."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from physworld import scenarios
from physworld.drawing import gallery
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate

from commands import run
from repository import ROOT

# Out of order, one held out, one type twice: the page must sort them.
DRAWN = (("wind", 2), ("pong", 1), ("tower", 2), ("chain", 1), ("tower", 1))


@pytest.fixture(scope="module")
def cards() -> list[gallery.Card]:
    return [
        gallery.card(scenarios.build(name, generator(0, "test", k), d), f"seed 0, test, scene {k}", frames=41)
        for k, (name, d) in enumerate(DRAWN)
    ]


class Outline(HTMLParser):
    """Headings and figures in their order, and every address that the page names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.addresses: list[str] = []
        self.within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.within = tag
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self.within in ("h2", "b"):
            self.seen.append(data.strip())
        self.within = ""


def test_page_holds_everything_in_order(cards: list[gallery.Card]) -> None:
    text = gallery.page(cards)
    outline = Outline(text)
    assert outline.seen == [
        "stacking", "tower", "tower", "constraint", "chain", "minigame", "pong ○", "complex", "wind",
    ]  # fmt: skip
    assert all(address.startswith(("#", "data:image/gif;base64,")) for address in outline.addresses)
    assert "<script" not in text and "url(" not in text
    for shown in cards:
        assert shown.scene.text in text and shown.origin in text
        assert f"difficulty {shown.scene.difficulty} · {len(shown.scene.bodies)} bod" in text
    for data in re.findall(r"base64,([A-Za-z0-9+/=]+)", text):
        with Image.open(io.BytesIO(base64.b64decode(data))) as gif:
            assert gif.size == gallery.ANIMATION
            # Every second of 41 frames for 1/30 s, in the hundredths that a GIF counts; equal neighbours are joined.
            assert sum(frame.info["duration"] for frame in ImageSequence.Iterator(gif)) == 21 * 30


def test_text_is_escaped() -> None:
    from dataclasses import replace

    scene = replace(scenarios.build("tower", generator(0, "test", 0), 1), text='<img src="x"> & more.')
    assert '<img src="x">' not in gallery.page([gallery.card(scene, "here", frames=2)])


def test_sheet_has_a_tile_per_card(cards: list[gallery.Card]) -> None:
    sheet = gallery.contact_sheet(cards)
    wide, high = gallery.TILE[0] + gallery.GAP, gallery.TILE[1] + gallery.LABEL + gallery.GAP
    assert sheet.shape == (4 * (high + gallery.HEADING), gallery.COLUMNS * wide + gallery.GAP, 3)
    tower = sheet[gallery.HEADING : gallery.HEADING + gallery.TILE[1]]
    for place, shown in enumerate((cards[4], cards[2])):
        left = gallery.GAP + place * wide
        np.testing.assert_array_equal(tower[:, left : left + gallery.TILE[0]], shown.still)


def test_the_still_shows_the_moment_of_most_movement() -> None:
    fall = simulate(scenarios.build("projectile", generator(0, "test", 0), 1), 200)
    t = gallery.liveliest(fall, 24)
    gone = [np.linalg.norm(np.diff(fall.position[k - 24 : k + 1], axis=0), axis=-1).sum() for k in range(24, 200)]
    assert gone[t - 24] >= 0.8 * max(gone) > 4 * gone[-1]
    assert gallery.liveliest(fall.window(0, 1), 24) == 0 and 0 <= gallery.liveliest(fall.window(0, 10), 24) < 10


@pytest.mark.slow
def test_the_command_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    digests = []
    for place in ("a", "b"):
        run(
            ROOT, "simulate.py", "scenario.names=[pong,seesaw]", "format=gallery", "frames=9",
            "curriculum.difficulties=[1,4]", "ood=low_gravity", f"hydra.run.dir={tmp_path / place}",
        )  # fmt: skip
        digests.append(
            [
                hashlib.sha256((tmp_path / place / name).read_bytes()).hexdigest()
                for name in ("gallery.html", "contact_sheet.png")
            ]
        )
        assert not list((tmp_path / place).glob("*.tmp*"))
    assert digests[0] == digests[1]
    text = (tmp_path / "a" / "gallery.html").read_text(encoding="utf-8")
    assert text.count("<figure>") == 4 and text.count("Out of distribution: low gravity.") == 8  # alt and caption
