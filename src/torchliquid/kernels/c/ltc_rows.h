/* The LTC with its neurons in the registers' lanes (rows.h); equations and steps are those of ltc.h. */
#ifndef TL_LTC_ROWS_H
#define TL_LTC_ROWS_H

#include "ltc.h"
#include "rows.h"

typedef struct {
    vec *input, *recurrent, *transposed; /* panels */
    vec *bias, *readout, *readout_bias;
    ltc_weights constants; /* rate and target alone */
} ltc_row_weights;

static void ltc_rows_take(arena *a, const tl_ltc *p, int backward, ltc_row_weights *w) {
    const tl_sizes *s = &p->sizes;
    int64_t each = registers(s->hidden);
    w->input = arena_vectors(a, each * s->inputs);
    w->recurrent = arena_vectors(a, each * s->hidden);
    w->transposed = arena_vectors(a, backward ? each * s->hidden : 0);
    w->bias = arena_vectors(a, each);
    w->constants.rate = arena_vectors(a, each);
    w->constants.target = arena_vectors(a, each);
    w->readout = arena_vectors(a, p->outputs * each);
    w->readout_bias = arena_vectors(a, registers(p->outputs));
}

static void ltc_rows_pack(const tl_ltc *p, int64_t lane, int backward, ltc_row_weights *w) {
    const tl_sizes *s = &p->sizes;
    int64_t H = s->hidden, each = registers(H);
    row_place r = {lane, 0, 0, 0};
    pack_panels(&p->weight_ih, lane, 1, H, s->inputs, w->input);
    pack_panels(&p->weight_hh, lane, 1, H, H, w->recurrent);
    if (backward) {
        tl_view turned = p->weight_hh;
        turned.row = p->weight_hh.item;
        turned.item = p->weight_hh.row;
        pack_panels(&turned, lane, 1, H, H, w->transposed);
    }
    row_load(&p->bias, r, 0, H, w->bias);
    vec *rate = w->constants.rate;
    row_load(&p->tau, r, 0, H, rate);
    for (int64_t j = H; j < each * WIDTH; j++) ((real *)rate)[j] = 1; /* any time constant will do */
    if (p->raw) positive(rate, each, 0);
    for (int64_t j = 0; j < each; j++) rate[j] = 1 / rate[j];
    row_load(&p->target, r, 0, H, w->constants.target);
    for (int64_t o = 0; o < p->outputs; o++) row_load(&p->readout, r, o, H, w->readout + o * each);
    row_load(&p->readout_bias, r, 0, p->outputs, w->readout_bias);
}

INLINE vec ltc_row_interval(const tl_ltc *p, row_place r, int64_t t) {
    if (!p->dt.data) return splat((real)(p->interval / (double)p->unfolds));
    return splat(*row_element(&p->dt, r, t) / (real)p->unfolds);
}

INLINE vec *ltc_row_kept(const tl_ltc *p, void *buffer, row_place r, int64_t t) {
    const tl_sizes *s = &p->sizes;
    return (vec *)buffer + (r.index * s->steps + t) * registers(s->hidden);
}

/* ---- forward -------------------------------------------------------------------------------- */

typedef struct {
    ltc_row_weights weights[TOGETHER];
    real *x[TOGETHER];
    vec *u[TOGETHER], *z[TOGETHER], *state[TOGETHER], *e;
} ltc_rows_forward_scratch;

static size_t ltc_rows_forward_take(const tl_ltc *p, char *base, ltc_rows_forward_scratch *f) {
    const tl_sizes *s = &p->sizes;
    arena a = {base, 0};
    int64_t each = registers(s->hidden);
    for (int r = 0; r < TOGETHER; r++) {
        if (!r || !s->shared) ltc_rows_take(&a, p, 0, &f->weights[r]);
        f->x[r] = arena_alloc(&a, s->inputs);
        f->u[r] = arena_vectors(&a, each);
        f->z[r] = arena_vectors(&a, each);
        f->state[r] = arena_vectors(&a, each);
    }
    f->e = arena_vectors(&a, each);
    return a.used;
}

