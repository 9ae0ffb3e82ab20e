// The model for a page without a server: a GPT of island text (physworld/lm/gpt.py), position by position.
//
// Documents lie one behind the other; each position sees those before it in its own document. What a position is made
// of, and every weight, comes from model.js and from physworld/play/weights.py, which name the same parts in the same
// order. Matrices have one row an output, as torch's Linear keeps them. D width, H heads, E = D / H, K outputs.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <wasm_simd128.h>

#define EXPORT __attribute__((used, visibility("default")))
#define FEATURES 32   // of a number
#define NONE (-1)
#define LANES 4       // positions that share one pass over a matrix
static const float EPSILON = 1.1920929e-07f;  // of torch's rms_norm

typedef struct { int kind, first, count, word, own, partner, slot, document, at, a, b; } Position;
typedef struct { float *qkv, *out, *up, *down, *relation; } Block;  // relation: H x 4

static int D, H, E, K, depth, names;
static float *words, *partners, *slots, *alike, *mix_up, *mix_down, *table;
static float **readers, **biases;  // of each kind of record, the last of an answer's number
static Block *blocks;

static int room = 0, total = 0;      // positions
static float *keys, *values, *rates; // depth x room x D
static int *before, *named;          // the position before it in its document; its two names
static int latest[4096];             // by document

static float *part(float **from, long size) { float *found = *from; *from += size; return found; }

// counts: numbers of each of `kinds` records. weights: all parts, one behind the other.
EXPORT void model_new(int width, int heads, int layers, int outputs, int vocabulary, int slot_count, int name_count, int kinds, const int *counts, float *weights) {
	D = width; H = heads; E = D / H; K = outputs; depth = layers; names = name_count;
	words = part(&weights, (long)vocabulary * D);
	partners = part(&weights, (long)vocabulary * D);
	slots = part(&weights, (long)slot_count * D);
	alike = part(&weights, (long)names * names);
	readers = malloc(kinds * sizeof(float *));
	biases = malloc(kinds * sizeof(float *));
	for (int k = 0; k < kinds; k++) { readers[k] = part(&weights, (long)D * counts[k] * FEATURES); biases[k] = part(&weights, D); }
	mix_up = part(&weights, 4L * D * D);
	mix_down = part(&weights, 4L * D * D);
	blocks = malloc(depth * sizeof(Block));
	for (int k = 0; k < depth; k++) {
		blocks[k].qkv = part(&weights, 3L * D * D);
		blocks[k].out = part(&weights, (long)D * D);
		blocks[k].up = part(&weights, 4L * D * D);
		blocks[k].down = part(&weights, 4L * D * D);
		blocks[k].relation = part(&weights, 4L * H);
	}
	table = part(&weights, (long)K * D);
	rates = malloc(E / 2 * sizeof(float));
	for (int i = 0; i < E / 2; i++) rates[i] = powf(1000.0f, -(float)i / (E / 2));
}

// The sums of four vectors, as one.
static inline v128_t across(v128_t p, v128_t q, v128_t r, v128_t t) {
	v128_t pq = wasm_f32x4_add(wasm_i32x4_shuffle(p, q, 0, 4, 1, 5), wasm_i32x4_shuffle(p, q, 2, 6, 3, 7));
	v128_t rt = wasm_f32x4_add(wasm_i32x4_shuffle(r, t, 0, 4, 1, 5), wasm_i32x4_shuffle(r, t, 2, 6, 3, 7));
	return wasm_f32x4_add(wasm_i32x4_shuffle(pq, rt, 0, 1, 4, 5), wasm_i32x4_shuffle(pq, rt, 2, 3, 6, 7));
}

#define MORE(sum, a, b) sum = wasm_f32x4_add(sum, wasm_f32x4_mul(a, b))

// One or two positions: each weight is read once, in the order of memory.
static void multiply_few(const float *a, const float *b, const float *w, float *y, float *z, int n, int m, int add) {
	for (int o = 0; o < m; o++, w += n) {
		v128_t p = wasm_f32x4_splat(0), q = p, r = p, t = p;
		for (int i = 0; i < n; i += 8) {
			v128_t v = wasm_v128_load(w + i), u = wasm_v128_load(w + i + 4);
			MORE(p, v, wasm_v128_load(a + i)); MORE(q, u, wasm_v128_load(a + i + 4));
			if (z) { MORE(r, v, wasm_v128_load(b + i)); MORE(t, u, wasm_v128_load(b + i + 4)); }
		}
		float sums[LANES];
		wasm_v128_store(sums, across(wasm_f32x4_add(p, q), wasm_f32x4_add(r, t), r, t));
		y[o] = add ? y[o] + sums[0] : sums[0];
		if (z) z[o] = add ? z[o] + sums[1] : sums[1];
	}
}

