"""How networks of physworld's own are kept: what GPT and the line networks do alike beside the hub's mixin."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from safetensors.torch import load_model

from physworld.lm.folder import save_folder
from physworld.lm.weights import refuse_gaps


class Saved:
    """Stands before PyTorchModelHubMixin among a network's bases."""

    BEGIN_AS_NONE: ClassVar[tuple[str, ...]] = ()  # ends of weights' names that a run from before them lacks

    _hub_mixin_config: Any

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        """As the mixin does, but what is missing is refused instead of left random. Raises: WeightsError."""
        missing, unexpected = load_model(model, model_file, strict=False, device=map_location)
        lacks = [name for name in missing if not name.endswith(cls.BEGIN_AS_NONE)]
        refuse_gaps(str(Path(model_file).parent), lacks, unexpected)
        return model

    def flops(self, tokens: int, attended: int, scored: int) -> float | None:
        """Not counted."""
        return None

    def save_run(self, run: Path, tokenizer: Any, end_id: int) -> None:
        """model/: weights, configuration and tokenizer."""
        save_folder(self, run / "model", tokenizer, end_id)

    def unsharded(self) -> Self:
        """An empty network of the same shape, whole on one device."""
        return type(self)(**self._hub_mixin_config)
