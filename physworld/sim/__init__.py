"""Simulators, Scene -> Trajectory."""
