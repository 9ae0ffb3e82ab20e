"""Pictures of the page of `physworld play`, from the real thing in a headless Chromium.

    python docs/page_picture.py                             # docs/play.png (in README.md too), docs/play_spatial.png
    python docs/page_picture.py --all FOLDER                # 1440 and 390 px wide, light and dark
    python docs/page_picture.py --all FOLDER --axe axe.min.js   # and what axe-core (npm pack axe-core) finds

Needs a chromium (Debian: apt-get install chromium) and the packages of the extras `play` and `dev`.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

SCENE, DIFFICULTY, FRAMES = "billiards", "2", 84
OUT = Path(__file__).parent / "play.png"
SPATIAL = Path(__file__).parent / "play_spatial.png"


def picture(browser: Any, address: str, width: int, theme: str, axe: Path | None, *, whole: bool) -> Image.Image:
    """The page after FRAMES frames of SCENE."""
    context = browser.new_context(
        viewport={"width": width, "height": 1064 if width > 900 else 844},
        color_scheme=theme,
        reduced_motion="reduce",
        bypass_csp=axe is not None,  # axe-core is put into the page
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)

    def until(condition: str) -> None:
        while not page.evaluate(condition):
            page.wait_for_timeout(50)

    until("!!window.physworld && physworld.frames.length > 0")
    page.select_option("#difficulty", DIFFICULTY)
    page.select_option("#type", SCENE)
    until(f"physworld.scene.name === '{SCENE}' && physworld.frames.length === 1")
    page.click("#play")
    until(f"physworld.frames.length > {FRAMES}")
    page.click("#play")
    until("!physworld.running")
    page.evaluate(f"(f => {{ f.value = {FRAMES}; f.dispatchEvent(new Event('input')); }})(frame)")
    if whole:
        page.click("#text summary")
        until("documents.children.length > 0")
    page.wait_for_timeout(300)
    if axe is not None:
        page.evaluate(axe.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run()")["violations"]
        print(f"{width} px, {theme}: axe-core finds {[(f['id'], f['impact']) for f in found]}")
    print(f"{width} px, {theme}: console errors {complaints}")
    shot = page.screenshot(full_page=whole)
    context.close()
    return Image.open(io.BytesIO(shot)).convert("RGB")


def spatial_picture(browser: Any, address: str) -> Image.Image:
    """The spatial tab with an object turned until it breaks its rule."""
    page = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme="light", reduced_motion="reduce")
    page.goto(f"{address}spatial")
    page.wait_for_selector("#kept li")
    page.focus("#sphere")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#kept li.fail")
    page.wait_for_timeout(300)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    parser.add_argument("--axe", type=Path, metavar="FILE")
    options = parser.parse_args()
    command = [sys.executable, "-m", "physworld", "play", "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as tools:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        if options.all is None:
            small = picture(browser, address, 1440, "light", options.axe, whole=False).resize((1080, 798), 1)
            small.save(OUT, optimize=True)
            spatial_picture(browser, address).resize((1080, 750), 1).save(SPATIAL, optimize=True)
        else:
            options.all.mkdir(parents=True, exist_ok=True)
            for width in (1440, 390):
                for theme in ("light", "dark"):
                    made = picture(browser, address, width, theme, options.axe, whole=True)
                    made.save(options.all / f"play_{width}_{theme}.png", optimize=True)
        browser.close()
        server.terminate()


if __name__ == "__main__":
    main()
