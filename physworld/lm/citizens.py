"""Networks of physworld's own (GPT, PairNet) as transformers knows models: after `import physworld`,

    model = AutoModelForCausalLM.from_pretrained("RUN/model")
    tokenizer = AutoTokenizer.from_pretrained("RUN/model")
    answer = model.generate(**tokenizer(prompt, return_tensors="pt"))

Nothing is run that a folder brings: its config.json names one of the networks here. `import physworld` itself loads
neither torch nor transformers; `register` runs when transformers' Auto classes are loaded (see `physworld.__init__`).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import CausalLMOutput

from physworld.lm.folder import MODEL_TYPE, mark

# Loaded when one is asked for: this module is loaded while others of physworld's, which load transformers, still are.
NETWORKS = {
    "GPT": "physworld.lm.gpt.GPT",
    "PairNet": "physworld.lm.pair_net.PairNet",
    "InteractionNet": "physworld.lm.interaction_net.InteractionNet",
    "ContactNet": "physworld.lm.contact_net.ContactNet",
    "SolverNet": "physworld.lm.solver_net.SolverNet",
}
LONGEST = 4096  # tokens of an answer, where nobody says how many: it ends by itself
IGNORE = -100  # transformers' label of what is not scored
FROM_HUB = ("revision", "cache_dir", "token", "local_files_only", "force_download")


class PhysworldConfig(PreTrainedConfig):
    """A network's own config.json; `network` names its class."""

    model_type = MODEL_TYPE


class SceneTokenizer(PreTrainedTokenizerFast):
    """Words and numbers of a scene's text. A text of another kind is refused: no word of it would be read."""

    def _encode_plus(self, text: Any, text_pair: Any = None, *args: Any, **options: Any) -> Any:
        for one in [text] if isinstance(text, str) else text:
            self._refuse(one if isinstance(one, str) else " ".join(map(str, one)))
        return super()._encode_plus(text, text_pair, *args, **options)

    def _refuse(self, text: str) -> None:
        known = self.backend_tokenizer.token_to_id
        wrong = next((word for word in text.split() if known(word) is None), None)
        if wrong is None:
            return
        try:
            float(wrong)
        except ValueError:
            some = ", ".join(
                word for word in map(str, self.convert_ids_to_tokens([*range(16)])) if word not in ("pad", "end")
            )
            raise ValueError(f"{wrong!r} is no word of this model's text, whose words are {some} and so on.") from None
        raise ValueError(
            f"{wrong!r} is no number of this model's text: it has four digits at most, three of them decimals, up to "
            f"9999, in its shortest form, as -981 or 16.67."
        )


