from physworld.runs.card import Example, using


def test_a_model_that_ends_at_once_is_said_to_print_nothing() -> None:
    spoken = using(["model = ..."], Example("scene", "body 1 coast", 8))
    assert spoken[-3:] == ["```", "body 1 coast", "```"]
    silent = using(["model = ..."], Example("scene", "\n", 8))
    assert silent[-1] == "It ends at once: it prints nothing." and silent.count("```") == 1
