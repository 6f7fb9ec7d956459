/* What every cell is built of: tiles of columns, strided loads, and the two matrix products.
 *
 * A *column* is one sequence in each lane of one register: lanes first .. first + valid of the
 * view, one row of the batch. A *job* is what is done by one thread with one copy of the weights: all
 * columns of one block of lanes (a pack), or some of the columns of a batch. Jobs go through their
 * columns in *tiles* of at most TILE, which share each weight that is loaded.
 *
 * Vectors of a tile are arrays of `vec`, column by column, padded with zeros to a multiple of ROWS.
 */
#ifndef TL_LANES_H
#define TL_LANES_H

#include <stdlib.h>

#include "torchliquid.h"
#include "vector.h"

/* Assumptions that a debug build checks (HACKING.md); a release build has none of them. */
#ifdef TL_CHECKS
#include <assert.h>
#define CHECK(condition) assert(condition)
#else
#define CHECK(condition) ((void)0)
#endif

enum { ROWS = 8, MOST_PARTS = 32 };
#if TL_REGISTERS == 32
enum { TILE = 2, OUTER = 4, TOGETHER = 4 };
#else
enum { TILE = 1, OUTER = 2, TOGETHER = 2 };
#endif

INLINE int64_t padded(int64_t n) { return (n + ROWS - 1) / ROWS * ROWS; }

typedef struct {
    int64_t lane; /* first lane */
    int64_t valid; /* lanes that exist, the rest of the register is filled */
    int64_t batch; /* row of the batch */
    int64_t index; /* among all columns */
} column;

INLINE int64_t lane_blocks(const tl_sizes *s) { return (s->lanes + WIDTH - 1) / WIDTH; }

/* Columns, or rows of the neurons' layout, that are not shared out between a batch's jobs: enough to
 * make each job's copy of the weights, and its sums for their gradients, worth having. */
INLINE int64_t grain(const tl_sizes *s) {
    if (s->rows) return TOGETHER;
    return WIDTH * TILE < 32 ? 32 / WIDTH : TILE;
}

INLINE int64_t grain_count(const tl_sizes *s) {
    int64_t all = s->rows ? s->lanes : lane_blocks(s);
    return (all + grain(s) - 1) / grain(s);
}

/* How many jobs a call has follows from its sizes alone: each job of a batch sums the weights'
 * gradients by itself, and these must be the same whatever the number of threads. */
INLINE int64_t job_count(const tl_sizes *s) {
    int64_t grains = grain_count(s);
    if (!s->shared) return s->rows ? grains : lane_blocks(s);
    return grains < MOST_PARTS ? grains : MOST_PARTS;
}

/* A job's of `all` columns or rows of a batch: [first, last). */
INLINE void job_part(const tl_sizes *s, int64_t job, int64_t all, int64_t *first, int64_t *last) {
    int64_t grains = grain_count(s), jobs = job_count(s);
    *first = job * grains / jobs * grain(s);
    *last = (job + 1) * grains / jobs * grain(s);
    if (*last > all) *last = all;
    CHECK(0 <= *first && *first <= *last);
}

/* Columns of a job: [first, last) among all, the batch of one block of lanes being consecutive. */
INLINE void job_columns(const tl_sizes *s, int64_t job, int64_t *first, int64_t *last) {
    if (s->shared) {
        job_part(s, job, lane_blocks(s), first, last);
        return;
    }
    *first = job * s->batch;
    *last = *first + s->batch;
}

INLINE column column_at(const tl_sizes *s, int64_t index) {
    column c;
    c.index = index;
    c.lane = index / s->batch * WIDTH;
    c.batch = index % s->batch;
    c.valid = s->lanes - c.lane < WIDTH ? s->lanes - c.lane : WIDTH;
    CHECK(index >= 0 && 1 <= c.valid && c.valid <= WIDTH);
    return c;
}

/* Lanes that do not exist hold zeros or repeat the first one: numbers as tame as any. */

/* The first `valid` elements, zero beyond. */
INLINE vec load_some(const real *from, int64_t valid) {
    CHECK(0 <= valid && valid <= WIDTH);
#if defined(__AVX512F__) && TL_BYTES == 64 && TL_REAL == 32
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << valid) - 1), from);
#elif defined(__AVX512F__) && TL_BYTES == 64
    return (vec)_mm512_maskz_loadu_pd((__mmask8)((1u << valid) - 1), from);
#else
    vec v = splat(0);
    for (int64_t k = 0; k < valid; k++) v[k] = from[k];
    return v;
#endif
}

INLINE void store_some(real *to, int64_t valid, vec v) {
    CHECK(0 <= valid && valid <= WIDTH);
#if defined(__AVX512F__) && TL_BYTES == 64 && TL_REAL == 32
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << valid) - 1), (__m512)v);
#elif defined(__AVX512F__) && TL_BYTES == 64
    _mm512_mask_storeu_pd(to, (__mmask8)((1u << valid) - 1), (__m512d)v);
