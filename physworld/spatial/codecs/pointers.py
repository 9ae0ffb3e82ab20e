"""Spatial scenes as pointers and values: what follows from the payload is pointed at, not spelled.

Like `chunks.SpatialCodec`, with five differences.

* A brief says every rule as the value that it comes to for an object: azimuth, elevation and distance of what is held
  somewhere or must keep apart from others (a relation of two objects, so both are looked at: the engineer's search
  places them), the width, where it may move to, `"motion":[]` where it may not. Then a model copies, and has its own
  say in everything that no rule decides.
* An answer's object is a pointer to its stem (`@8`) and what is to be chosen. Its class is the stem's. Of keyframes
  only those after the first are written (the first is the object's own pose), with what differs from that pose.
* Right behind an object's pointer stand, in the answer's own order, the value or ` width?` of each field that rules may
  decide: what is to be copied is always as far from its pointer as in the answer, and what is free is said to be.
  What a decided motion changes counts as decided, too: keyframes say where to, not how far.
* A brief's line ends as its object in the answer does, and the rules that hold stand as the answer has to name them.
* Pointers count down: the last object is always `@1`, so where an answer ends is said by the pointer itself.

    brief fmt=iamf style=club section=drop energy=0.9
    @8","az_deg":0 el_deg? dist_m?,"width":0.1,"class":"kick" lufs=-10 transient=1 ... band=low,"motion":[]},{"id":"
    @7"...
    rules"#5","#6"]}
    scene
    {"version":"1.0",...,"objects":[{"id":"@8","az_deg":0,"el_deg":5,...,"motion":[]},{"id":"...
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from physworld.spatial.codecs.chunks import SpatialCodec
from physworld.spatial.codecs.words import FINISH, LAST, MOVED, NEXT, NO_MOTION, chunk, label, number
from physworld.spatial.scene.brief import FREE_ELEVATION, FREE_WIDTH, Brief, Target
from physworld.spatial.scene.documents import SceneObject, SpatialScene
from physworld.spatial.scene.engineer import dominant, engineer, tenths
from physworld.spatial.scene.rules import tag
from physworld.spatial.scene.terms import DIALS, POSE

FREE_NEXT, FREE_LAST = " next\n", " last\n"  # ends of a brief's line where the motion is to be chosen
FIELDS = (*POSE, "width")  # that rules may decide
FOLLOWS = re.compile(  # what of an answer's text something follows from
    rf'"id":"(?P<id>[^"]*)"|"(?P<field>{"|".join(POSE)})":(?P<value>[-0-9.]+)'
    r'|(?P<first>"motion":\[\{"t":)|(?P<key>\{"t":)|(?P<close>\})'
)
FREE_REACH = 180.0  # degrees


class PointerCodec(SpatialCodec):
    """Briefs and scenes as pointers and values, and back."""

    extra_words = (FREE_NEXT, FREE_LAST, *(f" {name}?" for name in FIELDS))
    pointers = True

    def __init__(self, *, numbered_from_payload: bool = True) -> None:
        """
        Args:
            numbered_from_payload: the first rule's number follows from the payload; False = always 1, for reading.
        """
        super().__init__(numbered_from_payload=numbered_from_payload)

    def labels(self, given: Brief) -> tuple[dict[str, str], list[str]]:
        """(stem id -> `@8` of every object, down to `@1`; `#5` of every rule)."""
        _, numbers = super().labels(given)
        count = len(given.objects)
        return {given.stem(p).id: label("@", count - p) for p in range(count)}, numbers

    def _brief(self, given: Brief) -> Iterator[str]:
        payload = given.payload
        yield f"brief fmt={payload.target_format}"
        yield f" style={payload.style}"
        yield f" section={payload.section}"
        yield f" energy={tenths(payload.overall.energy):g}\n"
        names, _ = self.labels(given)
        settled = engineer(payload, given).objects
        for place, (target, called, thing) in enumerate(zip(given.objects, names.values(), settled, strict=True)):
            stem, final = given.stem(place), place + 1 == len(given.objects)
            decided = _decided(target, thing)
            yield f'{called}"'
            for name in FIELDS:
                yield chunk(name, getattr(thing, name)) if decided[name] else f" {name}?"
            yield f',"class":"{stem.track_class}"'
            yield f" lufs={math.floor(stem.lufs + 0.5)}"
            yield f" transient={tenths(stem.transient):g}"
            yield f" leadness={tenths(stem.leadness):g}"
            yield f" band={dominant(stem)}"
            if not decided["motion"]:
                yield FREE_LAST if final else FREE_NEXT
                continue
            yield from _keyframes(thing)
            yield (MOVED if thing.motion else NO_MOTION) + (LAST if final else NEXT)
        yield "rules"
        yield from self._claims([tag(payload.rules[n]) for n in self._holding(given)], given)
        yield "scene\n"

    @staticmethod
    def _holding(given: Brief) -> list[int]:
        """Rules that hold in full, each once."""
        broken = given.broken()
        first: dict[str, int] = {}
        for n, rule in enumerate(given.payload.rules):
            if n not in broken:
                first.setdefault(tag(rule), n)
        return list(first.values())

    def _claims(self, applied: Sequence[str], given: Brief) -> Iterator[str]:
        """Raises: ValueError: a text is no rule of the brief."""
        tags: dict[str, str] = {}
        for rule, called in zip(given.payload.rules, self.labels(given)[1], strict=True):
            tags.setdefault(tag(rule), called)
        for n, text in enumerate(applied):
            if text not in tags:
                raise ValueError(f"{text} is no rule of this brief")
            yield f'{"," if n else ""}"{tags[text]}"'
        yield FINISH

    def _scene(self, scene: SpatialScene, given: Brief) -> Iterator[tuple[str, bool]]:
        """(token, whether a rule decides it)."""
        names, _ = self.labels(given)
        targets = {given.stem(p).id: target for p, target in enumerate(given.objects)}
        bed = scene.bed
        yield f'{{"version":"{scene.version}","bed":{{"layout":"{bed.layout}"', False
        yield chunk("loudness_target_lufs", bed.loudness_target_lufs), False
        yield f',"room_preset":"{bed.room_preset}"}},"objects":[{{"id":"', False
        for n, thing in enumerate(scene.objects):
            if thing.id not in names:
                raise ValueError(f"{thing.id} is no object of this brief")
            yield f'{names[thing.id]}"', False
            decided = _decided(targets[thing.id], thing)
            for name in (*POSE, *DIALS):
                yield chunk(name, getattr(thing, name)), decided.get(name, False)
            yield from ((piece, decided["motion"]) for piece in _keyframes(thing))
            rest = NEXT if n + 1 < len(scene.objects) else LAST
            yield (MOVED if thing.motion else NO_MOTION) + rest, decided["motion"]
        yield from ((piece, True) for piece in self._claims(scene.constraints_applied, given))

    def read(self, text: str, given: Brief) -> Any:
        """The scene with everything that its pointers mean, or None: no JSON."""
        data = super().read(text, given)
        if not isinstance(data, dict) or not isinstance(data.get("objects"), list):
            return data
        classes = {stem.id: stem.track_class for stem in given.payload.stems}
        for thing in data["objects"]:
            if not isinstance(thing, dict):
                continue
            name = thing.get("id")
            if isinstance(name, str) and name in classes and "class" not in thing:
                thing["class"] = classes[name]
            keys = thing.get("motion")
            if isinstance(keys, list) and keys and all(isinstance(key, dict) for key in keys):
                pose = {name: thing[name] for name in POSE if name in thing}
                thing["motion"] = [{"t": 0, **pose}, *({**pose, **key} for key in keys)]
        return data

    def spell(self, text: str, given: Brief) -> str:
        """An answer's text with all that its pointers mean; the beginning of a text gives the beginning of this."""
        return "".join(_spelled(super().spell(text, given), {s.id: s.track_class for s in given.payload.stems}))