class PhysworldForCausalLM(PreTrainedModel):
    """One of `NETWORKS` behind the interface of transformers. `physworld` answers with the same tokens."""

    config_class = PhysworldConfig
    main_input_name = "input_ids"

    def __init__(self, config: PhysworldConfig, network: Any) -> None:
        super().__init__(config)
        self.network = network

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *_: Any, config: Any = None, **options: Any) -> Any:
        """From a folder or repository.

        Raises:
            ValueError: it is another kind of network, or its weights do not fit.
        """
        config = config or PhysworldConfig.from_pretrained(pretrained_model_name_or_path)
        kind = config.to_dict().get("network")
        if kind not in NETWORKS:
            raise ValueError(
                f"{pretrained_model_name_or_path} names the network {kind}; choose one of {', '.join(NETWORKS)}"
            )
        asked = {name: options[name] for name in FROM_HUB if options.get(name) is not None}
        with contextlib.redirect_stdout(io.StringIO()):  # huggingface_hub prints that it reads a local folder
            network = resolve_name(NETWORKS[kind]).from_pretrained(pretrained_model_name_or_path, **asked)
        return cls(config, network).eval()

    def save_pretrained(self, save_directory: Any, **_: Any) -> None:  # type: ignore[override]
        """As a run has it in model/."""
        self.network.save_pretrained(save_directory)
        mark(Path(save_directory), self.config.network, self.config.eos_token_id)

    def get_input_embeddings(self) -> Any:
        return None

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **_: Any
    ) -> CausalLMOutput:
        """Scores (B, L, V) of the token after each one, minus infinity where a token is never said (a GPT's; the others
        say all lines at once and have none); with labels (B, L), -100 unscored, the loss in nats.

        As elsewhere in transformers, labels may be the ids: see `answered`.
        """
        ids = input_ids if attention_mask is None else input_ids.masked_fill(attention_mask == 0, self.network.pad)
        loss = logits = None
        if labels is not None:
            scores, target, _place = self.network.scored(ids, answered(self.network, ids, labels))
            loss = self.network.losses(scores, target).mean()
        if self.config.network == "GPT":
            hidden_ND, _layout, place_BL = self.network.hidden(ids)
            said = hidden_ND[place_BL] @ self.network.output_table().T
            size = self.network.num_words + len(self.network.values)
            logits = said.new_full((*ids.shape, size), -torch.inf)
            logits[..., self.network.outputs] = said
        return CausalLMOutput(loss=loss, logits=logits)

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        max_new_tokens: int | None = None,
        max_length: int | None = None,
        do_sample: bool = False,
        temperature: float = 1.0,
        token_type_ids: Tensor | None = None,
        **others: Any,
    ) -> Tensor:
        """(B, L + answer) ids: each prompt and its answer, padded on the right.

        Without drawing, answers are the network's own (numbers in doubt as their median), not always the likeliest
        token. Prompts may be padded on either side where `attention_mask` says so.

        Raises:
            ValueError: an option that has no effect here.
        """
        if others or input_ids is None:
            wrong = sorted(others)[0] if others else "no input_ids"
            raise ValueError(
                f"{wrong} has no effect here; generate takes input_ids, attention_mask, max_new_tokens, max_length, "
                "do_sample and temperature"
            )
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        prompts = [row[keep.bool()].cpu().numpy() for row, keep in zip(input_ids, real, strict=True)]
        most = max_new_tokens
        if most is None:
            most = LONGEST if max_length is None else max_length - input_ids.shape[1]
        if most < 1:
            raise ValueError(f"max_length={max_length} leaves no room behind a prompt of {input_ids.shape[1]} tokens")

        def noise(shape: tuple[int, int]) -> Tensor:
            return -temperature * torch.empty(shape).exponential_().log()  # Gumbel: see text.rollout.Sampling

        answers: Sequence[np.ndarray] = self.network.generate(
            prompts, [most] * len(prompts), self.config.eos_token_id, noise=noise if do_sample else None
        )
        longest = max(map(len, answers))
        out = input_ids.new_full((len(prompts), input_ids.shape[1] + longest), self.network.pad)
        out[:, : input_ids.shape[1]] = input_ids
        for row, answer in enumerate(answers):
            start = input_ids.shape[1]
            out[row, start : start + len(answer)] = torch.as_tensor(answer[:most])
        return out


def answered(network: Any, ids_BL: Tensor, labels_BL: Tensor) -> Tensor:
    """Labels (B, L) of what a network says: not of a row's first position, before which nothing stands, and not of a
    prompt, which ends with the last token that is never said (a network that says all of them is scored on it, too)."""
    index = torch.arange(ids_BL.shape[1], device=ids_BL.device)
    asked = (ids_BL != network.pad) & ~torch.isin(ids_BL, network.outputs)
    prompt = index <= torch.where(asked, index, -1).amax(dim=1, keepdim=True)
    first = network.places(ids_BL)[1].cumsum(dim=1) <= 1
    return labels_BL.masked_fill(prompt | first | ~torch.isin(labels_BL, network.outputs), IGNORE)


def register() -> None:
    """Tell transformers' Auto classes."""
    AutoConfig.register(MODEL_TYPE, PhysworldConfig, exist_ok=True)
    AutoModelForCausalLM.register(PhysworldConfig, PhysworldForCausalLM, exist_ok=True)
    AutoTokenizer.register(PhysworldConfig, fast_tokenizer_class=SceneTokenizer, exist_ok=True)
