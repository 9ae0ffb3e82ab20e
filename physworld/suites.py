"""L4: named sets of moments: which scenes, how shifted, how far. `conf/suite/NAME.yaml` is the list of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from physworld import checks
from physworld.errors import UserError, suggest
from physworld.evaluation import IN_DISTRIBUTION, Evaluation, Moments, Shift
from physworld.ood import FAMILIES


class Together:
    """Several codecs as one, for drawing moments that all of them can use."""

    def __init__(self, codecs: Sequence[Any]) -> None:
        self.codecs = codecs
        self.context_frames = max(codec.context_frames for codec in codecs)

    def unwritable(self, scene: Any) -> str:
        return next((why for why in (codec.unwritable(scene) for codec in self.codecs) if why), "")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What is judged beyond what `scenario`, `difficulties` and `evaluation` say."""

    name: str
    first_index: int = 0  # number of the first scene in each type's stream
    families: list[str] = field(default_factory=list)  # out-of-distribution families; empty = scenes as they are
    levels: list[float] = field(default_factory=list)  # how far out, above 0 and at most 1
    curves: list[str] = field(default_factory=list)  # paper: types that are rolled out besides the single steps
    curve_frames: int = 30  # paper: of those rollouts

    def __post_init__(self) -> None:
        checks.whole("suite.first_index", self.first_index, 0)
        checks.whole("suite.curve_frames", self.curve_frames, 1)
        for family in self.families:
            if family not in FAMILIES:
                raise UserError(
                    f"suite.families has {family}.{suggest(family, FAMILIES)} Choose from {', '.join(FAMILIES)}."
                )
        if any(not 0 < level <= 1 for level in self.levels) or bool(self.families) != bool(self.levels):
            raise UserError(
                f"suite.levels={self.levels} must lie above 0 and at most at 1, and goes with suite.families."
            )
        if self.curves:
            checks.scenario_names(self.curves)

    @property
    def shifts(self) -> list[Shift]:
        """Every family at every level, after the scenes as they are."""
        return [IN_DISTRIBUTION, *((family, float(level)) for family in self.families for level in self.levels)]

    def draw(
        self,
        evaluation: Evaluation,
        codecs: Sequence[Any],
        names: Sequence[str],
        difficulties: Sequence[int],
        *,
        split: str,
        seed: int,
        trained_on: Sequence[str],
        limit: int | None,
    ) -> Moments:
        """The suite's moments, the same for every model.

        Raises:
            UserError: nothing is left that these codecs can write.
        """
        moments = evaluation.draw(
            Together(codecs),
            names,
            difficulties,
            split=split,
            seed=seed,
            per_scenario=evaluation.rollouts if limit is None else min(limit, evaluation.rollouts),
            trained_on=trained_on,
            first_index=self.first_index,
            shifts=self.shifts,
        )
        if not moments.given:
            why = sorted(set(moments.left_out.values()))
            raise UserError(f"None of these scenario types can be written: {'; '.join(why)}.")
        return moments

    def curve_evaluation(self, evaluation: Evaluation) -> Evaluation:
        """How the types of `curves` are rolled out."""
        horizons = sorted({1, 5, 10, 20, self.curve_frames} & set(range(1, self.curve_frames + 1)))
        return replace(evaluation, frames=self.curve_frames, horizons=horizons, starts=1, samples=0)
