"""Numbers read and said by value, in any causal language model of transformers.

A number token's row of the embedding is a small network of its value; its row of the output layer is a linear map of
the same features. So 16.4 and 16.5 are neighbours from the start, and what is learned of one number holds for all
73,999 (xVal, arXiv 2310.02989; FoNE, arXiv 2502.09741). The features are ramps and waves of the size (see
`number_features`), which say how large a number is, and FoNE's waves of periods 0.01 to 10,000, which tell each digit.
Words that are new with the numbers have rows of their own, which begin as the mean of the tokens that spelled them.

These two modules stand in the place of the model's own while it is trained. What is saved are plain tables: every row
is written down once, and nobody who loads them needs this file.

Shapes: N numbers, W new words, P rows of the weights, V rows with all tokens, D width, F features.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from physworld.lm.number_features import number_features
from physworld.types import Vocabulary

NUMBERS = ("digits", "value")
FILE = "number_functions.safetensors"  # beside plain tables: what they were written from, for training that goes on
INNER = 256  # width of the input's network


def value_features(values: Tensor) -> Tensor:
    """(N, F) features of numbers, the first is 1; none has a mean square above one over all of them."""
    v = values.double()
    turns = v[:, None] / 10.0 ** torch.arange(-2, 5, dtype=torch.float64, device=v.device)
    waves = (2 * math.pi * torch.remainder(turns, 1.0)).float()
    features = torch.cat([torch.ones_like(waves[:, :1]), number_features(values), waves.sin(), waves.cos()], dim=-1)
    return features / features.square().mean(dim=0).sqrt().clamp(min=1.0)


class _Rows(nn.Module):
    """A table of P rows of the weights, N that follow from values, and W of new words."""

    def __init__(self, plain: nn.Module, weight_PD: Tensor, vocabulary: Vocabulary) -> None:
        super().__init__()
        assert vocabulary.numbers is not None
        self.plain = plain  # first, so that its type and place are those of the whole
        new, digits = vocabulary.spelled, list(vocabulary.digits)
        numbers = torch.as_tensor(vocabulary.numbers.ids)
        extra = torch.cat([numbers, torch.tensor(list(new), dtype=torch.long)])
        self.size = max(len(weight_PD), vocabulary.size)
        place = torch.full((self.size,), -1)
        place[extra] = torch.arange(len(extra))
        if bool((place[len(weight_PD) :] < 0).any()):
            raise ValueError("numbers=value needs a row of the weights for each token that their tokenizer had before")
        start = weight_PD.detach().float()
        words = [start[list(spelled)].mean(dim=0) for spelled in new.values()]
        self.centre = nn.Parameter(start[digits].mean(dim=0))
        self.words = nn.Embedding.from_pretrained(torch.stack(words) if words else start[:0].clone(), freeze=False)
        self.spread = float(start.std())
        self.extra: Tensor
        self.place: Tensor
        self.features: Tensor
        for name, table in (
            ("extra", extra),  # (N + W,) ids
            ("place", place),  # (V,) each id's place among them, -1 = a row of the weights
            ("features", value_features(torch.as_tensor(vocabulary.numbers.values))),  # (N, F)
        ):
            self.register_buffer(name, table.to(weight_PD.device), persistent=False)

    def rows(self, features_NF: Tensor) -> Tensor:
        """(N, D)"""
        raise NotImplementedError

    def table(self) -> Tensor:
        """(V, D) every row."""
        weight_PD: Any = self.plain.weight
        whole = F.pad(weight_PD, (0, 0, 0, self.size - len(weight_PD)))
        extra = torch.cat([self.rows(self.features), self.words.weight])
        return whole.index_copy(0, self.extra, extra.to(whole.dtype))


class ValueEmbedding(_Rows):
    """In the place of a model's embedding."""

    def __init__(self, plain: nn.Embedding, vocabulary: Vocabulary) -> None:
        super().__init__(plain, plain.weight, vocabulary)
        self.num_embeddings, self.embedding_dim = self.size, plain.embedding_dim
        width = self.features.shape[1]
        self.mix_up, self.mix_down = nn.Linear(width, INNER), nn.Linear(INNER, plain.embedding_dim)
        self.to(plain.weight.device)
        with torch.no_grad():
            apart = self.rows(self.features[::37]).std(dim=0).mean()  # some of them, to save time
            self.mix_down.weight.mul_(self.spread / apart)
            self.mix_down.bias.zero_()

    def rows(self, features_NF: Tensor) -> Tensor:
        mixed: Tensor = self.mix_down(F.gelu(self.mix_up(features_NF)))
        return self.centre + mixed

    def forward(self, ids: Tensor) -> Tensor:
        """(..., D)"""
        place, numbers = self.place[ids], len(self.features)
        found: Tensor = self.plain(ids.clamp(max=len(self.plain.weight) - 1))  # type: ignore[arg-type]
        # For every token, number or not: shapes that depend on the tokens could not be compiled.
        by_value = self.rows(self.features[place.clamp(0, numbers - 1)])
        found = torch.where(((place >= 0) & (place < numbers))[..., None], by_value.to(found.dtype), found)
        if len(self.words.weight):
            word = self.words((place - numbers).clamp(min=0))
            found = torch.where((place >= numbers)[..., None], word.to(found.dtype), found)
        return found