#else
    for (int64_t k = 0; k < valid; k++) to[k] = v[k];
#endif
}

INLINE vec gather(const real *from, int64_t stride, int64_t valid) {
    if (stride == 1) return valid == WIDTH ? load(from) : load_some(from, valid);
    if (stride == 0) return splat(*from);
    vec v = splat(*from);
    for (int64_t k = 1; k < valid; k++) v[k] = from[k * stride];
    return v;
}

INLINE real *element(const tl_view *v, column c, int64_t row) {
    CHECK(v->data != NULL);
    return (real *)v->data + c.lane * v->lane + c.batch * v->batch + row * v->row;
}

static void gather_row(const tl_view *v, column c, int64_t row, int64_t items, vec *to) {
    const real *from = element(v, c, row);
    if (v->lane == 1 && c.valid == WIDTH) {
        for (int64_t i = 0; i < items; i++) to[i] = load(from + i * v->item);
    } else if (v->lane == 1) {
        for (int64_t i = 0; i < items; i++) to[i] = load_some(from + i * v->item, c.valid);
    } else if (v->lane == 0) {
        for (int64_t i = 0; i < items; i++) to[i] = splat(from[i * v->item]);
    } else {
        real *flat = (real *)to;
        int64_t done = v->item == 1 ? items / WIDTH * WIDTH : 0; /* whole squares */
        for (int64_t i = 0; i < done; i += WIDTH) {
            vec square[TL_BYTES * 8 / TL_REAL];
            for (int64_t k = 0; k < WIDTH; k++)
                square[k] = load(from + (k < c.valid ? k : 0) * v->lane + i);
            transpose(square);
            for (int64_t k = 0; k < WIDTH; k++) to[i + k] = square[k];
        }
        if (done == items) return;
        for (int64_t k = 0; k < WIDTH; k++) {
            const real *lane = from + (k < c.valid ? k : 0) * v->lane;
            for (int64_t i = done; i < items; i++) flat[i * WIDTH + k] = lane[i * v->item];
        }
    }
}

/* As gather_row, zero in the lanes that do not exist and where the view is absent. */
static void gather_gradient(const tl_view *v, column c, int64_t row, int64_t items, vec *to) {
    if (!v->data) {
        memset(to, 0, (size_t)items * sizeof *to);
        return;
    }
    gather_row(v, c, row, items, to);
    real *flat = (real *)to;
    for (int64_t k = c.valid; k < WIDTH; k++)
        for (int64_t i = 0; i < items; i++) flat[i * WIDTH + k] = 0;
}

static void scatter_row(const tl_view *v, column c, int64_t row, int64_t items, const vec *from) {
    real *to = element(v, c, row);
    if (v->lane == 1 && c.valid == WIDTH) {
        for (int64_t i = 0; i < items; i++) store(to + i * v->item, from[i]);
    } else if (v->lane == 1) {
        for (int64_t i = 0; i < items; i++) store_some(to + i * v->item, c.valid, from[i]);
    } else {
        const real *flat = (const real *)from;
        int64_t done = v->item == 1 ? items / WIDTH * WIDTH : 0;
        for (int64_t i = 0; i < done; i += WIDTH) {
            vec square[TL_BYTES * 8 / TL_REAL];
            for (int64_t k = 0; k < WIDTH; k++) square[k] = from[i + k];
            transpose(square);
            for (int64_t k = 0; k < c.valid; k++) store(to + k * v->lane + i, square[k]);
        }
        if (done == items) return;
        for (int64_t k = 0; k < c.valid; k++) {
            real *lane = to + k * v->lane;
            for (int64_t i = done; i < items; i++) lane[i * v->item] = flat[i * WIDTH + k];
        }
    }
}

/* ---- weights -------------------------------------------------------------------------------- */

/* Reals that one weight takes once packed: a register of a pack, a scalar of a shared model. */
INLINE int64_t weight_size(const tl_sizes *s) { return s->shared ? 1 : WIDTH; }

/* Matrix (rows, columns), or its transpose, in blocks of ROWS rows: block, column, row in block.
 * Rows beyond the last are zero. `offset` is the first row of the view. */
static void pack_matrix(const tl_sizes *s, const tl_view *v, column c, int64_t offset, int64_t rows,
                        int64_t columns, int transposed, real *to) {
    int64_t down = transposed ? v->item : v->row, right = transposed ? v->row : v->item;
    const real *from = element(v, c, 0) + offset * v->row;
    for (int64_t j = 0; j < padded(rows); j++)
        for (int64_t i = 0; i < columns; i++) {
            int64_t place = (j / ROWS * columns + i) * ROWS + j % ROWS;
            const real *weight = from + j * down + i * right;
            if (s->shared)
                to[place] = j < rows ? *weight : 0;
            else
                ((vec *)to)[place] = j < rows ? gather(weight, v->lane, c.valid) : splat(0);
        }
}

