/* The likelihood of damped oscillators that correct themselves: functional/_oscillator_filter.py has the
 * equations. Rows run by themselves, each with oscillators of its own.
 *
 * The way back is the same recursion from its end. An adjoint G of a complex value says that the loss
 * moves by Re(conj(G) d). With C = a a^H C + ..., R = a a^T R before a sample, gain g, variance v,
 * error e, and adjoints of what is known after it:
 *
 *     of g:  z e/v - (C + C^H) g / v - (R + R^T) conj(g) / v, and what comes through v
 *     of v:  -Re(conj(z) g) e/v^2 + Re sum(conj(C) g g^H + conj(R) g g^T) / v^2
 *     of e:  Re(conj(z) g) / v
 *     of a:  z conj(z before) + sum over j of (C + C^H) a_j conj(c_ij) + (R + R^T) conj(a_j r_ij)
 *
 * with the letters z, C, R of the sums' first factors for the adjoints.
 */
#include <math.h>

#include "jobs.h"

typedef struct {
    const tl_filter *p;
    int64_t row, K, stride;
    real *now; /* of a step at work: C and R after it, real and imaginary, z, g and a; its adjoints */
} filter_row;

/* Where the parts of a step lie: matrices K x K, vectors K. */
typedef struct {
    real *restrict cr, *restrict ci, *restrict rr, *restrict ri;
    real *restrict zr, *restrict zi, *restrict gr, *restrict gi, *restrict ar, *restrict ai;
} filter_parts;

INLINE filter_parts parts_at(real *at, int64_t K) {
    int64_t M = K * K;
    real *v = at + 4 * M;
    return (filter_parts){at,       at + M,    at + 2 * M, at + 3 * M, v,
                          v + K,    v + 2 * K, v + 3 * K,  v + 4 * K,  v + 5 * K};
}

INLINE const real *filter_at(const tl_view *v, int64_t row, int64_t t) {
    return (const real *)v->data + row * v->batch + t * v->row;
}

static size_t filter_take(const tl_filter *p, char *base, filter_row *r) {
    int64_t K = p->sizes.hidden;
    r->p = p;
    r->K = K;
    r->stride = 4 * K * K + 6 * K;
    r->now = (real *)base;
    return (size_t)(3 * r->stride + 4 * K) * sizeof(real) / 64 * 64 + 64;
}

/* What is known at rest, before the first sample. */
static void at_rest(const filter_row *r, filter_parts s) {
    const real *spread = filter_at(&r->p->spread, r->row, 0);
    memset(s.cr, 0, (size_t)r->stride * sizeof(real));
    for (int64_t k = 0; k < r->K; k++) {
        real q = spread[k * r->p->spread.item];
        s.cr[k * r->K + k] = 2 * q * q;
    }
}