// Two outputs of four positions at a time, so that few numbers are loaded more than once.
static void multiply_four(const float *a, const float *w, float *y, int lanes, int n, int m, int add) {
	const float *b = a + n, *c = b + n, *d = lanes > 3 ? c + n : a;
	for (int o = 0; o < m; o += 2) {
		const float *row = w + (long)o * n, *next = row + n;
		v128_t p = wasm_f32x4_splat(0), q = p, r = p, t = p, p2 = p, q2 = p, r2 = p, t2 = p;
		for (int i = 0; i < n; i += 4) {
			v128_t v = wasm_v128_load(row + i), u = wasm_v128_load(next + i), z = wasm_v128_load(a + i);
			MORE(p, v, z); MORE(p2, u, z);
			z = wasm_v128_load(b + i); MORE(q, v, z); MORE(q2, u, z);
			z = wasm_v128_load(c + i); MORE(r, v, z); MORE(r2, u, z);
			z = wasm_v128_load(d + i); MORE(t, v, z); MORE(t2, u, z);
		}
		float sums[2 * LANES];
		wasm_v128_store(sums, across(p, q, r, t));
		wasm_v128_store(sums + LANES, across(p2, q2, r2, t2));
		for (int k = 0; k < lanes; k++) {
			float *place = y + (long)k * m + o;
			place[0] = add ? place[0] + sums[k] : sums[k];
			place[1] = add ? place[1] + sums[LANES + k] : sums[LANES + k];
		}
	}
}

// y[s][o] = x[s] . w[o] (+ y where `add`), for S positions of `n` numbers (a multiple of 8) and `m` outputs (even).
static void multiply(const float *x, const float *w, float *y, int S, int n, int m, int add) {
	int s = 0;
	for (; s + 2 < S; s += LANES) multiply_four(x + (long)s * n, w, y + (long)s * m, S - s < LANES ? S - s : LANES, n, m, add);
	if (s < S) multiply_few(x + (long)s * n, x + (long)(S - 1) * n, w, y + (long)s * m, s + 1 < S ? y + (long)(s + 1) * m : NULL, n, m, add);
}

static void normalise(const float *x, float *y, int n) {
	float sum = 0;
	for (int i = 0; i < n; i++) sum += x[i] * x[i];
	float scale = 1.0f / sqrtf(sum / n + EPSILON);
	for (int i = 0; i < n; i++) y[i] = x[i] * scale;
}

static void add(float *x, const float *more) { for (int i = 0; i < D; i++) x[i] += more[i]; }

// x += down(relu(up(normalised x))²), for S positions.
static void think_over(float *x, float *normed, float *wide, const float *up, const float *down, int S) {
	for (int s = 0; s < S; s++) normalise(x + s * D, normed + s * D, D);
	multiply(normed, up, wide, S, D, 4 * D, 0);
	for (long i = 0; i < 4L * S * D; i++) { float v = wide[i] > 0 ? wide[i] : 0; wide[i] = v * v; }
	multiply(wide, down, x, S, 4 * D, D, 1);
}

static void turn(float *x, const float *angle) {  // each head's two halves are the two coordinates that turn
	const float *cos = angle, *sin = angle + E / 2;
	for (int i = 0; i < E / 2; i++) {
		float a = x[i], b = x[i + E / 2];
		x[i] = a * cos[i] - b * sin[i];
		x[i + E / 2] = a * sin[i] + b * cos[i];
	}
}

