"""What people chose in a listening test (`sound.listening`), as pairs of scenes to learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from physworld.errors import FormatError, UserError
from physworld.spatial.scene.brief import Brief, resolve
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.rules import check
from physworld.spatial.sound.listening import Choice, read_choices
from physworld.types import Sample

HELD_OUT = 5  # every fifth song, by its name, is for validation where there are that many


class ListenedPairs:
    """Sample 2k is the scene that a listener preferred, 2k + 1 the other one; validation has preferred scenes alone.

    A song with sections gives a pair for each. Answers without a difference, and pairs whose scenes are the same, teach
    nothing and are left out.
    """

    def __init__(self, *, seed: int, split: str, key: str | None, answers: Sequence[str]) -> None:
        """
        Args:
            seed: is not used, because nothing is drawn.
            key: key.json of the test.
            answers: what the page saved, one file a listener.

        Raises:
            FormatError: a file is missing or none of these, or nobody preferred anything.
        """
        if key is None or not answers:
            raise FormatError("data.key=key.json and data.answers=[answers.json] are needed; both come from a test.")
        try:
            _, choices = read_choices(Path(key), list(map(Path, answers)))
        except UserError as error:
            raise FormatError(str(error)) from None
        songs = sorted({choice.name for choice in choices}, key=lambda name: hashlib.sha256(name.encode()).digest())
        kept = set(songs[::HELD_OUT]) if len(songs) >= HELD_OUT else set()
        self.split = split
        here = [c for c in choices if not kept or (c.name in kept) == (split != "train")]
        self.pairs = [pair for choice in here for pair in _pairs(choice)]
        if not self.pairs:
            raise FormatError(f"{key}: no listener preferred one scene to another in the {split} songs.")

    def sample(self, index: int) -> Sample:
        if self.split != "train":
            brief, good, _ = self.pairs[index % len(self.pairs)]
            return Sample(seed=index, given=brief, target=good)
        brief, good, other = self.pairs[index // 2 % len(self.pairs)]
        return Sample(seed=index, given=brief, target=other if index % 2 else good)


def _pairs(choice: Choice) -> list[tuple[Brief, SpatialScene, SpatialScene]]:
    """Raises: FormatError: a scene cannot be an answer of a model."""
    if choice.chosen is None:
        return []
    (other,) = [name for name in choice.scenes if name != choice.chosen]
    found = []
    for payload, good, bad in zip(choice.payloads, choice.scenes[choice.chosen], choice.scenes[other], strict=True):
        brief = resolve(payload)
        known = {brief.stem(place).id for place in range(len(brief.objects))}
        for scene in (good, bad):
            report = check(scene, payload, brief)
            wrong = [*report.strict, *report.budget]
            strangers = {thing.id for thing in scene.objects} - known
            if wrong or strangers:
                why = str(wrong[0]) if wrong else f"{sorted(strangers)[0][:40]} is in the bed by the payload's rules"
                raise FormatError(f"{choice.name}: a scene that was heard is no answer of a model ({why}).")
        if good != bad:
            found.append((brief, good, bad))
    return found
