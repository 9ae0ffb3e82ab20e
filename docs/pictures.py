"""The pictures of the documentation, made anew: `python docs/pictures.py`, or some of them by name.

    scenarios   docs/scenarios.png   contact sheet of all scenario types (about a minute of one core)
    report      docs/report.png      top of the shipped model's report.html (some minutes; needs Chromium)
    rollout     docs/rollout.gif     truth beside the shipped model (half a minute)

`--browser PATH` names the browser; without one that is found, `report` is left out and a line says so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from physworld import scenarios  # noqa: E402
from physworld.drawing.render import comparison  # noqa: E402
from physworld.io.images import write_gif  # noqa: E402
from physworld.runs.checkpoints import load_model  # noqa: E402
from physworld.runs.directory import SHIPPED  # noqa: E402
from physworld.seeding import generator  # noqa: E402
from physworld.sim.pymunk_sim import simulate  # noqa: E402
from physworld.text.rollout import rollout  # noqa: E402

# (type, difficulty, scene of the test split, frame that the model starts from). The last one is a held-out type.
SCENES = (("billiards", 2, 0, 0), ("seesaw", 2, 0, 0), ("pong", 2, 0, 0))
FRAMES = 60
PANEL = (200, 150)  # px
WINDOW = (1280, 2400)  # px of the report's screenshot
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main_of(name: str, *arguments: str) -> None:
    """One of the four mains, from the repository's root."""
    subprocess.run(
        [sys.executable, f"{name}.py", *arguments], cwd=ROOT, check=True, env={**os.environ, "COLUMNS": "120"}
    )


def scenario_sheet(work: Path) -> None:
    main_of("simulate", "scenario=all", "format=gallery", "curriculum=stage2", f"hydra.run.dir={work}/gallery")
    shutil.copy(work / "gallery" / "contact_sheet.png", HERE / "scenarios.png")


def report(work: Path, browser: str) -> None:
    """Screenshot of a report: two scenes of middle difficulty of each seen type, so that there are intervals."""
    main_of("evaluate", "run=shipped", "suite=standard", "difficulties=[3]", "limit=2", f"hydra.run.dir={work}/report")
    page = work / "report" / "report.html"
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         f"--window-size={WINDOW[0]},{WINDOW[1]}", f"--screenshot={HERE / 'report.png'}", page.as_uri()],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def animation(path: Path) -> None:
    """Each scene a row: truth, the shipped model's own rollout, both laid over each other."""
    network, codec, _ = load_model(SHIPPED, torch.device("cpu"))
    rows = []
    for name, difficulty, index, start in SCENES:
        truth = simulate(scenarios.build(name, generator(0, "test", index), difficulty), start + FRAMES + 1)
        given = truth.window(start, start + 1)
        predicted = rollout(network, codec, [given], FRAMES).predicted[0]
        rows.append(comparison(truth.window(start + 1, start + 1 + FRAMES), predicted, size=PANEL))
    write_gif(path, np.concatenate(rows, axis=1), 20)  # a third of the true speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios, report, rollout; by default all three")
    parser.add_argument("--browser", default=next(filter(None, map(shutil.which, BROWSERS)), None), metavar="PATH")
    options = parser.parse_args()
    known = ("scenarios", "report", "rollout")
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"{unknown[0]} is no picture; choose among {', '.join(known)}.")
    wanted = options.names or known
    with tempfile.TemporaryDirectory() as folder:
        if "rollout" in wanted:
            animation(HERE / "rollout.gif")
        if "scenarios" in wanted:
            scenario_sheet(Path(folder))
        if "report" in wanted and options.browser is None:
            print("docs/report.png stays as it is: no Chromium was found; name one with --browser PATH.")
        elif "report" in wanted:
            report(Path(folder), options.browser)


if __name__ == "__main__":
    main()
