/* The LTC with a gate for every synapse over whole sequences.
 *
 * The equations stand in functional/synaptic.py. Synapses are lists of [source, destination]; here
 * they are sorted by destination, so that a neuron's two sums stay in registers.
 *
 * Backwards, with g of the state v' after a sub-step of length h and bottom = cm + h D:
 *
 *     a = g / bottom,      dcm += a (v - v'),   dh += a (N - v' D),   dv += a cm
 *     dN = h a,            dD = -h a v'
 *
 * and at each synapse, with its gate f = sigmoid(sigma (v_i - mu)):
 *
 *     q = (dN erev + dD) f,   m = q (1 - f),   dv_i += w sigma m
 *     dw += q,   derev += w dN f,   dsigma += w m (v_i - mu),   dmu -= w sigma m
 *
 * so that sums over time of m, m v_i, f dN and f dD are all that the parameters need.
 *
 * A sample's sub-steps are replayed from the state before it and their gates kept (memory does not
 * grow with the sequence). Only dv_i runs sub-step by sub-step; the four sums of a synapse are then
 * taken over all sub-steps of the sample in registers.
 */
#include "jobs.h"
#include "memory.h"
#include "power.h"

#define SYNAPSE_EPSILON ((real)1e-8)

/* Constants of a synapse, packed side by side; the gate is 1 / (1 + 2^(SLOPE v + OFFSET)). */
enum { SIGMA, MU, W, EREV, W_SIGMA, W_EREV, SLOPE, OFFSET, CONSTANTS };
/* Sums over all steps of m, m v_i, f dN and f dD. */
enum { SUM_SLOPE, SUM_MOVED, SUM_TOP, SUM_BOTTOM, SUMS };

/* One list of synapses, sorted. */
typedef struct {
    int64_t count, sources, destinations;
    const int64_t *edges; /* as given: source, destination, source, ... */
    int64_t *start, *source, *order; /* first of each destination; its source; its place as given */
    real *constants; /* registers of a pack, scalars of a shared model */
    vec *sums; /* of the gradients, without the factors that do not change */
} synapse_list;

static void synapse_take(arena *a, const tl_sizes *s, int64_t count, int64_t sources,
                         const int64_t *edges, synapse_list *l) {
    const int64_t whole = (int64_t)(sizeof(int64_t) / sizeof(real));
    l->count = count;
    l->sources = sources;
    l->destinations = s->hidden;
    l->edges = edges;
    l->start = arena_alloc(a, (s->hidden + 1) * whole);
    l->source = arena_alloc(a, count * whole);
    l->order = arena_alloc(a, count * whole);
    l->constants = arena_alloc(a, count * CONSTANTS * weight_size(s));
}

/* Sort by destination, in the order given among those of one destination, and pack. */
static void synapse_pack(const tl_sizes *s, const tl_view *views, column c, synapse_list *l) {
    int64_t *start = l->start;
    memset(start, 0, (size_t)(l->destinations + 1) * sizeof *start);
    for (int64_t e = 0; e < l->count; e++) start[l->edges[2 * e + 1] + 1]++;
    for (int64_t j = 0; j < l->destinations; j++) start[j + 1] += start[j];
    for (int64_t e = 0; e < l->count; e++) {
        int64_t place = start[l->edges[2 * e + 1]]++;
        l->source[place] = l->edges[2 * e];
        l->order[place] = e;
    }
    for (int64_t j = l->destinations; j > 0; j--) start[j] = start[j - 1];
    start[0] = 0;
    for (int64_t e = 0; e < l->count; e++) {
        real *to = l->constants + e * CONSTANTS * weight_size(s);
        for (int k = SIGMA; k <= EREV; k++) {
            const real *from = element(&views[k], c, 0) + l->order[e] * views[k].item;
            if (s->shared)
                to[k] = *from;
            else
                ((vec *)to)[k] = gather(from, views[k].lane, c.valid);
        }
        if (s->shared) {
            to[W_SIGMA] = to[W] * to[SIGMA];
            to[W_EREV] = to[W] * to[EREV];
            to[SLOPE] = -EXP_LOG2E * to[SIGMA];
            to[OFFSET] = -to[SLOPE] * to[MU];
        } else {
            vec *v = (vec *)to;
            v[W_SIGMA] = v[W] * v[SIGMA];
            v[W_EREV] = v[W] * v[EREV];
            v[SLOPE] = -EXP_LOG2E * v[SIGMA];
            v[OFFSET] = -v[SLOPE] * v[MU];
        }
    }
}

