/* LSTM, GRU and DecayGRU with their neurons in the registers' lanes (rows.h); equations as in gated.h.
 *
 * Kept for the backward pass, H neurons each: LSTM i, f, g, o, c, tanh(c); GRU r, z, n, the n gate's
 * recurrent part, h, and of a DecayGRU h as it decayed before the sample.
 */
#ifndef TL_GATED_ROWS_H
#define TL_GATED_ROWS_H

#include "gated.h"
#include "rows.h"

typedef struct {
    vec *input, *recurrent, *transposed; /* panels */
    vec *bias; /* all gates: both biases; of a GRU's n the input's alone */
    vec *bias_n; /* GRU: the recurrent bias of n */
    vec *rate; /* DecayGRU */
    vec *readout, *readout_bias;
} gated_row_weights;

static void gated_rows_take(arena *a, const tl_gated *p, int backward, gated_row_weights *w) {
    const tl_sizes *s = &p->sizes;
    int64_t each = registers(s->hidden), all = gated_gates(p) * each;
    w->input = arena_vectors(a, all * s->inputs);
    w->recurrent = arena_vectors(a, backward ? 0 : all * s->hidden);
    w->transposed = arena_vectors(a, backward ? all * s->hidden : 0);
    w->bias = arena_vectors(a, all);
    w->bias_n = arena_vectors(a, all);
    w->rate = arena_vectors(a, each);
    w->readout = arena_vectors(a, p->outputs * each);
    w->readout_bias = arena_vectors(a, registers(p->outputs));
}

static void gated_rows_pack(const tl_gated *p, int64_t lane, int backward, gated_row_weights *w) {
    const tl_sizes *s = &p->sizes;
    int64_t H = s->hidden, G = gated_gates(p), each = registers(H);
    pack_panels(&p->weight_ih, lane, G, H, s->inputs, w->input);
    if (backward)
        pack_transposed(&p->weight_hh, lane, G, H, w->transposed);
    else
        pack_panels(&p->weight_hh, lane, G, H, H, w->recurrent);
    pack_gates(&p->bias_ih, lane, G, H, w->bias);
    pack_gates(&p->bias_hh, lane, G, H, w->bias_n);
    int64_t summed = p->kind == TL_LSTM ? 4 : 2;
    for (int64_t k = 0; k < summed * each; k++) w->bias[k] += w->bias_n[k];
    if (p->kind != TL_LSTM)
        memcpy(w->bias_n, w->bias_n + 2 * each, (size_t)each * sizeof(vec));
    row_place r = {lane, 0, 0, 0};
    row_load(&p->rate, r, 0, H, w->rate);
    if (p->raw && p->rate.data) positive(w->rate, each, 0);
    for (int64_t o = 0; o < p->outputs; o++) row_load(&p->readout, r, o, H, w->readout + o * each);
    row_load(&p->readout_bias, r, 0, p->outputs, w->readout_bias);
}

INLINE vec *gated_row_kept(const tl_gated *p, row_place r, int64_t t) {
    const tl_sizes *s = &p->sizes;
    return (vec *)p->kept + (r.index * s->steps + t) * GATED_KEPT * registers(s->hidden);
}

INLINE real gated_row_interval(const tl_gated *p, row_place r, int64_t t) {
    return p->dt.data ? *row_element(&p->dt, r, t) : (real)p->interval;
}

/* ---- forward -------------------------------------------------------------------------------- */

static void lstm_row_advance(int64_t each, const vec *z, vec *kept, vec *h, vec *c) {
    for (int64_t j = 0; j < each; j++) {
        vec i = sigmoid(z[j]), f = sigmoid(z[each + j]), g = vtanh(z[2 * each + j]);
        vec o = sigmoid(z[3 * each + j]), t;
        c[j] = f * c[j] + i * g;
        t = vtanh(c[j]);
        h[j] = o * t;
        kept[j] = i;
        kept[each + j] = f;
        kept[2 * each + j] = g;
        kept[3 * each + j] = o;
        kept[4 * each + j] = c[j];
        kept[5 * each + j] = t;
    }
}

