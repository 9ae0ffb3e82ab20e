// Chipmunk for a page without a server: the functions that truth.js calls to build a scene, step it and read it.
//
// The space is made by the same calls in the same order as physworld/sim/chipmunk.py makes it. Lengths are px, angles
// rad, times s, masses kg. A body is named by the order in which it was made; FIXED is the ground.
#include <stdlib.h>
#include "chipmunk/chipmunk_private.h"
#include "chipmunk/chipmunk_unsafe.h"

#define EXPORT __attribute__((used, visibility("default")))
#define FIXED (-1)
#define MOST 5000  // bodies, walls or joints

typedef struct { cpFloat friction, restitution; double group, categories, mask; } Surface;

static cpSpace *space = NULL;
static cpBody *bodies[MOST], *ground;
static cpShape *shapes[MOST * 4];
static cpConstraint *joints[MOST];
static cpVect sides[MOST];  // direction of the solid side of each one-way wall
static int body_count, shape_count, joint_count;

void cpMessage(const char *condition, const char *file, int line, int is_error, int is_hard, const char *message, ...) {
	if (is_hard) abort();
}

static cpBody *body_of(int index) { return index == FIXED ? ground : bodies[index]; }

EXPORT void world_free(void) {
	if (!space) return;
	cpSpaceFree(space);  // it wakes its bodies, so they go after it
	for (int i = 0; i < shape_count; i++) cpShapeFree(shapes[i]);
	for (int i = 0; i < joint_count; i++) cpConstraintFree(joints[i]);
	for (int i = 0; i < body_count; i++) cpBodyFree(bodies[i]);
	if (ground) cpBodyFree(ground);
	space = NULL;
}

EXPORT void world_new(double gx, double gy) {
	world_free();
	space = cpSpaceNew();
	cpSpaceSetGravity(space, cpv(gx, gy));
	ground = NULL;
	body_count = shape_count = joint_count = 0;
}

EXPORT void add_ground(void) {
	ground = cpBodyNewStatic();
	cpSpaceAddBody(space, ground);
}

// Its shapes follow, then `join_body` puts all of it into the space.
EXPORT void add_body(int kinematic, double mass, double moment, double x, double y, double vx, double vy, double angle, double spin) {
	cpBody *live = kinematic ? cpBodyNewKinematic() : cpBodyNew(mass, moment);
	bodies[body_count++] = live;
	cpBodySetPosition(live, cpv(x, y));
	cpBodySetVelocity(live, cpv(vx, vy));
	cpBodySetAngle(live, angle);
	cpBodySetAngularVelocity(live, spin);
}

static void dress(cpShape *shape, int sensor, const Surface *surface) {
	shapes[shape_count++] = shape;
	cpShapeSetFriction(shape, surface->friction);
	cpShapeSetElasticity(shape, surface->restitution);
	if (sensor) cpShapeSetSensor(shape, cpTrue);
	cpShapeSetFilter(shape, cpShapeFilterNew((cpGroup)surface->group, (cpBitmask)surface->categories, (cpBitmask)surface->mask));
}

static cpBody *last(void) { return bodies[body_count - 1]; }

EXPORT void add_circle(double radius, double x, double y, int sensor, const Surface *surface) {
	dress(cpCircleShapeNew(last(), radius, cpv(x, y)), sensor, surface);
}

EXPORT void add_box(double width, double height, int sensor, const Surface *surface) {
	dress(cpBoxShapeNew(last(), width, height, 0.0), sensor, surface);
}

EXPORT void add_polygon(int count, const cpVect *corners, int sensor, const Surface *surface) {
	dress(cpPolyShapeNew(last(), count, corners, cpTransformIdentity, 0.0), sensor, surface);
}

EXPORT void join_body(int first_shape) {
	cpSpaceAddBody(space, last());
	for (int i = first_shape; i < shape_count; i++) cpSpaceAddShape(space, shapes[i]);
}

EXPORT int shapes_now(void) { return shape_count; }

static void pass_or_hold(cpArbiter *arbiter, cpSpace *world, void *data) {
	cpArbiterSetProcessCollision(arbiter, cpvdot(cpArbiterGetNormal(arbiter), *(cpVect *)data) >= 0);
}

