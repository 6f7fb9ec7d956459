/* Closed-form continuous-time cells over whole sequences (one layer, one direction).
 *
 * Equations in functional/cfc.py: maps with an activation between them give the heads, a formula the
 * state from these. The forward pass keeps, of each step, what every activation gave (of TL_SILU what
 * it took) and the heads as the backward pass needs them: tanh f, tanh g, the gate s and the slope a;
 * in the pure mode f and e^(-dt (|r| + |f|)). Backwards, with g of the state after a step,
 *
 *   default  df = g (1 - s)(1 - f^2),  dg = g s (1 - g'^2),  db = g (g' - f) s (1 - s),  da = db dt
 *   pure     df = g A e (dt |f| - 1)
 *
 * and through map k: d before its activation = (W^T d after it) times the activation's slope.
 */
#ifndef TL_CFC_H
#define TL_CFC_H

#include "jobs.h"
#include "memory.h"

enum { CFC_KEPT = 4 }; /* vectors of H neurons */
#define LECUN_SCALE ((real)1.7159)
#define LECUN_SLOPE ((real)0.666)

INLINE int64_t cfc_heads(const tl_cfc *p) { return p->mode == TL_CFC_PURE ? 1 : 4; }

/* Rows of map k as they are packed: each head padded by itself. Map 0 takes the input and the state. */
INLINE int64_t cfc_rows(const tl_cfc *p, int64_t k) {
    return k < p->maps ? padded(p->units) : cfc_heads(p) * padded(p->sizes.hidden);
}

INLINE vec vec_abs(vec v) { return vec_max(-v, v); }

/* ---- weights -------------------------------------------------------------------------------- */

typedef struct {
    real *input, *recurrent, *map[TL_CFC_MAPS]; /* packed, or their transposes for the way back */
    vec *bias[TL_CFC_MAPS + 1], *zero, *rate, *target;
} cfc_weights;

static void cfc_take_weights(arena *a, const tl_cfc *p, int backward, cfc_weights *w) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, U = p->units, one = weight_size(s);
    int64_t first = cfc_rows(p, 0), most = padded(I > H ? I : H);
    w->input = arena_alloc(a, (backward ? padded(I) * first : first * I) * one);
    w->recurrent = arena_alloc(a, (backward ? padded(H) * first : first * H) * one);
    w->bias[0] = arena_vectors(a, first);
    for (int64_t k = 0; k < p->maps; k++) {
        int64_t rows = cfc_rows(p, k + 1);
        w->map[k] = arena_alloc(a, (backward ? padded(U) * rows : rows * U) * one);
        w->bias[k + 1] = arena_vectors(a, rows);
        if (padded(U) > most) most = padded(U);
    }
    w->zero = arena_vectors(a, most);
    w->rate = arena_vectors(a, padded(H));
    w->target = arena_vectors(a, padded(H));
}

/* The rows of map k: of one of its heads, or all of a hidden layer; how many parts there are. */
INLINE int64_t cfc_parts(const tl_cfc *p, int64_t k, int64_t *rows) {
    *rows = k < p->maps ? p->units : p->sizes.hidden;
    return k < p->maps ? 1 : cfc_heads(p);
}

/* A matrix of map k with so many columns, each part padded by itself; or its transpose, whose columns
 * are padded rows, zero where there is no row. */
static void cfc_pack_matrix(const tl_cfc *p, const tl_view *v, column c, int64_t k, int64_t columns,
                            int transposed, real *to) {
    const tl_sizes *s = &p->sizes;
    int64_t rows, parts = cfc_parts(p, k, &rows), one = weight_size(s), gap = cfc_rows(p, k);
    if (!transposed) {
        for (int64_t part = 0; part < parts; part++)
            pack_matrix(s, v, c, part * rows, rows, columns, 0,
                        to + part * padded(rows) * columns * one);
        return;
    }
    memset(to, 0, (size_t)(padded(columns) * gap * one) * sizeof(real));
    const real *from = element(v, c, 0);
    for (int64_t part = 0; part < parts; part++)
        for (int64_t j = 0; j < rows; j++)
            for (int64_t i = 0; i < columns; i++) {
                int64_t at = part * padded(rows) + j;
                int64_t place = (i / ROWS * gap + at) * ROWS + i % ROWS;
                const real *weight = from + (part * rows + j) * v->row + i * v->item;
                if (s->shared)
                    to[place] = *weight;
                else
                    ((vec *)to)[place] = gather(weight, v->lane, c.valid);
            }
}

