/* The other way round: one sequence at a time, its hidden neurons in the lanes of the registers.
 *
 * For models that are wide enough to fill a register by themselves, and for few sequences, which
 * would leave most lanes of lanes.h empty. A *row* is one sequence: of a lane of a pack, or of the
 * batch of a shared model. Up to TOGETHER rows go through time side by side, each with a pointer to
 * its own weights: a step waits for the one before it, and another row's work fills the wait.
 *
 * Vectors over neurons are padded to whole registers; the padding starts at zero and stays there.
 * A matrix is packed in *panels*: BLOCK registers of output neurons, column by column. Sums run over
 * columns in order, so a row's result does not depend on how many rows run beside it, and is that
 * of lanes.h.
 */
#ifndef TL_ROWS_H
#define TL_ROWS_H

#include "jobs.h"

enum { BLOCK = 4 };

INLINE int64_t registers(int64_t n) { return (n + WIDTH - 1) / WIDTH; }

/* A row's place in views and kept buffers. */
typedef struct {
    int64_t lane, batch, index;
    int set; /* which of a job's copies of the weights */
} row_place;

INLINE real *row_element(const tl_view *v, row_place r, int64_t step) {
    CHECK(v->data != NULL && r.lane >= 0 && r.batch >= 0);
    return (real *)v->data + r.lane * v->lane + r.batch * v->batch + step * v->row;
}

/* n numbers of a row; straight from the tensor where they lie side by side, else copied. */
INLINE const real *row_numbers(const tl_view *v, row_place r, int64_t step, int64_t n, real *copy) {
    const real *from = row_element(v, r, step);
    if (v->item == 1 || n == 1) return from;
    for (int64_t i = 0; i < n; i++) copy[i] = from[i * v->item];
    return copy;
}

/* The same into registers, zero beyond n and where the view is absent. */
INLINE void row_load(const tl_view *v, row_place r, int64_t step, int64_t n, vec *to) {
    int64_t whole_ones = n / WIDTH, rest = n % WIDTH;
    if (!v->data) {
        memset(to, 0, (size_t)registers(n) * sizeof *to);
        return;
    }
    const real *from = row_element(v, r, step);
    if (v->item == 1) {
        for (int64_t k = 0; k < whole_ones; k++) to[k] = load(from + k * WIDTH);
        if (rest) to[whole_ones] = load_some(from + whole_ones * WIDTH, rest);
    } else {
        real *flat = (real *)to;
        for (int64_t i = 0; i < n; i++) flat[i] = from[i * v->item];
        for (int64_t i = n; i < registers(n) * WIDTH; i++) flat[i] = 0;
    }
}

INLINE void row_store(const tl_view *v, row_place r, int64_t step, int64_t n, const vec *from) {
    int64_t whole_ones = n / WIDTH, rest = n % WIDTH;
    real *to = row_element(v, r, step);
    if (v->item == 1) {
        for (int64_t k = 0; k < whole_ones; k++) store(to + k * WIDTH, from[k]);
        if (rest) store_some(to + whole_ones * WIDTH, rest, from[whole_ones]);
    } else {
        const real *flat = (const real *)from;
        for (int64_t i = 0; i < n; i++) to[i * v->item] = flat[i];
    }
}

/* ---- panels --------------------------------------------------------------------------------- */

/* One register of output neurons for all columns: to[i * gap] holds element (k, i) in lane k, at
 * from[k * down + i * right]; zero for k >= n. */
static void pack_panel(const real *from, int64_t down, int64_t right, int64_t n, int64_t columns,
                       vec *to, int64_t gap) {
    int64_t i = 0;
    if (n > WIDTH) n = WIDTH;
    if (down == 1) {
        for (; i < columns; i++)
            to[i * gap] = n == WIDTH ? load(from + i * right) : load_some(from + i * right, n);
    } else if (right == 1) {
        for (; i + WIDTH <= columns; i += WIDTH) {
            vec square[TL_BYTES * 8 / TL_REAL];
            for (int64_t k = 0; k < WIDTH; k++)
                square[k] = k < n ? load(from + k * down + i) : splat(0);
            transpose(square);
            for (int64_t k = 0; k < WIDTH; k++) to[(i + k) * gap] = square[k];
        }
    }
    for (; i < columns; i++) {
        real *flat = (real *)(to + i * gap);
        for (int64_t k = 0; k < WIDTH; k++) flat[k] = k < n ? from[k * down + i * right] : 0;
    }
}

