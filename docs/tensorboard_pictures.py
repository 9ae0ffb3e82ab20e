"""Pictures of TensorBoard with real runs in it: `python docs/tensorboard_pictures.py`.

Two runs and a sweep of four are trained (small: a quarter of an hour of one core), TensorBoard is started on them, and a
headless Chromium takes a picture of each tab: docs/tensorboard_NAME.png for the NAMEs of TABS.

    python docs/tensorboard_pictures.py --runs FOLDER               # trains into FOLDER; what is finished there stays
    python docs/tensorboard_pictures.py --runs FOLDER --only        # of runs that are there, whatever they are
    python docs/tensorboard_pictures.py hparams images              # some of the tabs

Needs a chromium (Debian: apt-get install chromium) and the packages of the extra `dev`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1440, "height": 900}  # px
# name of the picture -> (fragment of the address, what stands on the page when it is ready)
TABS = {
    "scalars": ("timeseries", "card-view"),
    "custom": ("custom_scalars", "tf-category-paginated-view"),
    "images": ("images", "tf-image-loader img"),
    "hparams": ("hparams", "tf-hparams-main"),
}
SMALL = (
    "hardware=cpu", "scenario=billiards", "curriculum=stage0", "validate_every=20", "evaluation=quick",
    "evaluation.rollouts=2", "evaluation.pictures=1", "data.stream.val_samples=32", "trainer.log_every_n_steps=2",
)  # fmt: skip
RUNS = {  # what differs between the two runs that are compared
    "muon_0.02": ("model.learning_rate=0.02",),
    "muon_0.005": ("model.learning_rate=0.005",),
}
SWEEP = ("model.learning_rate=0.005,0.02", "global_batch=32,64")


def train(*arguments: str) -> None:
    """Raises: CalledProcessError: it did not end well."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "train.py", *arguments], cwd=ROOT, check=True, env=environment)


def make_runs(folder: Path, steps: int) -> None:
    """Two runs and a sweep; what is finished stays."""
    for name, different in RUNS.items():
        if not (folder / name / "metrics.json").is_file():
            train(*SMALL, f"steps={steps}", *different, f"hydra.run.dir={folder / name}")
    if len(list((folder / "sweep").glob("*/metrics.json"))) < 4:
        train("-m", *SMALL, f"steps={steps // 2}", *SWEEP, f"hydra.sweep.dir={folder / 'sweep'}")


@contextlib.contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """The address of a TensorBoard that shows a folder."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0", "--host", "127.0.0.1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            found = None
            while found is None:
                line = server.stderr.readline()
                if not line:
                    raise SystemExit("TensorBoard did not start.")
                found = re.search(r"http://[\d.]+:\d+/", line)
            yield found[0]
        finally:
            server.terminate()


def picture(browser: Any, address: str, name: str) -> None:
    """One tab, once it shows something and has come to rest."""
    fragment, ready = TABS[name]
    page = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
    page.goto(f"{address}#{fragment}")
    page.wait_for_selector(ready, state="visible", timeout=60_000)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(4000)  # charts are drawn one after the other
    path = HERE / f"tensorboard_{name}.png"
    page.screenshot(path=path)
    print(path.relative_to(ROOT))
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(TABS)}; by default all of them")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="where the runs are kept")
    parser.add_argument("--only", action="store_true", help="only pictures: the runs are there")
    parser.add_argument("--steps", type=int, default=80, metavar="N", help="of each run; a job of the sweep has half")
    parser.add_argument("--browser", default=next(filter(None, map(shutil.which, BROWSERS)), None), metavar="PATH")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(TABS)):
        parser.error(f"{unknown[0]} is no tab; choose among {', '.join(TABS)}.")
    if options.only and options.runs is None:
        parser.error("--only needs --runs FOLDER.")
    if options.browser is None:
        parser.error("no Chromium was found; name one with --browser PATH.")
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = (options.runs or Path(temporary)).resolve()
        if not options.only:
            make_runs(folder, options.steps)
        address = stack.enter_context(tensorboard(folder))
        tools = stack.enter_context(sync_playwright())
        browser = tools.chromium.launch(executable_path=options.browser, args=["--no-sandbox"])
        for name in options.names or TABS:
            picture(browser, address, name)
        browser.close()


if __name__ == "__main__":
    main()