static void cfc_pack_bias(const tl_cfc *p, const tl_view *v, column c, int64_t k, vec *to) {
    int64_t rows, parts = cfc_parts(p, k, &rows);
    for (int64_t part = 0; part < parts; part++) {
        tl_view one = *v;
        if (one.data) one.data = (real *)one.data + part * rows * one.item;
        pack_vector(&one, c, rows, to + part * padded(rows));
    }
}

static void cfc_pack_weights(const tl_cfc *p, column c, int backward, cfc_weights *w) {
    const tl_sizes *s = &p->sizes;
    cfc_pack_matrix(p, &p->weight_ih, c, 0, s->inputs, backward, w->input);
    cfc_pack_matrix(p, &p->weight_hh, c, 0, s->hidden, backward, w->recurrent);
    cfc_pack_bias(p, &p->bias, c, 0, w->bias[0]);
    for (int64_t k = 0; k < p->maps; k++) {
        cfc_pack_matrix(p, &p->weights[k], c, k + 1, p->units, backward, w->map[k]);
        cfc_pack_bias(p, &p->biases[k], c, k + 1, w->bias[k + 1]);
    }
    int64_t most = padded(s->inputs > s->hidden ? s->inputs : s->hidden);
    if (p->maps && padded(p->units) > most) most = padded(p->units);
    memset(w->zero, 0, (size_t)most * sizeof(vec));
    pack_vector(&p->rate, c, s->hidden, w->rate);
    pack_vector(&p->target, c, s->hidden, w->target);
}

/* ---- what is kept --------------------------------------------------------------------------- */

INLINE int64_t cfc_kept_size(const tl_cfc *p) {
    return p->maps * p->units + CFC_KEPT * p->sizes.hidden;
}

INLINE vec *cfc_kept(const tl_cfc *p, column c, int64_t t) {
    return (vec *)p->kept + (c.index * p->sizes.steps + t) * cfc_kept_size(p);
}

INLINE vec cfc_interval(const tl_cfc *p, column c, int64_t t) {
    if (!p->dt.data) return splat((real)p->interval);
    return gather(element(&p->dt, c, t), p->dt.lane, c.valid);
}

/* ---- forward -------------------------------------------------------------------------------- */

/* z becomes what the activation gives of it; `kept` what the way back needs. */
static void cfc_activate(int64_t activation, int64_t n, vec *z, vec *kept) {
    switch (activation) {
        case TL_LECUN_TANH:
            for (int64_t j = 0; j < n; j++)
                kept[j] = z[j] = LECUN_SCALE * vtanh(LECUN_SLOPE * z[j]);
            break;
        case TL_TANH:
            for (int64_t j = 0; j < n; j++) kept[j] = z[j] = vtanh(z[j]);
            break;
        case TL_RELU:
            for (int64_t j = 0; j < n; j++) kept[j] = z[j] = vec_max(splat(0), z[j]);
            break;
        default:
            for (int64_t j = 0; j < n; j++) {
                kept[j] = z[j];
                z[j] *= sigmoid(z[j]);
            }
    }
}

/* h becomes the state after a step. */
static void cfc_advance(const tl_cfc *p, const cfc_weights *w, vec dt, const vec *z, vec *kept,
                        vec *h) {
    int64_t H = p->sizes.hidden, Hp = padded(H);
    if (p->mode == TL_CFC_PURE) {
        for (int64_t j = 0; j < H; j++) {
            vec left = vexp(-dt * (vec_abs(w->rate[j]) + vec_abs(z[j])));
            h[j] = w->target[j] - w->target[j] * left * z[j];
            kept[j] = z[j];
            kept[H + j] = left;
        }
        return;
    }
    int gated = p->mode == TL_CFC_DEFAULT;
    for (int64_t j = 0; j < H; j++) {
        vec f = vtanh(z[j]), g = vtanh(z[Hp + j]), a = z[2 * Hp + j];
        vec s = sigmoid(a * dt + z[3 * Hp + j]);
        h[j] = f + s * (gated ? g - f : g);
        kept[j] = f;
        kept[H + j] = g;
        kept[2 * H + j] = s;
        kept[3 * H + j] = a;
    }
}