static void ltc_rows_forward_job(const void *kernel, int64_t job, char *base) {
    const tl_ltc *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, each = registers(H);
    ltc_rows_forward_scratch f;
    ltc_rows_forward_take(p, base, &f);
    for (int k = 0; k < job_sets(s, job); k++)
        ltc_rows_pack(p, set_lane(s, job, k), 0, &f.weights[k]);
    row_place rows[TOGETHER];
    int64_t done = 0;
    int together;
    while ((together = next_rows(s, job, &done, rows))) {
        const vec *input[TOGETHER], *recurrent[TOGETHER], *bias[TOGETHER];
        const real *x[TOGETHER], *states[TOGETHER];
        for (int r = 0; r < together; r++) {
            const ltc_row_weights *w = &f.weights[rows[r].set];
            input[r] = w->input;
            recurrent[r] = w->recurrent;
            bias[r] = w->bias;
            states[r] = (const real *)f.state[r];
            row_load(&p->h0, rows[r], 0, H, f.state[r]);
        }
        for (int64_t t = 0; t < s->steps; t++) {
            for (int r = 0; r < together; r++) x[r] = row_numbers(&p->x, rows[r], t, I, f.x[r]);
            panels_product(together, each, I, input, x, bias, f.u);
            for (int64_t k = 0; k < p->unfolds; k++) {
                panels_product(together, each, H, recurrent, states, (const vec *const *)f.u, f.z);
                for (int r = 0; r < together; r++)
                    ltc_step(p->solver, each, ltc_row_interval(p, rows[r], t),
                                &f.weights[rows[r].set].constants, f.z[r], f.state[r],
                                p->kept_gates ? ltc_row_kept(p, p->kept_gates, rows[r], t) : f.e,
                                f.state[r]);
            }
            for (int r = 0; r < together; r++) {
                const ltc_row_weights *w = &f.weights[rows[r].set];
                if (p->y.data) row_store(&p->y, rows[r], t, H, f.state[r]);
                if (p->kept_states)
                    memcpy(ltc_row_kept(p, p->kept_states, rows[r], t), f.state[r],
                           (size_t)each * sizeof(vec));
                if (p->outputs)
                    row_read_out(&p->out, rows[r], t, p->outputs, H, w->readout,
                                 (const real *)w->readout_bias, f.state[r]);
            }
        }
        if (p->last.data)
            for (int r = 0; r < together; r++) row_store(&p->last, rows[r], 0, H, f.state[r]);
    }
}

/* ---- backward ------------------------------------------------------------------------------- */

typedef struct {
    vec *weight_ih, *weight_hh, *bias, *readout;
    real *readout_bias;
    ltc_sums constants;
} ltc_row_sums;

typedef struct {
    ltc_row_weights weights[TOGETHER];
    ltc_row_sums sums[TOGETHER];
    real *x[TOGETHER]; /* a chunk of steps: (t, I) */
    vec *states[TOGETHER], *dz[TOGETHER], *du[TOGETHER]; /* (t, k, H), and (t, H) */
    vec *g[TOGETHER], *u[TOGETHER], *gy;
    int64_t chunk;
    size_t zero_from, zero_to;
} ltc_rows_backward_scratch;

static size_t ltc_rows_backward_take(const tl_ltc *p, char *base, ltc_rows_backward_scratch *b) {
    const tl_sizes *s = &p->sizes;
    arena a = {base, 0};
    int64_t I = s->inputs, H = s->hidden, K = p->unfolds, each = registers(H);
    b->chunk = ltc_chunk(p);
    for (int r = 0; r < TOGETHER; r++)
        if (!r || !s->shared) ltc_rows_take(&a, p, 1, &b->weights[r]);
    b->zero_from = a.used;
    for (int r = 0; r < TOGETHER; r++) {
        if (r && s->shared) continue;
        ltc_row_sums *sums = &b->sums[r];
        sums->weight_ih = arena_vectors(&a, each * I);
        sums->weight_hh = arena_vectors(&a, each * H);
        sums->bias = arena_vectors(&a, each);
        sums->constants.rate = arena_vectors(&a, each);
        sums->constants.target = arena_vectors(&a, each);
        sums->readout = arena_vectors(&a, p->outputs * each);
        sums->readout_bias = arena_alloc(&a, p->outputs);
    }
    b->zero_to = a.used;
    for (int r = 0; r < TOGETHER; r++) {
        b->x[r] = arena_alloc(&a, b->chunk * I);
        b->states[r] = arena_vectors(&a, (b->chunk * K + 1) * each);
        b->dz[r] = arena_vectors(&a, b->chunk * K * each);
        b->du[r] = K > 1 ? arena_vectors(&a, b->chunk * each) : b->dz[r];
        b->g[r] = arena_vectors(&a, each);
        b->u[r] = arena_vectors(&a, each);
    }
    b->gy = arena_vectors(&a, each);
    return a.used;
}