EXPORT void add_segment(double ax, double ay, double bx, double by, double radius, double vx, double vy, int one_way, double sx, double sy, const Surface *surface) {
	cpShape *shape = cpSegmentShapeNew(ground, cpv(ax, ay), cpv(bx, by), radius);
	if (vx || vy) cpShapeSetSurfaceVelocity(shape, cpv(vx, vy));
	int number = shape_count;
	dress(shape, 0, surface);
	if (one_way) {
		cpCollisionType type = number + 1;  // 0 is everybody's
		cpShapeSetCollisionType(shape, type);
		sides[number % MOST] = cpv(sx, sy);
		cpCollisionHandler *handler = cpSpaceAddCollisionHandler(space, type, CP_WILDCARD_COLLISION_TYPE);
		handler->beginFunc = pass_or_hold;
		handler->userData = &sides[number % MOST];
	}
	cpSpaceAddShape(space, shape);
}

EXPORT void add_peg(double x, double y, double radius, const Surface *surface) {
	cpShape *shape = cpCircleShapeNew(ground, radius, cpv(x, y));
	dress(shape, 0, surface);
	cpSpaceAddShape(space, shape);
}

enum { PIN, PIVOT, ROPE, SLIDE, GROOVE, SPRING, ROTARY_SPRING, ROTARY_LIMIT, GEAR, RATCHET, MOTOR };

// n: two anchors (a groove: its ends, then the anchor of b), then the numbers of the kind.
EXPORT void add_joint(int kind, int index_a, int index_b, const double *n) {
	cpBody *a = body_of(index_a), *b = body_of(index_b);
	cpVect p = cpv(n[0], n[1]), q = cpv(n[2], n[3]);
	cpConstraint *made = NULL;
	n += 4;
	switch (kind) {
		case PIN: made = cpPinJointNew(a, b, p, q); cpPinJointSetDist(made, n[0]); break;
		case PIVOT: made = cpPivotJointNew2(a, b, p, q); break;
		case ROPE: made = cpSlideJointNew(a, b, p, q, 0.0, n[0]); break;
		case SLIDE: made = cpSlideJointNew(a, b, p, q, n[0], n[1]); break;
		case GROOVE: made = cpGrooveJointNew(a, b, p, q, cpv(n[0], n[1])); break;
		case SPRING: made = cpDampedSpringNew(a, b, p, q, n[0], n[1], n[2]); break;
		case ROTARY_SPRING: made = cpDampedRotarySpringNew(a, b, n[0], n[1], n[2]); break;
		case ROTARY_LIMIT: made = cpRotaryLimitJointNew(a, b, n[0], n[1]); break;
		case GEAR: made = cpGearJointNew(a, b, n[0], n[1]); break;
		case RATCHET: made = cpRatchetJointNew(a, b, n[0], n[1]); break;
		case MOTOR: made = cpSimpleMotorNew(a, b, -n[0]); cpConstraintSetMaxForce(made, n[1]); break;
	}
	joints[joint_count++] = made;
}

EXPORT void join_joints(void) {
	for (int i = 0; i < joint_count; i++) cpSpaceAddConstraint(space, joints[i]);
}

// rows: x, y, angle, vx, vy, spin of each body.
EXPORT void read_rows(double *rows) {
	for (int i = 0; i < body_count; i++, rows += 6) {
		cpVect p = cpBodyGetPosition(bodies[i]), v = cpBodyGetVelocity(bodies[i]);
		rows[0] = p.x; rows[1] = p.y; rows[2] = cpBodyGetAngle(bodies[i]);
		rows[3] = v.x; rows[4] = v.y; rows[5] = cpBodyGetAngularVelocity(bodies[i]);
	}
}

EXPORT void put_rows(const double *rows) {
	for (int i = 0; i < body_count; i++, rows += 6) {
		cpBodySetPosition(bodies[i], cpv(rows[0], rows[1]));
		cpBodySetAngle(bodies[i], rows[2]);
		cpBodySetVelocity(bodies[i], cpv(rows[3], rows[4]));
		cpBodySetAngularVelocity(bodies[i], rows[5]);
	}
}

// force: x, y of each body, kg·px/s²; NULL for none.
EXPORT void step_world(double dt, const double *force) {
	if (force) for (int i = 0; i < body_count; i++) cpBodySetForce(bodies[i], cpv(force[2 * i], force[2 * i + 1]));
	cpSpaceStep(space, dt);
}

EXPORT double *room(int doubles) { return malloc(doubles * sizeof(double)); }
EXPORT void release(double *memory) { free(memory); }
