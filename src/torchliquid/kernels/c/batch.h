/* Rows of a batch as cells read them: missing samples and features, padding. Plain loops: a call takes
 * some microseconds, and the cells' kernels fifty times that. */
#ifndef TL_BATCH_H
#define TL_BATCH_H

#include "vector.h"
#include "torchliquid.h"

typedef struct {
    int64_t lane, batch;
} row_of;

INLINE real *place(const tl_view *v, row_of r, int64_t step) {
    return (real *)v->data + r.lane * v->lane + r.batch * v->batch + step * v->row;
}

/* Samples of a row; those behind are padding. */
INLINE int64_t row_end(const tl_view *ends, row_of r, int64_t steps) {
    if (!ends->data) return steps;
    return ((const int64_t *)ends->data)[r.lane * ends->lane + r.batch * ends->batch];
}

INLINE const char *mask_of(const tl_arrivals *p, row_of r, int64_t t) {
    const tl_view *v = &p->observed;
    return (const char *)v->data + r.lane * v->lane + r.batch * v->batch + t * v->row;
}

INLINE int arrived(const tl_arrivals *p, row_of r, int64_t t) {
    if (!p->observed.data) return 1;
    const char *seen = mask_of(p, r, t);
    if (!p->observed.item) return *seen;
    for (int64_t i = 0; i < p->sizes.inputs; i++)
        if (seen[i * p->observed.item]) return 1;
    return 0;
}

INLINE int row_times_of(const tl_arrivals *p, row_of r, int masked) {
    int64_t L = p->sizes.steps, end = row_end(&p->ends, r, L), latest = -1;
    real none = (real)p->none, longest = (real)p->longest, interval = (real)p->interval;
    real waiting = 0, first = 0;
    if (end < 1 || end > L) return TL_BAD_LENGTH;
    const real *dt = p->dt.data ? place(&p->dt, r, 0) : &interval;
    real *times = p->times.data ? place(&p->times, r, 0) : NULL;
    real *back = p->back.data ? place(&p->back, r, 0) : NULL;
    int64_t dt_step = p->dt.data ? p->dt.row : 0, step = p->times.row, back_step = p->back.row;
    int wrong = 0;
    for (int64_t t = 0; t < end; t++) {
        real one = dt[t * dt_step];
        wrong |= !(one >= 0 && one <= longest);
    }
    if (wrong) return TL_BAD_TIME;
    if (!times && !back) return TL_OK;
    if (!masked && !back)
        for (int64_t t = 0; t < end; t++) times[t * step] = dt[t * dt_step];
    for (int64_t t = 0; t < end && (masked || back); t++) {
        real time = none;
        waiting += dt[t * dt_step];
        if (!masked || arrived(p, r, t)) {
            time = waiting;
            waiting = 0;
            if (latest < 0) first = time;
            if (back && latest >= 0) back[latest * back_step] = time;
            latest = t;
        }
        if (times) times[t * step] = time;
        if (back) back[t * back_step] = none;
    }
    for (int64_t t = end; t < L; t++) {
        if (times) times[t * step] = none;
        if (back) back[t * back_step] = none;
    }
    if (back && latest >= 0) back[latest * back_step] = first;
    return TL_OK;
}

static int row_times(const tl_arrivals *p, row_of r) {
    return p->observed.data ? row_times_of(p, r, 1) : row_times_of(p, r, 0);
}

/* Inputs of a row: those that are missing 0, or what they were before. */
static void row_inputs(const tl_arrivals *p, row_of r) {
    int64_t L = p->sizes.steps, I = p->sizes.inputs, end = row_end(&p->ends, r, L);
    const tl_view *v = &p->x, *f = &p->filled, *o = &p->observed;
    const real *x = place(v, r, 0);
    real *to = place(f, r, 0);
    if (v->item == 1 && f->item == 1 && v->row == I && f->row == I) {
        memcpy(to, x, (size_t)(end * I) * sizeof(real));
    } else {
        for (int64_t t = 0; t < end; t++)
            for (int64_t i = 0; i < I; i++) to[t * f->row + i * f->item] = x[t * v->row + i * v->item];
    }
    for (int64_t t = end; t < L; t++)
        for (int64_t i = 0; i < I; i++) to[t * f->row + i * f->item] = 0;
    if (!o->data) return;
    const char *seen = mask_of(p, r, 0);
    for (int64_t t = 0; t < end; t++, to += f->row, seen += o->row) {
        if (!o->item && *seen) continue;
        for (int64_t i = 0; i < I; i++)
            if (!o->item)
                to[i * f->item] = 0;
            else if (!seen[i * o->item])
                to[i * f->item] = t ? to[i * f->item - f->row] : 0;
    }
}

