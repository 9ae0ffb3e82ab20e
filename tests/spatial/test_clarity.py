"""What is heard of objects through each other: laws, and the reward that asks for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physworld.errors import UserError
from physworld.spatial.build import build
from physworld.spatial.codecs.pointers import PointerCodec
from physworld.spatial.reward import RuleReward, listened
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.sound.clarity import band_powers, clarity
from physworld.spatial.sound.made import RATE, made_powers, made_stem
from physworld.spatial.sources.drawn import SpatialSource

from repository import composed
from spatial_tools import payload

DRY = {"width": 0.0, "reverb_send": 0.0, "early_reflections": 0.0, "gain_db": 0.0, "dist_m": 1.0, "motion": []}
NOISE = {name: band_powers(np.random.default_rng(n).standard_normal(RATE), RATE) for n, name in enumerate("ab")}


def scene(*places: float, **changes: Any) -> SpatialScene:
    """Objects a, b ... at these azimuths; changes are of the first one."""
    first = engineer(payload())
    things = [
        first.objects[0].model_copy(update={**DRY, "id": name, "az_deg": az, "el_deg": 0})
        for name, az in zip("ab", places, strict=False)
    ]
    things[0] = things[0].model_copy(update=changes)
    return first.model_copy(update={"objects": things})


def test_powers_are_those_of_the_signal() -> None:
    t = np.arange(RATE) / RATE
    powers = band_powers(0.5 * np.sin(2 * np.pi * 1000 * t), RATE)  # 920-1080 Hz is the ninth band
    assert powers.shape == (10, 24)
    assert powers[:, 8] == pytest.approx(0.125, rel=0.01)
    assert powers[:, 11:].max() < 1e-6


def test_alone_everything_is_heard_and_another_place_lets_hear_more() -> None:
    assert clarity(scene(40.0), NOISE).objects == {"a": 1.0}
    together, near, far = (clarity(scene(0.0, az), NOISE).mean for az in (0.0, 30.0, 80.0))
    assert 0.3 < together < 0.5  # equal powers, and what spreads from the neighbouring bands
    assert together + 0.05 < near < far


def test_left_and_right_are_alike_and_other_bands_do_not_mask() -> None:
    assert clarity(scene(20.0, 75.0), NOISE).mean == pytest.approx(clarity(scene(-20.0, -75.0), NOISE).mean)
    t = np.arange(RATE) / RATE
    apart = {"a": band_powers(np.sin(2 * np.pi * 80 * t), RATE), "b": band_powers(np.sin(2 * np.pi * 7000 * t), RATE)}
    assert clarity(scene(0.0, 0.0), apart).mean > 0.99


def test_a_level_moves_what_is_heard_from_one_to_the_other_and_a_room_covers_all() -> None:
    same, louder = clarity(scene(0.0, 40.0), NOISE), clarity(scene(0.0, 40.0, gain_db=12.0), NOISE)
    assert louder.objects["a"] > same.objects["a"] and louder.objects["b"] < same.objects["b"]
    assert clarity(scene(0.0, 40.0, reverb_send=1.0), NOISE).mean < same.mean - 0.05
    assert clarity(scene(0.0, 40.0), NOISE, bed=["a"]).mean < same.mean
    silent = clarity(scene(0.0, 40.0), {**NOISE, "b": 0 * NOISE["b"]})
    assert silent.objects == {"a": 1.0} and silent.masked == 0


def test_made_sound_has_the_payloads_figures() -> None:
    asked = payload()
    stem = asked.stems[1].model_copy(update={"transient": 0.9, "lufs": -20.0})
    sound = made_stem(stem, 1, 120.0)
    assert 10 * np.log10(np.square(sound).mean()) == pytest.approx(-20 + 0.691)
    steady = made_stem(stem.model_copy(update={"transient": 0.0}), 1, 120.0)
    power, hertz = np.square(np.abs(np.fft.rfft(steady))), np.fft.rfftfreq(len(steady), 1 / RATE)
    assert power[hertz < 200].sum() / power.sum() == pytest.approx(stem.band_energy.low, abs=0.01)
    assert made_powers(asked).keys() == {"vox", "kick", "bass", "pad"}


def test_the_reward_listens_to_what_keeps_its_rules() -> None:
    source, codec = SpatialSource(seed=0, split="train", axis="seen"), PointerCodec()
    sample = source.sample(0)
    good, _ = codec.answer(sample.target, sample.given)
    crowded = sample.target.model_copy(
        update={
            "objects": [t.model_copy(update={"width": 0.0, "az_deg": 0, "el_deg": 0}) for t in sample.target.objects]
        }
    )
    heard = listened(sample.target, sample.given, made_powers(sample.given.payload))
    assert heard > listened(crowded, sample.given, made_powers(sample.given.payload)) + 0.02
    assert RuleReward(source, codec)([0], [good]) == [pytest.approx(1.0)]
    assert RuleReward(source, codec, clarity=0.25)([0, 0], [good, good[:9]]) == [
        pytest.approx(0.75 + 0.25 * heard),
        0.0,
    ]
    with pytest.raises(UserError, match=r"reward\.clarity"):
        RuleReward(source, codec, clarity=2)


def test_a_command_chooses_its_reward() -> None:
    words = ["model=tiny_gravity_grpo", "hardware=cpu", "hardware.num_workers=0"]
    assert build(composed("train", *words)).module.reward.clarity == 0
    assert build(composed("train", *words, "reward.clarity=0.5")).module.reward.clarity == 0.5