static void filter_forward_job(const void *kernel, int64_t job, char *base) {
    const tl_filter *p = kernel;
    filter_row row, *r = &row;
    filter_take(p, base, r);
    r->row = job;
    int64_t K = r->K, L = p->sizes.steps;
    filter_parts s = parts_at(r->now, K);
    size_t whole = (size_t)r->stride * sizeof(real);
    if (p->start)
        memcpy(r->now, (const real *)p->start + job * r->stride, whole);
    else
        at_rest(r, s);
    const real *w = filter_at(&p->frequency, job, 0), *decay = filter_at(&p->decay, job, 0);
    const real *spread = filter_at(&p->spread, job, 0);
    real n = *filter_at(&p->noise, job, 0);
    for (int64_t t = 0; t < L; t++) {
        real dt = *filter_at(&p->dt, job, t), seen = *filter_at(&p->observed, job, t);
        for (int64_t k = 0; k < K; k++) {
            real size = (real)exp(-(double)(decay[k * p->decay.item] * dt));
            double angle = size > 0 ? (double)(w[k * p->frequency.item] * dt) : 0;
            s.ar[k] = size * (real)cos(angle);
            s.ai[k] = size * (real)sin(angle);
            real zr = s.zr[k], zi = s.zi[k];
            s.zr[k] = s.ar[k] * zr - s.ai[k] * zi;
            s.zi[k] = s.ar[k] * zi + s.ai[k] * zr;
        }
        real v = n * n, e = seen > 0 ? *filter_at(&p->x, job, t) : 0;
        for (int64_t i = 0; i < K; i++) {
            real a = s.ar[i], b = s.ai[i], *cr = s.cr + i * K, *ci = s.ci + i * K;
            real *rr = s.rr + i * K, *ri = s.ri + i * K, re = 0, im = 0;
            for (int64_t j = 0; j < K; j++) {
                real fr = a * s.ar[j] + b * s.ai[j], fi = b * s.ar[j] - a * s.ai[j];
                real hr = a * s.ar[j] - b * s.ai[j], hi = b * s.ar[j] + a * s.ai[j];
                real x = cr[j], y = ci[j], u = rr[j], o = ri[j];
                cr[j] = fr * x - fi * y;
                ci[j] = fr * y + fi * x;
                rr[j] = hr * u - hi * o;
                ri[j] = hr * o + hi * u;
            }
            real q = spread[i * p->spread.item];
            cr[i] += -2 * q * q * (real)expm1(-2 * (double)(decay[i * p->decay.item] * dt));
            for (int64_t j = 0; j < K; j++) {
                re += cr[j] + rr[j];
                im += ci[j] + ri[j];
            }
            s.gr[i] = re / 2;
            s.gi[i] = im / 2;
            v += re / 2;
            e -= s.zr[i];
        }
        real share = seen / v;
        for (int64_t i = 0; i < K; i++) {
            real a = s.gr[i], b = s.gi[i];
            s.zr[i] += a * share * e;
            s.zi[i] += b * share * e;
            for (int64_t j = 0; j < K; j++) {
                real x = s.gr[j] * share, y = s.gi[j] * share;
                s.cr[i * K + j] -= a * x + b * y;
                s.ci[i * K + j] -= b * x - a * y;
                s.rr[i * K + j] -= a * x - b * y;
                s.ri[i * K + j] -= a * y + b * x;
            }
        }
        *(real *)filter_at(&p->errors, job, t) = e;
        *(real *)filter_at(&p->variances, job, t) = v;
        if (p->states) { /* zr and zi follow one another */
            real *to = (real *)p->states + (job * L + t) * 2 * K;
            memcpy(to, s.zr, (size_t)(2 * K) * sizeof(real));
        }
        if (p->kept)
            memcpy((real *)p->kept + (job * L + t) * r->stride, r->now, whole);
    }
    if (p->last)
        memcpy((real *)p->last + job * r->stride, r->now, whole);
}

