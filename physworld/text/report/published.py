"""What others have reported on this problem, for printing beside our own figures. Nothing is computed from it.

Source of the model's figures: evaluation of the published 350 M-parameter model (PhysicsLLMEngine, the system behind
the LFM_Physics350M card): single steps from true frames, 30 scenes a type, five frame pairs each; 30-step rollouts of
one scene each. Source of the baselines: extrapolation measured over 41 scenario types of that engine. Its scenes are
not ours, so equality is neither expected nor sought.
"""

from __future__ import annotations

SINGLE_STEP_OVERALL = {"model": 18.85, "copy_last": 5.22, "linear": 0.10}  # px, position RMSE
SINGLE_STEP_BY_CATEGORY = {  # px, position RMSE of the published model
    "stacking": 0.46,
    "constraint": 1.01,
    "collision": 5.16,
    "ramp": 6.13,
    "complex": 23.64,
    "minigame": 42.52,
}
SINGLE_STEP_HELD_OUT = {  # px, position RMSE of the published model
    "newtons_cradle": 0.14,
    "bowling": 1.23,
    "ramp_roll": 1.44,
    "angry_birds": 23.0,
    "hourglass": 24.4,
    "pong": 26.9,
}
ROLLOUT_30 = {  # px, position RMSE after 30 frames, one scene each: the published model, then extrapolation there
    "billiards": {"model": 4.8, "copy_last": 67.0, "linear": 42.0, "ballistic": 42.0},
    "tower": {"model": 87.0, "copy_last": 49.0, "linear": 42.0, "ballistic": 133.0},
    "pendulum": {"model": 318.0, "copy_last": 114.0, "linear": 90.0, "ballistic": 142.0},
    "pong": {"model": 435.0, "copy_last": 296.0, "linear": 99.0, "ballistic": 99.0},
}
BASELINES_BY_HORIZON = {  # px, mean over the engine's 41 types
    1: {"copy_last": 4.1, "linear": 0.13, "ballistic": 0.13},
    5: {"copy_last": 20.0, "linear": 4.8, "ballistic": 5.5},
    10: {"copy_last": 39.7, "linear": 14.4, "ballistic": 18.1},
    30: {"copy_last": 114.0, "linear": 75.6, "ballistic": 129.0},
    60: {"copy_last": 214.0, "linear": 190.0, "ballistic": 466.0},
    100: {"copy_last": 341.0, "linear": 357.0, "ballistic": 1239.0},
}