static void gru_row_advance(int64_t each, const vec *z, const vec *u_n, vec *kept, vec *h) {
    for (int64_t j = 0; j < each; j++) {
        vec r = sigmoid(z[j]), update = sigmoid(z[each + j]), v = z[2 * each + j];
        vec n = vtanh(u_n[j] + r * v);
        h[j] = n + update * (h[j] - n);
        kept[j] = r;
        kept[each + j] = update;
        kept[2 * each + j] = n;
        kept[3 * each + j] = v;
        kept[4 * each + j] = h[j];
    }
}

typedef struct {
    gated_row_weights weights[TOGETHER];
    real *x[TOGETHER];
    vec *u_n[TOGETHER], *z[TOGETHER], *h[TOGETHER], *c[TOGETHER], *kept[TOGETHER];
} gated_rows_forward_scratch;

static size_t gated_rows_forward_take(const tl_gated *p, char *base,
                                      gated_rows_forward_scratch *f) {
    const tl_sizes *s = &p->sizes;
    arena a = {base, 0};
    int64_t each = registers(s->hidden), all = gated_gates(p) * each;
    for (int r = 0; r < TOGETHER; r++) {
        if (!r || !s->shared) gated_rows_take(&a, p, 0, &f->weights[r]);
        f->x[r] = arena_alloc(&a, s->inputs);
        f->z[r] = arena_vectors(&a, all);
        f->u_n[r] = arena_vectors(&a, each);
        f->h[r] = arena_vectors(&a, each);
        f->c[r] = arena_vectors(&a, each);
        f->kept[r] = arena_vectors(&a, GATED_KEPT * each);
    }
    return a.used;
}

static void gated_rows_forward_job(const void *kernel, int64_t job, char *base) {
    const tl_gated *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, each = registers(H), all = gated_gates(p) * each;
    gated_rows_forward_scratch f;
    gated_rows_forward_take(p, base, &f);
    for (int k = 0; k < job_sets(s, job); k++)
        gated_rows_pack(p, set_lane(s, job, k), 0, &f.weights[k]);
    row_place rows[TOGETHER];
    int64_t done = 0;
    int together;
    while ((together = next_rows(s, job, &done, rows))) {
        const vec *input[TOGETHER], *recurrent[TOGETHER], *bias[TOGETHER];
        const real *x[TOGETHER], *h[TOGETHER];
        for (int r = 0; r < together; r++) {
            const gated_row_weights *w = &f.weights[rows[r].set];
            input[r] = w->input;
            recurrent[r] = w->recurrent;
            bias[r] = w->bias;
            h[r] = (const real *)f.h[r];
            row_load(&p->h0, rows[r], 0, H, f.h[r]);
            if (p->kind == TL_LSTM) row_load(&p->c0, rows[r], 0, H, f.c[r]);
        }
        for (int64_t t = 0; t < s->steps; t++) {
            vec *kept[TOGETHER];
            for (int r = 0; r < together; r++) {
                x[r] = row_numbers(&p->x, rows[r], t, I, f.x[r]);
                kept[r] = p->kept ? gated_row_kept(p, rows[r], t) : f.kept[r];
                if (p->kind == TL_DECAY_GRU)
                    gated_decay(each, splat(gated_row_interval(p, rows[r], t)),
                                f.weights[rows[r].set].rate, kept[r] + 5 * each, f.h[r]);
            }
            panels_product(together, all, I, input, x, bias, f.z);
            if (p->kind != TL_LSTM)
                for (int r = 0; r < together; r++) {
                    memcpy(f.u_n[r], f.z[r] + 2 * each, (size_t)each * sizeof(vec));
                    memcpy(f.z[r] + 2 * each, f.weights[rows[r].set].bias_n,
                           (size_t)each * sizeof(vec));
                }
            panels_product(together, all, H, recurrent, h, (const vec *const *)f.z, f.z);
            for (int r = 0; r < together; r++) {
                if (p->kind == TL_LSTM)
                    lstm_row_advance(each, f.z[r], kept[r], f.h[r], f.c[r]);
                else
                    gru_row_advance(each, f.z[r], f.u_n[r], kept[r], f.h[r]);
                if (p->kind == TL_DECAY_GRU && gated_row_interval(p, rows[r], t) < 0) {
                    memcpy(f.h[r], kept[r] + 5 * each, (size_t)each * sizeof(vec));
                    memcpy(kept[r] + 4 * each, f.h[r], (size_t)each * sizeof(vec));
                }
                const gated_row_weights *w = &f.weights[rows[r].set];
                if (p->y.data) row_store(&p->y, rows[r], t, H, f.h[r]);
                if (p->outputs)
                    row_read_out_fast(&p->out, rows[r], t, p->outputs, H, w->readout,
                                      (const real *)w->readout_bias, f.h[r]);
            }
        }
        for (int r = 0; r < together; r++) {
            row_store(&p->last, rows[r], 0, H, f.h[r]);
            if (p->kind == TL_LSTM) row_store(&p->last_c, rows[r], 0, H, f.c[r]);
        }
    }
}