static void filter_backward_job(const void *kernel, int64_t job, char *base) {
    const tl_filter *p = kernel;
    filter_row row, *r = &row;
    size_t bytes = filter_take(p, base, r);
    r->row = job;
    memset(base, 0, bytes);
    int64_t K = r->K, L = p->sizes.steps, stride = r->stride;
    real *kept = (real *)p->kept + job * L * stride;
    filter_parts rest = parts_at(r->now, K), G = parts_at(r->now + stride, K);
    at_rest(r, rest);
    real *restrict to_w = r->now + 3 * stride, *restrict to_decay = to_w + K;
    real *restrict to_spread = to_decay + K, to_noise = 0;
    const real *decay = filter_at(&p->decay, job, 0), *spread = filter_at(&p->spread, job, 0);
    real n = *filter_at(&p->noise, job, 0);
    for (int64_t t = L - 1; t >= 0; t--) {
        filter_parts s = parts_at(kept + t * stride, K);
        filter_parts b = t ? parts_at(kept + (t - 1) * stride, K) : rest;
        real dt = *filter_at(&p->dt, job, t), seen = *filter_at(&p->observed, job, t);
        real e = *filter_at(&p->errors, job, t), v = *filter_at(&p->variances, job, t);
        real to_e = *filter_at(&p->grad_errors, job, t), to_v = *filter_at(&p->grad_variances, job, t);
        real share = seen / v, along = 0, twice = 0;
        /* the correction */
        for (int64_t i = 0; i < K; i++) {
            real re = G.zr[i] * share * e, im = G.zi[i] * share * e;
            along += G.zr[i] * s.gr[i] + G.zi[i] * s.gi[i];
            real cr = 0, ci = 0, rr = 0, ri = 0;
            for (int64_t j = 0; j < K; j++) {
                /* (C + C^H) g and (R + R^T) conj(g) */
                real x = G.cr[i * K + j] + G.cr[j * K + i], y = G.ci[i * K + j] - G.ci[j * K + i];
                real u = G.rr[i * K + j] + G.rr[j * K + i], o = G.ri[i * K + j] + G.ri[j * K + i];
                cr += x * s.gr[j] - y * s.gi[j];
                ci += x * s.gi[j] + y * s.gr[j];
                rr += u * s.gr[j] + o * s.gi[j];
                ri += o * s.gr[j] - u * s.gi[j];
            }
            /* each pair twice in Re(conj(C) g g^H) = Re(conj(g) (C + C^H) g) / 2 */
            twice += s.gr[i] * (cr + rr) + s.gi[i] * (ci + ri);
            G.gr[i] = re - share * (cr + rr);
            G.gi[i] = im - share * (ci + ri);
        }
        to_e += along * share;
        to_v += (twice / 2 - along * e) * share / v;
        to_noise += 2 * n * to_v;
        for (int64_t i = 0; i < K; i++) {
            G.gr[i] += to_v;
            G.zr[i] -= to_e;
            for (int64_t j = 0; j < K; j++) {
                G.cr[i * K + j] += G.gr[i] / 2;
                G.ci[i * K + j] += G.gi[i] / 2;
                G.rr[i * K + j] += G.gr[i] / 2;
                G.ri[i * K + j] += G.gi[i] / 2;
            }
        }
        /* the prediction: first all of a, while the adjoints are whole */
        for (int64_t i = 0; i < K; i++) {
            real ar = G.zr[i] * b.zr[i] + G.zi[i] * b.zi[i], ai = G.zi[i] * b.zr[i] - G.zr[i] * b.zi[i];
            for (int64_t j = 0; j < K; j++) {
                real x = G.cr[i * K + j] + G.cr[j * K + i], y = G.ci[i * K + j] - G.ci[j * K + i];
                real u = G.rr[i * K + j] + G.rr[j * K + i], o = G.ri[i * K + j] + G.ri[j * K + i];
                real cr = b.cr[i * K + j], ci = b.ci[i * K + j];
                real rr = b.rr[i * K + j], ri = b.ri[i * K + j];
                /* a_j conj(c_ij) and conj(a_j r_ij) */
                real fr = s.ar[j] * cr + s.ai[j] * ci, fi = s.ai[j] * cr - s.ar[j] * ci;
                real hr = s.ar[j] * rr - s.ai[j] * ri, hi = -(s.ar[j] * ri + s.ai[j] * rr);
                ar += x * fr - y * fi + u * hr - o * hi;
                ai += x * fi + y * fr + u * hi + o * hr;
            }
            real q = spread[i * p->spread.item], own = G.cr[i * K + i];
            real lost = (real)-expm1(-2 * (double)(decay[i * p->decay.item] * dt));
            to_spread[i] += 4 * q * lost * own;
            /* through 1 - |a|^2, and lambda = -decay + i w through a */
            ar -= 4 * q * q * own * s.ar[i];
            ai -= 4 * q * q * own * s.ai[i];
            to_decay[i] -= dt * (s.ar[i] * ar + s.ai[i] * ai);
            to_w[i] += dt * (s.ar[i] * ai - s.ai[i] * ar);
        }
        for (int64_t i = 0; i < K; i++) {
            real zr = G.zr[i], zi = G.zi[i], a = s.ar[i], o = s.ai[i];
            G.zr[i] = a * zr + o * zi;
            G.zi[i] = a * zi - o * zr;
            for (int64_t j = 0; j < K; j++) {
                /* conj(a_i) a_j and conj(a_i a_j) */
                real fr = a * s.ar[j] + o * s.ai[j], fi = a * s.ai[j] - o * s.ar[j];
                real hr = a * s.ar[j] - o * s.ai[j], hi = -(a * s.ai[j] + o * s.ar[j]);
                real x = G.cr[i * K + j], y = G.ci[i * K + j];
                real u = G.rr[i * K + j], k = G.ri[i * K + j];
                G.cr[i * K + j] = fr * x - fi * y;
                G.ci[i * K + j] = fr * y + fi * x;
                G.rr[i * K + j] = hr * u - hi * k;
                G.ri[i * K + j] = hr * k + hi * u;
            }
        }
    }
    for (int64_t k = 0; k < K; k++) {
        to_spread[k] += 4 * spread[k * p->spread.item] * G.cr[k * K + k];
        ((real *)filter_at(&p->grad_frequency, job, 0))[k] = to_w[k];
        ((real *)filter_at(&p->grad_decay, job, 0))[k] = to_decay[k];
        ((real *)filter_at(&p->grad_spread, job, 0))[k] = to_spread[k];
    }
    *(real *)filter_at(&p->grad_noise, job, 0) = to_noise;
}

static int filter_rows(const tl_filter *p, job_function run) {
    filter_row none;
    size_t bytes = filter_take(p, NULL, &none);
    double K = (double)p->sizes.hidden;
    double work = (double)p->sizes.batch * (double)p->sizes.steps * (K * K * 16 + 64 * K);
    return share_rows(p, &p->sizes, bytes, work, run);
}

static int filter_forward(const tl_filter *p) { return filter_rows(p, filter_forward_job); }

static int filter_backward(const tl_filter *p) { return filter_rows(p, filter_backward_job); }