/* The way back; adds to what is there where `add`. */
static void give_panel(const vec *from, int64_t gap, int64_t down, int64_t right, int64_t n,
                       int64_t columns, int add, real *to) {
    int64_t i = 0;
    if (n > WIDTH) n = WIDTH;
    if (right == 1 && !add)
        for (; i + WIDTH <= columns; i += WIDTH) {
            vec square[TL_BYTES * 8 / TL_REAL];
            for (int64_t k = 0; k < WIDTH; k++) square[k] = from[(i + k) * gap];
            transpose(square);
            for (int64_t k = 0; k < n; k++) store(to + k * down + i, square[k]);
        }
    for (; i < columns; i++) {
        const real *flat = (const real *)(from + i * gap);
        for (int64_t k = 0; k < n; k++) {
            real *place = to + k * down + i * right;
            *place = flat[k] + (add ? *place : 0);
        }
    }
}

/* Where register n of `total` lies in panels, column 0, and how far it is to the next column. */
INLINE int64_t panel_place(int64_t n, int64_t total, int64_t columns, int64_t *gap) {
    int64_t block = n / BLOCK, left = total - block * BLOCK;
    *gap = left < BLOCK ? left : BLOCK;
    return block * BLOCK * columns + n % BLOCK;
}

/* A matrix of `gates` times H rows of neurons, each gate padded by itself. */
static void pack_panels(const tl_view *v, int64_t lane, int64_t gates, int64_t H, int64_t columns,
                        vec *to) {
    int64_t each = registers(H), gap;
    const real *from = (const real *)v->data + lane * v->lane;
    for (int64_t k = 0; k < gates; k++)
        for (int64_t m = 0; m < each; m++) {
            vec *place = to + panel_place(k * each + m, gates * each, columns, &gap);
            pack_panel(from + (k * H + m * WIDTH) * v->row, v->row, v->item, H - m * WIDTH, columns,
                       place, gap);
        }
}

static void give_panels(const tl_view *v, int64_t lane, int64_t gates, int64_t H, int64_t columns,
                        int add, const vec *from) {
    int64_t each = registers(H), gap;
    if (!v->data) return;
    real *to = (real *)v->data + lane * v->lane;
    for (int64_t k = 0; k < gates; k++)
        for (int64_t m = 0; m < each; m++) {
            const vec *place = from + panel_place(k * each + m, gates * each, columns, &gap);
            give_panel(place, gap, v->row, v->item, H - m * WIDTH, columns, add,
                       to + (k * H + m * WIDTH) * v->row);
        }
}

/* The transpose of a square matrix of `gates` parts, so that it maps all gates back to H neurons:
 * a block for each register of neurons, in it one register for each gate. */
static void pack_transposed(const tl_view *v, int64_t lane, int64_t gates, int64_t H, vec *to) {
    const real *from = (const real *)v->data + lane * v->lane;
    for (int64_t m = 0; m < registers(H); m++)
        for (int64_t k = 0; k < gates; k++)
            pack_panel(from + k * H * v->row + m * WIDTH * v->item, v->item, v->row, H - m * WIDTH,
                       H, to + m * gates * H + k, gates);
}

/* Vectors of all gates, each gate padded by itself; zero where the view is absent. */
static void pack_gates(const tl_view *v, int64_t lane, int64_t gates, int64_t H, vec *to) {
    for (int64_t k = 0; k < gates; k++) {
        tl_view part = *v;
        if (part.data) part.data = (real *)part.data + k * H * part.item;
        row_load(&part, (row_place){lane, 0, 0, 0}, 0, H, to + k * registers(H));
    }
}

static void give_gates(const tl_view *v, int64_t lane, int64_t gates, int64_t H, int add,
                       const vec *from) {
    if (!v->data) return;
    real *to = (real *)v->data + lane * v->lane;
    for (int64_t k = 0; k < gates; k++) {
        const real *flat = (const real *)(from + k * registers(H));
        for (int64_t j = 0; j < H; j++) {
            real *place = to + (k * H + j) * v->item;
            *place = flat[j] + (add ? *place : 0);
        }
    }
}

/* ---- products ------------------------------------------------------------------------------- */

/* out[r][k] = start[r][k] + sum over columns i of w[r][i * block + k] x[r][k * apart + i], for
 * `together` rows and `block` registers. start NULL: zero. out[r] may be start[r]. */
INLINE void panel_of(int together, int block, int64_t columns, const vec *const *w, int64_t offset,
                     const real *const *x, int64_t apart, const vec *const *start, vec *const *out,
                     int64_t first) {
    vec sum[TOGETHER][BLOCK];
#pragma GCC unroll 4
    for (int r = 0; r < together; r++)
#pragma GCC unroll 4
        for (int k = 0; k < block; k++) sum[r][k] = start ? start[r][first + k] : splat(0);
    for (int64_t i = 0; i < columns; i++)
#pragma GCC unroll 4
        for (int r = 0; r < together; r++)
#pragma GCC unroll 4
            for (int k = 0; k < block; k++)
                sum[r][k] += splat(x[r][k * apart + i]) * w[r][offset + i * block + k];
#pragma GCC unroll 4
    for (int r = 0; r < together; r++)
#pragma GCC unroll 4
        for (int k = 0; k < block; k++) out[r][first + k] = sum[r][k];
}