/* ---- backward ------------------------------------------------------------------------------- */

/* As lstm_retreat in gated.h, in one vector a gate. */
static void lstm_row_retreat(int64_t each, const vec *kept, const vec *c_before, vec *g, vec *gc,
                             vec *du) {
    for (int64_t j = 0; j < each; j++) {
        vec i = kept[j], f = kept[each + j], n = kept[2 * each + j], o = kept[3 * each + j];
        vec t = kept[5 * each + j], dc = gc[j] + g[j] * (o * (1 - t * t));
        du[j] = dc * (n * i * (1 - i));
        du[each + j] = dc * (c_before[j] * f * (1 - f));
        du[2 * each + j] = dc * (i * (1 - n * n));
        du[3 * each + j] = g[j] * (t * o * (1 - o));
        gc[j] = dc * f;
        g[j] = splat(0);
    }
}

static void gru_row_retreat(int64_t each, const vec *kept, const vec *before, vec *g, vec *du,
                            vec *dv) {
    for (int64_t j = 0; j < each; j++) {
        vec r = kept[j], z = kept[each + j], n = kept[2 * each + j], v = kept[3 * each + j];
        vec dn = g[j] * ((1 - z) * (1 - n * n));
        dv[j] = du[j] = dn * (v * r * (1 - r));
        dv[each + j] = du[each + j] = g[j] * ((before[j] - n) * z * (1 - z));
        du[2 * each + j] = dn;
        dv[2 * each + j] = dn * r;
        g[j] *= z;
    }
}

/* A job's gradients of one copy of the weights: all of them lie side by side and start at zero. */
typedef struct {
    vec *weight_ih, *weight_hh, *bias_ih, *bias_hh, *rate, *readout;
    real *readout_bias;
} gated_row_sums;

typedef struct {
    gated_row_weights weights[TOGETHER];
    gated_row_sums sums[TOGETHER];
    real *x[TOGETHER];                        /* a chunk of steps: (t, I) */
    vec *h[TOGETHER], *du[TOGETHER], *dv[TOGETHER]; /* (t, H), (t, G, H) */
    vec *g[TOGETHER], *gc[TOGETHER], *before, *now;
    int64_t chunk;
    size_t zero_from, zero_to;
} gated_rows_backward_scratch;

static size_t gated_rows_backward_take(const tl_gated *p, char *base,
                                       gated_rows_backward_scratch *b) {
    const tl_sizes *s = &p->sizes;
    arena a = {base, 0};
    int64_t I = s->inputs, H = s->hidden, each = registers(H), all = gated_gates(p) * each;
    int both = p->kind != TL_LSTM;
    b->chunk = s->steps < 16 ? s->steps : 16;
    for (int r = 0; r < TOGETHER; r++)
        if (!r || !s->shared) gated_rows_take(&a, p, 1, &b->weights[r]);
    b->zero_from = a.used;
    for (int r = 0; r < TOGETHER; r++) {
        if (r && s->shared) continue;
        b->sums[r].weight_ih = arena_vectors(&a, all * I);
        b->sums[r].weight_hh = arena_vectors(&a, all * H);
        b->sums[r].bias_ih = arena_vectors(&a, all);
        b->sums[r].bias_hh = arena_vectors(&a, all);
        b->sums[r].rate = arena_vectors(&a, each);
        b->sums[r].readout = arena_vectors(&a, p->outputs * each);
        b->sums[r].readout_bias = arena_alloc(&a, p->outputs);
    }
    b->zero_to = a.used;
    for (int r = 0; r < TOGETHER; r++) {
        b->x[r] = arena_alloc(&a, b->chunk * I);
        b->h[r] = arena_vectors(&a, b->chunk * each);
        b->du[r] = arena_vectors(&a, b->chunk * all);
        b->dv[r] = both ? arena_vectors(&a, b->chunk * all) : b->du[r];
        b->g[r] = arena_vectors(&a, each);
        b->gc[r] = arena_vectors(&a, each);
    }
    b->before = arena_vectors(&a, each);
    b->now = arena_vectors(&a, each);
    return a.used;
}

