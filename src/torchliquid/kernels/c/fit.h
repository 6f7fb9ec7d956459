/* A whole training: forward and backward programs (tl_run), loss, clipping, AdamW, validation.
 *
 * Models ("lanes") train side by side and never mix: each has a rate, a decay and an order of its rows,
 * and stops by itself. Numbers of all lanes lie in arrays in which the lane is the first or the last
 * index (`lanes_inner`), as the kernels want them.
 */
#ifndef TL_FIT_H
#define TL_FIT_H

#include <math.h>

#include "batch.h"

/* Lane of element i, and the loops over all of an array's n elements lane by lane: `inner` lanes side
 * by side, or each lane's elements. */
#define FIT_EACH(p, n, ...)                                                               \
    do {                                                                                  \
        int64_t S_ = (p)->sizes.lanes, each_ = (n) / S_;                                  \
        if ((p)->lanes_inner)                                                             \
            for (int64_t o_ = 0; o_ < each_; o_++)                                        \
                for (int64_t lane = 0; lane < S_; lane++) {                               \
                    int64_t i = o_ * S_ + lane;                                           \
                    __VA_ARGS__                                                           \
                }                                                                         \
        else                                                                              \
            for (int64_t lane = 0; lane < S_; lane++)                                     \
                for (int64_t i = lane * each_; i < (lane + 1) * each_; i++) { __VA_ARGS__ }\
    } while (0)

/* Rows of a batch in each lane's own order. */
static void fit_take_rows(const tl_fit *p, const tl_fit_batch *b, const int64_t *order) {
    for (int64_t k = 0; k < b->copies; k++) {
        const tl_copy *c = &b->copy[k];
        for (int64_t lane = 0; lane < p->sizes.lanes; lane++)
            for (int64_t row = 0; row < b->rows; row++) {
                int64_t from = order[lane * p->sizes.batch + b->first + row];
                for (int64_t t = 0; t < c->steps; t++) {
                    const real *x = place(&c->from, (row_of){lane, from}, t);
                    real *to = place(&c->to, (row_of){lane, row}, t);
                    for (int64_t i = 0; i < c->items; i++) to[i * c->to.item] = x[i * c->from.item];
                }
            }
    }
}

/* Weights of a batch are made to sum to 1; `sums` is what they were. */
static void fit_normalise(const tl_fit *p, const tl_fit_batch *b, double *sums) {
    real *w = b->weight, scale[p->sizes.lanes];
    for (int64_t lane = 0; lane < p->sizes.lanes; lane++) sums[lane] = 0;
    FIT_EACH(p, b->size, sums[lane] += (double)w[i];);
    for (int64_t lane = 0; lane < p->sizes.lanes; lane++) {
        double outputs = p->loss == TL_CROSS_ENTROPY ? (double)p->sizes.hidden : 1;
        scale[lane] = sums[lane] > 0 ? (real)(outputs / sums[lane]) : 0;
    }
    FIT_EACH(p, b->size, w[i] *= scale[lane];);
}

static void fit_squared(const tl_fit *p, const tl_fit_batch *b, double *losses) {
    enum { FEW = 64 };
    const real *y = b->out, *target = b->target, *w = b->weight;
    real *g = b->grad_out;
    int64_t S = p->sizes.lanes, each = b->size / S;
    if (!p->lanes_inner) {
        for (int64_t lane = 0; lane < S; lane++)
            for (int64_t from = lane * each; from < (lane + 1) * each; from += FEW) {
                int64_t to = from + FEW < (lane + 1) * each ? from + FEW : (lane + 1) * each;
                real sum = 0;
                for (int64_t i = from; i < to; i++) {
                    real e = y[i] - target[i], k = w[i] * e;
                    if (g) g[i] = 2 * k;
                    sum += k * e;
                }
                losses[lane] += (double)sum;
            }
        return;
    }
    real sums[S];
    for (int64_t from = 0; from < each; from += FEW) {
        int64_t to = from + FEW < each ? from + FEW : each;
        memset(sums, 0, (size_t)S * sizeof *sums);
        for (int64_t o = from; o < to; o++) {
            const real *yo = y + o * S, *to_ = target + o * S, *wo = w + o * S;
            for (int64_t lane = 0; lane < S; lane++) {
                real e = yo[lane] - to_[lane], k = wo[lane] * e;
                if (g) g[o * S + lane] = 2 * k;
                sums[lane] += k * e;
            }
        }
        for (int64_t lane = 0; lane < S; lane++) losses[lane] += (double)sums[lane];
    }
}