/* State after step t, for t = -1 the initial one. */
static void ltc_row_state(const tl_ltc *p, row_place r, int64_t t, vec *to) {
    int64_t H = p->sizes.hidden;
    if (t < 0)
        row_load(&p->h0, r, 0, H, to);
    else if (p->y.data)
        row_load(&p->y, r, t, H, to);
    else
        memcpy(to, ltc_row_kept(p, p->kept_states, r, t), (size_t)registers(H) * sizeof(vec));
}

/* As ltc_replay in ltc.h. */
static void ltc_rows_replay(const tl_ltc *p, const ltc_rows_backward_scratch *b,
                            const row_place *rows, int together, int64_t from, int64_t to) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, K = p->unfolds, each = registers(H);
    const vec *input[TOGETHER], *recurrent[TOGETHER], *bias[TOGETHER];
    const real *x[TOGETHER], *before[TOGETHER];
    vec *e[TOGETHER];
    for (int r = 0; r < together; r++) {
        const ltc_row_weights *w = &b->weights[rows[r].set];
        input[r] = w->input;
        recurrent[r] = w->recurrent;
        bias[r] = w->bias;
    }
    for (int64_t t = from; t < to; t++) {
        for (int r = 0; r < together; r++) {
            real *copy = b->x[r] + (t - from) * I;
            const real *found = row_numbers(&p->x, rows[r], t, I, copy);
            if (found != copy) memcpy(copy, found, (size_t)I * sizeof(real));
            x[r] = copy;
            ltc_row_state(p, rows[r], t - 1, b->states[r] + (t - from) * K * each);
            if (p->kept_gates)
                memcpy(b->dz[r] + (t - from) * each, ltc_row_kept(p, p->kept_gates, rows[r], t),
                       (size_t)each * sizeof(vec));
        }
        if (p->kept_gates) continue;
        panels_product(together, each, I, input, x, bias, b->u);
        for (int64_t k = 0; k < K; k++) {
            int64_t place = ((t - from) * K + k) * each;
            for (int r = 0; r < together; r++) {
                before[r] = (const real *)(b->states[r] + place);
                e[r] = b->dz[r] + place;
            }
            panels_product(together, each, H, recurrent, before, (const vec *const *)b->u, e);
            for (int r = 0; r < together; r++)
                ltc_step(p->solver, each, ltc_row_interval(p, rows[r], t),
                            &b->weights[rows[r].set].constants, e[r], b->states[r] + place, e[r],
                            b->states[r] + place + each);
        }
    }
    for (int r = 0; r < together; r++)
        ltc_row_state(p, rows[r], to - 1, b->states[r] + (to - from) * K * each);
}

static void ltc_rows_backward_steps(const tl_ltc *p, const ltc_rows_backward_scratch *b,
                                    const row_place *rows, int together, int64_t from, int64_t to) {
    const tl_sizes *s = &p->sizes;
    int64_t H = s->hidden, K = p->unfolds, each = registers(H);
    const vec *transposed[TOGETHER];
    const real *dz[TOGETHER];
    for (int r = 0; r < together; r++) transposed[r] = b->weights[rows[r].set].transposed;
    for (int64_t t = to - 1; t >= from; t--) {
        vec dh[TOGETHER];
        for (int r = 0; r < together; r++) {
            dh[r] = splat(0);
            if (p->grad_y.data) {
                row_load(&p->grad_y, rows[r], t, H, b->gy);
                for (int64_t j = 0; j < each; j++) b->g[r][j] += b->gy[j];
            }
            if (p->outputs) {
                const ltc_row_sums *sums = &b->sums[rows[r].set];
                row_backward_readout(&p->grad_out, rows[r], t, p->outputs, H,
                                     b->weights[rows[r].set].readout,
                                     b->states[r] + (t - from + 1) * K * each, b->g[r],
                                     sums->readout, sums->readout_bias);
            }
        }
        for (int64_t k = K - 1; k >= 0; k--) {
            int64_t place = ((t - from) * K + k) * each;
            for (int r = 0; r < together; r++) {
                vec *here = b->dz[r] + place;
                dh[r] += ltc_step_backward(p->solver, each, ltc_row_interval(p, rows[r], t),
                                     &b->weights[rows[r].set].constants, here,
                                     b->states[r] + place, b->g[r], here,
                                     &b->sums[rows[r].set].constants);
                dz[r] = (const real *)here;
            }
            panels_product(together, each, H, transposed, dz, (const vec *const *)b->g, b->g);
        }
        for (int r = 0; r < together; r++) {
            if (p->grad_dt.data)
                *row_element(&p->grad_dt, rows[r], t) = sum_lanes(dh[r]) / (real)K;
            if (K == 1) continue;
            vec *du = b->du[r] + (t - from) * each;
            memset(du, 0, (size_t)each * sizeof(vec));
            for (int64_t k = 0; k < K; k++)
                for (int64_t j = 0; j < each; j++)
                    du[j] += b->dz[r][((t - from) * K + k) * each + j];
        }
    }
}

