/* The LTC of one gate per neuron, and the CT-RNN, over whole sequences.
 *
 * The equations stand in functional/ltc.py, the derivatives S_x, S_f, ... in kernels/_torch/ltc.py.
 * Here the gate is kept as e = exp(-z): f = 1/(1 + e), and a semi-implicit step is one division,
 * x' = ((x + h A) + x e) / ((1 + h/tau)(1 + e) + h). Of a CT-RNN, x' = (x + h f) / (1 + h/tau), f = tanh(z)
 * stands in the place of e.
 */
#ifndef TL_LTC_H
#define TL_LTC_H

#include "jobs.h"
#include "raw.h"

typedef struct {
    real *input, *recurrent, *input_t, *recurrent_t; /* packed weights */
    vec *bias, *rate, *target, *zero;
    vec *readout, *readout_bias; /* (O, H) row by row, and (O,) */
} ltc_weights;

static void ltc_take_weights(arena *a, const tl_ltc *p, int backward, ltc_weights *w) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, one = weight_size(s);
    w->input = arena_alloc(a, padded(H) * I * one);
    w->recurrent = arena_alloc(a, padded(H) * H * one);
    w->input_t = backward ? arena_alloc(a, padded(I) * H * one) : NULL;
    w->recurrent_t = backward ? arena_alloc(a, padded(H) * H * one) : NULL;
    w->bias = arena_vectors(a, padded(H));
    w->rate = arena_vectors(a, padded(H));
    w->target = arena_vectors(a, padded(H));
    w->zero = arena_vectors(a, padded(I));
    w->readout = arena_vectors(a, p->outputs * H);
    w->readout_bias = arena_vectors(a, padded(p->outputs));
}

static void ltc_pack_weights(const tl_ltc *p, column c, int backward, ltc_weights *w) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden;
    pack_matrix(s, &p->weight_ih, c, 0, H, I, 0, w->input);
    pack_matrix(s, &p->weight_hh, c, 0, H, H, 0, w->recurrent);
    if (backward) {
        pack_matrix(s, &p->weight_ih, c, 0, I, H, 1, w->input_t);
        pack_matrix(s, &p->weight_hh, c, 0, H, H, 1, w->recurrent_t);
    }
    pack_vector(&p->bias, c, H, w->bias);
    pack_vector(&p->tau, c, H, w->rate);
    if (p->raw) positive(w->rate, H, s->shared);
    for (int64_t j = 0; j < H; j++) w->rate[j] = 1 / w->rate[j];
    pack_vector(&p->target, c, H, w->target);
    memset(w->zero, 0, (size_t)padded(I) * sizeof(vec));
    for (int64_t o = 0; o < p->outputs; o++)
        gather_row(&p->readout, c, o, H, w->readout + o * H);
    pack_vector(&p->readout_bias, c, p->outputs, w->readout_bias);
}

/* Length of a sub-step at step t. */
INLINE vec ltc_interval(const tl_ltc *p, column c, int64_t t) {
    real unfolds = (real)p->unfolds;
    if (!p->dt.data) return splat((real)(p->interval / (double)p->unfolds));
    return gather(element(&p->dt, c, t), p->dt.lane, c.valid) / unfolds;
}

/* One sub-step of H neurons: states x to `after`, which may be x; keeps e of every gate. */
static void ltc_step(int64_t solver, int64_t H, vec h, const ltc_weights *w, const vec *z,
                        const vec *x, vec *e, vec *after) {
    if (solver == TL_SEMI_IMPLICIT)
        for (int64_t j = 0; j < H; j++) {
            e[j] = gate_exp(z[j]);
            vec top = x[j] + h * w->target[j] + x[j] * e[j];
            vec next = top * reciprocal((1 + h * w->rate[j]) * (1 + e[j]) + h);
            after[j] = choose(h == 0, x[j], next); /* to the last bit: samples of padding */
        }
    else if (solver == TL_CTRNN)
        for (int64_t j = 0; j < H; j++) {
            e[j] = vtanh(z[j]);
            after[j] = choose(h == 0, x[j], (x[j] + h * e[j]) * reciprocal(1 + h * w->rate[j]));
        }
    else if (solver == TL_EULER)
        for (int64_t j = 0; j < H; j++) {
            e[j] = gate_exp(z[j]);
            vec f = reciprocal(1 + e[j]), l = w->rate[j] + f, rest = 1 / l;
            after[j] = x[j] + choose(h > rest, rest, h) * (f * w->target[j] - x[j] * l);
        }
    else
        for (int64_t j = 0; j < H; j++) {
            e[j] = gate_exp(z[j]);
            vec f = reciprocal(1 + e[j]), l = w->rate[j] + f, rest = f * w->target[j] / l;
            after[j] = x[j] + (x[j] - rest) * vexpm1(-h * l);
        }
}