static void attend(const Block *block, int layer, int place, const float *query, float *seen, float *weight) {
	const int *mine = named + 2 * place;
	const float *key = keys + (long)layer * room * D, *value = values + (long)layer * room * D;
	float scale = 1.0f / sqrtf(E);
	for (int h = 0; h < H; h++) {
		const float *relation = block->relation + 4 * h, *q = query + h * E;
		float top = -INFINITY, sum = 0, *y = seen + h * E;
		int count = 0;
		for (int t = place; t != NONE; t = before[t]) {
			const float *k = key + (long)t * D + h * E;
			v128_t p = wasm_f32x4_splat(0);
			for (int i = 0; i < E; i += 4) p = wasm_f32x4_add(p, wasm_f32x4_mul(wasm_v128_load(q + i), wasm_v128_load(k + i)));
			float score = wasm_f32x4_extract_lane(p, 0) + wasm_f32x4_extract_lane(p, 1) + wasm_f32x4_extract_lane(p, 2) + wasm_f32x4_extract_lane(p, 3);
			const float *a = alike + mine[0] * names, *b = alike + mine[1] * names;
			const int *other = named + 2 * t;
			score = score * scale + relation[0] * a[other[0]] + relation[1] * a[other[1]] + relation[2] * b[other[0]] + relation[3] * b[other[1]];
			weight[count++] = score;
			if (score > top) top = score;
		}
		for (int i = 0; i < count; i++) sum += weight[i] = expf(weight[i] - top);
		memset(y, 0, E * sizeof(float));
		count = 0;
		for (int t = place; t != NONE; t = before[t]) {
			v128_t share = wasm_f32x4_splat(weight[count++] / sum);
			const float *v = value + (long)t * D + h * E;
			for (int i = 0; i < E; i += 4) wasm_v128_store(y + i, wasm_f32x4_add(wasm_v128_load(y + i), wasm_f32x4_mul(share, wasm_v128_load(v + i))));
		}
	}
}

static void grow(int needed) {
	int more = room ? room : 512;
	while (more < needed) more *= 2;
	if (more == room) return;
	float *new_keys = malloc((long)depth * more * D * sizeof(float)), *new_values = malloc((long)depth * more * D * sizeof(float));
	for (int k = 0; k < depth && total; k++) {
		memcpy(new_keys + (long)k * more * D, keys + (long)k * room * D, (long)total * D * sizeof(float));
		memcpy(new_values + (long)k * more * D, values + (long)k * room * D, (long)total * D * sizeof(float));
	}
	free(keys); free(values);
	keys = new_keys; values = new_values;
	before = realloc(before, more * sizeof(int));
	named = realloc(named, 2 * more * sizeof(int));
	room = more;
}

EXPORT void forget(void) {
	total = 0;
	for (int i = 0; i < 4096; i++) latest[i] = NONE;
}

// Reads S more positions, whose numbers' features stand in `features`; scores (M x K) of the `asked` ones.
EXPORT void think(int S, const Position *positions, const float *features, int M, const int *asked, float *scores) {
	grow(total + S);
	float *x = calloc((long)S * D, sizeof(float)), *normed = malloc((long)S * D * sizeof(float)), *wide = malloc(4L * S * D * sizeof(float)), *weight = malloc((total + S) * sizeof(float)), *angles = malloc((long)S * E * sizeof(float));
	for (int s = 0; s < S; s++) {
		const Position *p = positions + s;
		float *mine = x + s * D;
		if (p->kind != NONE) { multiply(features + (long)p->first * FEATURES, readers[p->kind], mine, 1, p->count * FEATURES, D, 0); add(mine, biases[p->kind]); }
		if (p->word != NONE) add(mine, words + p->word * D);
		if (p->own != NONE) add(mine, words + p->own * D);
		if (p->partner != NONE) add(mine, partners + p->partner * D);
		if (p->slot != NONE) add(mine, slots + p->slot * D);
		for (int i = 0; i < E / 2; i++) { angles[s * E + i] = cosf(p->at * rates[i]); angles[s * E + E / 2 + i] = sinf(p->at * rates[i]); }
		int place = total + s;
		before[place] = latest[p->document];
		latest[p->document] = place;
		named[2 * place] = p->a; named[2 * place + 1] = p->b;
	}
	think_over(x, normed, wide, mix_up, mix_down, S);
	for (int k = 0; k < depth; k++) {
		for (int s = 0; s < S; s++) normalise(x + s * D, normed + s * D, D);
		multiply(normed, blocks[k].qkv, wide, S, D, 3 * D, 0);
		for (int s = 0; s < S; s++) {
			float *q = wide + 3L * s * D, *own = keys + ((long)k * room + total + s) * D;
			for (int h = 0; h < 2 * H; h++) { normalise(q + h * E, q + h * E, E); turn(q + h * E, angles + s * E); }
			memcpy(own, q + D, D * sizeof(float));
			memcpy(values + ((long)k * room + total + s) * D, q + 2 * D, D * sizeof(float));
		}
		for (int s = 0; s < S; s++) attend(blocks + k, k, total + s, wide + 3L * s * D, normed + s * D, weight);
		multiply(normed, blocks[k].out, x, S, D, D, 1);
		think_over(x, normed, wide, blocks[k].up, blocks[k].down, S);
	}
	for (int m = 0; m < M; m++) normalise(x + asked[m] * D, normed + m * D, D);
	multiply(normed, table, scores, M, D, K, 0);
	total += S;
	free(x); free(normed); free(wide); free(weight); free(angles);
}
