"""Learning from preferences (DPO, arXiv 2305.18290) and from rewards (GRPO, arXiv 2402.03300).

Both hold the network near where it started: `reference` keeps the trainable weights of step 0, in the checkpoint too.
Both watch for collapse and stop with a sentence instead of writing a broken model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from physworld.lm.sequence import IGNORE, SequenceModule, check_labels
from physworld.protocols import Noise
from physworld.types import Batch


class Collapsed(RuntimeError):
    """The network has left what it knew; the message says by how much."""


class Anchored(SequenceModule):
    """A module that remembers the weights it started from."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._trained = [p for p in self.network.parameters() if p.requires_grad]
        for n, parameter in enumerate(self._trained):
            self.register_buffer(f"reference_{n}", parameter.detach().clone())

    def on_fit_start(self) -> None:
        """Weights may have been loaded since construction (init_from); a resumed run has its reference already."""
        if self.trainer.ckpt_path is None:  # the step is no sign: the loops are restored later than this
            for n, parameter in enumerate(self._trained):
                getattr(self, f"reference_{n}").copy_(parameter.detach())

    @contextmanager
    def as_reference(self) -> Iterator[None]:
        """The network with its first weights, without gradients."""
        now = [p.data for p in self._trained]
        try:
            for n, parameter in enumerate(self._trained):
                parameter.data = getattr(self, f"reference_{n}").to(parameter.dtype)
            with torch.no_grad():
                yield
        finally:
            for parameter, data in zip(self._trained, now, strict=True):
                parameter.data = data

    def logp(self, ids_BL: Tensor, labels_BL: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """(log-probability of every scored token (M,), its row (M,), scored tokens per row (B,)).

        Args:
            temperature: of the draws whose probability it is.
        """
        logits, target, place = self.network.scored(ids_BL, labels_BL)
        row_M = place // ids_BL.shape[1]
        logp_M = -F.cross_entropy(logits.float() / temperature, target, reduction="none")
        return logp_M, row_M, row_M.bincount(minlength=len(ids_BL))


def gumbel(temperature: float, randoms: Sequence[torch.Generator]) -> Noise:
    """What makes the highest score a draw from softmax(scores / temperature) (arXiv 1411.0030).

    Args:
        randoms: one for as many rows each, one after the other, so that no row's draws depend on what is beside it.
    """

    def noise(shape: tuple[int, int]) -> Tensor:
        part = (shape[0] // len(randoms), shape[1])
        exponential = [torch.empty(part, device=one.device).exponential_(generator=one) for one in randoms]
        return -temperature * torch.cat(exponential).log()

    return noise


def per_row(values_M: Tensor, row_M: Tensor, rows: int) -> Tensor:
    """(B,) sums."""
    return values_M.new_zeros(rows).index_add(0, row_M, values_M)


class DPOModule(Anchored):
    """Rows 2k of a batch are preferred to rows 2k + 1."""

    objective = "preference"
    figures = (*SequenceModule.figures, "margin", "preferred", "nll", "drop")
    shown = ()

    def __init__(self, *, beta: float = 0.1, likelihood: float = 0.2, max_drop: float = 1.0, **settings: Any) -> None:
        """
        Args:
            beta: strength of the pull towards the reference.
            likelihood: weight of the plain loss of preferred answers, per token; without it, both answers of a pair
                may become unlikely together (arXiv 2404.19733).
            max_drop: nats per token by which preferred answers may become less likely than at the start.
        """
        super().__init__(**settings)
        self.beta, self.likelihood, self.max_drop = beta, likelihood, max_drop

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        check_labels(batch.labels)
        rows = len(batch.seed)
        logp_M, row_M, count_B = self.logp(batch.input_ids, batch.labels)
        with self.as_reference():
            first_M, _, _ = self.logp(batch.input_ids, batch.labels)
        gain_B = per_row(logp_M - first_M, row_M, rows)
        margin = gain_B[0::2] - gain_B[1::2]
        good_nll = -(per_row(logp_M, row_M, rows) / count_B)[0::2].mean()  # every pair weighs the same, as above
        drop = float(-(gain_B[0::2].sum() / count_B[0::2].sum()).detach())
        loss = -F.logsigmoid(self.beta * margin).mean() + self.likelihood * good_nll
        self._log_pass(
            batch, loss=loss, margin=margin, preferred=margin > 0, nll=good_nll, drop=logp_M.new_tensor(drop)
        )
        if drop > self.max_drop:
            raise Collapsed(
                f"Preferred answers have become {drop:.2f} nats per token less likely than at the start "
                f"(model.max_drop={self.max_drop}); lower model.learning_rate or raise model.likelihood."
            )
        return loss


class GRPOModule(Anchored):
    """Several answers are drawn for each prompt; what is better than their mean becomes likelier."""

    objective = "reward"
    figures = (*SequenceModule.figures, "kl", "reward")
    shown = ("reward",)
    reward: Callable[[list[int], list[np.ndarray]], list[float]]  # of (stream indices, answers), 0-1
    limits: Callable[[list[int]], list[int]]  # most tokens of an answer
    tokens: tuple[int, int]  # end, pad

    def __init__(
        self,
        *,
        group: int = 8,
        temperature: float = 1.0,
        kl: float = 0.05,
        max_kl: float = 1.0,
        patience: int = 20,
        **settings: Any,
    ) -> None:
        """
        Args:
            group: answers per prompt.
            temperature: answers are drawn from softmax(scores / temperature), and that is what is trained.
            kl: weight of the distance from the reference (k3 estimator, per token).
            max_kl: nats per token at which training stops.
            patience: passes in a row in which all answers of every group may be the same and yet not perfect.
        """
        super().__init__(**settings)
        if group < 2:
            raise ValueError(f"model.group={group} must be 2 or more: a reward is judged against the others'")
        self.group, self.temperature, self.kl = group, temperature, kl
        self.max_kl, self.patience, self._stuck = max_kl, patience, 0

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["stuck"] = self._stuck

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._stuck = int(checkpoint.get("stuck", 0))  # checkpoints of before have none

    def _draw(self, batch: Batch) -> tuple[Tensor, Tensor, list[list[np.ndarray]]]:
        """(ids (B·G, L), labels (B·G, L), answers per prompt)."""
        end, pad = self.tokens
        first = (batch.labels != IGNORE).int().argmax(dim=1).tolist()
        prompts = [batch.input_ids[k, : first[k]].cpu().numpy() for k in range(len(first)) for _ in range(self.group)]
        seeds = batch.seed.tolist()
        limits = [limit for limit in self.limits(seeds) for _ in range(self.group)]
        step = int(self.trainer.global_step)
        randoms = [torch.Generator(device=self.device).manual_seed(step * 1_000_003 + seed) for seed in seeds]
        self.network.eval()
        answers = self.network.generate(prompts, limits, end, noise=gumbel(self.temperature, randoms))
        self.network.train()
        whole = [np.concatenate(pair) for pair in zip(prompts, answers, strict=True)]
        ids = torch.full((len(whole), max(map(len, whole))), pad, device=self.device)
        labels = torch.full_like(ids, IGNORE)
        for k, row in enumerate(whole):
            ids[k, : len(row)] = torch.as_tensor(row)
            labels[k, len(prompts[k]) : len(row)] = ids[k, len(prompts[k]) : len(row)]
        return ids, labels, [answers[k : k + self.group] for k in range(0, len(answers), self.group)]

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        check_labels(batch.labels)
        ids, labels, groups = self._draw(batch)
        rewards = torch.tensor(
            [
                self.reward([seed] * self.group, answers)
                for seed, answers in zip(batch.seed.tolist(), groups, strict=True)
            ],
            device=self.device,
        )
        spread = rewards.std(dim=1, keepdim=True)
        advantage_R = ((rewards - rewards.mean(dim=1, keepdim=True)) / (spread + 1e-4)).flatten()
        logp_M, row_M, count_R = self.logp(ids, labels, self.temperature)
        with self.as_reference():
            first_M, _, _ = self.logp(ids, labels, self.temperature)
        apart = first_M - logp_M
        kl_M = apart.exp() - apart - 1
        share_M = 1.0 / (count_R[row_M] * len(ids))  # every answer weighs the same, however long
        # One step per draw: the ratio of new to old probability is 1, its gradient that of the log-probability.
        loss = (share_M * (-advantage_R[row_M] * logp_M + self.kl * kl_M)).sum()
        kl = float((share_M * kl_M).sum().detach())
        self._log_pass(batch, loss=loss, kl=logp_M.new_tensor(kl), reward=rewards.flatten())
        self._watch(kl, float(rewards.mean()), groups)
        return loss

    def _watch(self, kl: float, reward: float, groups: list[list[np.ndarray]]) -> None:
        """Raises: Collapsed."""
        same = all(len({answer.tobytes() for answer in answers}) == 1 for answers in groups)
        self._stuck = self._stuck + 1 if same and reward < 1 - 1e-6 else 0
        if kl > self.max_kl or self._stuck > self.patience:
            what = (
                f"{kl:.2f} nats per token from the start" if kl > self.max_kl else "always the same imperfect answers"
            )
            raise Collapsed(f"The network gives {what}; lower model.learning_rate or raise model.kl.")
