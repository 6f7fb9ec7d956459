/* Chooses the instruction set, tests it, and hands calls on to its kernels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "threads.h"

#define DECLARE(name) extern const tl_table tl_table_##name##_32, tl_table_##name##_64;
TL_VARIANTS(DECLARE)

typedef struct {
    const char *name;
    const tl_table *single, *twice;
} variant;

#define ENTRY(name) {#name, &tl_table_##name##_32, &tl_table_##name##_64},
static const variant variants[] = {TL_VARIANTS(ENTRY)};
enum { COUNT = sizeof variants / sizeof *variants };

static const variant *active; /* at the first call */
static const variant *narrower; /* than the active one, NULL if there is none with fused products */

/* What the processor and the system can do, read from both ourselves: __builtin_cpu_supports says no
 * to everything in some builds of Clang. */
#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>

static int has_bits(unsigned value, unsigned bits) { return (value & bits) == bits; }

static int runs_here(const char *name) {
    unsigned a, b, c, d, low, high;
    if (!strcmp(name, "sse2")) return 1;
    /* 12 FMA, 27 XGETBV, 28 AVX: Intel's manual, CPUID, leaf 1 */
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has_bits(c, 1u << 12 | 1u << 27 | 1u << 28)) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0)); /* registers that the system saves */
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (!strcmp(name, "avx2")) return has_bits(low, 0x6) && has_bits(b, 1u << 5);
    if (!strcmp(name, "avx512")) /* F, DQ, BW, VL */
        return has_bits(low, 0xe6) && has_bits(b, 1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31);
    return 0;
}
#else
static int runs_here(const char *name) {
    (void)name;
    return 1;
}
#endif

/* ---- self-test ------------------------------------------------------------------------------ */

enum { LANES = 17, STEPS = 5, HIDDEN = 3, PLACES = LANES * STEPS * HIDDEN };

static tl_view view(void *data, int64_t lane, int64_t row, int64_t item) {
    return (tl_view){data, lane, 0, row, item};
}

static double worse(double worst, double error) {
    return fabs(error) <= worst ? worst : isnan(error) ? INFINITY : fabs(error);
}

