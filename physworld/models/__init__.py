"""Names that earlier versions published: `from physworld.models.gpt import GPT` goes on working."""
