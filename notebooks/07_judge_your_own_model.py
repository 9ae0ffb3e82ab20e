# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Judge your own model
#
# Your model need not be a physworld model, or run in Python at all. Two doors: a **predictions file** for models that
# say where bodies go, and a **folder of clips** for models that make pictures. About a minute on a CPU.

# %%
# Where physworld is missing, this installs it with what this notebook needs from the clone in which the notebook lies.
# In Colab: `!git clone ADDRESS`, and the clone's folder here.
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("physworld") is None:
    clone = Path("..").resolve()
    if not (clone / "pyproject.toml").is_file():
        raise FileNotFoundError(f"no clone of physworld in {clone}: let `clone` name its folder")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", str(clone)], check=True)

# %%
import warnings

warnings.filterwarnings("ignore", "IProgress not found")  # no progress bars here

# %%
import json

import numpy as np
from IPython.display import Image, display

import physworld as pw
from physworld import cli, mains
from physworld.drawing.render import render
from physworld.io.images import write_mp4
from physworld.reporting.markdown import span
from physworld.seeding import generator

# %% tags=["parameters"]
scenes = 8  # of each type
clips = 8  # in each folder

# %% [markdown]
# ## 1. The moments
#
# `physworld evaluate export=FILE` writes what a model is asked: one line of JSON for each moment, with the scene, the
# frames that are given (arrays), and the same as a text prompt.

# %%
folder = Path("outputs/judge_your_own")
moments, predictions = folder / "moments.jsonl", folder / "predictions.jsonl"
asked = ["scenario.names=[billiards,head_on,projectile]", "difficulties=[1]", f"limit={scenes}", "evaluation.frames=30"]
mains.main("evaluate", [f"export={moments}", *asked])
lines = [json.loads(line) for line in moments.read_text().splitlines()]
print("keys of a line:", ", ".join(lines[0]))
print("given positions of the first:", np.shape(lines[0]["given"]["position"]), "(frames, bodies, x and y) px")

# %% [markdown]
# ## 2. Somebody else's model
#
# Ours is ten lines: bodies fly, and bounce off a box around the static geometry with restitution 0.9. It sees no other
# body. Put a neural network in its place, or a program in another language that writes the same file.

# %%
with predictions.open("w") as stream:
    for line in lines:
        scene, dt = line["scene"], line["dt"]
        position = np.array(line["given"]["position"][-1])  # (bodies, 2) px
        velocity = np.array(line["given"]["velocity"][-1])  # (bodies, 2) px/s
        corners = np.array([wall[end] for wall in scene["static"] if "end" in wall for end in ("start", "end")])
        radius = np.array([[max(body["size"]) if body["shape"] == "circle" else 0.0] for body in scene["bodies"]])
        low, high = corners.min(axis=0) + radius, corners.max(axis=0) - radius
        said = []
        for _ in range(line["frames"]):
            position = position + velocity * dt
            velocity = velocity + np.array(scene["gravity"]) * dt
            out = ((position < low) & (velocity < 0)) | ((position > high) & (velocity > 0))
            velocity = np.where(out, -0.9 * velocity, velocity)
            said.append(position.tolist())
        stream.write(json.dumps({"id": line["id"], "position": said}) + "\n")

# %% [markdown]
# ## 3. The verdict
#
# The same command with `predictions=` in place of `export=`. Every table has the extrapolations, a placebo that kicks
# at random, and the floor beside the model; `model / best baseline` below 1 is better than extrapolation.

# %%
report = folder / "report"
mains.main("evaluate", [f"predictions={predictions}", *asked, f"hydra.run.dir={report}"])

# %% [markdown]
# The report has pictures, intervals, contacts, energy, and every type for itself. Two of its pictures:

# %%
metrics = json.loads((report / "metrics.json").read_text())
print({name: round(value, 3) for name, value in metrics["headline"].items() if name.endswith("@30")})
for picture in sorted((report / "pictures").glob("*.gif"))[:2]:
    display(Image(data=picture.read_bytes()))

# %% [markdown]
# ## 4. Clips
#
# A model that makes pictures is judged on pictures. Here three folders of clips of the same balls, thrown down: by the
# simulator, by the shipped model, and by *linear*, whose balls come down at constant speed, through the floor. In their
# place belong your own: MP4, GIF, WebM, any size, any rate, filmed or generated. Nothing is read but the pixels.

# %%
floor = pw.Segment(start=(0, 60), end=(800, 60), radius=10)
rng = generator(0, "test")
movers = {"simulator": None, "shipped": pw.load("shipped"), "linear": pw.load("linear")}
for k in range(clips):
    place, speed = (rng.uniform(200, 600), rng.uniform(400, 520)), (0, rng.uniform(-200, -120))
    ball = pw.Body.circle(22, position=place, velocity=speed, restitution=rng.uniform(0.5, 0.9))
    thrown = pw.Scene(bodies=[ball], static=[floor])
    for name, mover in movers.items():
        path = pw.simulate(thrown, 61) if mover is None else mover.rollout(thrown, 61)
        frames = render(path, size=(320, 240), trails=0, every=2)
        write_mp4(folder / name / f"clip_{k:02}.mp4", frames, 30)
pw.Animation(frames=frames, fps=30)

# %% [markdown]
# `physworld judge FOLDER` finds and follows the bodies, names the motion, reads off g and restitution, and checks the
# laws. 40 px of these pictures are a metre.

# %%
for name in movers:
    print(f"--- {name}")
    cli.main(["judge", str(folder / name), "--out", str(folder / f"judged_{name}"), "--pixels-per-metre", "40",
              "--workers", "1", "--controls", "4", "--pictures", "1"])  # fmt: skip

# %% [markdown]
# Beside the clips stand two controls, made from their own pixels: the same scenes with the law kept, and with a law
# broken. Where these two rows come out wrong, a verdict on such clips is worth little.

# %%
print(f"{'':10} {'clips':>6} {'keep every law':>22} {'g, m/s² (9.81)':>24} {'controls: kept, broken':>24}")
for name in movers:
    rows = json.loads((folder / f"judged_{name}" / "summary.json").read_text())["rows"]
    lawful, gravity = rows["clips"]["lawful"], rows["clips"]["figures"].get("gravity")
    shown, share = span(gravity, ".2f"), span(lawful, ".0%")
    control = [f"{rows[kind]['lawful']['mean']:.0%}" if kind in rows else "–" for kind in ("oracle", "placebo")]
    print(f"{name:10} {rows['clips']['judged']:6} {share:>22} {shown:>24} {control[0] + ', ' + control[1]:>24}")

# %% [markdown]
# What the judge saw of the first clip of each folder: the track, and the height against time with the law it fits.

# %%
for name in movers:
    picture = next((folder / f"judged_{name}" / "pictures").glob("*.png"))
    display(Image(data=picture.read_bytes()))

# %% [markdown]
# More: `docs/how_to/evaluate.md`, `docs/how_to/judge.md`. A language model behind an API needs no file at all:
# `physworld evaluate model=api base_url=http://HOST/v1 name=MODEL`.