static void ltc_rows_backward_job(const void *kernel, int64_t job, char *base) {
    const tl_ltc *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, K = p->unfolds, each = registers(H);
    ltc_rows_backward_scratch b;
    ltc_rows_backward_take(p, base, &b);
    memset(base + b.zero_from, 0, b.zero_to - b.zero_from);
    for (int k = 0; k < job_sets(s, job); k++)
        ltc_rows_pack(p, set_lane(s, job, k), 1, &b.weights[k]);
    row_place rows[TOGETHER];
    int64_t done = 0;
    int together;
    while ((together = next_rows(s, job, &done, rows))) {
        for (int r = 0; r < together; r++) row_load(&p->grad_last, rows[r], 0, H, b.g[r]);
        for (int64_t to = s->steps, from; to > 0; to = from) {
            from = to > b.chunk ? to - b.chunk : 0;
            int64_t n = to - from;
            ltc_rows_replay(p, &b, rows, together, from, to);
            ltc_rows_backward_steps(p, &b, rows, together, from, to);
            for (int r = 0; r < together; r++) {
                const ltc_row_sums *sums = &b.sums[rows[r].set];
                add_panels(each, H, n * K, b.dz[r], each, (const real *)b.states[r], each * WIDTH,
                           sums->weight_hh);
                add_panels(each, I, n, b.du[r], each, b.x[r], I, sums->weight_ih);
                add_rows(each, n, b.du[r], each, sums->bias);
                if (p->grad_x.data)
                    for (int64_t t = 0; t < n; t++)
                        give_row_inputs(&p->grad_x, rows[r], from + t, each, I,
                                        b.weights[rows[r].set].input, b.du[r] + t * each);
            }
        }
        if (p->grad_h0.data)
            for (int r = 0; r < together; r++) row_store(&p->grad_h0, rows[r], 0, H, b.g[r]);
    }
}

static void ltc_rows_backward_finish(const void *kernel, int64_t job, char *base) {
    const tl_ltc *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, each = registers(H);
    int add = s->shared && job > 0;
    ltc_rows_backward_scratch b;
    ltc_rows_backward_take(p, base, &b);
    for (int k = 0; k < job_sets(s, job); k++) {
        int64_t lane = set_lane(s, job, k);
        const ltc_row_sums *sums = &b.sums[k];
        ltc_tau_gradient(p, each, b.weights[k].constants.rate, sums->constants.rate);
        give_panels(&p->grad_weight_ih, lane, 1, H, I, add, sums->weight_ih);
        give_panels(&p->grad_weight_hh, lane, 1, H, H, add, sums->weight_hh);
        give_gates(&p->grad_bias, lane, 1, H, add, sums->bias);
        give_gates(&p->grad_tau, lane, 1, H, add, sums->constants.rate);
        give_gates(&p->grad_target, lane, 1, H, add, sums->constants.target);
        for (int64_t o = 0; o < p->outputs; o++) {
            tl_view row = p->grad_readout;
            if (row.data) row.data = (real *)row.data + o * row.row;
            give_gates(&row, lane, 1, H, add, sums->readout + o * each);
        }
        give_gates(&p->grad_readout_bias, lane, 1, p->outputs, add,
                   (const vec *)sums->readout_bias);
    }
}

/* ---- one or the other ----------------------------------------------------------------------- */

static int ltc_forward(const tl_ltc *p) {
    ltc_forward_scratch f;
    ltc_rows_forward_scratch r;
    if (p->sizes.rows)
        return run_jobs(&p->sizes, p, ltc_rows_forward_take(p, NULL, &r), ltc_rows_forward_job,
                        NULL);
    return run_jobs(&p->sizes, p, ltc_forward_take(p, NULL, &f), ltc_forward_job, NULL);
}

static int ltc_backward(const tl_ltc *p) {
    ltc_backward_scratch b;
    ltc_rows_backward_scratch r;
    if (p->sizes.rows)
        return run_jobs(&p->sizes, p, ltc_rows_backward_take(p, NULL, &r), ltc_rows_backward_job,
                        ltc_rows_backward_finish);
    return run_jobs(&p->sizes, p, ltc_backward_take(p, NULL, &b), ltc_backward_job,
                    ltc_backward_finish);
}

#endif
