"""`physworld play`: a local page on which the simulator and a model run the same scene side by side."""