/* (1 - e^-hl) / l and its derivative by l, as `decayed` in functional/ltc.py: by a series where the
 * differences cancel. `decay` is e^-hl. */
INLINE vec ltc_decayed(vec h, vec l, vec decay, vec *slower) {
    static const double inverse_factorials[] = {
        1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
        1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800,
        1.0 / 87178291200};
    vec z = h * l, few = vec_min(splat((real)0.5), z), value = splat(0), slope = splat(0);
#pragma GCC unroll 14
    for (int n = 13; n >= 0; n--) {
        slope = value + slope * few;
        value = (real)(n % 2 ? -inverse_factorials[n] : inverse_factorials[n]) + value * few;
    }
    mask small = z < (real)0.5;
    vec k = choose(small, h * value, (1 - decay) / l);
    *slower = choose(small, h * h * slope, (h * decay - k) / l);
    return k;
}

typedef struct {
    vec *rate, *target; /* gradients of 1/tau and of A so far, (H,) */
} ltc_sums;

/* Backwards through one sub-step: g of the state after it becomes the part of g before it that
 * does not go through the gate; dz, which may be e, is g of the gate's input. Returns g of the sub-step's length. */
static vec ltc_step_backward(int64_t solver, int64_t H, vec h, const ltc_weights *w, const vec *e,
                       const vec *x, vec *g, vec *dz, const ltc_sums *sums) {
    vec dh = splat(0);
    if (solver == TL_SEMI_IMPLICIT)
        for (int64_t j = 0; j < H; j++) {
            vec r = w->rate[j], A = w->target[j], e1 = 1 + e[j];
            vec top = (1 + h * r) * e1 + h; /* D (1 + e) */
            vec both = reciprocal(top * e1), f = both * top, gd = g[j] * (e1 * e1 * both);
            vec after = (x[j] + h * (f * A)) * (e1 * e1 * both), hgd = h * gd;
            dz[j] = hgd * (A - after) * (f * (e[j] * f));
            g[j] = gd;
            sums->rate[j] -= hgd * after;
            sums->target[j] += hgd * f;
            dh += gd * (f * A - after * (r + f));
        }
    else if (solver == TL_CTRNN)
        for (int64_t j = 0; j < H; j++) {
            vec r = w->rate[j], f = e[j], over = reciprocal(1 + h * r);
            vec gd = g[j] * over, after = (x[j] + h * f) * over;
            dz[j] = h * gd * (1 - f * f);
            sums->rate[j] -= h * gd * after;
            dh += gd * (f - r * after);
            g[j] = gd;
        }
    else if (solver == TL_EULER)
        for (int64_t j = 0; j < H; j++) {
            vec f = reciprocal(1 + e[j]), A = w->target[j], l = w->rate[j] + f, rest = 1 / l;
            mask cut = h > rest;
            vec kg = choose(cut, rest, h) * g[j], y = choose(cut, f * A * rest, x[j]);
            dh += choose(cut, splat(0), g[j] * (f * A - x[j] * l));
            dz[j] = kg * (A - y) * (f * (e[j] * f));
            sums->rate[j] -= kg * y;
            sums->target[j] += kg * f;
            g[j] = choose(cut, splat(0), g[j] - kg * l);
        }
    else
        for (int64_t j = 0; j < H; j++) {
            vec f = reciprocal(1 + e[j]), A = w->target[j], l = w->rate[j] + f;
            vec slope = f * A - x[j] * l, decay = vexp(-h * l), slower;
            vec k = ltc_decayed(h, l, decay, &slower);
            slower *= slope;
            dz[j] = g[j] * (k * (A - x[j]) + slower) * (f * (e[j] * f));
            sums->rate[j] += g[j] * (slower - k * x[j]);
            sums->target[j] += g[j] * (k * f);
            dh += g[j] * (decay * slope);
            g[j] *= decay;
        }
    return dh;
}