#if TL_REGISTERS == 32
#define EACH_TOGETHER(block_, apart_)                                                     \
    switch (together) {                                                                   \
        case 4: PANEL(4, block_, apart_); break;                                          \
        case 3: PANEL(3, block_, apart_); break;                                          \
        case 2: PANEL(2, block_, apart_); break;                                          \
        default: PANEL(1, block_, apart_);                                                \
    }
#else
#define EACH_TOGETHER(block_, apart_)                                                     \
    switch (together) {                                                                   \
        case 2: PANEL(2, block_, apart_); break;                                          \
        default: PANEL(1, block_, apart_);                                                \
    }
#endif
#define PANEL(together_, block_, apart_) \
    panel_of(together_, block_, columns, w, offset, x, apart_, start, out, first)

/* out = start + W x of each row: W in panels, `total` registers of outputs. */
static void panels_product(int together, int64_t total, int64_t columns, const vec *const *w,
                           const real *const *x, const vec *const *start, vec *const *out) {
    for (int64_t first = 0; first < total; first += BLOCK) {
        int64_t offset = first * columns;
        switch (total - first) {
            case 1: EACH_TOGETHER(1, 0) break;
            case 2: EACH_TOGETHER(2, 0) break;
            case 3: EACH_TOGETHER(3, 0) break;
            default: EACH_TOGETHER(4, 0)
        }
    }
}

/* g += sum over gates of W^T d: W packed by pack_transposed, d one padded vector after another. */
static void transposed_product(int together, int64_t gates, int64_t H, const vec *const *w,
                               const real *const *x, vec *const *g) {
    vec parts[TOGETHER][BLOCK], *out[TOGETHER];
    const vec *const *start = NULL;
    int64_t columns = H, apart = registers(H) * WIDTH;
    const int64_t first = 0;
    for (int r = 0; r < together; r++) out[r] = parts[r];
    for (int64_t m = 0; m < registers(H); m++) {
        int64_t offset = m * gates * H;
        if (gates == 4)
            EACH_TOGETHER(4, apart)
        else
            EACH_TOGETHER(3, apart)
        for (int r = 0; r < together; r++) {
            vec sum = parts[r][0] + parts[r][1];
            g[r][m] += sum + (gates == 4 ? parts[r][2] + parts[r][3] : parts[r][2]);
        }
    }
}

/* sums (panels of `total` registers) += sum over n steps of d x^T; d one padded vector every d_gap
 * registers, x one every x_gap numbers. */
INLINE void outer_of(int block, int width, int64_t columns, int64_t i, int64_t n, const vec *d,
                     int64_t d_gap, const real *x, int64_t x_gap, vec *sums) {
    vec sum[4][BLOCK];
    (void)columns;
#pragma GCC unroll 4
    for (int m = 0; m < width; m++)
#pragma GCC unroll 4
        for (int k = 0; k < block; k++) sum[m][k] = splat(0);
    for (int64_t t = 0; t < n; t++)
#pragma GCC unroll 4
        for (int m = 0; m < width; m++)
#pragma GCC unroll 4
            for (int k = 0; k < block; k++)
                sum[m][k] += d[t * d_gap + k] * splat(x[t * x_gap + i + m]);
#pragma GCC unroll 4
    for (int m = 0; m < width; m++)
#pragma GCC unroll 4
        for (int k = 0; k < block; k++) sums[(i + m) * block + k] += sum[m][k];
}

enum { OUTER_COLUMNS = TL_REGISTERS == 32 ? 4 : 2 };

INLINE void outer_block(int block, int64_t columns, int64_t n, const vec *d, int64_t d_gap,
                        const real *x, int64_t x_gap, vec *sums) {
    int64_t i = 0;
    for (; i + OUTER_COLUMNS <= columns; i += OUTER_COLUMNS)
        outer_of(block, OUTER_COLUMNS, columns, i, n, d, d_gap, x, x_gap, sums);
    for (; i < columns; i++) outer_of(block, 1, columns, i, n, d, d_gap, x, x_gap, sums);
}