typedef struct {
    cfc_weights weights;
    memory memory;
    vec *x, *h, *z, *next, *kept;
} cfc_forward_scratch;

INLINE int64_t cfc_widest(const tl_cfc *p) {
    int64_t heads = cfc_heads(p) * padded(p->sizes.hidden), units = p->maps ? padded(p->units) : 0;
    return heads > units ? heads : units;
}

static size_t cfc_forward_take(const tl_cfc *p, char *base, cfc_forward_scratch *f) {
    arena a = {base, 0};
    cfc_take_weights(&a, p, 0, &f->weights);
    memory_take(&a, &p->memory, &p->sizes, 0, &f->memory);
    f->x = arena_vectors(&a, TILE * padded(p->sizes.inputs));
    f->h = arena_vectors(&a, TILE * padded(p->sizes.hidden));
    f->z = arena_vectors(&a, TILE * cfc_widest(p));
    f->next = arena_vectors(&a, TILE * cfc_widest(p));
    f->kept = arena_vectors(&a, TILE * cfc_kept_size(p));
    return a.used;
}

static void cfc_forward_job(const void *kernel, int64_t job, char *base) {
    const tl_cfc *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, U = p->units, Ip = padded(I), Hp = padded(H);
    int64_t W = cfc_widest(p), first, last;
    cfc_forward_scratch f;
    cfc_forward_take(p, base, &f);
    job_columns(s, job, &first, &last);
    cfc_pack_weights(p, column_at(s, first), 0, &f.weights);
    memory_pack(s, column_at(s, first), 0, base, &f.memory);
    for (int64_t index = first; index < last; index += TILE) {
        int tile = last - index < TILE ? (int)(last - index) : TILE;
        column columns[TILE];
        for (int c = 0; c < tile; c++) {
            columns[c] = column_at(s, index + c);
            gather_row(&p->h0, columns[c], 0, H, f.h + c * Hp);
            memory_start(&f.memory, s, columns[c], c, 0);
        }
        for (int64_t t = 0; t < s->steps; t++) {
            vec *kept[TILE] = {NULL}, *z = f.z, *next = f.next;
            for (int c = 0; c < tile; c++) {
                gather_row(&p->x, columns[c], t, I, f.x + c * Ip);
                kept[c] = p->kept ? cfc_kept(p, columns[c], t) : f.kept + c * cfc_kept_size(p);
                memory_advance(&f.memory, s, columns[c], c, t, f.h + c * Hp);
            }
            product(s, tile, f.weights.input, cfc_rows(p, 0), I, f.weights.bias[0], 0, f.x, Ip, z,
                    W);
            product(s, tile, f.weights.recurrent, cfc_rows(p, 0), H, z, W, f.h, Hp, z, W);
            for (int64_t k = 0; k < p->maps; k++) {
                for (int c = 0; c < tile; c++)
                    cfc_activate(p->activation, U, z + c * W, kept[c] + k * U);
                product(s, tile, f.weights.map[k], cfc_rows(p, k + 1), U, f.weights.bias[k + 1], 0,
                        z, W, next, W);
                vec *swap = z;
                z = next;
                next = swap;
            }
            for (int c = 0; c < tile; c++) {
                vec *h = f.h + c * Hp;
                cfc_advance(p, &f.weights, cfc_interval(p, columns[c], t), z + c * W,
                            kept[c] + p->maps * U, h);
                scatter_row(&p->y, columns[c], t, H, h);
            }
        }
    }
}

static int cfc_fits(const tl_cfc *p) {
    return 0 <= p->maps && p->maps <= TL_CFC_MAPS && p->units >= 1;
}

static int cfc_forward(const tl_cfc *p) {
    cfc_forward_scratch f;
    if (!cfc_fits(p)) return TL_BAD_ARGUMENT;
    return run_jobs(&p->sizes, p, cfc_forward_take(p, NULL, &f), cfc_forward_job, NULL);
}

/* ---- backward ------------------------------------------------------------------------------- */

typedef struct {
    cfc_weights weights;
    memory memory;
    real *weight_ih, *weight_hh, *map[TL_CFC_MAPS]; /* gradients so far, row by row */
    vec *bias[TL_CFC_MAPS + 1], *rate, *target;
    vec *x, *h, *taken[TL_CFC_MAPS], *dz[TL_CFC_MAPS + 1]; /* a chunk of steps: (t, c, ...) */
    vec *g, *gy, *scratch;
    vec *before; /* states before a memory */
    int64_t chunk;
    size_t zero_from, chunk_from, zero_to;
} cfc_backward_scratch;