/* What a kept buffer holds of one step of one column. */
INLINE vec *ltc_kept(const tl_ltc *p, void *buffer, column c, int64_t t) {
    const tl_sizes *s = &p->sizes;
    return (vec *)buffer + (c.index * s->steps + t) * s->hidden;
}

static void ltc_read_out(const tl_ltc *p, const ltc_weights *w, column c, int64_t t,
                         const vec *state, vec *out) {
    int64_t H = p->sizes.hidden;
    for (int64_t o = 0; o < p->outputs; o++) {
        vec even = w->readout_bias[o], odd = splat(0); /* two sums wait for each other half as long */
        for (int64_t j = 0; j + 1 < H; j += 2) {
            even += w->readout[o * H + j] * state[j];
            odd += w->readout[o * H + j + 1] * state[j + 1];
        }
        if (H % 2) even += w->readout[o * H + H - 1] * state[H - 1];
        out[o] = even + odd;
    }
    scatter_row(&p->out, c, t, p->outputs, out);
}

/* ---- forward -------------------------------------------------------------------------------- */

typedef struct {
    ltc_weights weights;
    vec *x, *u, *z, *e, *state, *out;
} ltc_forward_scratch;

static size_t ltc_forward_take(const tl_ltc *p, char *base, ltc_forward_scratch *f) {
    arena a = {base, 0};
    int64_t I = padded(p->sizes.inputs), H = padded(p->sizes.hidden);
    ltc_take_weights(&a, p, 0, &f->weights);
    f->x = arena_vectors(&a, TILE * I);
    f->u = arena_vectors(&a, TILE * H);
    f->z = arena_vectors(&a, TILE * H);
    f->e = arena_vectors(&a, H);
    f->state = arena_vectors(&a, TILE * H);
    f->out = arena_vectors(&a, p->outputs);
    return a.used;
}

static void ltc_forward_job(const void *kernel, int64_t job, char *base) {
    const tl_ltc *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, Ip = padded(I), Hp = padded(H), first, last;
    ltc_forward_scratch f;
    ltc_forward_take(p, base, &f);
    job_columns(s, job, &first, &last);
    ltc_pack_weights(p, column_at(s, first), 0, &f.weights);
    for (int64_t index = first; index < last; index += TILE) {
        int tile = last - index < TILE ? (int)(last - index) : TILE;
        column columns[TILE];
        for (int c = 0; c < tile; c++) {
            columns[c] = column_at(s, index + c);
            gather_row(&p->h0, columns[c], 0, H, f.state + c * Hp);
        }
        for (int64_t t = 0; t < s->steps; t++) {
            for (int c = 0; c < tile; c++) gather_row(&p->x, columns[c], t, I, f.x + c * Ip);
            product(s, tile, f.weights.input, H, I, f.weights.bias, 0, f.x, Ip, f.u, Hp);
            for (int64_t k = 0; k < p->unfolds; k++) {
                product(s, tile, f.weights.recurrent, H, H, f.u, Hp, f.state, Hp, f.z, Hp);
                for (int c = 0; c < tile; c++)
                    ltc_step(p->solver, H, ltc_interval(p, columns[c], t), &f.weights,
                                f.z + c * Hp, f.state + c * Hp,
                                p->kept_gates ? ltc_kept(p, p->kept_gates, columns[c], t) : f.e,
                                f.state + c * Hp);
            }
            for (int c = 0; c < tile; c++) {
                const vec *state = f.state + c * Hp;
                if (p->y.data) scatter_row(&p->y, columns[c], t, H, state);
                if (p->kept_states)
                    memcpy(ltc_kept(p, p->kept_states, columns[c], t), state,
                           (size_t)H * sizeof(vec));
                if (p->outputs) ltc_read_out(p, &f.weights, columns[c], t, state, f.out);
            }
        }
        if (p->last.data)
            for (int c = 0; c < tile; c++) scatter_row(&p->last, columns[c], 0, H, f.state + c * Hp);
    }
}

