"""A seed becomes a simulated scene, a scene becomes windows (given frames -> next frame)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from physworld import scenarios
from physworld.scenarios._parts import mirrored
from physworld.seeding import generator
from physworld.sim.ood import varied
from physworld.sim.pymunk_sim import simulate
from physworld.sim.turning import turned
from physworld.text.sources.by_error import shares
from physworld.text.sources.windows import Windows, clean_targets, cut_windows
from physworld.types import Scene, State, Trajectory

KICK_SIZE = np.array([0.3, 0.3, 6.0, 6.0, 0.004, 0.15])  # px, px, px/s, px/s, rad, rad/s (standard deviations)


class PhysicsSource(Windows):
    """Scenes simulated on the fly; everything is a function of (seed, split, index).

    Training windows come `windows_per_scene` from one scene, because simulating costs more than reading: window
    `index` belongs to scene `index // windows_per_scene`.

    Noise on the context is physical: in some scenes the simulator itself is kicked now and then, and windows start
    right after a kick. The state is off the true path, the answer is what physics does from there, so a model learns
    to come back from its own small errors (cf. GNS, arXiv 2002.09405, where the noise is not simulated onwards).
    """

    def __init__(
        self,
        *,
        seed: int,
        split: str,
        names: Sequence[str],
        difficulties: Sequence[int],
        context_frames: int = 1,
        target_frames: int = 1,
        frames: int = 150,
        windows_per_scene: int = 8,
        event_fraction: float = 0.66,
        kicked_scenes: float = 0.6,
        kick_rate: float = 0.15,
        kick_size: float = 1.0,
        turned_scenes: float = 0.0,
        varied_scenes: float = 0.0,
        context_noise: float = 0.0,
        include_resting: bool = False,
        errors: str | None = None,
    ) -> None:
        """
        Args:
            names: scenario types to draw from, equally often unless `errors` says otherwise.
            difficulties: 1-5, drawn equally often.
            frames: simulated frames per scene (60 a second).
            event_fraction: share of windows whose target frame holds an event, where a scene has any.
            kicked_scenes: share of scenes that are kicked, but for those that kicks would leave no target frame.
            kick_rate: kicks per frame in these, below 1.
            kick_size: times KICK_SIZE.
            turned_scenes: share of scenes that are turned by any angle before they are simulated, half of them mirrored
                too; gravity turns with them.
            varied_scenes: share of scenes whose bodies get new masses, frictions and restitutions, anywhere in
                training's range (`physworld.sim.ood.varied`).
            context_noise: times KICK_SIZE, noise on the last given frame; the answer stays what follows the true one,
                as in GNS (arXiv 2002.09405).
            include_resting: whether a body that lies or hangs makes an event too, which leaves few frames of a pile
                without.
            errors: a finished run; half of the training scenes are drawn in proportion to its errors (`by_error`).
        """
        if not names:
            raise ValueError("no scenario types to draw from: scenario.names is empty")
        known = scenarios.names()
        for name in names:
            if name not in known:
                scenarios.category(name)  # raises with a suggestion
        if not difficulties or any(d not in (1, 2, 3, 4, 5) for d in difficulties):
            raise ValueError(f"difficulties must be some of 1, 2, 3, 4, 5, got {list(difficulties)}")
        if windows_per_scene < 1:
            raise ValueError(f"windows_per_scene must be 1 or more, got {windows_per_scene}")
        if frames < context_frames + target_frames:
            raise ValueError(f"frames={frames} is shorter than a window of {context_frames} + {target_frames} frames")
        self.seed, self.split, self.names, self.difficulties = seed, split, tuple(names), tuple(difficulties)
        self.context_frames, self.target_frames, self.frames = context_frames, target_frames, frames
        super().__init__(windows_per_scene, event_fraction, include_resting)
        self.kicked_scenes, self.kick_rate, self.kick_size = kicked_scenes, kick_rate, kick_size
        shares_of = {"kicked_scenes": kicked_scenes, "turned_scenes": turned_scenes, "varied_scenes": varied_scenes}
        for option, value in shares_of.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{option}={value} must be from 0 to 1")
        if not 0 <= kick_rate < 1:  # what follows a kick is learned, and with a kick in every frame nothing follows
            raise ValueError(f"kick_rate={kick_rate} must be from 0 to just below 1")
        if not context_noise >= 0:
            raise ValueError(f"context_noise={context_noise} must be 0 or more")
        self.turned_scenes, self.varied_scenes, self.context_noise = turned_scenes, varied_scenes, context_noise
        self._shares = shares(errors, self.names) if errors is not None and split == "train" else None

    def _draw(self, rng: np.random.Generator) -> Scene:
        if self._shares is None:
            name = self.names[rng.integers(len(self.names))]
        else:
            name = self.names[rng.choice(len(self.names), p=self._shares)]
        return scenarios.build(name, rng, int(self.difficulties[rng.integers(len(self.difficulties))]))

    def scene(self, number: int) -> Scene:
        """Scene `number` of this stream."""
        return self._draw(generator(self.seed, self.split, number))

    def _world(self, rng: np.random.Generator) -> Scene:
        """A scene as it is simulated: drawn, and in some cases turned or made of other stuff."""
        scene = self._draw(rng)
        if self.turned_scenes and rng.random() < self.turned_scenes:
            scene = turned(mirrored(scene) if rng.random() < 0.5 else scene, float(rng.uniform(-np.pi, np.pi)))
        if self.varied_scenes and rng.random() < self.varied_scenes:
            scene = varied(scene, rng)
        return scene

    def _off(self, given: Trajectory, rng: np.random.Generator) -> Trajectory:
        """Given frames with the noise that context_noise asks for."""
        return _noisy(given, rng, self.context_noise) if self.context_noise else given

    def _cut(self, number: int) -> list[tuple[Trajectory, Trajectory]]:
        rng = generator(self.seed, self.split, number)
        scene = self._world(rng)
        kicked = np.zeros(self.frames, bool)
        kicks = None
        if rng.random() < self.kicked_scenes:
            kicked = rng.random(self.frames) < self.kick_rate
            kicks = rng.normal(size=(self.frames, len(scene.bodies), 6)) * KICK_SIZE * self.kick_size
            kicks[~kicked] = 0.0
            if not clean_targets(kicked, context_frames=self.context_frames, target_frames=self.target_frames).any():
                kicked, kicks = np.zeros(self.frames, bool), None  # a kicked target would be no physics
        run = simulate(scene, self.frames, kicks=kicks)
        windows = cut_windows(
            run,
            rng,
            count=self.windows_per_scene,
            context_frames=self.context_frames,
            target_frames=self.target_frames,
            event_fraction=self.event_fraction,
            kicked=kicked,
            include_resting=self.include_resting,
        )
        return [(self._off(given, rng), target) for given, target in windows]


def _noisy(given: Trajectory, rng: np.random.Generator, size: float) -> Trajectory:
    """The same frames, the last of them a little off."""
    noise, last = rng.normal(size=(len(given.scene.bodies), 6)) * KICK_SIZE * size, given.frame(-1)
    state = State(
        position=last.position + noise[:, :2],
        velocity=last.velocity + noise[:, 2:4],
        angle=last.angle + noise[:, 4],
        spin=last.spin + noise[:, 5],
    )
    off = Trajectory.of(given.scene, [state])
    return given.window(0, len(given) - 1).then(off) if len(given) > 1 else off