/* h after step t; for t = -1 the initial one. */
static void gated_row_state(const tl_gated *p, row_place r, int64_t t, vec *to) {
    int64_t each = registers(p->sizes.hidden);
    if (t < 0) {
        row_load(&p->h0, r, 0, p->sizes.hidden, to);
        return;
    }
    const vec *kept = gated_row_kept(p, r, t);
    for (int64_t j = 0; j < each; j++)
        to[j] = p->kind == TL_LSTM ? kept[3 * each + j] * kept[5 * each + j] : kept[4 * each + j];
}

enum { AHEAD = 6 }; /* steps by which what was kept is fetched before its turn */

/* Step t of one row, without the recurrent product. */
static void gated_row_retreat(const tl_gated *p, const gated_rows_backward_scratch *b, int r,
                              row_place row, int64_t t, int64_t place) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, each = registers(H), all = gated_gates(p) * each;
    const vec *kept = gated_row_kept(p, row, t);
    const gated_row_sums *sums = &b->sums[row.set];
    if (t >= AHEAD)
        for (int64_t k = 0; k < GATED_KEPT * each; k++)
            __builtin_prefetch(gated_row_kept(p, row, t - AHEAD) + k);
    vec *g = b->g[r], *h = b->h[r] + place * each, *du = b->du[r] + place * all;
    real *copy = b->x[r] + place * I;
    const real *x = row_numbers(&p->x, row, t, I, copy);
    if (x != copy) memcpy(copy, x, (size_t)I * sizeof(real));
    if (p->kind == TL_DECAY_GRU)
        memcpy(h, kept + 5 * each, (size_t)each * sizeof(vec));
    else
        gated_row_state(p, row, t - 1, h);
    if (p->grad_y.data) {
        row_load(&p->grad_y, row, t, H, b->now);
        for (int64_t j = 0; j < each; j++) g[j] += b->now[j];
    }
    if (p->outputs) {
        gated_row_state(p, row, t, b->now);
        row_backward_readout(&p->grad_out, row, t, p->outputs, H, b->weights[row.set].readout,
                             b->now, g, sums->readout, sums->readout_bias);
    }
    if (p->kind != TL_LSTM) {
        vec *dv = b->dv[r] + place * all;
        if (p->kind == TL_DECAY_GRU && gated_row_interval(p, row, t) < 0) { /* there is no sample */
            memset(du, 0, (size_t)all * sizeof(vec));
            memset(dv, 0, (size_t)all * sizeof(vec));
        } else {
            gru_row_retreat(each, kept, h, g, du, dv);
        }
        return;
    }
    const vec *c_before = b->before;
    if (t)
        c_before = gated_row_kept(p, row, t - 1) + 4 * each;
    else
        row_load(&p->c0, row, 0, H, b->before);
    lstm_row_retreat(each, kept, c_before, g, b->gc[r], du);
}

static void gated_row_gradients(const tl_gated *p, const gated_rows_backward_scratch *b, int r,
                                row_place row, int64_t from, int64_t n) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, each = registers(H), all = gated_gates(p) * each;
    const gated_row_sums *sums = &b->sums[row.set];
    add_panels(all, H, n, b->dv[r], all, (const real *)b->h[r], each * WIDTH, sums->weight_hh);
    add_panels(all, I, n, b->du[r], all, b->x[r], I, sums->weight_ih);
    add_rows(all, n, b->du[r], all, sums->bias_ih);
    add_rows(all, n, b->dv[r], all, sums->bias_hh);
    if (p->grad_x.data)
        for (int64_t t = 0; t < n; t++)
            give_row_inputs(&p->grad_x, row, from + t, all, I, b->weights[row.set].input,
                            b->du[r] + t * all);
}