static void add_panels(int64_t total, int64_t columns, int64_t n, const vec *d, int64_t d_gap,
                       const real *x, int64_t x_gap, vec *sums) {
    for (int64_t first = 0; first < total; first += BLOCK) {
        vec *to = sums + first * columns;
        switch (total - first) {
            case 1: outer_block(1, columns, n, d + first, d_gap, x, x_gap, to); break;
            case 2: outer_block(2, columns, n, d + first, d_gap, x, x_gap, to); break;
            case 3: outer_block(3, columns, n, d + first, d_gap, x, x_gap, to); break;
            default: outer_block(4, columns, n, d + first, d_gap, x, x_gap, to);
        }
    }
}

/* dx_i = sum over neurons of W_ji d_j, W in panels. */
static void give_row_inputs(const tl_view *v, row_place r, int64_t step, int64_t total,
                            int64_t columns, const vec *w, const vec *d) {
    real *to = row_element(v, r, step);
    for (int64_t i = 0; i < columns; i++) {
        vec sum = splat(0);
        for (int64_t first = 0; first < total; first += BLOCK) {
            int64_t block = total - first < BLOCK ? total - first : BLOCK;
            for (int64_t k = 0; k < block; k++)
                sum += w[first * columns + i * block + k] * d[first + k];
        }
        to[i * v->item] = sum_lanes(sum);
    }
}

/* ---- the readout ---------------------------------------------------------------------------- */

/* weight (O, H) in registers of neurons, row by row. Two sums, as lanes.h's kernels take them. */
static void row_read_out(const tl_view *out, row_place r, int64_t step, int64_t outputs, int64_t H,
                         const vec *weight, const real *bias, const vec *state) {
    const real *h = (const real *)state;
    real *to = row_element(out, r, step);
    for (int64_t o = 0; o < outputs; o++) {
        const real *w = (const real *)(weight + o * registers(H));
        real even = bias[o], odd = 0;
        for (int64_t j = 0; j + 1 < H; j += 2) {
            even += w[j] * h[j];
            odd += w[j + 1] * h[j + 1];
        }
        if (H % 2) even += w[H - 1] * h[H - 1];
        to[o * out->item] = even + odd;
    }
}

/* The same in the order that suits the registers. */
static void row_read_out_fast(const tl_view *out, row_place r, int64_t step, int64_t outputs,
                              int64_t H, const vec *weight, const real *bias, const vec *state) {
    real *to = row_element(out, r, step);
    for (int64_t o = 0; o < outputs; o++) {
        vec sum = splat(0);
        for (int64_t m = 0; m < registers(H); m++) sum += weight[o * registers(H) + m] * state[m];
        to[o * out->item] = bias[o] + sum_lanes(sum);
    }
}

/* Adds the readout's part to g of a state, and to the readout's own gradients. */
static void row_backward_readout(const tl_view *grad, row_place r, int64_t step, int64_t outputs,
                                 int64_t H, const vec *weight, const vec *state, vec *g,
                                 vec *weight_sum, real *bias_sum) {
    if (!grad->data) return;
    const real *d = row_element(grad, r, step);
    for (int64_t o = 0; o < outputs; o++) {
        vec each = splat(d[o * grad->item]);
        bias_sum[o] += d[o * grad->item];
        for (int64_t m = 0; m < registers(H); m++) {
            int64_t place = o * registers(H) + m;
            g[m] += each * weight[place];
            weight_sum[place] += each * state[m];
        }
    }
}

/* ---- jobs ----------------------------------------------------------------------------------- */

/* Rows of a job side by side, the next ones from `done` on; how many. A pack's job is a few lanes
 * with the whole batch of each; a shared model's job some of its batch. */
INLINE int next_rows(const tl_sizes *s, int64_t job, int64_t *done, row_place *rows) {
    int64_t lane, last;
    if (s->shared) {
        job_part(s, job, s->lanes, &lane, &last);
        lane += *done;
    } else {
        lane = job * TOGETHER;
        last = lane + TOGETHER < s->lanes ? lane + TOGETHER : s->lanes;
    }
    int64_t batch = s->shared ? 0 : *done;
    if (lane >= last || batch >= s->batch) return 0;
    int together = last - lane < TOGETHER ? (int)(last - lane) : TOGETHER;
    for (int r = 0; r < together; r++)
        rows[r] = (row_place){lane + r, batch, (lane + r) * s->batch + batch, s->shared ? 0 : r};
    *done += s->shared ? together : 1;
    return together;
}

/* Copies of the weights that a job has, and the lane of each. */
INLINE int job_sets(const tl_sizes *s, int64_t job) {
    int64_t left = s->lanes - job * TOGETHER;
    return s->shared ? 1 : left < TOGETHER ? (int)left : TOGETHER;
}

INLINE int64_t set_lane(const tl_sizes *s, int64_t job, int set) {
    return s->shared ? 0 : job * TOGETHER + set;
}

#endif