static size_t cfc_backward_take(const tl_cfc *p, char *base, cfc_backward_scratch *b) {
    const tl_sizes *s = &p->sizes;
    arena a = {base, 0};
    int64_t I = s->inputs, H = s->hidden, U = p->units, one = weight_size(s);
    int64_t G = cfc_heads(p), Ip = padded(I), Hp = padded(H), Up = padded(U), each = Ip + Hp + G * Hp;
    each += 2 * p->maps * Up;
    b->chunk = chunk_steps(s, each);
    cfc_take_weights(&a, p, 1, &b->weights);
    memory_take(&a, &p->memory, s, 1, &b->memory);
    b->zero_from = a.used;
    int64_t first = p->maps ? U : G * H;
    b->weight_ih = arena_alloc(&a, first * I * one);
    b->weight_hh = arena_alloc(&a, first * H * one);
    for (int64_t k = 0; k < p->maps; k++)
        b->map[k] = arena_alloc(&a, (k + 1 < p->maps ? U : G * H) * U * one);
    for (int64_t k = 0; k <= p->maps; k++) b->bias[k] = arena_vectors(&a, cfc_rows(p, k));
    b->rate = arena_vectors(&a, Hp);
    b->target = arena_vectors(&a, Hp);
    b->chunk_from = a.used; /* its padding must be zero, and stays so */
    b->x = arena_vectors(&a, b->chunk * TILE * Ip);
    b->h = arena_vectors(&a, b->chunk * TILE * Hp);
    for (int64_t k = 0; k < p->maps; k++) b->taken[k] = arena_vectors(&a, b->chunk * TILE * Up);
    for (int64_t k = 0; k <= p->maps; k++)
        b->dz[k] = arena_vectors(&a, b->chunk * TILE * cfc_rows(p, k));
    b->zero_to = a.used;
    b->g = arena_vectors(&a, TILE * Hp);
    b->gy = arena_vectors(&a, Hp);
    b->scratch = arena_vectors(&a, TILE * (Ip > Up ? Ip : Up));
    b->before = arena_vectors(&a, TILE * Hp);
    return a.used;
}

/* d of the heads from g of the state; returns g of dt. */
static vec cfc_retreat(const tl_cfc *p, const cfc_backward_scratch *b, vec dt, const vec *kept,
                       const vec *g, vec *d) {
    int64_t H = p->sizes.hidden, Hp = padded(H);
    vec ddt = splat(0);
    if (p->mode == TL_CFC_PURE) {
        const vec *rate = b->weights.rate, *target = b->weights.target;
        for (int64_t j = 0; j < H; j++) {
            vec f = kept[j], left = kept[H + j], size = vec_abs(f), r = rate[j];
            vec part = g[j] * target[j] * left, moved = part * f;
            vec sign = choose(r > 0, splat(1), choose(r < 0, splat(-1), splat(0)));
            d[j] = part * (dt * size - 1);
            ddt += moved * (vec_abs(r) + size);
            b->rate[j] += moved * dt * sign;
            b->target[j] += g[j] * (1 - left * f);
        }
        return ddt;
    }
    int gated = p->mode == TL_CFC_DEFAULT;
    for (int64_t j = 0; j < H; j++) {
        vec f = kept[j], n = kept[H + j], s = kept[2 * H + j], a = kept[3 * H + j];
        vec turn = g[j] * (gated ? n - f : n) * s * (1 - s);
        d[j] = g[j] * (1 - f * f);
        if (gated) d[j] *= 1 - s;
        d[Hp + j] = g[j] * s * (1 - n * n);
        d[2 * Hp + j] = turn * dt;
        d[3 * Hp + j] = turn;
        ddt += turn * a;
    }
    return ddt;
}