/* Classes are the outputs of a step; target is 1 for the right one, 0 for the others. */
static void fit_cross_entropy(const tl_fit *p, const tl_fit_batch *b, double *losses) {
    const real *y = b->out, *target = b->target, *w = b->weight;
    real *g = b->grad_out;
    int64_t S = p->sizes.lanes, C = p->sizes.hidden, steps = b->size / (S * C);
    int64_t apart = p->lanes_inner ? S : 1;
    for (int64_t lane = 0; lane < S; lane++)
        for (int64_t t = 0; t < steps; t++) {
            int64_t at = p->lanes_inner ? t * C * S + lane : (lane * steps + t) * C;
            real weight = w[at], most = y[at], sum = 0;
            for (int64_t c = 0; c < C && g; c++) g[at + c * apart] = 0;
            if (weight == 0) continue;
            for (int64_t c = 1; c < C; c++)
                most = y[at + c * apart] > most ? y[at + c * apart] : most;
            for (int64_t c = 0; c < C; c++) sum += (real)exp((double)(y[at + c * apart] - most));
            real log_sum = most + (real)log((double)sum);
            for (int64_t c = 0; c < C; c++) {
                real log_p = y[at + c * apart] - log_sum, one = target[at + c * apart];
                losses[lane] -= (double)(weight * one * log_p);
                if (g) g[at + c * apart] = weight * ((real)exp((double)log_p) - one);
            }
        }
}

static void fit_loss(const tl_fit *p, const tl_fit_batch *b, double *losses) {
    memset(losses, 0, (size_t)p->sizes.lanes * sizeof *losses);
    if (p->loss == TL_CROSS_ENTROPY)
        fit_cross_entropy(p, b, losses);
    else
        fit_squared(p, b, losses);
}

/* Norms of each lane's gradients, over all its parameters. */
static void fit_norms(const tl_fit *p, double *norms) {
    memset(norms, 0, (size_t)p->sizes.lanes * sizeof *norms);
    for (int64_t k = 0; k < p->count; k++) {
        const real *g = p->parameters[k].gradient;
        FIT_EACH(p, p->parameters[k].size, norms[lane] += (double)g[i] * (double)g[i];);
    }
    for (int64_t lane = 0; lane < p->sizes.lanes; lane++) norms[lane] = sqrt(norms[lane]);
}

/* One step of AdamW, with torch.optim.AdamW's single-tensor formulas; lanes that are `idle` stay. */
static void fit_step(const tl_fit *p, const double *rates, const int *idle, double step) {
    int64_t S = p->sizes.lanes;
    double norms[S], shrink = 1 - pow(p->beta1, step);
    real kept[S], length[S], clip[S];
    int clips = 0;
    for (int64_t lane = 0; lane < S; lane++) clips |= p->clips[lane] < INFINITY;
    if (clips) fit_norms(p, norms);
    for (int64_t lane = 0; lane < S; lane++) {
        double factor = clips ? p->clips[lane] / (norms[lane] + 1e-6) : 1;
        clip[lane] = (real)(factor < 1 ? factor : 1);
        kept[lane] = (real)(1 - rates[lane] * p->decays[lane]);
        length[lane] = (real)(rates[lane] / shrink);
    }
    real a1 = (real)(1 - p->beta1), b2 = (real)p->beta2, a2 = (real)(1 - p->beta2);
    real root = (real)sqrt(1 - pow(p->beta2, step)), least = (real)p->epsilon;
    for (int64_t k = 0; k < p->count; k++) {
        const tl_parameter *q = &p->parameters[k];
        real *restrict v = q->value, *restrict m = q->mean, *restrict s = q->square;
        const real *restrict g = q->gradient;
        FIT_EACH(p, q->size, {
            real grad = g[i] * clip[lane], mean = m[i] + (grad - m[i]) * a1;
            real square = s[i] * b2 + grad * grad * a2;
            real next = v[i] * kept[lane] - length[lane] * (mean / ((real)sqrt(square) / root + least));
            m[i] = idle[lane] ? m[i] : mean;
            s[i] = idle[lane] ? s[i] : square;
            v[i] = idle[lane] ? v[i] : next;
        });
    }
}

