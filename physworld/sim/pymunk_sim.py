"""Scene -> Trajectory with Pymunk (Chipmunk), all bodies read in one call per frame.

What one step does, in Chipmunk's order (`cpSpaceStep`), because codecs and baselines integrate the same way:

1. positions: p += (v + v_bias)·dt and angle += (w + w_bias)·dt with the velocities of the *previous* frame; v_bias is
   the overlap correction that the last solve left (zero unless a contact was deeper than the 0.1 px slop), then zeroed;
2. collisions are found at the new positions;
3. each contact's bounce is fixed from the approach speed *before* gravity is added: restitution·approach speed;
   each spring's stiffness·(length - distance)·dt, at the new positions, is added to the velocities;
4. velocities: v += (gravity + force/mass)·dt, then forces are reset;
5. cached impulses of contacts and joints that persist are applied again (warm start), then 10 iterations of the solver
   change velocities (and v_bias). In each iteration
   - a PinJoint or PivotJoint cancels its anchors' relative velocity (along the rod, or both ways) and adds
     0.1·error/dt, so a tenth of the length error goes per frame; a Rope does so only while it is longer than `length`
     at the new positions, and only pulls;
   - a Spring's damper takes the share 1 - exp(-damping·k·dt), k = the pair's inverse mass along it, of what is left
     of the relative velocity before the first iteration;
   - a Motor brings body_b's spin minus body_a's to `spin`, with at most torque·dt in all;
   - friction against a belt aims at surface_speed along the wall instead of at zero slip.

So p[t+1] = p[t] + v[t]·dt exactly, except in the frame after a deep overlap, and free flight is v[t+1] = v[t] + g·dt.
Fields are forces of step 4 (`fields.py`). Attractors and mutual gravity are evaluated at p[t] + v[t]·dt, which is where
step 1 puts the bodies: the same as a Chipmunk velocity function and, with step 4, symplectic Euler, so that orbits
neither gain nor lose energy on average. (Evaluated at p[t] it would be explicit Euler, whose orbits spiral outwards.)
Wind is evaluated at v[t]. Springs, too, are symplectic by step 3.

A restart from a `State` loses what the state does not hold: v_bias and the warm-start impulses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pymunk

from physworld.sim.chipmunk import COLUMNS, along, roll
from physworld.types import (
    FIXED,
    Body,
    Joint,
    Motor,
    Peg,
    PinJoint,
    PivotJoint,
    Rope,
    Scene,
    Segment,
    Spring,
    State,
    Trajectory,
)

POSITION, ANGLE, VELOCITY, SPIN = slice(0, 2), 2, slice(3, 5), 5  # columns of `roll`


def simulate(
    scene: Scene, num_frames: int, *, start: State | None = None, kicks: np.ndarray | None = None
) -> Trajectory:
    """Roll a scene forward; frame 0 is the initial state (or `start`), each further frame one step of scene.dt.

    Args:
        scene: the world.
        num_frames: frames returned, >= 1.
        start: state to begin from instead of the scene's own.
        kicks: (num_frames, N, 6) added to frame t as soon as it is reached (also frame 0):
            dx, dy px; dvx, dvy px/s; dangle rad; dspin rad/s. The returned frame t is the state after its kick.

    Raises:
        ValueError: num_frames < 1, or `start` / `kicks` of another shape than the scene.
    """
    first = scene.state if start is None else start
    _check(scene, num_frames, first, kicks)
    rows = roll(scene, first, num_frames, kicks)
    return Trajectory(
        scene=scene,
        position=rows[..., POSITION].copy(),
        velocity=rows[..., VELOCITY].copy(),
        angle=rows[..., ANGLE].copy(),
        spin=rows[..., SPIN].copy(),
    )


class PymunkSimulator:
    """`Simulator` over scenes one after the other."""

    def rollout(self, scenes: Sequence[Scene], num_frames: int) -> list[Trajectory]:
        return [simulate(scene, num_frames) for scene in scenes]


def build_space(scene: Scene) -> pymunk.Space:
    """A live space in the scene's initial state: what `simulate` steps, but made of Pymunk's own objects.

    Iterations, slop and bias stay Pymunk's defaults, so that published data reproduces.
    """
    return _build(scene, scene.state)


def _check(scene: Scene, num_frames: int, start: State, kicks: np.ndarray | None) -> None:
    count = len(scene.bodies)
    if num_frames < 1:
        raise ValueError(f"num_frames must be >= 1, got {num_frames}")
    if start.position.shape != (count, 2):
        raise ValueError(f"start holds {len(start.position)} bodies but scene {scene.name!r} has {count}")
    if kicks is not None and kicks.shape != (num_frames, count, COLUMNS):
        raise ValueError(f"kicks must have shape {(num_frames, count, COLUMNS)}, got {kicks.shape}")


def _build(scene: Scene, start: State) -> pymunk.Space:
    space = pymunk.Space()
    space.gravity = scene.gravity
    # Dynamic bodies first: Pymunk reports bodies in the order in which the space got them, the static body last.
    bodies = []
    for index, body in enumerate(scene.bodies):
        live = pymunk.Body(body.mass, body.moment)
        live.position = float(start.position[index, 0]), float(start.position[index, 1])
        live.velocity = float(start.velocity[index, 0]), float(start.velocity[index, 1])
        live.angle = float(start.angle[index])
        live.angular_velocity = float(start.spin[index])
        space.add(live, _shape(live, body))
        bodies.append(live)
    for part in scene.static:
        wall: pymunk.Shape
        match part:
            case Segment():
                wall = pymunk.Segment(space.static_body, part.start, part.end, part.radius)
                if part.surface_speed:
                    wall.surface_velocity = along(part)
            case Peg():
                wall = pymunk.Circle(space.static_body, part.radius, part.center)
        wall.friction, wall.elasticity = part.friction, part.restitution
        space.add(wall)
    for joint in scene.joints:
        end_a = space.static_body if joint.body_a == FIXED else bodies[joint.body_a]
        space.add(_joint(joint, end_a, bodies[joint.body_b]))
    return space


def _joint(joint: Joint, a: pymunk.Body, b: pymunk.Body) -> pymunk.Constraint:
    match joint:
        case PinJoint():
            rod = pymunk.PinJoint(a, b, joint.anchor_a, joint.anchor_b)
            rod.distance = joint.length
            return rod
        case PivotJoint():
            return pymunk.PivotJoint(a, b, joint.anchor_a, joint.anchor_b)
        case Rope():
            return pymunk.SlideJoint(a, b, joint.anchor_a, joint.anchor_b, 0.0, joint.length)
        case Spring():
            return pymunk.DampedSpring(
                a, b, joint.anchor_a, joint.anchor_b, joint.length, joint.stiffness, joint.damping
            )
        case Motor():
            motor = pymunk.SimpleMotor(a, b, -joint.spin)  # Chipmunk's rate is that of a against b
            motor.max_force = joint.torque
            return motor


def _shape(live: pymunk.Body, body: Body) -> pymunk.Shape:
    shape: pymunk.Shape
    match body.shape, body.size:
        case "circle", (radius,):
            shape = pymunk.Circle(live, radius)
        case "rect", (width, height):
            shape = pymunk.Poly.create_box(live, (width, height))
        case _:
            raise ValueError(f"shape {body.shape!r} with size {body.size} is neither circle (radius,) nor rect (w, h)")
    shape.friction, shape.elasticity = body.friction, body.restitution
    return shape
