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
# # Your own scene
#
# Three lines make a world. The simulator runs it, models go on from it, and a table says how far off they are.

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
import physworld as pw

# %% [markdown]
# ## A scene in three lines
#
# Lengths are pixels, 100 to a metre; x points right, y up.

# %%
floor = pw.Segment(start=(0, 50), end=(800, 50), radius=10)
ball = pw.Body.circle(20, position=(150, 400), velocity=(260, 0), restitution=0.8)
scene = pw.Scene(bodies=[ball, pw.Body.box(40, 120, position=(560, 121))], static=[floor])
pw.draw(scene)

# %% [markdown]
# ## The truth
#
# Frame 0 is the scene itself, every further frame one step of 1/60 s.

# %%
truth = pw.simulate(scene, 75)
pw.draw(truth, every=3)

# %% [markdown]
# ## What a model makes of it
#
# The shipped model reads the scene as text and goes on on its own output. Left the truth, in the middle the model,
# right both, with the error in red.

# %%
guess = pw.load("shipped").rollout(scene, 75)
print(f"{guess.readable} of {len(guess) - 1} frames readable")
pw.draw(truth, guess, size=(260, 195), every=3)

# %%
print("shipped")
print(pw.compare(truth, guess, units="m"))
print("\nballistic: free flight, no contacts")
print(pw.compare(truth, pw.load("ballistic").rollout(scene, 75), units="m"))

# %% [markdown]
# ## What no text of the model can say
#
# A scene may hold more than the model's text has words for. That is refused by name, and the baselines still go on.

# %%
wedge = pw.Body.polygon([(0, 0), (90, 0), (0, 60)], position=(300, 61))
with_wedge = pw.Scene(bodies=[ball, wedge], static=[floor])
print(pw.load("shipped").refuses(with_wedge))
pw.draw(pw.simulate(with_wedge, 75), every=3)

# %% [markdown]
# ## The same by hand
#
# A scene may be written as YAML, in metres if you like; `python simulate.py input=scene.yaml` and
# `python predict.py input=scene.yaml` read it, and so does the page of `physworld play`.

# %%
from physworld.text.codecs.yaml_scene import parse_yaml

by_hand = parse_yaml("""
units: m
bodies:
  - {circle: 0.2, position: [1.5, 4], velocity: [2.6, 0], restitution: 0.8}
  - {box: [0.4, 1.2], position: [5.6, 1.21]}
static:
  - {segment: [[0, 0.5], [8, 0.5]], radius: 0.1}
""")
print("the same scene:", by_hand == scene)