static void fit_remember(const tl_fit *p, const int *better) {
    for (int64_t k = 0; k < p->count; k++) {
        const tl_parameter *q = &p->parameters[k];
        const real *v = q->value;
        real *best = q->best;
        FIT_EACH(p, q->size, best[i] = better[lane] ? v[i] : best[i];);
    }
}

/* Losses on the validation rows with the weights as they are after `epoch` epochs. */
static int fit_validate(const tl_fit *p, int64_t epoch, double *losses) {
    int64_t S = p->sizes.lanes;
    int better[S], any = 0;
    int code = tl_run(p->validation->forward);
    if (code) return code;
    fit_loss(p, p->validation, losses);
    for (int64_t lane = 0; lane < S; lane++) {
        better[lane] = p->states[lane] == TL_TRAINING && losses[lane] < p->best[lane];
        any |= better[lane];
        if (better[lane]) {
            p->best[lane] = losses[lane];
            p->best_epoch[lane] = epoch;
        } else if (p->states[lane] == TL_TRAINING && p->patience[lane] &&
                   epoch - p->best_epoch[lane] >= p->patience[lane]) {
            p->states[lane] = TL_STOPPED;
            p->end_epoch[lane] = epoch;
        }
    }
    if (any) fit_remember(p, better);
    return TL_OK;
}

static int fit_batch(const tl_fit *p, const tl_fit_batch *b, int64_t epoch, int64_t e, int64_t *step,
                     double *totals, double *sums) {
    int64_t S = p->sizes.lanes;
    double losses[S], weights[S];
    int idle[S];
    if (b->copies) {
        fit_take_rows(p, b, p->order + e * S * p->sizes.batch);
        fit_normalise(p, b, weights);
    } else {
        for (int64_t lane = 0; lane < S; lane++) weights[lane] = 1;
    }
    int code = tl_run(b->forward);
    if (code) return code;
    fit_loss(p, b, losses);
    for (int64_t lane = 0; lane < S; lane++) {
        if (p->states[lane] == TL_TRAINING && !(fabs(losses[lane]) < INFINITY)) {
            p->states[lane] = TL_DIVERGED;
            p->end_epoch[lane] = epoch;
        }
        idle[lane] = p->states[lane] != TL_TRAINING || !(weights[lane] > 0);
        totals[lane] += losses[lane] * weights[lane];
        sums[lane] += weights[lane];
    }
    code = tl_run(b->backward);
    if (code) return code;
    fit_step(p, p->rates + e * S, idle, (double)++*step);
    return TL_OK;
}

/* Epochs from p->epoch on, p->epochs of them, or until every lane has ended. */
static int fit_forward(const tl_fit *kernel) {
    const tl_fit *p = kernel;
    int64_t S = p->sizes.lanes, step = p->step;
    for (int64_t e = 0; e < p->epochs; e++) {
        int64_t epoch = p->epoch + e;
        double *losses = p->losses + e * S, sums[S];
        int training = 0;
        for (int64_t lane = 0; lane < S; lane++) {
            if (p->states[lane] == TL_TRAINING && epoch >= p->most_epochs[lane]) {
                p->states[lane] = TL_ENDED;
                p->end_epoch[lane] = epoch;
            }
            training |= p->states[lane] == TL_TRAINING;
            losses[lane] = sums[lane] = 0;
        }
        *p->done = e;
        if (!training) return TL_OK;
        for (int64_t k = 0; k < p->batches; k++) {
            int code = fit_batch(p, &p->batch[k], epoch, e, &step, losses, sums);
            if (code) return code;
        }
        for (int64_t lane = 0; lane < S; lane++) losses[lane] /= sums[lane];
        if (p->validation) {
            int code = fit_validate(p, epoch + 1, p->validation_losses + e * S);
            if (code) return code;
        }
    }
    *p->done = p->epochs;
    return TL_OK;
}

#endif