static int arrivals_forward(const tl_arrivals *p) {
    const tl_sizes *s = &p->sizes;
    for (int64_t lane = 0; lane < s->hidden; lane++)
        for (int64_t b = 0; b < s->batch; b++) {
            int code = row_times(p, (row_of){lane, b});
            if (code) return code;
        }
    if (p->filled.data)
        for (int64_t lane = 0; lane < s->lanes; lane++)
            for (int64_t b = 0; b < s->batch; b++) row_inputs(p, (row_of){lane, b});
    return TL_OK;
}

/* A sample's time is part of that of the next one that arrives, as either direction reads it. */
static void row_times_backward(const tl_arrivals *p, row_of r) {
    int64_t L = p->sizes.steps, end = row_end(&p->ends, r, L), latest = -1, from = 0, first = 0;
    for (int64_t t = 0; t < end; t++) {
        if (!arrived(p, r, t)) continue;
        real g = p->grad_times.data ? *place(&p->grad_times, r, t) : 0;
        if (p->grad_back.data && latest >= 0) g += *place(&p->grad_back, r, latest);
        if (latest < 0) first = t + 1;
        for (; from <= t; from++) *place(&p->grad_dt, r, from) = g;
        latest = t;
    }
    for (; from < L; from++) *place(&p->grad_dt, r, from) = 0;
    if (p->grad_back.data && latest >= 0)
        for (int64_t t = 0; t < first; t++)
            *place(&p->grad_dt, r, t) += *place(&p->grad_back, r, latest);
}

/* What a missing feature was filled with belongs to the last one that was not. */
static void row_inputs_backward(const tl_arrivals *p, row_of r) {
    int64_t L = p->sizes.steps, I = p->sizes.inputs, end = row_end(&p->ends, r, L);
    for (int64_t i = 0; i < I; i++) {
        real sum = 0;
        for (int64_t t = L - 1; t >= 0; t--) {
            real *to = place(&p->grad_x, r, t) + i * p->grad_x.item;
            *to = 0;
            if (t >= end) continue;
            sum += place(&p->grad_filled, r, t)[i * p->grad_filled.item];
            if (!mask_of(p, r, t)[i * p->observed.item]) continue;
            *to = sum;
            sum = 0;
        }
    }
}

static int arrivals_backward(const tl_arrivals *p) {
    for (int64_t lane = 0; lane < p->grad_lanes; lane++)
        for (int64_t b = 0; b < p->sizes.batch; b++) {
            row_of r = {lane, b};
            if (p->grad_dt.data) row_times_backward(p, r);
            if (p->grad_x.data) row_inputs_backward(p, r);
        }
    return TL_OK;
}

static int padding_forward(const tl_padding *p) {
    const tl_sizes *s = &p->sizes;
    const real *fill = p->fill.data;
    for (int64_t lane = 0; lane < s->lanes; lane++)
        for (int64_t b = 0; b < s->batch; b++) {
            row_of r = {lane, b};
            for (int64_t t = row_end(&p->ends, r, s->steps); t < s->steps; t++) {
                real *y = place(&p->y, r, t);
                for (int64_t j = 0; j < s->hidden; j++)
                    y[j * p->y.item] = fill ? fill[lane * p->fill.lane + j * p->fill.item] : 0;
            }
        }
    return TL_OK;
}

static int padding_backward(const tl_padding *p) {
    const tl_sizes *s = &p->sizes;
    real *sums = p->grad_fill.data;
    for (int64_t lane = 0; lane < s->lanes; lane++)
        for (int64_t b = 0; b < s->batch; b++) {
            row_of r = {lane, b};
            int64_t end = row_end(&p->ends, r, s->steps);
            for (int64_t t = 0; t < s->steps; t++) {
                const real *g = place(&p->grad_y, r, t);
                real *to = p->grad_x.data ? place(&p->grad_x, r, t) : NULL;
                if (to)
                    for (int64_t j = 0; j < s->hidden; j++)
                        to[j * p->grad_x.item] = t < end ? g[j * p->grad_y.item] : 0;
                if (!sums || t < end) continue;
                for (int64_t j = 0; j < s->hidden; j++)
                    sums[lane * p->grad_fill.lane + j * p->grad_fill.item] += g[j * p->grad_y.item];
            }
        }
    return TL_OK;
}

static int sum_forward(const tl_sum *p) {
    const real *from = p->from;
    real *to = p->to;
    for (int64_t k = 0; k < p->sizes.hidden; k++) to[k] += from[k];
    return TL_OK;
}

#endif
