"""A run on somebody's own clips, judged on those that were held out.

No simulator knows what happens in them, so three things are asked: the denoising loss, beside the base's; whether the
clips are likelier than the same frames in a wrong order; and what `physworld judge` says of generated clips, beside
the held-out clips themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from physworld.io.checksums import digest_of
from physworld.judge.clip import Settings, Verdict, judge_footage
from physworld.judge.footage import Footage, Source
from physworld.judge.summary import summarise as judged
from physworld.runs.pieces import ALONE, Ask, Pieces
from physworld.video.clip_files import WRONG, ClipFiles, OwnClip
from physworld.video.evaluation import BASE, VideoEvaluator, as_row
from physworld.video.metrics import likelihood
from physworld.video.network import VideoNetwork
from physworld.video.summary import likelihood_rows

HELD_OUT = "held_out"  # the row of the clips themselves
KINDS = ("correct", *WRONG)
LEAST_SIDE = 96  # px: smaller clips are enlarged for the judge, whose bodies are discs of some pixels
UNITS = ("pixels_per_metre",)


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnCases:
    """What every row is asked about."""

    latents: dict[str, Tensor]  # order of frames -> (n, ...): the same clips, right and wrong
    prompts: Tensor  # of their captions
    clips: list[OwnClip]  # whose captions are generated from
    digest: str  # of every frame and caption above: the files may be others at the next evaluation


@dataclass(kw_only=True, eq=False)
class OwnResult:
    likelihood: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # row -> order of frames -> (n, t)
    clips: list[OwnClip] = field(default_factory=list)  # whose captions were generated from
    pictures: dict[str, np.ndarray] = field(default_factory=dict)  # row -> uint8 (n, T, H, W, 3)
    verdicts: dict[str, list[Verdict]] = field(default_factory=dict)  # row -> one of each clip


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnEvaluator:
    """Asks every row the same questions about the held-out clips."""

    inner: VideoEvaluator  # sizes, codec, device, noise
    source: ClipFiles  # of the held-out split

    def cases(self) -> OwnCases:
        """The same clips for every row."""
        inner, sizes = self.inner, self.inner.evaluation
        scored = [(clip.caption, _digest(clip)) for clip in self.source.each(sizes.pairs)]
        captions, clips = [caption for caption, _ in scored], list(self.source.each(sizes.generated))
        inner.codec.prepare(captions)
        with torch.no_grad():
            latents = {kind: inner.latents(list(self.source.each(sizes.pairs, kind))) for kind in KINDS}
            prompts = inner.codec.prompts(captions).to(inner.device)
        digest = digest_of(*(found for _, found in scored), "generated", *map(_digest, clips))
        return OwnCases(latents=latents, prompts=prompts, clips=clips, digest=digest)

    def asked(self, network: VideoNetwork, cases: OwnCases, rows: Sequence[str]) -> dict[str, Ask]:
        """Every piece that `score` is made of, by its name; rows as there."""
        inner = self.inner
        network = network.eval().to(inner.device)

        found: dict[str, Ask] = {}
        for row in rows:
            for kind, x in cases.latents.items():
                make: Callable[[], np.ndarray] = partial(inner.losses, network, x, cases.prompts)
                found[f"{row}: likelihood {kind}"] = partial(as_row, network, row, make)
            found[f"{row}: generating"] = partial(as_row, network, row, partial(inner.pictures, network, cases.clips))
        return found

    def score(
        self, network: VideoNetwork, cases: OwnCases, rows: Sequence[str], *, pieces: Pieces = ALONE
    ) -> OwnResult:
        """
        Args:
            rows: adapter names, `base` for none.
            pieces: where answers are kept that may have been given elsewhere.
        """
        asked, found = self.asked(network, cases, rows), OwnResult(clips=cases.clips)
        found.pictures[HELD_OUT] = np.stack([clip.frames for clip in found.clips])

        def answer(name: str) -> np.ndarray:
            return pieces(name, asked[name])["found"]

        for row in rows:
            self.inner.progress(f"{row}: likelihood")
            found.likelihood[row] = {kind: answer(f"{row}: likelihood {kind}") for kind in cases.latents}
            self.inner.progress(f"{row}: generating")
            found.pictures[row] = answer(f"{row}: generating")
        with torch.no_grad():
            found.likelihood |= self.inner.untrained(network, cases.latents)
        for row, pictures in found.pictures.items():
            found.verdicts[row] = [judge(frames, clip) for frames, clip in zip(pictures, found.clips, strict=True)]
        return found

    def samples(self, network: VideoNetwork, count: int) -> list[tuple[np.ndarray, OwnClip, Verdict]]:
        """What the network makes of the first captions, always from the same noise, and what the judge says of it."""
        clips = list(self.source.each(count))
        made = self.inner.pictures(network, clips, place=9)
        return [(frames, clip, judge(frames, clip)) for frames, clip in zip(made, clips, strict=True)]


def _digest(clip: OwnClip) -> str:
    """Of frames, not of the file: another decoder may read other frames from it."""
    return digest_of(clip.caption, str(clip.frames.shape), clip.frames.tobytes())


def judge(frames: np.ndarray, clip: OwnClip) -> Verdict:
    """`physworld judge` of frames uint8 (T, H, W, 3) that are or ought to be those of `clip`."""
    larger = max(1, -(-LEAST_SIDE // min(frames.shape[1:3])))
    height, width = (larger * side for side in frames.shape[1:3])
    if larger > 1:
        frames = np.stack(
            [np.asarray(Image.fromarray(f).resize((width, height), Image.Resampling.BICUBIC)) for f in frames]
        )
    footage = Footage(frames=frames, times=np.arange(len(frames)) / clip.fps, shrink=1.0)
    source = Source(
        name=clip.source.name, files=clip.source.files, caption=clip.caption, known=_known(clip, clip.scale * larger)
    )
    return judge_footage(footage, source, Settings())


def _known(clip: OwnClip, scale: float) -> dict[str, Any]:
    """What lies beside the file, in pixels that are `scale` times those of the file."""
    known = {name: value for name, value in clip.source.known.items() if name not in (*UNITS, "camera")}
    per_metre, camera = clip.source.known.get(UNITS[0]), clip.source.known.get("camera")
    view = camera.get("view_m") if isinstance(camera, dict) else None
    if isinstance(view, int | float) and view > 0:
        per_metre = clip.timeline.size[1] / view
    try:
        return known | {UNITS[0]: float(per_metre) * scale}  # type: ignore[arg-type]  # anything may stand there
    except (TypeError, ValueError):
        return known


def summarise(result: OwnResult, times: int) -> dict[str, Any]:
    """Every figure of the report, as JSON."""
    base = result.likelihood[BASE]["correct"].mean(1)
    tuned = [row for row in result.likelihood if row in result.pictures and row != BASE]
    return {
        "likelihood": likelihood_rows(result.likelihood, WRONG, times),
        "change": {
            row: likelihood.mean(result.likelihood[row]["correct"].mean(1) - base).to_dict(count="n") for row in tuned
        },
        "judged": {row: judged(verdicts) for row, verdicts in result.verdicts.items()},
        "clips": [
            {
                "name": clip.source.name, "caption": clip.caption,
                **{row: said(verdicts[k]) for row, verdicts in result.verdicts.items()},
            }
            for k, clip in enumerate(result.clips)
        ],
    }  # fmt: skip


def said(verdict: Verdict) -> str:
    """The verdict on one clip in a few words."""
    if not verdict.judged:
        return f"not judged: {verdict.sentence}"
    kind = str(verdict.kind).replace("_", " ")
    broken = [str(verdict.laws[name]["said"]) for name in verdict.broken()]
    return f"{kind}; {'; '.join(broken) if broken else 'keeps every law'}"


def headline_of(summary: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    """The main figures under names that `physworld compare` shows.

    Args:
        names: row -> what it is called there.
    """
    headline: dict[str, float] = {}
    for row, name in names.items():
        block = summary["likelihood"].get(row)
        if block is None:
            continue
        if block["v_mse"]["mean"] is not None:
            headline[f"loss/{name}"] = block["v_mse"]["mean"]
        for kind, cell in block["violations"].items():
            headline[f"ppe_{kind}/{name}"] = cell["ppe"]["mean"]
        there = summary["judged"][row]
        headline[f"judged/{name}"] = there["judged"] / there["clips"]
        if there["lawful"] is not None:
            headline[f"lawful/{name}"] = there["lawful"]["mean"]
    return headline