/* d of what an activation gave becomes that of what it took; `taken` what the next map took. */
static void cfc_deactivate(int64_t activation, int64_t n, const vec *kept, const vec *from, vec *taken,
                           vec *d) {
    switch (activation) {
        case TL_LECUN_TANH:
            for (int64_t j = 0; j < n; j++) {
                vec y = kept[j] * (1 / LECUN_SCALE);
                taken[j] = kept[j];
                d[j] = from[j] * (LECUN_SCALE * LECUN_SLOPE) * (1 - y * y);
            }
            break;
        case TL_TANH:
            for (int64_t j = 0; j < n; j++) {
                taken[j] = kept[j];
                d[j] = from[j] * (1 - kept[j] * kept[j]);
            }
            break;
        case TL_RELU:
            for (int64_t j = 0; j < n; j++) {
                taken[j] = kept[j];
                d[j] = choose(kept[j] > 0, from[j], from[j] * 0);
            }
            break;
        default:
            for (int64_t j = 0; j < n; j++) {
                vec s = sigmoid(kept[j]);
                taken[j] = kept[j] * s;
                d[j] = from[j] * (s + taken[j] * (1 - s));
            }
    }
}

static void cfc_backward_steps(const tl_cfc *p, cfc_backward_scratch *b, const column *columns, int tile,
                               int64_t from, int64_t to) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, U = p->units, Ip = padded(I), Hp = padded(H);
    int64_t Up = padded(U), n = p->maps;
    for (int64_t t = to - 1; t >= from; t--) {
        int64_t at = (t - from) * tile;
        for (int c = 0; c < tile; c++) {
            vec *g = b->g + c * Hp;
            gather_row(&p->x, columns[c], t, I, b->x + (at + c) * Ip);
            gather_row(t ? &p->y : &p->h0, columns[c], t ? t - 1 : 0, H, b->h + (at + c) * Hp);
            if (memory_is_there(&p->memory)) {
                memcpy(b->before + c * Hp, b->h + (at + c) * Hp, (size_t)H * sizeof(vec));
                memory_state(&b->memory, s, columns[c], t, b->h + (at + c) * Hp);
            }
            if (p->grad_y.data) {
                gather_gradient(&p->grad_y, columns[c], t, H, b->gy);
                for (int64_t j = 0; j < H; j++) g[j] += b->gy[j];
            }
            vec dt = cfc_retreat(p, b, cfc_interval(p, columns[c], t),
                                 cfc_kept(p, columns[c], t) + n * U, g,
                                 b->dz[n] + (at + c) * cfc_rows(p, n));
            if (p->grad_dt.data) scatter_row(&p->grad_dt, columns[c], t, 1, &dt);
        }
        for (int64_t k = n - 1; k >= 0; k--) {
            int64_t rows = cfc_rows(p, k + 1);
            product(s, tile, b->weights.map[k], U, rows, b->weights.zero, 0,
                    b->dz[k + 1] + at * rows, rows, b->scratch, Up);
            for (int c = 0; c < tile; c++)
                cfc_deactivate(p->activation, U, cfc_kept(p, columns[c], t) + k * U,
                               b->scratch + c * Up, b->taken[k] + (at + c) * Up,
                               b->dz[k] + (at + c) * Up);
        }
        int64_t rows = cfc_rows(p, 0);
        product(s, tile, b->weights.recurrent, H, rows, b->weights.zero, 0, b->dz[0] + at * rows, rows,
                b->g, Hp);
        for (int c = 0; c < tile; c++)
            memory_retreat(&b->memory, s, columns[c], c, t, b->before + c * Hp, b->g + c * Hp);
    }
}

static void cfc_add_gradients(const tl_cfc *p, const cfc_backward_scratch *b, int64_t n) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, U = p->units, one = weight_size(s);
    for (int64_t k = 0; k <= p->maps; k++) {
        int64_t rows, parts = cfc_parts(p, k, &rows), gap = cfc_rows(p, k);
        for (int64_t part = 0; part < parts; part++) {
            const vec *d = b->dz[k] + part * padded(rows);
            if (k) {
                add_outer(s, rows, U, n, d, gap, b->taken[k - 1], padded(U),
                          b->map[k - 1] + part * rows * U * one);
                continue;
            }
            add_outer(s, rows, H, n, d, gap, b->h, padded(H), b->weight_hh + part * rows * H * one);
            add_outer(s, rows, I, n, d, gap, b->x, padded(I), b->weight_ih + part * rows * I * one);
        }
        add_rows(gap, n, b->dz[k], gap, b->bias[k]);
    }
}

