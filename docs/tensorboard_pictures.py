"""Pictures of TensorBoard with real runs in it: `python docs/tensorboard_pictures.py`.

Two runs and a sweep of four are trained (small: some minutes of one core), TensorBoard is started on them, and a
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
from typing import Any, NamedTuple

from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH = 1440  # px


class Tab(NamedTuple):
    address: str  # behind the server's
    ready: str  # what stands on the page when there is something to see
    height: int  # px of the picture


TABS = {
    "scalars": Tab("?tagFilter=^(loss/|rollout/r)&smoothing=0#timeseries", "card-view line-chart", 1000),
    "custom": Tab("#custom_scalars&_smoothingWeight=0", "tf-custom-scalar-multi-line-chart-card", 1500),
    "images": Tab("#images", "tf-image-loader img", 900),
    "hparams": Tab("#hparams", "tf-hparams-table-view", 700),
}
SMALL = (
    "hardware=cpu", "hardware.num_workers=0", "scenario=billiards", "curriculum=stage0", "global_batch=32",
    "evaluation=quick", "evaluation.rollouts=1", "evaluation.pictures=1", "data.stream.val_samples=16",
    "trainer.log_every_n_steps=1",
)  # fmt: skip
RUNS = {  # what differs between the two runs that are compared
    "muon_0.02": ("model.learning_rate=0.02",),
    "muon_0.005": ("model.learning_rate=0.005",),
}
SWEEP = ("model.learning_rate=0.005,0.02", "seed=1,2")


def train(*arguments: str) -> None:
    """Raises: CalledProcessError: it did not end well."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "train.py", *arguments], cwd=ROOT, check=True, env=environment)


def make_runs(folder: Path, steps: int) -> None:
    """Two runs and a sweep; what is finished stays."""
    length = (f"steps={steps}", f"validate_every={max(1, steps // 4)}")
    for name, different in RUNS.items():
        if not (folder / name / "metrics.json").is_file():
            train(*SMALL, *length, *different, f"hydra.run.dir={folder / name}")
    if len(list((folder / "sweep").glob("*/metrics.json"))) < 4:
        train("-m", *SMALL, *length, *SWEEP, f"hydra.sweep.dir={folder / 'sweep'}")


@contextlib.contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """The address of a TensorBoard that shows a folder."""
    # It shows the folder as it is given: by its name, the pictures tell nothing of this machine.
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder.name, "--port", "0", "--host", "127.0.0.1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder.parent) as server:
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
    tab = TABS[name]
    size = {"width": WIDTH, "height": tab.height}
    page = browser.new_page(viewport=size, color_scheme="light", reduced_motion="reduce")
    page.set_default_timeout(300_000)  # ms, for a busy machine
    page.goto(f"{address}{tab.address}")
    page.wait_for_selector(tab.ready, state="visible")
    page.wait_for_load_state("networkidle")
    if name == "scalars":
        page.get_by_role("button", name="Toggle settings side pane").click()
    if name == "hparams":  # the columns in which the runs differ, in place of the first five
        for column in ("codec", "curriculum", "data", "early_stopping", "evaluation", "model.learning_rate", "seed"):
            page.get_by_role("checkbox", name=column, exact=True).first.click()
    if name == "images":
        page.get_by_text("Show actual image size").click()
    page.wait_for_timeout(6000)  # charts are drawn one after the other
    path = HERE / f"tensorboard_{name}.png"
    page.screenshot(path=path)
    print(path.relative_to(ROOT))
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(TABS)}; by default all of them")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="where the runs are kept")
    parser.add_argument("--only", action="store_true", help="only pictures: the runs are there")
    parser.add_argument("--steps", type=int, default=80, metavar="N", help="of each run")
    parser.add_argument("--browser", default=next(filter(None, map(shutil.which, BROWSERS)), None), metavar="PATH")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(TABS)):
        parser.error(f"{unknown[0]} is no tab; choose among {', '.join(TABS)}.")
    if options.only and options.runs is None:
        parser.error("--only needs --runs FOLDER.")
    if options.browser is None:
        parser.error("no Chromium was found; name one with --browser PATH.")
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = (options.runs or Path(temporary) / "outputs").resolve()
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