/* A vector of n elements, one register each, zero in the padding and where the view is absent. */
static void pack_vector(const tl_view *v, column c, int64_t n, vec *to) {
    memset(to, 0, (size_t)padded(n) * sizeof *to);
    if (v->data) gather_row(v, c, 0, n, to);
}

/* ---- products ------------------------------------------------------------------------------- */

INLINE void product_of(int tile, int shared, const real *weights, int64_t rows, int64_t columns,
                       const vec *start, int64_t start_gap, const vec *x, int64_t x_gap, vec *out,
                       int64_t out_gap) {
    for (int64_t j = 0; j < rows; j += ROWS) {
        vec sum[ROWS][TILE];
        for (int k = 0; k < ROWS; k++)
            for (int c = 0; c < tile; c++) sum[k][c] = start[c * start_gap + j + k];
        const real *scalar = weights + j * columns;
        const vec *vector = (const vec *)weights + j * columns;
        for (int64_t i = 0; i < columns; i++)
            for (int k = 0; k < ROWS; k++) {
                vec w = shared ? splat(scalar[i * ROWS + k]) : vector[i * ROWS + k];
                for (int c = 0; c < tile; c++) sum[k][c] += w * x[c * x_gap + i];
            }
        for (int k = 0; k < ROWS; k++)
            for (int c = 0; c < tile; c++) out[c * out_gap + j + k] = sum[k][c];
    }
}

/* out = start + W x for each of `tile` columns; W packed, (rows, columns). Gaps: vectors from one
 * column of the tile to the next; a start_gap of 0 starts all from the same vector. out may be
 * start. Rows are rounded up to a multiple of ROWS. Sums run over columns in order, lane by lane:
 * a lane's result does not depend on its neighbours, on the tile or on the register's width. */
static void product(const tl_sizes *s, int tile, const real *weights, int64_t rows, int64_t columns,
                    const vec *start, int64_t start_gap, const vec *x, int64_t x_gap, vec *out,
                    int64_t out_gap) {
#define CASE(tile_, shared_)                                                                     \
    product_of(tile_, shared_, weights, rows, columns, start, start_gap, x, x_gap, out, out_gap)
#if TL_REGISTERS == 32
    if (tile == 2) {
        if (s->shared)
            CASE(2, 1);
        else
            CASE(2, 0);
        return;
    }
#endif
    (void)tile;
    if (s->shared)
        CASE(1, 1);
    else
        CASE(1, 0);
#undef CASE
}

/* For add_outer, many columns of a shared model: lanes are summed over, so they may as well be the
 * ones to go through one by one, while a register holds the sums of WIDTH columns. The x of a few
 * steps are transposed for that, two registers of columns at a time. */
static void add_outer_shared(int64_t rows, int64_t columns, int64_t n, const vec *d, int64_t d_gap,
                             const vec *x, int64_t x_gap, real *sums) {
    enum { N = TL_BYTES * 8 / TL_REAL, STEPS = 8, PAIR = 2 };
    vec flat[STEPS * N][PAIR];
    for (int64_t i = 0; i < columns; i += PAIR * WIDTH)
        for (int64_t t0 = 0; t0 < n; t0 += STEPS) {
            int64_t steps = n - t0 < STEPS ? n - t0 : STEPS;
            for (int64_t t = 0; t < steps; t++)
                for (int m = 0; m < PAIR; m++) {
                    vec square[N];
                    for (int64_t k = 0; k < WIDTH; k++) {
                        int64_t column = i + m * WIDTH + k;
                        square[k] = column < columns ? x[(t0 + t) * x_gap + column] : splat(0);
                    }
                    transpose(square);
                    for (int64_t k = 0; k < WIDTH; k++) flat[t * WIDTH + k][m] = square[k];
                }
            for (int64_t j = 0; j < rows; j += ROWS) {
                vec sum[ROWS][PAIR];
                for (int k = 0; k < ROWS; k++)
                    for (int m = 0; m < PAIR; m++) sum[k][m] = splat(0);
                for (int64_t t = 0; t < steps; t++) {
                    const real *scalars = (const real *)(d + (t0 + t) * d_gap + j);
                    for (int64_t lane = 0; lane < WIDTH; lane++)
                        for (int k = 0; k < ROWS; k++) {
                            vec w = splat(scalars[k * WIDTH + lane]);
                            for (int m = 0; m < PAIR; m++)
                                sum[k][m] += w * flat[t * WIDTH + lane][m];
                        }
                }
                for (int k = 0; k < ROWS; k++)
                    for (int m = 0; m < PAIR; m++) {
                        int64_t first = i + m * WIDTH, left = columns - first;
                        if (j + k >= rows || left <= 0) continue;
                        real *to = sums + (j + k) * columns + first;
                        if (left >= WIDTH) {
                            store(to, load(to) + sum[k][m]);
                        } else {
                            const real *from = (const real *)&sum[k][m];
                            for (int64_t one = 0; one < left; one++) to[one] += from[one];
                        }
                    }
            }
        }
}