static void cfc_give_inputs(const tl_cfc *p, const cfc_backward_scratch *b, const column *columns,
                            int tile, int64_t from, int64_t to) {
    int64_t I = p->sizes.inputs, Ip = padded(I), rows = cfc_rows(p, 0);
    for (int64_t t = from; t < to; t++) {
        product(&p->sizes, tile, b->weights.input, I, rows, b->weights.zero, 0,
                b->dz[0] + (t - from) * tile * rows, rows, b->scratch, Ip);
        for (int c = 0; c < tile; c++)
            scatter_row(&p->grad_x, columns[c], t, I, b->scratch + c * Ip);
    }
}

static void cfc_backward_job(const void *kernel, int64_t job, char *base) {
    const tl_cfc *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t H = s->hidden, Hp = padded(H), first, last;
    cfc_backward_scratch b;
    cfc_backward_take(p, base, &b);
    memset(base + b.zero_from, 0, b.zero_to - b.zero_from);
    job_columns(s, job, &first, &last);
    cfc_pack_weights(p, column_at(s, first), 1, &b.weights);
    memory_pack(s, column_at(s, first), 1, base, &b.memory);
    for (int64_t index = first; index < last; index += TILE) {
        int tile = last - index < TILE ? (int)(last - index) : TILE;
        column columns[TILE];
        for (int c = 0; c < tile; c++) {
            columns[c] = column_at(s, index + c);
            gather_gradient(&p->grad_last, columns[c], 0, H, b.g + c * Hp);
            memory_start(&b.memory, s, columns[c], c, 1);
        }
        if (index > first && tile < TILE) /* the chunk's padding lies elsewhere now */
            memset(base + b.chunk_from, 0, b.zero_to - b.chunk_from);
        for (int64_t to = s->steps, from; to > 0; to = from) {
            from = to > b.chunk ? to - b.chunk : 0;
            cfc_backward_steps(p, &b, columns, tile, from, to);
            cfc_add_gradients(p, &b, (to - from) * tile);
            if (p->grad_x.data) cfc_give_inputs(p, &b, columns, tile, from, to);
        }
        memory_flush(&b.memory, s);
        for (int c = 0; c < tile; c++) {
            memory_end(&b.memory, s, columns[c], c);
            if (p->grad_h0.data) scatter_row(&p->grad_h0, columns[c], 0, H, b.g + c * Hp);
        }
    }
}

static void cfc_give_bias(const tl_cfc *p, int64_t job, const tl_view *v, column c, int64_t k,
                          const vec *sums) {
    int64_t rows, parts = cfc_parts(p, k, &rows);
    for (int64_t part = 0; part < parts; part++) {
        tl_view one = *v;
        if (!one.data) return;
        one.data = (real *)one.data + part * rows * one.item;
        give_vector(&p->sizes, job, &one, c, rows, sums + part * padded(rows));
    }
}

static void cfc_backward_finish(const void *kernel, int64_t job, char *base) {
    const tl_cfc *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t H = s->hidden, U = p->units, G = cfc_heads(p), rows = p->maps ? U : G * H, first, last;
    cfc_backward_scratch b;
    cfc_backward_take(p, base, &b);
    job_columns(s, job, &first, &last);
    column c = column_at(s, first);
    give_matrix(s, job, &p->grad_weight_ih, c, 0, rows, s->inputs, b.weight_ih);
    give_matrix(s, job, &p->grad_weight_hh, c, 0, rows, H, b.weight_hh);
    cfc_give_bias(p, job, &p->grad_bias, c, 0, b.bias[0]);
    for (int64_t k = 0; k < p->maps; k++) {
        give_matrix(s, job, &p->grad_weights[k], c, 0, k + 1 < p->maps ? U : G * H, U, b.map[k]);
        cfc_give_bias(p, job, &p->grad_biases[k], c, k + 1, b.bias[k + 1]);
    }
    give_vector(s, job, &p->grad_rate, c, H, b.rate);
    give_vector(s, job, &p->grad_target, c, H, b.target);
    memory_give(&b.memory, s, job, c);
}

static int cfc_backward(const tl_cfc *p) {
    cfc_backward_scratch b;
    if (!cfc_fits(p) || !p->kept) return TL_BAD_ARGUMENT;
    return run_jobs(&p->sizes, p, cfc_backward_take(p, NULL, &b), cfc_backward_job,
                    cfc_backward_finish);
}

#endif
