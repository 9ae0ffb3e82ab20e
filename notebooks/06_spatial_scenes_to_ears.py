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
# # From a list of stems to your ears
#
# A *payload* says which stems there are, what they sound like, and which rules the mix must keep. From it comes a
# *scene*: where every object stands, how loud, how wide, how it moves. Here a payload becomes a scene, a picture, and
# sound for headphones. Some seconds on a CPU, and nothing is trained: the scene is written by the rule-based engineer,
# the teacher and the baseline of the models that learn this.

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
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", f"{clone}[spatial]"], check=True)

# %%
import warnings

warnings.filterwarnings("ignore", "IProgress not found")  # no progress bars here

# %%
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Audio, display
from PIL import Image

import physworld as pw
from physworld.metrics.bootstrap import bootstrap_mean
from physworld.seeding import generator
from physworld.spatial.evaluation import nearest_copy
from physworld.spatial.export.binaural import ear_delay, render_binaural
from physworld.spatial.export.pictures import animate, draw_scene
from physworld.spatial.metrics import score_scene
from physworld.spatial.scene.breaking import break_one
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import payload_from
from physworld.spatial.scene.repair import repair
from physworld.spatial.scene.rules import check
from physworld.spatial.sources.drawn import SpatialSource
from physworld.types import Interval

# %% tags=["parameters"]
payloads = 200  # over which the figures are taken
seconds = 6  # of sound

# %% [markdown]
# ## A payload
#
# Azimuth is positive to the left, as in ADM and IAMF. Low, mid and high are shares of energy.

# %%
table = [  # id, class, LUFS, transient, (low, mid, high), leadness
    ("vox", "lead_vocal", -16, 0.3, (0.1, 0.6, 0.3), 0.9),
    ("kick", "kick", -12, 0.9, (0.8, 0.15, 0.05), 0.3),
    ("bass", "bass", -14, 0.4, (0.75, 0.2, 0.05), 0.4),
    ("gtr-l", "guitar", -18, 0.5, (0.2, 0.6, 0.2), 0.5),
    ("gtr-r", "guitar", -18, 0.5, (0.2, 0.6, 0.2), 0.5),
    ("hat", "hihat", -22, 0.8, (0.02, 0.18, 0.8), 0.1),
    ("riser", "fx", -24, 0.5, (0.2, 0.3, 0.5), 0.2),
]
stems = [
    {"id": name, "class": kind, "lufs": lufs, "transient": sharp, "leadness": lead,
     "band_energy": dict(zip(("low", "mid", "high"), bands, strict=True))}
    for name, kind, lufs, sharp, bands, lead in table
]  # fmt: skip
payload = payload_from({
    "target_format": "binaural", "max_objects": 8, "style": "club", "section": "build",
    "global": {"bpm": 120, "energy": 0.8}, "stems": stems,
    "rules": [
        {"type": "anchor", "id": "gtr-l", "az_deg": 80, "el_deg": 0, "dist_m": 1.5},
        {"type": "mono_low_end", "hz_below": 120},
        {"type": "avoid_masking", "a": "lead_vocal", "b": "guitar", "min_sep_deg": 40},
        {"type": "width_target", "class": "lead_vocal", "width": 0.1},
        {"type": "elevation_range", "class": "hihat", "min_deg": 20, "max_deg": 60},
    ],
})  # fmt: skip

# %% [markdown]
# ## A scene

# %%
scene = engineer(payload)
print(f"{'object':7} {'azimuth':>8} {'elevation':>10} {'distance':>9} {'width':>6} {'gain':>8}")
for thing in scene.objects:
    print(
        f"{thing.id:7} {thing.az_deg:7.0f}° {thing.el_deg:9.0f}° {thing.dist_m:7.1f} m {thing.width:6.2f} "
        f"{thing.gain_db:5.1f} dB{'  moves' if thing.moves else ''}"
    )
for verdict in check(scene, payload).verdicts:
    print(f"{verdict.status:5} {verdict.tag}")

# %% [markdown]
# From above (front is up, left is left) and from the right. Lines are paths: the effect sweeps through the section.

# %%
display(Image.fromarray(draw_scene(scene)))

# %%
pw.Animation(frames=animate(scene), fps=8)

# %% [markdown]
# ## A scene that breaks its rules
#
# Suppose somebody, or some model, puts everything in the middle. The checker names the place of every breach, and
# repair makes the nearest scene that keeps the rules, with a list of what it changed.

# %%
middle = scene.model_copy(
    update={"objects": [thing.model_copy(update={"az_deg": 0, "el_deg": 0, "motion": []}) for thing in scene.objects]}
)
for violation in check(middle, payload).violations:
    print(violation)
mended = repair(middle, payload)
print(f"\nafter repair: {len(check(mended.scene, payload).violations)} violations, {len(mended.edits)} edits")
for edit in mended.edits:
    print(" ", edit)

# %% [markdown]
# ## How good is that? Figures over many payloads
#
# Test payloads are drawn from a seed. Rows: the engineer; the engineer's scene for the most similar of 300 training
# payloads, its objects given to the stems of the same class; the engineer's scene with one rule broken on purpose,
# which the checker has to find; and everything in the middle. *Masking* is the overlap of like spectra at like
# places, 0 to 1.