/* sums (rows, columns) += sum over n of d[n] x[n]^T. d and x are padded, one vector every d_gap or
 * x_gap. sums holds one register for each weight of a pack, one scalar of a shared model. */
static void add_outer(const tl_sizes *s, int64_t rows, int64_t columns, int64_t n, const vec *d,
                      int64_t d_gap, const vec *x, int64_t x_gap, real *sums) {
    if (s->shared && 4 * columns >= 3 * WIDTH) {
        add_outer_shared(rows, columns, n, d, d_gap, x, x_gap, sums);
        return;
    }
    for (int64_t j = 0; j < rows; j += OUTER)
        for (int64_t i = 0; i < columns; i += 4) {
            vec sum[OUTER][4];
            for (int k = 0; k < OUTER; k++)
                for (int m = 0; m < 4; m++) sum[k][m] = splat(0);
            for (int64_t t = 0; t < n; t++)
                for (int k = 0; k < OUTER; k++) {
                    vec left = d[t * d_gap + j + k];
                    for (int m = 0; m < 4; m++) sum[k][m] += left * x[t * x_gap + i + m];
                }
            for (int k = 0; k < OUTER && j + k < rows; k++)
                for (int m = 0; m < 4 && i + m < columns; m++) {
                    int64_t place = (j + k) * columns + i + m;
                    if (s->shared)
                        sums[place] += sum_lanes(sum[k][m]);
                    else
                        ((vec *)sums)[place] += sum[k][m];
                }
        }
}

/* sums (rows,) += sum over n of d[n], one register each. */
static void add_rows(int64_t rows, int64_t n, const vec *d, int64_t d_gap, vec *sums) {
    for (int64_t j = 0; j < rows; j++) {
        vec sum = sums[j];
        for (int64_t t = 0; t < n; t++) sum += d[t * d_gap + j];
        sums[j] = sum;
    }
}

/* ---- gradients of weights ------------------------------------------------------------------- */

/* Write a gradient matrix's rows from `offset` on: a lane's own, or the one shared by all lanes, to
 * which jobs add one after another, the first one (`job` 0) setting it. */
static void give_matrix(const tl_sizes *s, int64_t job, const tl_view *v, column c, int64_t offset,
                        int64_t rows, int64_t columns, const real *sums) {
    if (!v->data) return;
    for (int64_t j = 0; j < rows; j++) {
        if (s->shared) {
            real *to = (real *)v->data + (offset + j) * v->row;
            const real *from = sums + j * columns;
            for (int64_t i = 0; i < columns; i++)
                to[i * v->item] = from[i] + (job ? to[i * v->item] : 0);
        } else {
            scatter_row(v, c, offset + j, columns, (const vec *)sums + j * columns);
        }
    }
}

static void give_vector(const tl_sizes *s, int64_t job, const tl_view *v, column c, int64_t n,
                        const vec *sums) {
    if (!v->data) return;
    if (s->shared) {
        real *to = v->data;
        for (int64_t i = 0; i < n; i++)
            to[i * v->item] = sum_lanes(sums[i]) + (job ? to[i * v->item] : 0);
    } else {
        scatter_row(v, c, 0, n, sums);
    }
}

/* ---- scratch -------------------------------------------------------------------------------- */

/* One allocation of a job, handed out in pieces. With base NULL the pieces are only counted. */
typedef struct {
    char *base;
    size_t used;
} arena;

static void *arena_alloc(arena *a, int64_t reals) {
    void *piece = a->base ? a->base + a->used : NULL;
    a->used += ((size_t)reals * sizeof(real) + 63) / 64 * 64;
    return piece;
}

INLINE vec *arena_vectors(arena *a, int64_t n) { return arena_alloc(a, n * WIDTH); }

/* Steps that are worked on at once in a backward pass, given the vectors that a step of one column
 * takes: few enough to stay in the nearest caches, and enough to make the sums over them worth
 * their start. The same for every register width and tile: sums are taken in the same order. */
INLINE int64_t chunk_steps(const tl_sizes *s, int64_t vectors) {
    int64_t steps = 768 / vectors;
    if (steps < 4) steps = 4;
    return steps < s->steps ? steps : s->steps;
}

#endif
