/* A bank of resonators over a sequence: functional/resonator.py has the equation.
 *
 * Every row of a batch runs by itself, and so do its gradients: no sum is shared between rows. What a
 * step multiplies by is computed for many steps at once, neurons side by side in registers; only the
 * recurrence itself goes step by step. With z = lambda dt and phi_k(z) = sum of z^n / (n + k)!,
 *
 *     I0 = dt phi_1, I1 = dt phi_2;  dI0/dlambda = dt^2 (phi_1 - phi_2),
 *     dI1/dlambda = dt^2 (phi_2 - 2 phi_3),  dI0/ddt = a = e^z,  dI1/ddt = (I0 - I1) / dt
 *
 * where z is small from phi_3's series downwards, else from e^z upwards.
 */
#include <math.h>

#include "jobs.h"

#if TL_REAL == 32
#define TURN_TERMS 9
#define HALF_PI_HIGH 1.5703125f /* few bits: n * high is exact */
#define HALF_PI_MIDDLE 4.83751296997070312e-4f
#define HALF_PI_LOW 7.54978995489188216e-8f
#else
#define TURN_TERMS 14
#define HALF_PI_HIGH 1.57079625129699707031
#define HALF_PI_MIDDLE 7.54978941586159635336e-8
#define HALF_PI_LOW 5.39030285815811905290e-15
#endif
#define TWO_OVER_PI 0.636619772367581343076
#define LARGEST_ANGLE 8192
#define SMALL_TURN ((real)0.5)
#define FORGOTTEN 128

/* What a step multiplies by: a, I0, I1, dI0/dlambda and dI1/dlambda, real and imaginary, and the gate,
 * `gap` reals apart. */
enum { GATE = 10, TURN_PARTS = 11 };
enum { CHUNK = 2048 };

typedef struct {
    vec re, im;
} vec_pair;

