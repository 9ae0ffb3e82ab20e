"""L1: simulators, Scene -> Trajectory."""
