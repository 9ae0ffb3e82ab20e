"""How fast are rollouts of a language model, beside calling `generate` for every frame? `python benchmarks/rollout.py`

The same small Llama (untrained, its answers kept within the frame grammar, so that every frame can be read) rolls 32
scenes forward in text whose prompt grows by a frame each time, as the published model is run:

* ours: 32 scenes side by side, one cache of keys and values kept over frames (`CachedGenerator`, as `rollout` uses it);
* ours, read anew (--anew): the same without the kept cache;
* generate, batched: `transformers`' `generate` on the 32 padded prompts, once a frame;
* generate, one by one: `generate` on one scene's prompt, once a frame, which is what the usual loop does.

The slow ways are timed at some frames along our rollout only, from the very prompts that ours had there, and ours is
compared with them over those same frames; their answers must equal ours, token by token. Times are CPU time of this
process (on a GPU the wall clock's); figures are frames (of one scene) per second. With --kind lfm2 the network is a
small LFM2, every second layer a short convolution; on a GPU ours has a static cache and compiled steps (--static).
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LogitsProcessor, LogitsProcessorList

from physworld import scenarios
from physworld.lm.generator import CachedGenerator
from physworld.lm.guides import guide_mask
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.types import Trajectory

RESULTS = Path(__file__).parent / "results" / "rollout.json"
BATCH = 32


class Guided(LogitsProcessor):
    """The frame grammar inside `generate`."""

    def __init__(self, guide: Any) -> None:
        self.guide, self.length = guide, 0

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.length:
            self.guide.advance(range(len(ids)), ids[:, -1].tolist())
        self.length = ids.shape[1]
        return scores.masked_fill(
            ~torch.as_tensor(guide_mask(self.guide, range(len(ids))), device=scores.device), -torch.inf
        )


def network(kind: str, vocabulary: int, width: int, layers: int) -> Any:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary, "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers,
        "num_attention_heads": width // 32, "num_key_value_heads": 1, "max_position_embeddings": 16384,
        "eos_token_id": None, "pad_token_id": 0, "bos_token_id": None,
    }  # fmt: skip
    if kind == "lfm2":
        sizes |= {"layer_types": ["conv", "full_attention"] * (layers // 2), "block_auto_adjust_ff_dim": False}
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
    for parameter in made.parameters():  # so that the best token stands out from rounding
        if parameter.ndim > 1:
            parameter.data.mul_(3)
    return made.eval()


def cases(codec: CardCodec | EngineCodec, bodies: int) -> list[Trajectory]:
    """32 scenes of `bodies` bodies."""
    found: list[Trajectory] = []
    for index in range(1000):
        scene = scenarios.build("pendulum", generator(0, "test", index), 1 + index % 2)
        if len(scene.bodies) == bodies:
            found.append(simulate(scene, codec.context_frames))
        if len(found) == BATCH:
            return found
    raise SystemExit(f"there are not {BATCH} pendulums of {bodies} bodies among the first 1000")


class Timer:
    clock = time.process_time

    def __init__(self) -> None:
        self.seconds, self.frames = 0.0, 0

    def __call__(self, frames: int, call: Any) -> Any:
        start = Timer.clock()
        result = call()  # answers arrive on the host, so a GPU is done with them
        self.add(frames, Timer.clock() - start)
        return result

    def add(self, frames: int, seconds: float) -> None:
        self.frames, self.seconds = self.frames + frames, self.seconds + seconds

    @property
    def rate(self) -> float:
        return self.frames / self.seconds


def by_generate(
    net: Any, codec: CardCodec | EngineCodec, prompts: list[np.ndarray], contexts: list[Trajectory]
) -> list[np.ndarray]:
    """What `generate` answers, cut behind the end token."""
    width = max(map(len, prompts))
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :], mask[row, width - len(prompt) :] = torch.as_tensor(prompt), 1
    out = net.generate(
        ids.to(net.device), attention_mask=mask.to(net.device), do_sample=False, eos_token_id=codec.end_id,
        pad_token_id=codec.end_id,
        max_new_tokens=max(codec.max_new_tokens(c.scene) for c in contexts),
        logits_processor=LogitsProcessorList([Guided(codec.guide(contexts))]),
    )[:, width:].cpu().numpy()  # fmt: skip
    return [row[: np.argmax(row == codec.end_id) + 1] for row in out]


def measure(
    frames: int,
    bodies: int,
    every: int,
    singles: int,
    *,
    text: str,
    kind: str,
    width: int,
    layers: int,
    also_anew: bool,
    device: str,
    static_cache: str,
) -> dict[str, Any]:
    codec = (CardCodec if text == "card" else EngineCodec)(history_frames=10_000)
    net = network(kind, len(codec.tokenizer), width, layers).to(device)
    contexts = cases(codec, bodies)
    plain = copy.deepcopy(net)  # CachedGenerator changes how its network attends
    settings: dict[str, Any] = {"pad_id": 0, "max_length": 16384, "static_cache": static_cache}
    ours, anew = CachedGenerator(net, **settings), CachedGenerator(net, **settings, reuse_cache=False)
    rows = list(range(BATCH))
    names = ["ours", "generate, batched", "generate, one by one", *(["ours, read anew"] if also_anew else [])]
    timers = {name: Timer() for name in names}  # over the frames at which all are timed
    everything = Timer()
    equal = True
    lengths: list[int] = []
    for frame in range(frames):
        limits = [codec.max_new_tokens(c.scene) for c in contexts]

        def answer(model: CachedGenerator, contexts: list[Trajectory] = contexts, limits: list[int] = limits) -> Any:
            prompts = [codec.prompt(c) for c in contexts]
            said = model.generate(prompts, limits, codec.end_id, codec.guide(contexts), rows=rows)
            return prompts, said, [codec.decode(a, c) for a, c in zip(said, contexts, strict=True)]

        compared = frame % every == every // 2
        start = everything.seconds
        prompts, said, states = everything(BATCH, lambda: answer(ours))
        lengths.append(max(map(len, prompts)))
        if compared:
            timers["ours"].add(BATCH, everything.seconds - start)
            others = [timers["ours, read anew"](BATCH, lambda: answer(anew))[1]] if also_anew else []
            others.append(
                timers["generate, batched"](BATCH, lambda: by_generate(plain, codec, prompts, contexts))  # noqa: B023
            )
            alone = [
                timers["generate, one by one"](
                    1,
                    lambda: by_generate(plain, codec, prompts[row : row + 1], contexts[row : row + 1]),  # noqa: B023
                )[0]
                for row in range(singles)
            ]
            equal &= all(np.array_equal(a, b) for other in [*others, alone] for a, b in zip(other, said, strict=False))
            print(f"frame {frame}, {lengths[-1]} tokens: " + ", ".join(f"{n} {t.rate:.2f}" for n, t in timers.items()))
        contexts = [c.then(Trajectory.of(c.scene, [s])) for c, s in zip(contexts, states, strict=True)]
    rates = {name: timer.rate for name, timer in timers.items()}
    return {
        "text": text,
        "kind": kind,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "static": ours.fixed,
        "parameters": sum(p.numel() for p in net.parameters()),
        "width": width,
        "layers": layers,
        "frames": frames,
        "bodies": bodies,
        "batch": BATCH,
        "longest_prompt": max(lengths),
        "equal_outputs": bool(equal),
        "frames_per_second": rates,
        "frames_per_second_whole_rollout": everything.rate,
        "times_generate_one_by_one": rates["ours"] / rates["generate, one by one"],
        "times_generate_batched": rates["ours"] / rates["generate, batched"],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--bodies", type=int, default=1)
    parser.add_argument("--every", type=int, default=25, help="frames between timings of the slow ways")
    parser.add_argument("--singles", type=int, default=2, help="scenes for which generate is called one by one")
    parser.add_argument("--anew", action="store_true", help="time ours without the kept cache as well")
    parser.add_argument("--fast", action="store_true", help="a few frames, and no file is written")
    parser.add_argument("--text", choices=("card", "engine"), default="card")
    parser.add_argument(
        "--width", type=int, default=256, help="of the network; heads are 32 wide and share one key head"
    )
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--kind", choices=("llama", "lfm2"), default="llama")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--static", choices=("auto", "on", "off"), default="auto", help="cache of fixed size")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.fast:
        options.frames, options.every, options.singles = 6, 3, 2
    if options.device == "cuda":
        Timer.clock = time.perf_counter
    found = measure(
        options.frames, options.bodies, options.every, options.singles,
        text=options.text, kind=options.kind, width=options.width, layers=options.layers, also_anew=options.anew,
        device=options.device, static_cache=options.static,
    )  # fmt: skip
    print(json.dumps(found, indent=2))
    if not options.fast:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if not found["equal_outputs"]:
        raise SystemExit("the answers differ")


if __name__ == "__main__":
    main()