/* ---- backward ------------------------------------------------------------------------------- */

typedef struct {
    ltc_weights weights;
    ltc_sums sums;
    real *weight_ih, *weight_hh; /* gradients so far, packed like the weights but row by row */
    vec *bias, *readout, *readout_bias;
    vec *x, *states, *dz, *du; /* a chunk of steps: (t, c, I), (t, k, c, H), ..., (t, c, H) */
    vec *g, *gy, *gout, *scratch;
    int64_t chunk;
    size_t zero_from, chunk_from, zero_to; /* the part of the arena that starts at zero */
} ltc_backward_scratch;

/* Steps of a backward pass that are worked on at once. */
static int64_t ltc_chunk(const tl_ltc *p) {
    int64_t I = padded(p->sizes.inputs), H = padded(p->sizes.hidden), K = p->unfolds;
    return chunk_steps(&p->sizes, I + 2 * K * H + (K > 1 ? H : 0));
}

static size_t ltc_backward_take(const tl_ltc *p, char *base, ltc_backward_scratch *b) {
    const tl_sizes *s = &p->sizes;
    arena a = {base, 0};
    int64_t I = padded(s->inputs), H = padded(s->hidden), one = weight_size(s), K = p->unfolds;
    b->chunk = ltc_chunk(p);
    ltc_take_weights(&a, p, 1, &b->weights);
    b->zero_from = a.used;
    b->sums.rate = arena_vectors(&a, H);
    b->sums.target = arena_vectors(&a, H);
    b->bias = arena_vectors(&a, H);
    b->readout = arena_vectors(&a, p->outputs * s->hidden);
    b->readout_bias = arena_vectors(&a, p->outputs);
    b->weight_ih = arena_alloc(&a, s->hidden * s->inputs * one);
    b->weight_hh = arena_alloc(&a, s->hidden * s->hidden * one);
    b->chunk_from = a.used; /* its padding must be zero, and stays so */
    b->x = arena_vectors(&a, b->chunk * TILE * I);
    b->dz = arena_vectors(&a, b->chunk * K * TILE * H);
    b->du = K > 1 ? arena_vectors(&a, b->chunk * TILE * H) : b->dz;
    b->states = arena_vectors(&a, (b->chunk * K + 1) * TILE * H);
    b->zero_to = a.used;
    b->g = arena_vectors(&a, TILE * H);
    b->gy = arena_vectors(&a, H);
    b->gout = arena_vectors(&a, p->outputs);
    b->scratch = arena_vectors(&a, TILE * (H > I ? H : I));
    return a.used;
}

/* State after step t, for t = -1 the initial one. */
static void ltc_state_after(const tl_ltc *p, column c, int64_t t, vec *to) {
    int64_t H = p->sizes.hidden;
    if (t < 0)
        gather_row(&p->h0, c, 0, H, to);
    else if (p->y.data)
        gather_row(&p->y, c, t, H, to);
    else
        memcpy(to, ltc_kept(p, p->kept_states, c, t), (size_t)H * sizeof(vec));
}

/* Brings what was kept of a step to come near: the processor does not foresee a way back. */
static void ltc_fetch(const tl_ltc *p, column c, int64_t t) {
    if (t < 0) return;
    for (int64_t j = 0; j < p->sizes.hidden; j++) {
        if (p->kept_gates) __builtin_prefetch(ltc_kept(p, p->kept_gates, c, t) + j);
        if (!p->y.data) __builtin_prefetch(ltc_kept(p, p->kept_states, c, t) + j);
    }
}