def _spelled(text: str, classes: Mapping[str, str]) -> Iterator[str]:
    """The text in pieces, with the class behind an id, and what a keyframe leaves out; left to right, nothing twice."""
    pose: dict[str, str] = {}  # of the object, as written
    inside, left = False, list[str]()  # whether this is a keyframe, and the fields that it still lacks
    end = 0
    for found in FOLLOWS.finditer(text):
        yield text[end : found.start()]
        end = found.end()
        name, field, first, key, close = (found[group] for group in ("id", "field", "first", "key", "close"))
        if name is not None:
            pose = {}
            yield found[0] + (f',"class":"{classes[name]}"' if name in classes else "")
        elif field is not None and not inside:
            pose[field] = found["value"]
            yield found[0]
        elif field is not None:
            before = left[: left.index(field)] if field in left else []
            left = left[left.index(field) + 1 :] if field in left else left
            yield "".join(f'"{one}":{pose[one]},' for one in before if one in pose) + found[0]
        elif first is not None or key is not None:
            inside, left = True, list(POSE)
            start = ",".join(['{"t":0', *(f'"{one}":{pose[one]}' for one in POSE if one in pose)])
            yield f'"motion":[{start}}},{{"t":' if first is not None else found[0]
        elif close is not None:
            yield "".join(f',"{one}":{pose[one]}' for one in left if one in pose) + found[0]
            inside, left = False, []
    yield text[end:]


def _decided(target: Target, thing: SceneObject) -> dict[str, bool]:
    """Field -> whether a rule narrows it for this object.

    Args:
        thing: as it stands in a scene: where rules decide a motion, so is what of its pose the keyframes change, since
            they say where it goes to and not how far.
    """
    moves = target.reach < FREE_REACH or target.pattern is not None
    changed = {name for key in thing.motion for name in POSE if getattr(key, name) != getattr(thing, name)}
    where = dict.fromkeys(changed if moves else (), True)
    return {
        "az_deg": target.az is not None or bool(target.apart),
        "el_deg": target.el != FREE_ELEVATION or bool(target.apart),
        "dist_m": target.anchored,
        "width": target.width != FREE_WIDTH,
        "motion": moves or target.still or bool(target.apart) or target.az is not None,
        **where,
    }


def _keyframes(thing: SceneObject) -> Iterator[str]:
    """Keyframes after the first, with what differs from the object's own pose; nothing where it stands still.

    Raises:
        ValueError: the first one is not the object's own pose at t=0.
    """
    if not thing.motion:
        return
    first, *others = thing.motion
    if first.t != 0 or first.pose != thing.pose or not others:
        raise ValueError(f"the motion of {thing.id} does not begin with its own pose at t=0")
    for k, key in enumerate(others):
        yield f',"motion":[{{"t":{number(key.t)}' if k == 0 else f'}},{{"t":{number(key.t)}'
        for name in POSE:
            if getattr(key, name) != getattr(thing, name):
                yield chunk(name, getattr(key, name))
