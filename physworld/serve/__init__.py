"""`physworld serve`: a run or weights behind the OpenAI-compatible protocol."""