/* States before every sub-step of steps from .. to, and e of its gates where dz is to stand. */
static void ltc_replay(const tl_ltc *p, const ltc_backward_scratch *b, const column *columns,
                       int tile, int64_t from, int64_t to) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, Ip = padded(I), Hp = padded(H), K = p->unfolds;
    for (int64_t t = from; t < to; t++) {
        vec *x = b->x + (t - from) * tile * Ip, *u = b->scratch;
        vec *states = b->states + (t - from) * K * tile * Hp, *e = b->dz + (t - from) * K * tile * Hp;
        for (int c = 0; c < tile; c++) {
            gather_row(&p->x, columns[c], t, I, x + c * Ip);
            ltc_state_after(p, columns[c], t - 1, states + c * Hp);
        }
        if (p->kept_gates) {
            for (int c = 0; c < tile; c++)
                memcpy(e + c * Hp, ltc_kept(p, p->kept_gates, columns[c], t),
                       (size_t)H * sizeof(vec));
            continue;
        }
        product(s, tile, b->weights.input, H, I, b->weights.bias, 0, x, Ip, u, Hp);
        for (int64_t k = 0; k < K; k++, states += tile * Hp, e += tile * Hp) {
            product(s, tile, b->weights.recurrent, H, H, u, Hp, states, Hp, e, Hp);
            for (int c = 0; c < tile; c++) /* the last sub-step's result is the next step's state */
                ltc_step(p->solver, H, ltc_interval(p, columns[c], t), &b->weights, e + c * Hp,
                            states + c * Hp, e + c * Hp, states + (tile + c) * Hp);
        }
    }
    vec *after = b->states + (to - from) * K * tile * Hp;
    for (int c = 0; c < tile; c++) ltc_state_after(p, columns[c], to - 1, after + c * Hp);
}

/* The readout's part of a step: adds to g of its state, and to the readout's own gradients. */
static void ltc_backward_readout(const tl_ltc *p, const ltc_backward_scratch *b, column c,
                                 int64_t t, const vec *state, vec *g) {
    int64_t H = p->sizes.hidden;
    gather_gradient(&p->grad_out, c, t, p->outputs, b->gout);
    for (int64_t o = 0; o < p->outputs; o++) {
        vec d = b->gout[o];
        b->readout_bias[o] += d;
        for (int64_t j = 0; j < H; j++) {
            g[j] += d * b->weights.readout[o * H + j];
            b->readout[o * H + j] += d * state[j];
        }
    }
}

static void ltc_backward_steps(const tl_ltc *p, const ltc_backward_scratch *b,
                               const column *columns, int tile, int64_t from, int64_t to) {
    const tl_sizes *s = &p->sizes;
    int64_t H = s->hidden, Hp = padded(H), K = p->unfolds;
    for (int64_t t = to - 1; t >= from; t--) {
        vec dh[TILE];
        for (int c = 0; c < tile; c++) {
            dh[c] = splat(0);
            ltc_fetch(p, columns[c], t - b->chunk);
            if (p->grad_y.data) {
                gather_gradient(&p->grad_y, columns[c], t, H, b->gy);
                for (int64_t j = 0; j < H; j++) b->g[c * Hp + j] += b->gy[j];
            }
            if (p->outputs)
                ltc_backward_readout(p, b, columns[c], t,
                                     b->states + ((t - from + 1) * K * tile + c) * Hp,
                                     b->g + c * Hp);
        }
        for (int64_t k = K - 1; k >= 0; k--) {
            int64_t place = ((t - from) * K + k) * tile * Hp;
            for (int c = 0; c < tile; c++)
                dh[c] += ltc_step_backward(p->solver, H, ltc_interval(p, columns[c], t), &b->weights,
                                     b->dz + place + c * Hp, b->states + place + c * Hp,
                                     b->g + c * Hp, b->dz + place + c * Hp, &b->sums);
            product(s, tile, b->weights.recurrent_t, H, H, b->g, Hp, b->dz + place, Hp, b->g, Hp);
        }
        if (p->grad_dt.data)
            for (int c = 0; c < tile; c++) {
                vec mean = dh[c] / (real)K;
                scatter_row(&p->grad_dt, columns[c], t, 1, &mean);
            }
        if (K > 1) {
            vec *du = b->du + (t - from) * tile * Hp;
            memset(du, 0, (size_t)(tile * Hp) * sizeof(vec));
            for (int64_t k = 0; k < K; k++)
                for (int64_t j = 0; j < tile * Hp; j++)
                    du[j] += b->dz[((t - from) * K + k) * tile * Hp + j];
        }
    }
}