# %%
test, train = SpatialSource(seed=0, split="test"), SpatialSource(seed=0, split="train")
samples, pool = [test.sample(k) for k in range(payloads)], [train.sample(k) for k in range(300)]
answers = {"engineer": [s.target for s in samples]}
answers["nearest neighbour"] = [nearest_copy(s.given, pool) for s in samples]
answers["one rule broken"] = [break_one(s.target, s.given, generator(0, "test", k)) for k, s in enumerate(samples)]
answers["all in the middle"] = [
    s.target.model_copy(
        update={"objects": [o.model_copy(update={"az_deg": 0, "el_deg": 0, "motion": []}) for o in s.target.objects]}
    )
    for s in samples
]
repaired = {name: [repair(a, s.given.payload).scene for a, s in zip(given, samples, strict=True)]
            for name, given in answers.items()}  # fmt: skip
print(f"{'n = ' + str(payloads):18} {'all rules kept':>22} {'after repair':>22} {'masking':>22}")
for name, given in answers.items():
    scores = [score_scene(a, s.given, s.target) for a, s in zip(given, samples, strict=True)]
    after = [score_scene(a, s.given, s.target) for a, s in zip(repaired[name], samples, strict=True)]
    kept = [np.mean([s["all_rules"] for s in some]) for some in (scores, after)]
    shown = [Interval.of_share(share, payloads) for share in kept]
    shown.append(bootstrap_mean([s["masking"] for s in scores if s["masking"] is not None]))
    print(f"{name:18}" + "".join(f" {i.mean:8.3f} ({i.low:.3f}–{i.high:.3f})" for i in shown))

# %% [markdown]
# Repair makes anybody's scene valid. So a model is judged before repair, and beside these rows: `python evaluate.py`
# does that for a run of `python train.py model=tiny_gravity`, which trains on a CPU in minutes.
#
# ## Sound
#
# Made-up stems: a voice, a kick, a bass, two guitars, a hi-hat and a rising noise. Put your own recordings in their
# place; `physworld mix STEMS/` does the whole way from a folder of them.

# %%
rate = 48_000
t = np.arange(seconds * rate) / rate
beat, rng = 0.5, generator(0, "test")
note = 220 * 2 ** (np.array([0, 3, 5, 7])[(t / (2 * beat)).astype(int) % 4] / 12)  # Hz
turn = 2 * np.pi * np.cumsum(note) / rate
pluck, swell = np.exp(-(t % beat) / 0.25), 0.6 + 0.4 * np.sin(np.pi * t) ** 2
sounds = {
    "vox": sum(np.sin(k * turn + 0.2 * np.sin(11 * np.pi * t)) / k**1.5 for k in range(1, 9)) * swell,
    "kick": np.sin(2 * np.pi * 55 * (t % beat)) * np.exp(-(t % beat) / 0.1),
    "bass": np.sin(turn / 4) + 0.2 * np.sin(turn / 2),
    "gtr-l": sum(np.sin(k * turn / 2) / k for k in range(1, 7)) * pluck,
    "gtr-r": sum(np.sin(k * turn * 0.749 / 2) / k for k in range(1, 7)) * pluck,
    "hat": np.diff(rng.standard_normal(t.size), prepend=0) * np.exp(-((t + beat / 2) % beat) / 0.03),
    "riser": rng.standard_normal(t.size) * (t / seconds) ** 2,
}  # fmt: skip
levels = {name: 10 ** (lufs / 20) for name, _, lufs, *_ in table}
sounds = {name: levels[name] * sound / np.sqrt(np.mean(sound**2)) for name, sound in sounds.items()}
heard = render_binaural(scene, sounds, rate)
flat = render_binaural(middle, sounds, rate)
print("With headphones. The scene:")
display(Audio(heard.T, rate=rate, normalize=False))
print("Everything in the middle:")
display(Audio(flat.T, rate=rate, normalize=False))

# %% [markdown]
# ## Is it really in the sound?
#
# One object at a time, dry, through the same renderer: the delay between the ears, read off the sound by
# cross-correlation, and the level difference. The line is the delay around a rigid sphere in closed form.

# %%
directions = list(range(-90, 91, 15))
burst = {"vox": rng.standard_normal(rate // 4)}
dry = {"width": 0.0, "reverb_send": 0.0, "early_reflections": 0.0, "el_deg": 0, "dist_m": 1.0, "motion": []}
ears = [
    render_binaural(
        scene.model_copy(update={"objects": [scene.objects[0].model_copy(update={**dry, "id": "vox", "az_deg": az})]}),
        burst, rate,
    )
    for az in directions
]  # fmt: skip
shifts = np.arange(-48, 49)
delay = [
    shifts[np.argmax([np.dot(two[100:10_000, 1], two[100 - k : 10_000 - k, 0]) for k in shifts])] / rate * 1e6
    for two in ears
]
level = [10 * np.log10(np.sum(two[:, 0] ** 2) / np.sum(two[:, 1] ** 2)) for two in ears]
theory = [(ear_delay(np.pi / 2 + np.radians(az)) - ear_delay(np.pi / 2 - np.radians(az))) * 1e6 for az in directions]
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
left.plot(directions, theory, label="rigid sphere")
left.plot(directions, delay, "o", label="read off the sound")
left.set(xlabel="azimuth, ° (left is positive)", ylabel="left ear earlier by, µs")
left.legend()
right.plot(directions, level, "o-")
right.set(xlabel="azimuth, °", ylabel="left ear louder by, dB")
figure.tight_layout()
display(figure)
plt.close(figure)
off = np.abs(np.array(delay) - theory).max()
print(f"{len(directions)} directions: delay off by at most {off:.0f} µs (one sample is {1e6 / rate:.0f} µs)")
print(f"level difference at 90° to the left: {level[-1]:.1f} dB, in front: {level[len(level) // 2]:.1f} dB")

# %% [markdown]
# Other outlets for the same scene: `physworld export scene.json --format adm --stems DIR` (also `iamf-json`, `ebu`),
# and `.iamf` by `physworld mix`. See `docs/how_to/spatial.md`.
