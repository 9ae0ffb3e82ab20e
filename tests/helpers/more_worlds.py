"""A plain scene with the first joints and fields, and one with everything else that Pymunk has."""

from __future__ import annotations

from physworld.types import (
    FIXED,
    Attractor,
    Body,
    Filter,
    Gear,
    GrooveJoint,
    Motor,
    MutualGravity,
    Part,
    Peg,
    PinJoint,
    PivotJoint,
    Ratchet,
    Rope,
    RotaryLimit,
    RotarySpring,
    Scene,
    Segment,
    SlideJoint,
    Spring,
    Wind,
)

PLAIN = Scene(
    name="hand",
    category="test",
    difficulty=1,
    text="One of each.",
    bodies=(
        Body(shape="rect", size=(100.0, 10.0), position=(300.0, 300.1)),
        Body(shape="circle", size=(9.0,), position=(400.0, 1 / 3)),
        Body(shape="circle", size=(9.0,), position=(450.0, 100.0)),
    ),
    static=(Segment(start=(0.0, 0.0), end=(800.0, 0.0), friction=0.9, surface_speed=-70.0),),
    joints=(
        PinJoint(body_a=FIXED, body_b=1, anchor_a=(400.0, 100.0), length=99.7),
        PivotJoint(body_a=FIXED, body_b=0, anchor_a=(250.0, 300.1), anchor_b=(-50.0, 0.0)),
        Rope(body_a=0, body_b=1, anchor_a=(50.0, 0.0), length=320.0),
        Spring(body_a=1, body_b=2, anchor_a=(0.0, 1.0), length=80.0, stiffness=33.3, damping=0.7),
        Motor(body_a=FIXED, body_b=0, spin=-3.1, torque=12345.6),
    ),
    fields=(
        Attractor(center=(1.0, 2.0), strength=5e5, softening=3.0),
        MutualGravity(strength=1e4, softening=5.0),
        Wind(velocity=(90.0, -1.0), drag=0.01),
    ),
)

MORE = Scene(
    name="more",
    category="test",
    difficulty=1,
    text="One of each.",
    bodies=(
        Body.polygon(((0.0, 0.0), (60.0, 0.0), (1 / 3, 45.0)), position=(100.0, 200.0), angle=0.3, mass=2.5),
        Body.compound(
            (
                Part(shape="rect", size=(80.0, 10.0)),
                Part(shape="circle", size=(14.0,), at=(40.0, 3.0), density=3.0),
                Part(shape="polygon", vertices=((0.0, 0.0), (20.0, 0.0), (0.0, 20.0)), at=(-40.0, 5.0), angle=0.4),
            ),
            position=(300.0, 200.0),
        ),
        Body(shape="rect", size=(80.0, 10.0), position=(100.0, 30.0), velocity=(30.0, 0.0), kind="kinematic"),
        Body(shape="circle", size=(30.0,), position=(600.0, 300.0), sensor=True),
        Body(shape="circle", size=(9.0,), position=(500.0, 50.0), filter=Filter(group=3, categories=2, mask=5)),
    ),
    static=(
        Segment(start=(0.0, 10.0), end=(800.0, 10.0), radius=20.0, surface_speed=15.0, filter=Filter(categories=4)),
        Segment(start=(300.0, 90.0), end=(500.0, 100.0), one_way=(0.0, 1.0)),
        Peg(center=(700.0, 30.0), radius=9.0, filter=Filter(group=4)),
    ),
    joints=(
        Gear(body_a=FIXED, body_b=0, ratio=2.0, phase=0.1),
        SlideJoint(body_a=0, body_b=1, anchor_a=(0.0, 1.0), shortest=100.0, longest=220.0),
        GrooveJoint(
            body_a=FIXED, body_b=1, groove_start=(200.0, 200.0), groove_end=(500.0, 240.0), anchor_b=(1.0, 0.0)
        ),
        RotaryLimit(body_a=0, body_b=1, lowest=-0.2, highest=0.5),
        RotarySpring(body_a=0, body_b=1, rest_angle=0.1, stiffness=1e5, damping=1e3),
        Ratchet(body_a=0, body_b=3, ratchet=0.3, phase=0.2),
        Rope(body_a=1, body_b=4, anchor_a=(0.0, 0.0), length=300.0),
        Spring(body_a=FIXED, body_b=4, anchor_a=(400.0, 100.0), length=80.0, stiffness=33.3, damping=0.7),
        Motor(body_a=FIXED, body_b=4, spin=-3.1, torque=12345.6),
        PinJoint(body_a=FIXED, body_b=3, anchor_a=(600.0, 400.0), length=77.0),
    ),
    canvas=(900, 700),
)