/* Forward and backward of a small LTC against libm, in double precision: the worst error. */
static double error_of(const tl_table *table, int64_t bytes, int64_t rows) {
    static const double weight[HIDDEN * HIDDEN] = {0.3, -0.7, 0.2, 0.9, 0.1, -0.4, -0.2, 0.6, 0.5};
    static const double tau[HIDDEN] = {1.3, 0.4, 2.0}, target[HIDDEN] = {0.8, -1.1, 0.3};
    double x[PLACES], y[PLACES], gradient[LANES * HIDDEN], worst = 0;
    double w[9], constants[2 * HIDDEN], state[LANES * HIDDEN] = {0}, ones[1] = {1};
    float y32[PLACES], x32[PLACES], gradient32[LANES * HIDDEN], w32[9], constants32[2 * HIDDEN];
    float state32[LANES * HIDDEN] = {0}, ones32[1] = {1};
    for (int k = 0; k < PLACES; k++) x32[k] = (float)(x[k] = 2 * sin(1.7 * k));
    for (int k = 0; k < 9; k++) w32[k] = (float)(w[k] = weight[k]);
    for (int k = 0; k < HIDDEN; k++) {
        constants32[k] = (float)(constants[k] = tau[k]);
        constants32[HIDDEN + k] = (float)(constants[HIDDEN + k] = target[k]);
    }
#define PICK(name) (bytes == 4 ? (void *)name##32 : (void *)name)
    char *flat = PICK(constants);
    tl_ltc p = {0};
    p.sizes = (tl_sizes){bytes, 1, 1, LANES, 1, STEPS, HIDDEN, HIDDEN, rows};
    p.solver = TL_SEMI_IMPLICIT;
    p.unfolds = 1;
    p.interval = 0.4;
    p.x = view(PICK(x), STEPS * HIDDEN, HIDDEN, 1);
    p.h0 = view(PICK(state), HIDDEN, 0, 1);
    p.weight_ih = p.weight_hh = view(PICK(w), 0, HIDDEN, 1);
    p.tau = view(flat, 0, 0, 1);
    p.target = view(flat + HIDDEN * bytes, 0, 0, 1);
    p.y = view(PICK(y), STEPS * HIDDEN, HIDDEN, 1);
    p.grad_last = view(PICK(ones), 0, 0, 0);
    p.grad_h0 = view(PICK(gradient), HIDDEN, 0, 1);
    if (table->ltc_forward(&p) || table->ltc_backward(&p)) return INFINITY;
#define FOUND(name, place) (bytes == 4 ? (double)name##32 [place] : name[place])
    for (int lane = 0; lane < LANES; lane++) {
        double h[HIDDEN] = {0}, slopes[HIDDEN][HIDDEN]; /* d state / d initial state */
        for (int j = 0; j < HIDDEN; j++)
            for (int i = 0; i < HIDDEN; i++) slopes[j][i] = i == j;
        for (int t = 0; t < STEPS; t++) {
            double next[HIDDEN], moved[HIDDEN][HIDDEN];
            for (int j = 0; j < HIDDEN; j++) {
                double z = 0, dz[HIDDEN] = {0};
                for (int i = 0; i < HIDDEN; i++) {
                    z += weight[j * HIDDEN + i] * (x[(lane * STEPS + t) * HIDDEN + i] + h[i]);
                    for (int m = 0; m < HIDDEN; m++) dz[m] += weight[j * HIDDEN + i] * slopes[i][m];
                }
                double f = 1 / (1 + exp(-z)), d = 1 + p.interval * (1 / tau[j] + f);
                next[j] = (h[j] + p.interval * f * target[j]) / d;
                for (int m = 0; m < HIDDEN; m++)
                    moved[j][m] = slopes[j][m] / d + p.interval * (target[j] - next[j]) / d * f *
                                                         (1 - f) * dz[m];
                worst = worse(worst, next[j] - FOUND(y, (lane * STEPS + t) * HIDDEN + j));
            }
            memcpy(h, next, sizeof h);
            memcpy(slopes, moved, sizeof slopes);
        }
        for (int m = 0; m < HIDDEN; m++) {
            double sum = 0;
            for (int j = 0; j < HIDDEN; j++) sum += slopes[j][m];
            worst = worse(worst, sum - FOUND(gradient, lane * HIDDEN + m));
        }
    }
    return worst;
}

static int passes(const variant *v) {
    for (int rows = 0; rows < 2; rows++)
        if (error_of(v->single, 4, rows) >= 1e-5 || error_of(v->twice, 8, rows) >= 1e-12) return 0;
    return 1;
}

/* ---- choice --------------------------------------------------------------------------------- */

static void choose(const variant *v) {
    const variant *next = v + 1;
    narrower = !strcmp(v->name, "avx512") && passes(next) ? next : NULL;
    active = v;
}

int tl_use_isa(const char *name) {
    for (int k = 0; k < COUNT; k++)
        if (!strcmp(variants[k].name, name) && runs_here(name) && passes(&variants[k])) {
            choose(&variants[k]);
            return TL_OK;
        }
    return TL_BAD_ARGUMENT;
}

static const variant *current(void) {
    for (int k = 0; k < COUNT && !active; k++)
        if (runs_here(variants[k].name) && passes(&variants[k])) choose(&variants[k]);
    return active;
}

static const tl_table *table_of(const variant *v, int64_t bytes) {
    return !v ? NULL : bytes == 4 ? v->single : bytes == 8 ? v->twice : NULL;
}

static const tl_table *table(int64_t bytes) { return table_of(current(), bytes); }

