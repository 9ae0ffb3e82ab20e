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
# # A first rollout
#
# From a seed to a scene, to a trajectory, to text, to a prediction, and to the error of that prediction.
# Everything comes from `physworld`; this notebook only looks at it.

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
import os
import warnings

warnings.filterwarnings("ignore", "IProgress not found")  # no progress bars here
if Path.cwd().name == "notebooks":  # where Jupyter starts; runs lie under the repository's outputs/
    os.chdir("..")

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image, display
from PIL import Image as Picture

from physworld import scenarios
from physworld.drawing.render import comparison, render
from physworld.io.images import gif_bytes
from physworld.metrics.errors import per_horizon, position_rmse
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.evaluation.baselines import BASELINES, rounded_state
from physworld.text.rollout import rollout
from physworld.types import Sample

# %% [markdown]
# ## A scene is data
#
# A scenario type, a generator made of (seed, split, number), and a difficulty from 1 to 5 give a `Scene`: bodies,
# walls, joints, fields, gravity. The same call gives the same scene on every machine. Lengths are pixels, 100 to a
# metre; x points right, y up.

# %%
print("scenario types:", ", ".join(scenarios.names()))
scene = scenarios.build("projectile", generator(17, "val", 0), 1)
print(scene.text)
for body in scene.bodies:
    size = " × ".join(f"{s:.0f}" for s in body.size)
    (x, y), (vx, vy) = body.position, body.velocity
    state = f"at ({x:3.0f}, {y:3.0f}) px, velocity ({vx:4.0f}, {vy:4.0f}) px/s"
    print(f"  {body.shape:6} {size:>7} px {state}, {body.mass:.1f} kg")

# %% [markdown]
# ## A trajectory is what the simulator makes of it
#
# Frame 0 is the scene's own state; every further frame is one step of 1/60 s. The strip shows every 12th frame, with
# the path that each body has just taken.

# %%
truth = simulate(scene, 61)
strip = render(truth, size=(240, 180))[::12]
display(Picture.fromarray(np.concatenate(list(strip), axis=1)))

# %%
display(Image(data=gif_bytes(render(truth, size=(320, 240)), 30)))  # half of the true speed

# %% [markdown]
# ## What a model reads
#
# The codec writes one frame as text: the world with all its geometry, each body's state, and, for each body that is
# about to touch something, where and how (`self`, `touch`, `link`, `pull`, in the body's own frame). That geometry is
# worked out by the codec, not by the model. Every word and every number is one token. Here is the frame before
# the hardest blow of the first half second.

# %%
codec = ImpulseCodec(shuffle_names=False)
jump = np.diff(truth.velocity, axis=0) - np.array(scene.gravity) * scene.dt  # (T - 1, N, 2) px/s, beyond gravity
frame = int(np.abs(jump[:30]).max(axis=(1, 2)).argmax())
sample = Sample(seed=0, given=truth.window(frame, frame + 1), target=truth.window(frame + 1, frame + 2))
prompt, answer = codec.text(codec.encode(sample).input_ids).split("next\n")
print(prompt + "next")

# %% [markdown]
# ## What it has to answer
#
# What the contact does: one line for every `self`. `coast` (only gravity acts), `rest` (it comes to a stop), or the
# change of velocity along and across the contact, the change of spin, and how fast overlap pushes it out. From this
# the codec moves the bodies as the simulator does. Reading the answer back gives the next frame, up to the rounding of
# the printed numbers.

# %%
print(answer)
read = codec.parse(answer, sample.given)
off = np.linalg.norm(read.velocity - truth.velocity[frame + 1], axis=1).max()
print(f"\nlargest error of velocity after writing and reading: {off:.3f} px/s")

# %% [markdown]
# ## How well one can do without learning
#
# Three extrapolations, and the floor: the simulator itself, restarted from the state as the text rounds it. A model
# earns its keep between the best extrapolation and the floor.

# %%
start = truth.window(frame, frame + 1)
future = truth.window(frame + 1, len(truth))
guesses = {name: guess(start, len(future)) for name, guess in BASELINES.items()}
guesses["floor"] = rounded_state(start, len(future), codec.round_state)
figure, axes = plt.subplots(figsize=(7, 3))
for name, guess in guesses.items():
    axes.plot(np.arange(1, len(future) + 1), per_horizon(future, guess), label=name)
axes.set(xlabel="frames ahead", ylabel="position RMSE, px", yscale="symlog")
axes.legend()
display(figure)
plt.close(figure)
for name, guess in guesses.items():
    print(f"{name:10} {position_rmse(future, guess, 10):8.2f} px after 10 frames")

# %%
display(Image(data=gif_bytes(comparison(future, guesses["ballistic"], size=(260, 195)), 15)))

# %% [markdown]
# ## A trained model
#
# The model that comes with physworld goes on from the same frame on its own output; put the directory of a run of
# yours in its place.

# %%
network, run_codec, config = load_model(runs.find_run("shipped"), torch.device("cpu"))
# Formats that read several frames need that many before the start.
start_at = max(frame, run_codec.context_frames - 1)
known = truth.window(start_at + 1 - run_codec.context_frames, start_at + 1)
future = truth.window(start_at + 1, len(truth))
said = rollout(network, run_codec, [known], len(future))
print(f"{said.parsed[0]} of {len(future)} frames readable")
for ahead in (1, 10, len(future)):
    print(f"{position_rmse(future, said.predicted[0], ahead):8.2f} px after {ahead} frames")
display(Image(data=gif_bytes(comparison(future, said.predicted[0], size=(260, 195)), 15)))

# %% [markdown]
# Next: `python train.py --help` lists what can be chosen, `python evaluate.py run=last` scores a run on many scenes,
# and `python predict.py input=scene.jsonl` rolls a scene of your own.
