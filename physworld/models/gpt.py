"""The GPT lives in `physworld.lm.gpt`; model cards of earlier versions load it from here."""

from physworld.lm.gpt import GPT

__all__ = ["GPT"]
