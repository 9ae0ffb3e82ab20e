"""What the clarity figure says of ways to place the same stems: experiments/016_stems_to_sound/clarity.py [PAYLOADS]

Sound is made from each payload's own figures. The engineer's scene; all of it in front; the same directions given to
other objects at random; an even ring.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from physworld.metrics.bootstrap import bootstrap_mean
from physworld.spatial.reward import listened
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.terms import snap
from physworld.spatial.sound.made import made_powers
from physworld.spatial.sources.drawn import SpatialSource


def placed(scene: SpatialScene, places: list[tuple[float, float]]) -> SpatialScene:
    things = [
        thing.model_copy(update={"az_deg": snap("az_deg", az), "el_deg": snap("el_deg", el), "motion": []})
        for thing, (az, el) in zip(scene.objects, places, strict=True)
    ]
    return scene.model_copy(update={"objects": things})


def main(count: int) -> None:
    source, rng = SpatialSource(seed=0, split="test", axis="seen"), np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    index = 0
    while not found or len(found["engineer"]) < count:
        sample, index = source.sample(index), index + 1
        scene, n = sample.target, len(sample.target.objects)
        if n < 3:
            continue
        powers = made_powers(sample.given.payload)
        own = [(thing.az_deg, thing.el_deg) for thing in scene.objects]
        ways = {
            "engineer": scene,
            "engineer, standing still": placed(scene, own),
            "directions given to others at random": placed(scene, [own[k] for k in rng.permutation(n)]),
            "an even ring": placed(scene, [(360 * k / n - 180, 0.0) for k in range(n)]),
            "all in front": placed(scene, [(0.0, 0.0)] * n),
        }
        for name, way in ways.items():
            found.setdefault(name, []).append(100 * listened(way, sample.given, powers))
    print(
        f"| {count} payloads of 3 objects and more | heard, % | less than the engineer, points |\n| :-- | --: | --: |"
    )
    for name, values in found.items():
        less = bootstrap_mean([a - b for a, b in zip(found["engineer"], values, strict=True)])
        print(f"| {name} | {np.mean(values):.1f} | {less.mean:.1f} ({less.low:.1f} to {less.high:.1f}) |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("payloads", type=int, nargs="?", default=64)
    main(parser.parse_args().payloads)
