"""Pictures of the page of `physworld play`, from the real thing in a headless Chromium.

    python docs/page_picture.py [--run RUN]                     # docs/play.png (in README.md too), play_video.png, ...
    python docs/page_picture.py --all FOLDER [--run RUN]        # every tab 1440 and 390 px wide, light and dark
    python docs/page_picture.py --all FOLDER --axe axe.min.js   # and what axe-core (npm pack axe-core) finds

RUN is a run of video physics (python train.py model=tiny_video), for the tab Video. It ends with 1 where the console
shows an error, a page is wider than the screen, or axe-core finds a serious fault. Needs a chromium (Debian: apt-get
install chromium) and the packages of the extras `play`, `video`, `spatial` and `dev`.
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
DOCS = Path(__file__).parent
SERIOUS = ("serious", "critical")


def until(page: Any, condition: str) -> None:
    """The page's policy forbids evaluated code, so it is asked from here."""
    for _ in range(2400):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise TimeoutError(condition)


def bodies(page: Any, address: str, *, whole: bool) -> None:
    """The page after FRAMES frames of SCENE."""
    page.goto(address)
    until(page, "!!window.physworld && physworld.frames.length > 0")
    page.select_option("#difficulty", DIFFICULTY)
    page.select_option("#type", SCENE)
    until(page, f"physworld.scene.name === '{SCENE}' && physworld.frames.length === 1")
    page.click("#play")
    until(page, f"physworld.frames.length > {FRAMES}")
    page.click("#play")
    until(page, "!physworld.running")
    page.evaluate(f"(f => {{ f.value = {FRAMES}; f.dispatchEvent(new Event('input')); }})(frame)")
    if whole:
        page.click("#text summary")
        until(page, "documents.children.length > 0")


def video(page: Any, address: str, *, whole: bool) -> None:
    """The video tab with a clip of each row of the run, where there is one."""
    page.goto(f"{address}video")
    until(page, "!!window.physworld && !!physworld.clips.truth")
    if page.evaluate("physworld.choices.runs.length"):
        page.check("#rows input[value=base]")
        page.select_option("#first", "simulator")
        page.click("#make")
        until(page, "!physworld.making && !!physworld.clips.base || !notice.hidden")
    page.evaluate("(f => { f.value = 7; f.dispatchEvent(new Event('input')); })(frame)")


def spatial(page: Any, address: str, *, whole: bool) -> None:
    """The spatial tab with an object turned until it breaks its rule."""
    page.goto(f"{address}spatial")
    page.wait_for_selector("#kept li")
    page.focus("#sphere")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#kept li.fail")


TABS = {"play": bodies, "play_video": video, "play_spatial": spatial}


def picture(browser: Any, address: str, tab: str, width: int, theme: str, axe: Path | None, *, whole: bool) -> Any:
    """(picture of a tab, ids of serious faults, console errors)."""
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
    TABS[tab](page, address, whole=whole)
    page.wait_for_timeout(300)
    found: list[tuple[str, str]] = []
    if axe is not None:
        page.evaluate(axe.read_text(encoding="utf-8"))
        found = [(fault["id"], fault["impact"]) for fault in page.evaluate("axe.run()")["violations"]]
    wide = page.evaluate("document.documentElement.scrollWidth")
    print(f"{tab}, {width} px, {theme}: {wide} px wide; console errors {complaints}; axe-core {found}", flush=True)
    shot = page.screenshot(full_page=whole)
    context.close()
    wrong = bool(complaints) or wide > width or any(impact in SERIOUS for _, impact in found)
    return Image.open(io.BytesIO(shot)).convert("RGB"), wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    parser.add_argument("--axe", type=Path, metavar="FILE")
    parser.add_argument("--run", metavar="RUN")
    parser.add_argument("--tab", choices=TABS, action="append", help="this one alone; may be given again")
    options = parser.parse_args()
    given = [options.run] if options.run else []
    command = [sys.executable, "-m", "physworld", "play", *given, "--port", "0", "--no-browser"]
    wrong = False
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as tools:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for tab in options.tab or TABS:
            if options.all is None:
                made, bad = picture(browser, address, tab, 1440, "light", options.axe, whole=False)
                made.resize((1080, 798), 1).save(DOCS / f"{tab}.png", optimize=True)
                wrong |= bad
                continue
            options.all.mkdir(parents=True, exist_ok=True)
            for width in (1440, 390):
                for theme in ("light", "dark"):
                    made, bad = picture(browser, address, tab, width, theme, options.axe, whole=True)
                    made.save(options.all / f"{tab}_{width}_{theme}.png", optimize=True)
                    wrong |= bad
        browser.close()
        server.terminate()
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
