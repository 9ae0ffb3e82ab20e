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

A kinematic body keeps its velocity and spin, and meets others as one of infinite mass. A body that reaches a one-way
wall's open side passes, and is ignored by the wall until they part.

A restart from a `State` loses what the state does not hold: v_bias, the warm-start impulses, the clicks of a ratchet
and which one-way wall a body is passing.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pymunk

from physworld.sim.chipmunk import COLUMNS, along, roll
from physworld.sim.fields import Fields
from physworld.types import (
    EVERYTHING,
    FIXED,
    Body,
    Filter,
    Gear,
    GrooveJoint,
    Joint,
    Motor,
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
    State,
    Trajectory,
)
from physworld.types.limits import is_whole, shown

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
        ValueError: num_frames < 1, a scene without bodies, or `start` / `kicks` of another shape than the scene.
    """
    first = scene.state if start is None else start
    _check(scene, num_frames, first, kicks)
    one_way = any(isinstance(part, Segment) and part.one_way is not None for part in scene.static)
    rows = (_stepped if one_way else roll)(scene, first, num_frames, kicks)
    return Trajectory(
        scene=scene,
        position=rows[..., POSITION].copy(),
        velocity=rows[..., VELOCITY].copy(),
        angle=rows[..., ANGLE].copy(),
        spin=rows[..., SPIN].copy(),
    )


def build_space(scene: Scene) -> pymunk.Space:
    """A live space in the scene's initial state: what `simulate` steps, but made of Pymunk's own objects.

    Iterations, slop and bias stay Pymunk's defaults, so that published data reproduces.
    """
    return _build(scene, scene.state)


def deepest_overlap(scene: Scene, state: State) -> float:
    """Deepest overlap of two shapes that Pymunk keeps apart, px; 0 when none overlap.

    Sensors, pairs that a filter parts and one-way walls do not count.
    """
    space = _build(scene, state)
    solid = [shape for shape in space.shapes if not (shape.sensor or shape.collision_type)]
    deepest = 0.0
    for place, first in enumerate(solid):
        first.cache_bb()
        for second in solid[:place]:
            bodies = [shape.body for shape in (first, second) if shape.body is not None]
            moving = any(body.body_type == pymunk.Body.DYNAMIC for body in bodies)
            if not moving or first.body is second.body or not first.bb.intersects(second.bb):
                continue
            if first.filter.rejects_collision(second.filter):
                continue
            with suppress(AssertionError):  # Pymunk's way to say that boxes intersect but shapes do not touch
                deepest = min([deepest, *(point.distance for point in first.shapes_collide(second).points)])
    return -deepest


def _check(scene: Scene, num_frames: int, start: State, kicks: np.ndarray | None) -> None:
    count = len(scene.bodies)
    if not is_whole(num_frames, 1, 2**53):
        raise ValueError(f"num_frames must be a whole number, 1 or more, got {shown(num_frames)}")
    if not count:
        raise ValueError(f"scene {scene.name!r} has no bodies, so nothing moves")
    if len(start.position) != count:
        raise ValueError(f"start holds {len(start.position)} bodies but scene {scene.name!r} has {count}")
    for name, shape in (("position", (count, 2)), ("velocity", (count, 2)), ("angle", (count,)), ("spin", (count,))):
        if getattr(start, name).shape != shape:
            raise ValueError(f"start must have {name} of shape {shape}, got {getattr(start, name).shape}")
    if kicks is not None and kicks.shape != (num_frames, count, COLUMNS):
        raise ValueError(f"kicks must have shape {(num_frames, count, COLUMNS)}, got {kicks.shape}")


def _build(scene: Scene, start: State) -> pymunk.Space:
    space = pymunk.Space()
    space.gravity = scene.gravity
    # Bodies first: Pymunk reports them in the order in which the space got them, the static body last.
    bodies = [_body(space, body, start, index) for index, body in enumerate(scene.bodies)]
    for number, part in enumerate(scene.static):
        wall: pymunk.Shape
        match part:
            case Segment():
                wall = pymunk.Segment(space.static_body, part.start, part.end, part.radius)
                if part.surface_speed:
                    wall.surface_velocity = along(part)
                if part.one_way is not None:
                    wall.collision_type = number + 1  # 0 is everybody's
                    space.on_collision(wall.collision_type, None, begin=_pass_or_hold, data=part.one_way)
            case Peg():
                wall = pymunk.Circle(space.static_body, part.radius, part.center)
        wall.friction, wall.elasticity = part.friction, part.restitution
        wall.filter = _filter(part.filter)
        space.add(wall)
    for joint in scene.joints:
        end_a = space.static_body if joint.body_a == FIXED else bodies[joint.body_a]
        space.add(_joint(joint, end_a, bodies[joint.body_b]))
    return space


def _body(space: pymunk.Space, body: Body, start: State, index: int) -> pymunk.Body:
    dynamic = body.kind == "dynamic"
    live = pymunk.Body(body.mass, body.moment) if dynamic else pymunk.Body(body_type=pymunk.Body.KINEMATIC)
    live.position = float(start.position[index, 0]), float(start.position[index, 1])
    live.velocity = float(start.velocity[index, 0]), float(start.velocity[index, 1])
    live.angle = float(start.angle[index])
    live.angular_velocity = float(start.spin[index])
    shapes = _shapes(live, body)
    for shape in shapes:
        shape.friction, shape.elasticity = body.friction, body.restitution
        shape.sensor, shape.filter = body.sensor, _filter(body.filter)
    space.add(live, *shapes)
    return live


def _filter(chosen: Filter) -> pymunk.ShapeFilter:
    if chosen is EVERYTHING:
        return pymunk.ShapeFilter()
    return pymunk.ShapeFilter(chosen.group, chosen.categories, chosen.mask)


def _pass_or_hold(arbiter: pymunk.Arbiter, _space: pymunk.Space, side: tuple[float, float]) -> None:
    """Ignore, until they part, what begins to touch a one-way wall from its open side."""
    normal = arbiter.normal  # from the wall to what meets it
    arbiter.process_collision = normal[0] * side[0] + normal[1] * side[1] >= 0


def _stepped(scene: Scene, start: State, num_frames: int, kicks: np.ndarray | None) -> np.ndarray:
    """(num_frames, N, 6) as `chipmunk.roll`, in Python: for scenes in which Python has a say in every collision."""
    world = Live(scene, start)
    rows = np.zeros((num_frames, len(scene.bodies), COLUMNS))
    for frame in range(num_frames):
        if frame:
            world.step()
        rows[frame] = world.rows()
        if kicks is not None and kicks[frame].any():
            rows[frame] += kicks[frame][:, [0, 1, 4, 2, 3, 5]]
            world.put(rows[frame])
    return rows


class Live:
    """A world that is stepped frame by frame and may be touched between two frames."""

    def __init__(self, scene: Scene, start: State | None = None) -> None:
        self.scene, self._fields = scene, Fields(scene)
        self._space = _build(scene, scene.state if start is None else start)
        self._bodies = [body for body in self._space.bodies if body is not self._space.static_body]

    def step(self) -> None:
        """One step of scene.dt."""
        if self.scene.fields:
            before = self.rows()
            speed = before[:, VELOCITY]
            pull = self._fields.acceleration(before[:, POSITION] + speed * self.scene.dt, speed)
            for live, body, (x, y) in zip(self._bodies, self.scene.bodies, pull.tolist(), strict=True):
                live.force = body.mass * x, body.mass * y
        self._space.step(self.scene.dt)

    def rows(self) -> np.ndarray:
        """(N, 6): x, y px; angle rad; vx, vy px/s; spin rad/s."""
        rows = [(*b.position, b.angle, *b.velocity, b.angular_velocity) for b in self._bodies]
        return np.array(rows, dtype=np.float64).reshape(-1, COLUMNS)

    def put(self, rows: np.ndarray) -> None:
        """Take what `rows` gives as the state from now on."""
        for live, (x, y, angle, vx, vy, spin) in zip(self._bodies, rows.tolist(), strict=True):
            live.position, live.angle, live.velocity, live.angular_velocity = (x, y), angle, (vx, vy), spin

    @property
    def state(self) -> State:
        rows = self.rows()
        return State(position=rows[:, POSITION], velocity=rows[:, VELOCITY], angle=rows[:, ANGLE], spin=rows[:, SPIN])


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
        case SlideJoint():
            return pymunk.SlideJoint(a, b, joint.anchor_a, joint.anchor_b, joint.shortest, joint.longest)
        case GrooveJoint():
            return pymunk.GrooveJoint(a, b, joint.groove_start, joint.groove_end, joint.anchor_b)
        case Spring():
            return pymunk.DampedSpring(
                a, b, joint.anchor_a, joint.anchor_b, joint.length, joint.stiffness, joint.damping
            )
        case RotarySpring():
            return pymunk.DampedRotarySpring(a, b, joint.rest_angle, joint.stiffness, joint.damping)
        case RotaryLimit():
            return pymunk.RotaryLimitJoint(a, b, joint.lowest, joint.highest)
        case Gear():
            return pymunk.GearJoint(a, b, joint.phase, joint.ratio)
        case Ratchet():
            return pymunk.RatchetJoint(a, b, joint.phase, joint.ratchet)
        case Motor():
            motor = pymunk.SimpleMotor(a, b, -joint.spin)  # Chipmunk's rate is that of a against b
            motor.max_force = joint.torque
            return motor


def _shapes(live: pymunk.Body, body: Body) -> list[pymunk.Shape]:
    if body.shape == "circle":
        return [pymunk.Circle(live, body.size[0])]
    if body.shape == "rect":
        return [pymunk.Poly.create_box(live, (body.size[0], body.size[1]))]
    if body.shape == "polygon":
        return [pymunk.Poly(live, body.vertices)]
    return [
        pymunk.Circle(live, part.size[0], part.at) if part.shape == "circle" else pymunk.Poly(live, part.corners)
        for part in body.parts
    ]