INLINE vec_pair pair_times(vec_pair a, vec_pair b) {
    return (vec_pair){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* Sine and cosine, by Taylor's series on a quarter of a turn (Cody and Waite's reduction, in three
 * parts); far angles by libm. */
INLINE void sine_cosine(vec angle, vec *sine, vec *cosine) {
    vec shifted = angle * (real)TWO_OVER_PI + splat(EXP_MAGIC);
    vec n = shifted - EXP_MAGIC;
    vec r = angle - n * HALF_PI_HIGH;
    r = (r - n * HALF_PI_MIDDLE) - n * HALF_PI_LOW;
    vec z = r * r;
#if TL_REAL == 32
    vec s = z * (real)(1.0 / 362880) - (real)(1.0 / 5040), c = z * (real)(-1.0 / 3628800);
    c += (real)(1.0 / 40320);
#else
    vec s = z * (-1.0 / 1307674368000) + 1.0 / 6227020800, c = z * (1.0 / 20922789888000);
    s = s * z - 1.0 / 39916800;
    s = s * z + 1.0 / 362880;
    s = s * z - 1.0 / 5040;
    c -= 1.0 / 87178291200;
    c = c * z + 1.0 / 479001600;
    c = c * z - 1.0 / 3628800;
    c = c * z + 1.0 / 40320;
#endif
    s = s * z + (real)(1.0 / 120);
    s = s * z - (real)(1.0 / 6);
    c = c * z - (real)(1.0 / 720);
    c = c * z + (real)(1.0 / 24);
    c = c * z - (real)0.5;
    s = s * z * r + r;
    c = c * z + 1;
    mask quarter = (mask)shifted;
    mask swap = (quarter & 1) != 0;
    vec one = choose(swap, c, s), other = choose(swap, s, c);
    *sine = choose((quarter & 2) != 0, -one, one);
    *cosine = choose(((quarter + 1) & 2) != 0, -other, other);
    if (sum_lanes(choose(angle <= splat(LARGEST_ANGLE), splat(0), splat(1))) == 0) return;
    for (int64_t k = 0; k < WIDTH; k++)
        if (!(angle[k] <= LARGEST_ANGLE)) { /* NaN too */
            (*sine)[k] = (real)sin((double)angle[k]);
            (*cosine)[k] = (real)cos((double)angle[k]);
        }
}

/* From rates, frequencies and times of n steps and neurons, padded to whole registers; gates are in
 * their place, before their sigmoid if there are any. */
static void fill_turns(int64_t n, int gated, const real *rates, const real *frequencies,
                       const real *times, real *turns, int64_t gap) {
    for (int64_t k = 0; k < n; k += WIDTH) {
        vec w = load(frequencies + k), h = load(times + k), f = load(turns + GATE * gap + k);
        if (gated) f = 1 / (1 + vexp(-f));
        vec decay = load(rates + k) + f;
        vec forgotten = FORGOTTEN / decay, sine, cosine;
        vec near = choose(h > forgotten, forgotten, h);
        vec size = vexp(-decay * near);
        sine_cosine(w * near, &sine, &cosine);
        vec_pair a = {size * cosine, size * sine};
        vec square = decay * decay + w * w;
        vec_pair inverse = {-decay / square, -w / square};
        mask small = (vec_max(splat(0), choose(decay > w, decay, w)) * h) < SMALL_TURN;
        /* upwards: h is 1 where it is small, and nothing is divided by 0 */
        vec far = choose(small, splat(1), h);
        vec_pair i0 = pair_times((vec_pair){a.re - 1, a.im}, inverse);
        vec_pair i1 = pair_times((vec_pair){i0.re / far - 1, i0.im / far}, inverse);
        vec_pair d0 = pair_times((vec_pair){h * a.re - i0.re, h * a.im - i0.im}, inverse);
        vec_pair d1 = pair_times((vec_pair){i0.re - 2 * i1.re, i0.im - 2 * i1.im}, inverse);
        /* downwards */
        vec close = choose(small, h, splat(0));
        vec_pair z = {-decay * close, w * close}, phi = {splat((real)1 / (TURN_TERMS + 2)), splat(0)};
        for (int term = TURN_TERMS + 1; term > 2; term--) {
            phi = pair_times(phi, z);
            phi.re = (phi.re + 1) * ((real)1 / term);
            phi.im = phi.im * ((real)1 / term);
        }
        vec_pair phi3 = {phi.re * (real)0.5, phi.im * (real)0.5}; /* 1/3! + z/4! + ... */
        vec_pair phi2 = pair_times(z, phi3), phi1;
        phi2.re += (real)0.5;
        phi1 = pair_times(z, phi2);
        phi1.re += 1;
        vec h2 = close * close;
        i0 = (vec_pair){choose(small, close * phi1.re, i0.re), choose(small, close * phi1.im, i0.im)};
        i1 = (vec_pair){choose(small, close * phi2.re, i1.re), choose(small, close * phi2.im, i1.im)};
        d0 = (vec_pair){choose(small, h2 * (phi1.re - phi2.re), d0.re),
                        choose(small, h2 * (phi1.im - phi2.im), d0.im)};
        d1 = (vec_pair){choose(small, h2 * (phi2.re - 2 * phi3.re), d1.re),
                        choose(small, h2 * (phi2.im - 2 * phi3.im), d1.im)};
        vec parts[TURN_PARTS] = {a.re,  a.im,  i0.re, i0.im, i1.re, i1.im,
                                 d0.re, d0.im, d1.re, d1.im, f};
        for (int part = 0; part < TURN_PARTS; part++) store(turns + part * gap + k, parts[part]);
    }
}

/* A row of a batch at work. */
typedef struct {
    const tl_resonator *p;
    int64_t lane, batch, H, alike; /* alike: all steps multiply by the same */
    real *flat; /* 3 chunk_room(H): rates, frequencies and times of a chunk */
    real *turns; /* of the whole row where they are kept, else of a chunk */
    int64_t gap;
    real *state; /* 3 H, and what a way needs besides, 9 H */
} resonator_row;

INLINE const real *row_at(const tl_view *v, const resonator_row *r, int64_t t) {
    return (const real *)v->data + r->lane * v->lane + r->batch * v->batch + t * v->row;
}

INLINE real time_at(const resonator_row *r, int64_t t) {
    return r->p->dt.data ? *row_at(&r->p->dt, r, t) : (real)r->p->interval;
}

INLINE int64_t chunk_of(int64_t H) { return H < CHUNK ? CHUNK / H : 1; }

/* Reals of one value of every step and neuron of a chunk, padded to whole registers. */
INLINE int64_t chunk_room(int64_t H) { return chunk_of(H) * H + 2 * WIDTH; }

static size_t resonator_take(const tl_resonator *p, char *base, resonator_row *r) {
    int64_t H = p->sizes.hidden, most = chunk_room(H);
    real *at = (real *)base;
    r->p = p;
    r->H = H;
    r->alike = !p->dt.data && !p->gate.data;
    r->flat = at;
    at += 3 * most;
    r->turns = at;
    r->gap = most;
    at += p->kept ? 0 : TURN_PARTS * most;
    r->state = at;
    at += 12 * H + WIDTH;
    return (size_t)((char *)at - base + 63) / 64 * 64;
}

static void row_begins(const tl_resonator *p, int64_t job, char *base, resonator_row *r) {
    resonator_take(p, base, r);
    r->lane = job / p->sizes.batch;
    r->batch = job % p->sizes.batch;
    if (p->kept) {
        r->turns = (real *)p->kept + job * TURN_PARTS * p->kept_gap;
        r->gap = p->kept_gap;
    }
    const real *h0 = row_at(&p->h0, r, 0);
    for (int64_t j = 0; j < 3 * r->H; j++) r->state[j] = h0[j * p->h0.item];
}

/* Fill the turns of `steps` steps from `from` on at `to`. */
static void turns_of(const resonator_row *r, int64_t from, int64_t steps, real *to) {
    int64_t H = r->H, n = steps * H, most = chunk_room(H);
    const tl_view *g = &r->p->gate;
    real *rates = r->flat, *frequencies = rates + most, *times = frequencies + most;
    real *gates = to + GATE * r->gap;
    const real *rate = row_at(&r->p->rate, r, 0), *frequency = row_at(&r->p->frequency, r, 0);
    for (int64_t t = 0; t < steps; t++) {
        const real *gate = g->data ? row_at(g, r, from + t) : NULL;
        real h = time_at(r, from + t);
        for (int64_t j = 0; j < H; j++) {
            rates[t * H + j] = rate[j * r->p->rate.item];
            frequencies[t * H + j] = frequency[j * r->p->frequency.item];
            times[t * H + j] = h;
            gates[t * H + j] = gate ? gate[j * g->item] : 0;
        }
    }
    for (int64_t k = n; k < n + WIDTH; k++) gates[k] = rates[k] = frequencies[k] = times[k] = 1;
    fill_turns(n, g->data != NULL, rates, frequencies, times, to, r->gap);
}

static void resonator_forward_job(const void *kernel, int64_t job, char *base) {
    const tl_resonator *p = kernel;
    resonator_row row, *r = &row;
    row_begins(p, job, base, r);
    int64_t H = r->H, L = p->sizes.steps, chunk = chunk_of(H), gap = r->gap;
    real *restrict re = r->state, *restrict im = re + H, *restrict before = im + H;
    real *restrict now = before + H;
    if (r->alike) turns_of(r, 0, 1, r->turns);
    for (int64_t from = 0; from < L; from += chunk) {
        int64_t steps = from + chunk < L ? chunk : L - from;
        real *turns = r->turns + (p->kept && !r->alike ? from * H : 0);
        if (!r->alike) turns_of(r, from, steps, turns);
        for (int64_t t = 0; t < steps; t++) {
            const real *restrict c = turns + (r->alike ? 0 : t * H);
            const real *drive = row_at(&p->drive, r, from + t);
            int64_t item = p->drive.item;
            if (time_at(r, from + t) > 0)
                for (int64_t j = 0; j < H; j++) now[j] = drive[j * item];
            else
                memcpy(now, before, (size_t)H * sizeof *now);
            for (int64_t j = 0; j < H; j++) {
                real q = before[j], up = now[j] - q, x = re[j], y = im[j];
                re[j] = c[j] * x - c[gap + j] * y + (c[2 * gap + j] * q + c[4 * gap + j] * up);
                im[j] = c[j] * y + c[gap + j] * x + (c[3 * gap + j] * q + c[5 * gap + j] * up);
                before[j] = now[j];
            }
            memcpy((real *)row_at(&p->y, r, from + t), r->state, (size_t)(3 * H) * sizeof *re);
        }
    }
}

static void resonator_backward_job(const void *kernel, int64_t job, char *base) {
    const tl_resonator *p = kernel;
    resonator_row row, *r = &row;
    row_begins(p, job, base, r);
    int64_t H = r->H, L = p->sizes.steps, gap = r->gap;
    const real *first = r->state;
    real *restrict g_re = r->state + 3 * H, *restrict g_im = g_re + H, *restrict g_before = g_im + H;
    real *restrict g_rate = g_before + H, *restrict g_frequency = g_rate + H;
    real *restrict decay = g_frequency + H, *restrict w = decay + H;
    real *restrict slopes = w + H, *restrict leaks = slopes + H;
    memset(g_re, 0, (size_t)(5 * H) * sizeof *g_re);
    const real *frequency = row_at(&p->frequency, r, 0), *rate = row_at(&p->rate, r, 0);
    for (int64_t j = 0; j < H; j++) {
        decay[j] = rate[j * p->rate.item];
        w[j] = frequency[j * p->frequency.item];
    }
    for (int64_t t = L - 1; t >= 0; t--) {
        const real *restrict c = r->turns + (r->alike ? 0 : t * H);
        const real *gradient = row_at(&p->grad_y, r, t);
        const real *restrict after = row_at(&p->y, r, t);
        const real *restrict prior = t ? row_at(&p->y, r, t - 1) : first;
        real *restrict drive = (real *)row_at(&p->grad_drive, r, t);
        real *restrict to_gate = p->gate.data ? (real *)row_at(&p->grad_gate, r, t) : NULL;
        real h = time_at(r, t), moves = h > 0, per = moves ? 1 / h : 0;
        int64_t item = p->grad_y.item;
        for (int64_t j = 0; j < H; j++) {
            g_re[j] += gradient[j * item];
            g_im[j] += gradient[(H + j) * item];
            g_before[j] += gradient[(2 * H + j) * item];
        }
        for (int64_t j = 0; j < H; j++) {
            real G = g_re[j], K = g_im[j], up_to = g_before[j];
            real a = c[j], b = c[gap + j], i0 = c[2 * gap + j], k0 = c[3 * gap + j];
            real i1 = c[4 * gap + j], k1 = c[5 * gap + j], d0 = c[6 * gap + j], e0 = c[7 * gap + j];
            real d1 = c[8 * gap + j], e1 = c[9 * gap + j], leak = decay[j] + c[GATE * gap + j];
            real q = prior[2 * H + j], up = after[2 * H + j] - q, x = prior[j], y = prior[H + j];
            /* of a, and of lambda through it and through I0 and I1 */
            real ga = G * x + K * y, ka = K * x - G * y;
            real gl = h * (a * ga + b * ka) + q * (d0 * G + e0 * K) + up * (d1 * G + e1 * K);
            real kl = h * (a * ka - b * ga) + q * (d0 * K - e0 * G) + up * (d1 * K - e1 * G);
            real through0 = i0 * G + k0 * K, through1 = i1 * G + k1 * K;
            real rising = moves ? (through0 - through1) * per : (real)0.5 * G;
            slopes[j] = (w[j] * a - leak * b) * ka - (leak * a + w[j] * b) * ga + q * (a * G + b * K) +
                        up * rising;
            leaks[j] = -gl;
            g_rate[j] -= gl;
            g_frequency[j] += kl;
            drive[j] = moves * (up_to + through1);
            g_before[j] = (1 - moves) * up_to + (through0 - through1);
            g_re[j] = a * G + b * K;
            g_im[j] = a * K - b * G;
        }
        if (to_gate)
            for (int64_t j = 0; j < H; j++) {
                real f = c[GATE * gap + j];
                to_gate[j] = leaks[j] * f * (1 - f);
            }
        if (p->grad_dt.data) {
            real slope = 0;
            for (int64_t j = 0; j < H; j++) slope += slopes[j];
            *(real *)row_at(&p->grad_dt, r, t) = slope;
        }
    }
    real *to = (real *)row_at(&p->grad_h0, r, 0);
    for (int64_t j = 0; j < H; j++) {
        to[j] = g_re[j];
        to[H + j] = g_im[j];
        to[2 * H + j] = g_before[j];
    }
    memcpy((real *)row_at(&p->grad_frequency, r, 0), g_frequency, (size_t)H * sizeof *to);
    memcpy((real *)row_at(&p->grad_rate, r, 0), g_rate, (size_t)H * sizeof *to);
}

static int run_rows(const tl_resonator *p, job_function run) {
    resonator_row none;
    size_t bytes = resonator_take(p, NULL, &none);
    double work = (double)(p->sizes.lanes * p->sizes.batch * p->sizes.steps * p->sizes.hidden) * 16;
    return share_rows(p, &p->sizes, bytes, work, run);
}

static int resonator_forward(const tl_resonator *p) { return run_rows(p, resonator_forward_job); }

static int resonator_backward(const tl_resonator *p) { return run_rows(p, resonator_backward_job); }