INLINE vec synapse_constant(int shared, const synapse_list *l, int64_t e, int which) {
    int64_t place = e * CONSTANTS + which;
    return shared ? splat(l->constants[place]) : ((const vec *)l->constants)[place];
}

INLINE void synapse_currents_of(int shared, int keep, const synapse_list *l, const vec *v,
                                const vec *top, const vec *bottom, vec *N, vec *D, vec *gates) {
    for (int64_t j = 0; j < l->destinations; j++) {
        vec n = top[j], d = bottom[j];
        for (int64_t e = l->start[j]; e < l->start[j + 1]; e++) {
            vec y = v[l->source[e]] * synapse_constant(shared, l, e, SLOPE) +
                    synapse_constant(shared, l, e, OFFSET);
            vec f = reciprocal(one_plus_power(y));
            n += f * synapse_constant(shared, l, e, W_EREV);
            d += f * synapse_constant(shared, l, e, W);
            if (keep) gates[e] = f;
        }
        N[j] = n;
        D[j] = d;
    }
}

/* N = top + sum r erev and D = bottom + sum r over the synapses; keeps the gates unless NULL. */
static void synapse_currents(int shared, const synapse_list *l, const vec *v, const vec *top,
                             const vec *bottom, vec *N, vec *D, vec *gates) {
    if (shared && gates)
        synapse_currents_of(1, 1, l, v, top, bottom, N, D, gates);
    else if (shared)
        synapse_currents_of(1, 0, l, v, top, bottom, N, D, gates);
    else if (gates)
        synapse_currents_of(0, 1, l, v, top, bottom, N, D, gates);
    else
        synapse_currents_of(0, 0, l, v, top, bottom, N, D, gates);
}

INLINE void synapse_pull_of(int shared, const synapse_list *l, const vec *gates, const vec *dN,
                            const vec *dD, vec *slopes, vec *dv) {
    for (int64_t j = 0; j < l->destinations; j++) {
        vec n = dN[j], d = dD[j];
        for (int64_t e = l->start[j]; e < l->start[j + 1]; e++) {
            vec f = gates[e], q = (n * synapse_constant(shared, l, e, EREV) + d) * f;
            slopes[e] = q - q * f;
            dv[l->source[e]] += synapse_constant(shared, l, e, W_SIGMA) * slopes[e];
        }
    }
}

/* dv += the gradient of the sources; keeps m of every synapse in slopes. */
static void synapse_pull(int shared, const synapse_list *l, const vec *gates, const vec *dN,
                         const vec *dD, vec *slopes, vec *dv) {
    if (shared)
        synapse_pull_of(1, l, gates, dN, dD, slopes, dv);
    else
        synapse_pull_of(0, l, gates, dN, dD, slopes, dv);
}

/* Add n sub-steps to the sums of every synapse. */
static void synapse_collect(const synapse_list *l, int64_t n, const vec *gates, const vec *slopes,
                            const vec *v, const vec *dN, const vec *dD) {
    for (int64_t j = 0; j < l->destinations; j++)
        for (int64_t e = l->start[j]; e < l->start[j + 1]; e++) {
            vec *sums = l->sums + e * SUMS;
            vec slope = sums[SUM_SLOPE], moved = sums[SUM_MOVED];
            vec top = sums[SUM_TOP], bottom = sums[SUM_BOTTOM];
            const vec *from = v + l->source[e];
            for (int64_t k = 0; k < n; k++) {
                vec f = gates[k * l->count + e], m = slopes[k * l->count + e];
                slope += m;
                moved += m * from[k * l->sources];
                top += f * dN[k * l->destinations + j];
                bottom += f * dD[k * l->destinations + j];
            }
            sums[SUM_SLOPE] = slope;
            sums[SUM_MOVED] = moved;
            sums[SUM_TOP] = top;
            sums[SUM_BOTTOM] = bottom;
        }
}

static void synapse_give(const tl_sizes *s, int64_t job, const tl_view *views, column c,
                         const synapse_list *l) {
    for (int64_t e = 0; e < l->count; e++) {
        vec *sums = l->sums + e * SUMS, constant[CONSTANTS], found[EREV + 1];
        for (int k = 0; k < CONSTANTS; k++)
            constant[k] = synapse_constant((int)s->shared, l, e, k);
        found[SIGMA] = constant[W] * (sums[SUM_MOVED] - constant[MU] * sums[SUM_SLOPE]);
        found[MU] = -constant[W_SIGMA] * sums[SUM_SLOPE];
        found[W] = constant[EREV] * sums[SUM_TOP] + sums[SUM_BOTTOM];
        found[EREV] = constant[W] * sums[SUM_TOP];
        for (int k = SIGMA; k <= EREV; k++) {
            tl_view one = views[k]; /* the view from this synapse on: a vector of one element */
            if (!one.data) continue;
            one.data = (real *)one.data + l->order[e] * one.item;
            give_vector(s, job, &one, c, 1, &found[k]);
        }
    }
}