static void ltc_backward_job(const void *kernel, int64_t job, char *base) {
    const tl_ltc *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, Ip = padded(I), Hp = padded(H), K = p->unfolds;
    int64_t first, last;
    ltc_backward_scratch b;
    ltc_backward_take(p, base, &b);
    memset(base + b.zero_from, 0, b.zero_to - b.zero_from);
    job_columns(s, job, &first, &last);
    ltc_pack_weights(p, column_at(s, first), 1, &b.weights);
    for (int64_t index = first; index < last; index += TILE) {
        int tile = last - index < TILE ? (int)(last - index) : TILE;
        column columns[TILE];
        for (int c = 0; c < tile; c++) {
            columns[c] = column_at(s, index + c);
            gather_gradient(&p->grad_last, columns[c], 0, H, b.g + c * Hp);
        }
        if (index > first && tile < TILE) /* the chunk's padding lies elsewhere now */
            memset(base + b.chunk_from, 0, b.zero_to - b.chunk_from);
        for (int64_t to = s->steps, from; to > 0; to = from) {
            from = to > b.chunk ? to - b.chunk : 0;
            int64_t n = to - from;
            ltc_replay(p, &b, columns, tile, from, to);
            ltc_backward_steps(p, &b, columns, tile, from, to);
            add_outer(s, H, H, n * K * tile, b.dz, Hp, b.states, Hp, b.weight_hh);
            add_outer(s, H, I, n * tile, b.du, Hp, b.x, Ip, b.weight_ih);
            add_rows(H, n * tile, b.du, Hp, b.bias);
            if (p->grad_x.data)
                for (int64_t t = 0; t < n; t++) {
                    product(s, tile, b.weights.input_t, I, H, b.weights.zero, 0,
                            b.du + t * tile * Hp, Hp, b.scratch, Ip);
                    for (int c = 0; c < tile; c++)
                        scatter_row(&p->grad_x, columns[c], from + t, I, b.scratch + c * Ip);
                }
        }
        if (p->grad_h0.data)
            for (int c = 0; c < tile; c++) scatter_row(&p->grad_h0, columns[c], 0, H, b.g + c * Hp);
    }
}

/* From gradients of 1/tau to those of tau, or of its raw parameter. */
static void ltc_tau_gradient(const tl_ltc *p, int64_t n, const vec *rates, vec *sums) {
    for (int64_t j = 0; j < n; j++) {
        vec rate = rates[j], tau = 1 / rate;
        if (p->raw) { /* times the logistic function of raw, in an order that overflows nowhere */
            vec slope = sums[j] * rate * (rate * vexpm1(-tau));
            sums[j] = choose(tau > TAU_LEAST, slope, splat(0));
        } else
            sums[j] *= -rate * rate;
    }
}

static void ltc_backward_finish(const void *kernel, int64_t job, char *base) {
    const tl_ltc *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, first, last;
    ltc_backward_scratch b;
    ltc_backward_take(p, base, &b);
    job_columns(s, job, &first, &last);
    column c = column_at(s, first);
    ltc_tau_gradient(p, H, b.weights.rate, b.sums.rate);
    give_matrix(s, job, &p->grad_weight_ih, c, 0, H, I, b.weight_ih);
    give_matrix(s, job, &p->grad_weight_hh, c, 0, H, H, b.weight_hh);
    give_vector(s, job, &p->grad_bias, c, H, b.bias);
    give_vector(s, job, &p->grad_tau, c, H, b.sums.rate);
    give_vector(s, job, &p->grad_target, c, H, b.sums.target);
    give_vector(s, job, &p->grad_readout_bias, c, p->outputs, b.readout_bias);
    for (int64_t o = 0; o < p->outputs; o++) {
        tl_view row = p->grad_readout;
        if (row.data) row.data = (real *)row.data + o * row.row;
        give_vector(s, job, &row, c, H, b.readout + o * H);
    }
}

#endif
