"""How far a prediction is from the truth, and how sure we are of it. Plain functions over numpy."""