class ValueHead(_Rows):
    """In the place of a model's output layer; `weight` is what that would have.

    Scores of all numbers are one small product, since their rows are a linear map of F features: the map is applied to
    the hidden state, not to the rows.
    """

    def __init__(self, plain: nn.Linear, vocabulary: Vocabulary) -> None:
        super().__init__(plain, plain.weight, vocabulary)
        self.out_features, self.in_features = self.size, plain.in_features
        width = self.features.shape[1]
        self.say = nn.Linear(width, plain.weight.shape[1], bias=False)
        nn.init.normal_(self.say.weight, std=self.spread / width**0.5)
        self.to(plain.weight.device)
        self.column: Tensor
        self.barred: Tensor
        rows, ids = len(plain.weight), torch.arange(self.size, device=self.place.device)
        for name, table in (
            ("column", torch.where(self.place < 0, ids, rows + self.place)),  # (V,) of each id in `products`
            ("barred", self.extra[self.extra < rows]),  # columns in whose place others stand
        ):
            self.register_buffer(name, table, persistent=False)

    def rows(self, features_NF: Tensor) -> Tensor:
        said: Tensor = self.say(features_NF)
        return self.centre + said

    @property
    def weight(self) -> Tensor:
        """(V, D)"""
        return self.table()

    def products(self, hidden_MD: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Scores as products (see `scored_loss`): of the weights' P rows, the numbers, the new words."""
        plain: Any = self.plain.weight
        say_DF = self.say.weight + F.pad(self.centre[:, None], (0, self.say.in_features - 1))  # the first feature is 1
        by_feature = hidden_MD @ say_DF.to(hidden_MD.dtype)
        return [(hidden_MD, plain), (by_feature, self.features), (hidden_MD, self.words.weight)]

    def matrices(self) -> list[Tensor]:
        """What a scored token is multiplied by."""
        plain: Any = self.plain.weight
        return [plain, self.say.weight, self.features, self.words.weight]

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., V)"""
        said = [F.linear(x, weight.to(x.dtype)) for x, weight in self.products(hidden)]
        return torch.cat(said, dim=-1).index_select(-1, self.column)


def check_numbers(numbers: str, *, tuning: str, weights: str | None, vocabulary: Vocabulary) -> None:
    """Raises: ValueError."""
    if numbers not in NUMBERS:
        raise ValueError(f"numbers={numbers} is unknown; choose one of {', '.join(NUMBERS)}")
    if numbers == "digits":
        return
    if weights is None:
        raise ValueError("numbers=value teaches numbers to given weights; without weights choose codec=plain for that")
    if tuning == "qlora":
        raise ValueError("numbers=value is not for 4-bit weights; choose tuning=lora or full")
    if not vocabulary.digits:
        raise ValueError("numbers=value needs a text that is written by value: codec=engine or card")


def read_by_value(lm: Any, vocabulary: Vocabulary) -> None:
    """Give a model of transformers embedding and output rows for a vocabulary's number tokens.

    Raises:
        ValueError: what it has there is no plain table.
    """
    embedding, head = lm.get_input_embeddings(), lm.get_output_embeddings()
    if type(embedding) is not nn.Embedding or type(head) is not nn.Linear or head.bias is not None:
        raise ValueError(
            f"numbers=value needs plain tables as embedding and output layer, which a {lm.config.model_type} model "
            "does not have; choose numbers=digits"
        )
    lm.set_input_embeddings(ValueEmbedding(embedding, vocabulary))
    lm.set_output_embeddings(ValueHead(head, vocabulary))
    size = lm.get_input_embeddings().num_embeddings
    for config in {id(c): c for c in (lm.config, lm.config.get_text_config())}.values():
        config.vocab_size, config.tie_word_embeddings = size, False


def is_by_value(lm: Any) -> bool:
    """Whether `read_by_value` was there."""
    return isinstance(lm.get_input_embeddings(), ValueEmbedding)


def _places(lm: Any) -> dict[str, _Rows]:
    return {name: part for name, part in lm.named_modules() if isinstance(part, _Rows)}


def with_tables(lm: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A model's weights by name, with plain tables in the place of the two modules."""
    tables = {}
    for name, part in _places(lm).items():
        state = {key: value for key, value in state.items() if not key.startswith(f"{name}.")}
        with torch.no_grad():
            tables[f"{name}.weight"] = part.table().contiguous()
    return {**state, **tables}


def functions(lm: Any) -> dict[str, Tensor]:
    """What the rows of new tokens follow from, by name."""
    return {
        f"{name}.{key}": value.detach().contiguous()
        for name, part in _places(lm).items()
        for key, value in part.state_dict().items()
        if not key.startswith("plain.")
    }
