"""How many contacts does a rollout still find, frame by frame? Beside simulators that err by a known amount.

    python experiments/012_saying_and_seeing/contacts_in_rollouts.py

Validation moments, unless told otherwise one of each seen type and difficulty, continued by 30 frames. The simulator
goes on from the given frame as the text rounds it (the floor); from that frame with all remembered impulses lost in
every frame; and, exact otherwise, with its bodies kicked a little in every frame, as by a model that errs by so much.
A contact is an onset of the truth (metrics/events.py); it is found where the body has one within the tolerance.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from scipy.ndimage import maximum_filter1d

from physworld import scenarios
from physworld.metrics.errors import position_rmse
from physworld.metrics.events import onsets
from physworld.runs import directory as runs
from physworld.runs.checkpoints import load_model
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.islands import IslandCodec
from physworld.text.evaluation.baselines import linear, rounded_state
from physworld.text.rollout import rollout
from physworld.text.sources.physics import PhysicsSource
from physworld.types import Sample, Trajectory

FRAMES = 30
PARTS = ((1, 2), (3, 5), (6, 10), (11, 20), (21, 30))  # frames after the given one
KICKS = (0.0, 0.1, 0.3, 1.0, 3.0)  # px/s a frame, standard deviation; px by a tenth of that, as a model's errors are


def forgetful(given: Trajectory, codec: IslandCodec | None) -> Trajectory:
    """The simulator, restarted in every frame from the state as the text rounds it; None: from the exact state."""
    said = given
    for _ in range(FRAMES):
        said = said.then(rounded_state(said, 1, codec.round_state if codec else lambda state, _: state))
    return said.window(len(given), len(said))


def kicked(given: Trajectory, size: float, rng: np.random.Generator) -> Trajectory:
    """The simulator from the true state; in every frame bodies are kicked by so many px/s."""
    kicks = np.zeros((FRAMES + 1, len(given.scene.bodies), 6))
    kicks[1:, :, :4] = rng.normal(size=(FRAMES, len(given.scene.bodies), 4)) * size * np.array([0.1, 0.1, 1.0, 1.0])
    return simulate(given.scene, FRAMES + 1, start=given.frame(-1), kicks=kicks).window(1, FRAMES + 1)


def near(mask: np.ndarray, frames: int) -> np.ndarray:
    """(T, N) bool: whether there is one at most so many frames away."""
    found: np.ndarray = maximum_filter1d(mask.astype(np.uint8), 2 * frames + 1, axis=0, mode="constant") > 0
    return found


def line(name: str, samples: list[Sample], said: list[Trajectory]) -> str:
    """Share of the true onsets that are found, by part of the rollout; with more tolerance; RMSE at the end."""
    before = [s.given.frame(-1) for s in samples]
    true = np.concatenate([onsets(s.target, b) for s, b in zip(samples, before, strict=True)], axis=1)
    guess = np.concatenate([onsets(t, b) for t, b in zip(said, before, strict=True)], axis=1)
    one, three = near(guess, 1), near(guess, 3)
    shares = [one[first - 1 : last][true[first - 1 : last]].mean() for first, last in PARTS]
    cells = [f"{100 * share:.0f}%" for share in (*shares, one[true].mean(), three[true].mean())]
    error = [position_rmse(s.target, t, FRAMES) for s, t in zip(samples, said, strict=True)]
    return " | ".join([name, *cells, f"{np.mean(error):.1f} ({np.median(error):.2f})"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="*", default=["shipped"], help="none: simulators only")
    parser.add_argument("--names", nargs="+", default=scenarios.seen(), metavar="TYPE")
    parser.add_argument("--difficulties", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--each", type=int, default=1, help="scenes of a type and difficulty")
    options = parser.parse_args()
    torch.set_num_threads(1)
    codec, rng = IslandCodec(), np.random.default_rng(5)
    samples: list[Sample] = []
    for difficulty in options.difficulties:
        for number, name in enumerate(options.names * options.each):
            source = PhysicsSource(
                seed=12, split="val", names=[name], difficulties=[difficulty], kicked_scenes=0.0, target_frames=FRAMES,
                windows_per_scene=1, event_fraction=0.0,
            )  # fmt: skip
            samples.append(source.sample(number))
    print("who | " + " | ".join(f"frames {a}-{b}" for a, b in PARTS) + " | all | within 3 | RMSE@30 (median), px")
    given = [s.given for s in samples]
    print(line("linear", samples, [linear(g, FRAMES) for g in given]), flush=True)
    print(line("floor", samples, [rounded_state(g, FRAMES, codec.round_state) for g in given]), flush=True)
    print(line("forgets in every frame", samples, [forgetful(g, None) for g in given]), flush=True)
    print(line("forgets and rounds in every frame", samples, [forgetful(g, codec) for g in given]), flush=True)
    for size in KICKS:
        print(line(f"kicked by {size} px/s", samples, [kicked(g, size, rng) for g in given]), flush=True)
    for run in options.runs:
        model, codec_of_run, _ = load_model(runs.find_run(run), torch.device("cpu"))
        print(line(run, samples, list(rollout(model, codec_of_run, given, FRAMES).predicted)), flush=True)


if __name__ == "__main__":
    main()