static int synapse_fits(const tl_synaptic *p) {
    int64_t counts[2] = {p->synapses, p->sensory}, sources[2] = {p->sizes.hidden, p->sizes.inputs};
    const int64_t *edges[2] = {p->edges, p->sensory_edges};
    if (p->unfolds < 1) return 0;
    for (int k = 0; k < 2; k++)
        for (int64_t e = 0; e < counts[k]; e++) {
            int64_t from = edges[k][2 * e], to = edges[k][2 * e + 1];
            if (from < 0 || from >= sources[k] || to < 0 || to >= p->sizes.hidden) return 0;
        }
    return 1;
}

/* ---- what both passes need ------------------------------------------------------------------ */

typedef struct {
    synapse_list recurrent, sensory;
    vec *gleak, *vleak, *cm, *leak_top, *leak_bottom, *top, *bottom, *x;
} synaptic_cell;

static void synaptic_take(arena *a, const tl_synaptic *p, synaptic_cell *m) {
    const tl_sizes *s = &p->sizes;
    int64_t H = padded(s->hidden);
    synapse_take(a, s, p->synapses, s->hidden, p->edges, &m->recurrent);
    synapse_take(a, s, p->sensory, s->inputs, p->sensory_edges, &m->sensory);
    vec **vectors[] = {&m->gleak,       &m->vleak, &m->cm,    &m->leak_top,
                       &m->leak_bottom, &m->top,   &m->bottom};
    for (size_t k = 0; k < sizeof vectors / sizeof *vectors; k++) *vectors[k] = arena_vectors(a, H);
    m->x = arena_vectors(a, s->inputs);
}

static void synaptic_pack(const tl_synaptic *p, column c, synaptic_cell *m) {
    int64_t H = p->sizes.hidden;
    synapse_pack(&p->sizes, p->recurrent, c, &m->recurrent);
    synapse_pack(&p->sizes, p->sensors, c, &m->sensory);
    pack_vector(&p->gleak, c, H, m->gleak);
    pack_vector(&p->vleak, c, H, m->vleak);
    pack_vector(&p->cm, c, H, m->cm);
    for (int64_t j = 0; j < H; j++) {
        m->leak_top[j] = m->gleak[j] * m->vleak[j];
        m->leak_bottom[j] = m->gleak[j] + SYNAPSE_EPSILON;
    }
}

/* Length of a sub-step at step t. */
INLINE vec synaptic_interval(const tl_synaptic *p, column c, int64_t t) {
    if (!p->dt.data) return splat((real)(p->interval / (double)p->unfolds));
    return gather(element(&p->dt, c, t), p->dt.lane, c.valid) / (real)p->unfolds;
}

/* What does not change during a sample: leak and sensory synapses. */
static void synaptic_sense(const tl_synaptic *p, const synaptic_cell *m, column c, int64_t t,
                           vec *gates) {
    gather_row(&p->x, c, t, p->sizes.inputs, m->x);
    synapse_currents((int)p->sizes.shared, &m->sensory, m->x, m->leak_top, m->leak_bottom, m->top,
                     m->bottom, gates);
}

static void synaptic_advance(int64_t H, vec h, const vec *cm, const vec *N, const vec *D,
                             const vec *v, vec *after) {
    for (int64_t j = 0; j < H; j++) after[j] = (cm[j] * v[j] + h * N[j]) * reciprocal(cm[j] + h * D[j]);
}

/* ---- forward -------------------------------------------------------------------------------- */

typedef struct {
    synaptic_cell cell;
    memory memory;
    vec *N, *D, *v;
} synaptic_forward_scratch;

static size_t synaptic_forward_take(const tl_synaptic *p, char *base, synaptic_forward_scratch *f) {
    arena a = {base, 0};
    synaptic_take(&a, p, &f->cell);
    memory_take(&a, &p->memory, &p->sizes, 0, &f->memory);
    f->N = arena_vectors(&a, p->sizes.hidden);
    f->D = arena_vectors(&a, p->sizes.hidden);
    f->v = arena_vectors(&a, p->sizes.hidden);
    return a.used;
}