static void gated_rows_backward_job(const void *kernel, int64_t job, char *base) {
    const tl_gated *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t H = s->hidden, G = gated_gates(p), all = G * registers(H);
    gated_rows_backward_scratch b;
    gated_rows_backward_take(p, base, &b);
    memset(base + b.zero_from, 0, b.zero_to - b.zero_from);
    for (int k = 0; k < job_sets(s, job); k++)
        gated_rows_pack(p, set_lane(s, job, k), 1, &b.weights[k]);
    row_place rows[TOGETHER];
    int64_t done = 0;
    int together;
    while ((together = next_rows(s, job, &done, rows))) {
        const vec *transposed[TOGETHER];
        const real *dv[TOGETHER];
        for (int r = 0; r < together; r++) {
            transposed[r] = b.weights[rows[r].set].transposed;
            row_load(&p->grad_last, rows[r], 0, H, b.g[r]);
            row_load(&p->grad_last_c, rows[r], 0, H, b.gc[r]);
        }
        for (int64_t to = s->steps, from; to > 0; to = from) {
            from = to > b.chunk ? to - b.chunk : 0;
            for (int64_t t = to - 1; t >= from; t--) {
                for (int r = 0; r < together; r++) {
                    gated_row_retreat(p, &b, r, rows[r], t, t - from);
                    dv[r] = (const real *)(b.dv[r] + (t - from) * all);
                }
                transposed_product(together, G, H, transposed, dv, b.g);
                if (p->kind != TL_DECAY_GRU) continue;
                for (int r = 0; r < together; r++) {
                    vec dh = gated_retreat_decay(
                        registers(H), splat(gated_row_interval(p, rows[r], t)),
                        b.weights[rows[r].set].rate, b.h[r] + (t - from) * registers(H), b.g[r],
                        b.sums[rows[r].set].rate);
                    if (p->grad_dt.data) *row_element(&p->grad_dt, rows[r], t) = sum_lanes(dh);
                }
            }
            for (int r = 0; r < together; r++)
                gated_row_gradients(p, &b, r, rows[r], from, to - from);
        }
        for (int r = 0; r < together; r++) {
            if (p->grad_h0.data) row_store(&p->grad_h0, rows[r], 0, H, b.g[r]);
            if (p->grad_c0.data) row_store(&p->grad_c0, rows[r], 0, H, b.gc[r]);
        }
    }
}

static void gated_rows_backward_finish(const void *kernel, int64_t job, char *base) {
    const tl_gated *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, G = gated_gates(p);
    int add = s->shared && job > 0;
    gated_rows_backward_scratch b;
    gated_rows_backward_take(p, base, &b);
    for (int k = 0; k < job_sets(s, job); k++) {
        int64_t lane = set_lane(s, job, k);
        const gated_row_sums *sums = &b.sums[k];
        give_panels(&p->grad_weight_ih, lane, G, H, I, add, sums->weight_ih);
        give_panels(&p->grad_weight_hh, lane, G, H, H, add, sums->weight_hh);
        give_gates(&p->grad_bias_ih, lane, G, H, add, sums->bias_ih);
        give_gates(&p->grad_bias_hh, lane, G, H, add, sums->bias_hh);
        if (p->raw)
            for (int64_t j = 0; j < registers(H); j++)
                sums->rate[j] = raw_gradient(sums->rate[j], b.weights[k].rate[j]);
        give_gates(&p->grad_rate, lane, 1, H, add, sums->rate);
        for (int64_t o = 0; o < p->outputs; o++) {
            tl_view row = p->grad_readout;
            if (row.data) row.data = (real *)row.data + o * row.row;
            give_gates(&row, lane, 1, H, add, sums->readout + o * registers(H));
        }
        give_gates(&p->grad_readout_bias, lane, 1, p->outputs, add,
                   (const vec *)sums->readout_bias);
    }
}

/* ---- one or the other ----------------------------------------------------------------------- */

static int gated_forward(const tl_gated *p) {
    gated_forward_scratch f;
    gated_rows_forward_scratch r;
    if (p->sizes.rows)
        return run_jobs(&p->sizes, p, gated_rows_forward_take(p, NULL, &r), gated_rows_forward_job,
                        NULL);
    return run_jobs(&p->sizes, p, gated_forward_take(p, NULL, &f), gated_forward_job, NULL);
}

static int gated_backward(const tl_gated *p) {
    gated_backward_scratch b;
    gated_rows_backward_scratch r;
    if (p->sizes.rows)
        return run_jobs(&p->sizes, p, gated_rows_backward_take(p, NULL, &r),
                        gated_rows_backward_job, gated_rows_backward_finish);
    return run_jobs(&p->sizes, p, gated_backward_take(p, NULL, &b), gated_backward_job,
                    gated_backward_finish);
}

#endif