/* The kernels for a call. A small batch, or few neurons in rows, do not fill the widest registers:
 * where half of one holds them, kernels with narrower registers do the same work in less time. How
 * many lanes a pack has plays no part: a lane alone and among many gives the same bits. */
static const tl_table *table_for(const tl_sizes *s) {
    const tl_table *best = table(s->real), *half = table_of(narrower, s->real);
    int64_t filled = s->rows ? s->hidden : s->shared ? s->lanes : best->width;
    return half && filled <= half->width ? half : best;
}

int64_t tl_abi(void) { return TL_ABI; }

const char *tl_isa(void) {
    const variant *v = current();
    return v ? v->name : "";
}

#define LIST(name) #name " "
const char *tl_isas(void) { return TL_VARIANTS(LIST); }

int64_t tl_width(int64_t bytes) {
    const tl_table *t = table(bytes);
    return t ? t->width : 0;
}

static int fits(const tl_sizes *s) {
    return table(s->real) && s->threads >= 1 && s->lanes >= 1 && s->batch >= 1 && s->steps >= 1 &&
           s->inputs >= 1 && s->hidden >= 1 && !(s->shared && s->batch > 1);
}

#define KERNEL(name)                                                      \
    int tl_##name##_forward(const tl_##name *p) {                         \
        if (!fits(&p->sizes)) return TL_BAD_ARGUMENT;                     \
        return table_for(&p->sizes)->name##_forward(p);                   \
    }                                                                     \
    int tl_##name##_backward(const tl_##name *p) {                        \
        if (!fits(&p->sizes)) return TL_BAD_ARGUMENT;                     \
        return table_for(&p->sizes)->name##_backward(p);                  \
    }
TL_KERNELS(KERNEL)

#define KERNEL_FORWARD(name)                                              \
    int tl_##name##_forward(const tl_##name *p) {                         \
        if (!fits(&p->sizes)) return TL_BAD_ARGUMENT;                     \
        return table_for(&p->sizes)->name##_forward(p);                   \
    }
TL_ONE_WAY(KERNEL_FORWARD)

#define ANY(name, way) \
    static int any_##name##_##way(const void *p) { return tl_##name##_##way(p); }
#define ANY_TWO(name) ANY(name, forward) ANY(name, backward)
#define ANY_ONE(name) ANY(name, forward)
TL_KERNELS(ANY_TWO)
TL_ONE_WAY(ANY_ONE)

#define TWO_ENTRIES(name) {any_##name##_forward, any_##name##_backward},
#define ONE_ENTRY(name) {any_##name##_forward, NULL},
int tl_run(const char *program) {
    static int (*const entries[][2])(const void *) = {TL_KERNELS(TWO_ENTRIES) TL_ONE_WAY(ONE_ENTRY)};
    int64_t count, head[3];
    memcpy(&count, program, sizeof count);
    program += sizeof count;
    for (int64_t k = 0; k < count; k++) {
        memcpy(head, program, sizeof head);
        program += sizeof head;
        int code = entries[head[0]][head[1]](program);
        if (code) return code;
        program += head[2];
    }
    return TL_OK;
}

typedef struct {
    const tl_fit *fit;
    int code;
} fit_share;

static void run_fit(void *argument) {
    fit_share *share = argument;
    share->code = tl_fit_forward(share->fit);
}

int tl_fit_all(const tl_fit *const *fits, int64_t count, int64_t threads) {
    fit_share *shares = malloc((size_t)count * sizeof *shares);
    if (!shares) return TL_NO_MEMORY;
    for (int64_t k = 0; k < count; k++) shares[k] = (fit_share){fits[k], TL_OK};
    tl_call_each(run_fit, shares, sizeof *shares, (int)count, (int)threads);
    int code = TL_OK;
    for (int64_t k = count - 1; k >= 0; k--) code = shares[k].code ? shares[k].code : code;
    free(shares);
    return code;
}