static void synaptic_forward_job(const void *kernel, int64_t job, char *base) {
    const tl_synaptic *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t H = s->hidden, first, last;
    synaptic_forward_scratch f;
    synaptic_forward_take(p, base, &f);
    job_columns(s, job, &first, &last);
    synaptic_pack(p, column_at(s, first), &f.cell);
    memory_pack(s, column_at(s, first), 0, base, &f.memory);
    for (int64_t index = first; index < last; index++) {
        column c = column_at(s, index);
        gather_row(&p->h0, c, 0, H, f.v);
        memory_start(&f.memory, s, c, 0, 0);
        for (int64_t t = 0; t < s->steps; t++) {
            vec h = synaptic_interval(p, c, t);
            synaptic_sense(p, &f.cell, c, t, NULL);
            memory_advance(&f.memory, s, c, 0, t, f.v);
            for (int64_t k = 0; k < p->unfolds; k++) {
                synapse_currents((int)s->shared, &f.cell.recurrent, f.v, f.cell.top, f.cell.bottom,
                                 f.N, f.D, NULL);
                synaptic_advance(H, h, f.cell.cm, f.N, f.D, f.v, f.v);
            }
            scatter_row(&p->y, c, t, H, f.v);
        }
    }
}

static int synaptic_forward(const tl_synaptic *p) {
    synaptic_forward_scratch f;
    if (!synapse_fits(p)) return TL_BAD_ARGUMENT;
    return run_jobs(&p->sizes, p, synaptic_forward_take(p, NULL, &f), synaptic_forward_job, NULL);
}

/* ---- backward ------------------------------------------------------------------------------- */

typedef struct {
    synaptic_cell cell;
    memory memory;
    vec *gleak, *vleak, *cm; /* gradients so far */
    vec *v, *N, *D, *dN, *dD, *gates, *slopes; /* of the sub-steps of a sample; v also of the state after */
    vec *sensory_gates, *sensory_slopes, *all_dN, *all_dD; /* of the sample */
    vec *g, *gy, *dx, *before; /* before: the state before the sample, and before its memory */
    size_t sums_from, sums_to; /* the part of the arena that starts at zero */
} synaptic_backward_scratch;

static size_t synaptic_backward_take(const tl_synaptic *p, char *base,
                                     synaptic_backward_scratch *b) {
    int64_t H = p->sizes.hidden, K = p->unfolds;
    arena a = {base, 0};
    synaptic_take(&a, p, &b->cell);
    memory_take(&a, &p->memory, &p->sizes, 1, &b->memory);
    b->sums_from = a.used;
    b->cell.recurrent.sums = arena_vectors(&a, p->synapses * SUMS);
    b->cell.sensory.sums = arena_vectors(&a, p->sensory * SUMS);
    b->gleak = arena_vectors(&a, H);
    b->vleak = arena_vectors(&a, H);
    b->cm = arena_vectors(&a, H);
    b->sums_to = a.used;
    b->v = arena_vectors(&a, (K + 1) * H);
    b->N = arena_vectors(&a, K * H);
    b->D = arena_vectors(&a, K * H);
    b->dN = arena_vectors(&a, K * H);
    b->dD = arena_vectors(&a, K * H);
    b->gates = arena_vectors(&a, K * p->synapses);
    b->slopes = arena_vectors(&a, K * p->synapses);
    b->sensory_gates = arena_vectors(&a, p->sensory);
    b->sensory_slopes = arena_vectors(&a, p->sensory);
    b->all_dN = arena_vectors(&a, H);
    b->all_dD = arena_vectors(&a, H);
    b->g = arena_vectors(&a, H);
    b->gy = arena_vectors(&a, H);
    b->dx = arena_vectors(&a, p->sizes.inputs);
    b->before = arena_vectors(&a, H);
    return a.used;
}

/* Backwards through a sample that was replayed: g after it becomes g before it. Returns g of the
 * sub-steps' length. */
static vec synaptic_retreat(const tl_synaptic *p, const synaptic_backward_scratch *b, vec h) {
    int64_t H = p->sizes.hidden;
    const synaptic_cell *m = &b->cell;
    vec dh = splat(0);
    memset(b->all_dN, 0, (size_t)H * sizeof(vec));
    memset(b->all_dD, 0, (size_t)H * sizeof(vec));
    for (int64_t k = p->unfolds - 1; k >= 0; k--) {
        const vec *v = b->v + k * H, *after = v + H, *N = b->N + k * H, *D = b->D + k * H;
        vec *dN = b->dN + k * H, *dD = b->dD + k * H;
        for (int64_t j = 0; j < H; j++) {
            vec a = b->g[j] * reciprocal(m->cm[j] + h * D[j]);
            dN[j] = h * a;
            dD[j] = -dN[j] * after[j];
            b->all_dN[j] += dN[j];
            b->all_dD[j] += dD[j];
            b->cm[j] += a * (v[j] - after[j]);
            dh += a * (N[j] - after[j] * D[j]);
            b->g[j] = a * m->cm[j];
        }
        synapse_pull((int)p->sizes.shared, &m->recurrent, b->gates + k * p->synapses, dN, dD,
                     b->slopes + k * p->synapses, b->g);
    }
    for (int64_t j = 0; j < H; j++) {
        b->gleak[j] += b->all_dN[j] * m->vleak[j] + b->all_dD[j];
        b->vleak[j] += b->all_dN[j] * m->gleak[j];
    }
    return dh;
}

