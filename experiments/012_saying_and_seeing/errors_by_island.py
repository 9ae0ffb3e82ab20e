"""How far off is one answer, by the number of bodies in its island? Beside the simulator restarted from the state.

    python experiments/012_saying_and_seeing/errors_by_island.py --runs shipped RUN --samples 1280

Validation windows of the 39 seen types, difficulties 1-5, each with an event; nothing is kicked. `struck` bodies change
their velocity by more than 10 px/s in the frame, with gravity and without it: what falls or lies is not struck.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from physworld import scenarios
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.impulse import FIRST_BODY, WORD
from physworld.text.codecs.islands import IslandCodec
from physworld.text.rollout import rollout
from physworld.text.sources.physics import PhysicsSource
from physworld.types import Sample, Trajectory

SIZES = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 128))
STRUCK = 10.0  # px/s


def restarted(given: Trajectory) -> np.ndarray:
    """(N, 2) px/s: what the simulator, with a solver that remembers nothing, makes of the last given frame."""
    return simulate(given.scene, 2, start=given.frame(-1)).velocity[1]


def island_sizes(codec: IslandCodec, given: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """(bodies that something may act on (M,), number of bodies in the island of each (M,))."""
    bodies, sizes = [], []
    for prompt in codec.prompts(given):
        named = prompt[np.flatnonzero(prompt == WORD["self"]) + 1] - FIRST_BODY
        bodies.append(named)
        sizes.append(np.full(len(named), len(named)))
    return (np.concatenate(bodies), np.concatenate(sizes)) if bodies else (np.zeros(0, int), np.zeros(0, int))


def table(name: str, samples: list[Sample], said: list[np.ndarray]) -> None:
    """Print one line for each size of island."""

    def size(vectors: np.ndarray) -> np.ndarray:
        lengths: np.ndarray = np.linalg.norm(vectors, axis=1)
        return lengths

    codec, found = IslandCodec(), []
    for sample, velocity in zip(samples, said, strict=True):
        now, then = sample.given.velocity[-1], sample.target.velocity[0]
        bodies, sizes = island_sizes(codec, sample.given)
        fall = np.array(sample.given.scene.gravity) * sample.given.scene.dt
        true, guess = then[bodies] - now[bodies], velocity[bodies] - now[bodies]
        jumps = [np.minimum(size(x), size(x - fall)) for x in (true, guess)]
        found.append(np.stack([sizes, *jumps, size(guess - true)], axis=1))
    sizes, true, guess, error = np.concatenate(found).T

    def rms(values: np.ndarray) -> float:
        return float(np.sqrt(np.mean(values**2)))

    print(
        f"\n{name}\nbodies | struck | found | error, px/s: RMS, median | of | said to be struck and is not | RMS there"
    )
    for low, high in SIZES:
        here = (sizes >= low) & (sizes <= high)
        hit, calm = here & (true > STRUCK), here & (true <= STRUCK)
        print(
            f"{low}-{high} | {hit.sum()} | {100 * np.mean(guess[hit] > STRUCK):.0f}% | {rms(error[hit]):.1f}, "
            f"{np.median(error[hit]):.2f} | {rms(true[hit]):.0f} | {100 * np.mean(guess[calm] > STRUCK):.1f}% | "
            f"{rms(error[calm]):.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", default=["shipped"])
    parser.add_argument("--samples", type=int, default=1280)
    parser.add_argument("--likeliest", action="store_true", help="say the likeliest token instead of the median")
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = PhysicsSource(
        seed=11, split="val", names=scenarios.seen(), difficulties=[1, 2, 3, 4, 5], kicked_scenes=0.0,
        windows_per_scene=4, event_fraction=1.0,
    )  # fmt: skip
    samples = [source.sample(index) for index in range(options.samples)]
    table("simulator, restarted from the true state", samples, [restarted(s.given) for s in samples])
    for run in options.runs:
        model, codec, _ = load_model(runs.find_run(run), torch.device("cpu"))
        model.median &= not options.likeliest
        said: list[np.ndarray] = []
        for at in range(0, len(samples), 64):
            given = [s.given for s in samples[at : at + 64]]
            said += [guess.velocity[0] for guess in rollout(model, codec, given, 1).predicted]
        table(run, samples, said)


if __name__ == "__main__":
    main()