static void synaptic_backward_job(const void *kernel, int64_t job, char *base) {
    const tl_synaptic *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t H = s->hidden, I = s->inputs, first, last;
    int shared = (int)s->shared;
    synaptic_backward_scratch b;
    synaptic_backward_take(p, base, &b);
    synaptic_cell *m = &b.cell;
    memset(base + b.sums_from, 0, b.sums_to - b.sums_from);
    job_columns(s, job, &first, &last);
    synaptic_pack(p, column_at(s, first), m);
    memory_pack(s, column_at(s, first), 1, base, &b.memory);
    for (int64_t index = first; index < last; index++) {
        column c = column_at(s, index);
        gather_gradient(&p->grad_last, c, 0, H, b.g);
        memory_start(&b.memory, s, c, 0, 1);
        for (int64_t t = s->steps - 1; t >= 0; t--) {
            vec h = synaptic_interval(p, c, t);
            gather_row(t ? &p->y : &p->h0, c, t ? t - 1 : 0, H, b.v);
            if (memory_is_there(&p->memory)) {
                memcpy(b.before, b.v, (size_t)H * sizeof(vec));
                memory_state(&b.memory, s, c, t, b.v);
            }
            synaptic_sense(p, m, c, t, b.sensory_gates);
            for (int64_t k = 0; k < p->unfolds; k++) {
                vec *v = b.v + k * H, *N = b.N + k * H, *D = b.D + k * H;
                synapse_currents(shared, &m->recurrent, v, m->top, m->bottom, N, D,
                                 b.gates + k * p->synapses);
                synaptic_advance(H, h, m->cm, N, D, v, v + H);
            }
            gather_gradient(&p->grad_y, c, t, H, b.gy);
            for (int64_t j = 0; j < H; j++) b.g[j] += b.gy[j];
            vec dt = synaptic_retreat(p, &b, h) / (real)p->unfolds;
            if (p->grad_dt.data) scatter_row(&p->grad_dt, c, t, 1, &dt);
            synapse_collect(&m->recurrent, p->unfolds, b.gates, b.slopes, b.v, b.dN, b.dD);
            memset(b.dx, 0, (size_t)I * sizeof(vec));
            synapse_pull(shared, &m->sensory, b.sensory_gates, b.all_dN, b.all_dD,
                         b.sensory_slopes, b.dx);
            synapse_collect(&m->sensory, 1, b.sensory_gates, b.sensory_slopes, m->x, b.all_dN,
                            b.all_dD);
            memory_retreat(&b.memory, s, c, 0, t, b.before, b.g);
            if (p->grad_x.data) scatter_row(&p->grad_x, c, t, I, b.dx);
        }
        memory_flush(&b.memory, s);
        memory_end(&b.memory, s, c, 0);
        if (p->grad_h0.data) scatter_row(&p->grad_h0, c, 0, H, b.g);
    }
}

static void synaptic_backward_finish(const void *kernel, int64_t job, char *base) {
    const tl_synaptic *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t H = s->hidden, first, last;
    synaptic_backward_scratch b;
    synaptic_backward_take(p, base, &b);
    job_columns(s, job, &first, &last);
    column c = column_at(s, first);
    synapse_give(s, job, p->grad_recurrent, c, &b.cell.recurrent);
    synapse_give(s, job, p->grad_sensors, c, &b.cell.sensory);
    give_vector(s, job, &p->grad_gleak, c, H, b.gleak);
    give_vector(s, job, &p->grad_vleak, c, H, b.vleak);
    give_vector(s, job, &p->grad_cm, c, H, b.cm);
    memory_give(&b.memory, s, job, c);
}

static int synaptic_backward(const tl_synaptic *p) {
    synaptic_backward_scratch b;
    if (!synapse_fits(p)) return TL_BAD_ARGUMENT;
    return run_jobs(&p->sizes, p, synaptic_backward_take(p, NULL, &b), synaptic_backward_job,
                    synaptic_backward_finish);
}
