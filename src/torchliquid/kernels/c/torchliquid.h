/* The interface of the native kernels: plain C, raw pointers, no Python and no torch.
 *
 * Every kernel runs one cell over whole sequences, forward or backward, for many *lanes* at once.
 * A lane is one element of a SIMD register. What a lane is, the caller says:
 *
 *   a pack:       lanes are models (seeds), each with weights of its own; `shared` is 0;
 *   a batch:      lanes are the sequences of one model's batch, the weights are the same for all;
 *                 `shared` is 1, `batch` is 1, and gradients of weights are summed over lanes.
 *
 * All tensors are handed over as views with strides: nothing is copied or laid out anew before a
 * call. No view of an output may overlap an input or another output. Inputs are only read.
 */
#ifndef TORCHLIQUID_H
#define TORCHLIQUID_H

#include <stdint.h>

/* Changes whenever a struct below or the meaning of a field does. */
#define TL_ABI 8

#if defined(_WIN32)
#define TL_EXPORT __declspec(dllexport)
#else
#define TL_EXPORT __attribute__((visibility("default")))
#endif

enum { TL_OK = 0, TL_NO_MEMORY = 1, TL_BAD_ARGUMENT = 2, TL_BAD_TIME = 3, TL_BAD_LENGTH = 4 };

/* A tensor: element (lane, batch, row, item) is at data[lane * s0 + batch * s1 + row * s2 + item *
 * s3], strides in elements of the kernel's real type, 0 where the tensor does not vary. data NULL:
 * an optional input that is absent, or an output that is not wanted. */
typedef struct {
    void *data;
    int64_t lane;
    int64_t batch;
    int64_t row; /* time step of a sequence; row of a matrix */
    int64_t item; /* feature of a sequence; column of a matrix; element of a vector */
} tl_view;

/* What all cells share. */
typedef struct {
    int64_t real; /* bytes of a real number: 4 or 8 */
    int64_t threads; /* threads to use at most, at least 1 */
    int64_t shared; /* 1: one model, lanes are its batch; 0: a pack, lanes are models */
    int64_t lanes; /* N >= 1 */
    int64_t batch; /* B >= 1 sequences of each lane; 1 if shared */
    int64_t steps; /* L >= 1 */
    int64_t inputs; /* I >= 1 */
    int64_t hidden; /* H >= 1 */
    int64_t rows; /* 1: the registers' lanes are a sequence's hidden neurons (ltc and gated only) */
} tl_sizes;

enum { TL_SEMI_IMPLICIT = 0, TL_EULER = 1, TL_EXPONENTIAL = 2, TL_CTRNN = 3 };

/* The liquid time-constant cell with one gate per neuron; with TL_CTRNN for a solver the CT-RNN, which
 * has no target. Sequences use `row` as the time step, matrices as the row; vectors use `item` alone. */
typedef struct {
    tl_sizes sizes;
    int64_t solver;
    int64_t unfolds; /* K >= 1 */
    int64_t raw; /* 1: `tau` holds raw values, tau is their softplus; so does grad_tau */
    double interval; /* dt of every step where `dt` is absent */
    /* inputs of both passes */
    tl_view x; /* (L, I) */
    tl_view dt; /* (L,), optional */
    tl_view h0; /* (H,) */
    tl_view weight_ih; /* (H, I) */
    tl_view weight_hh; /* (H, H) */
    tl_view bias; /* (H,), optional */
    tl_view tau; /* (H,), positive if not raw */
    tl_view target; /* (H,), absent in a CT-RNN */
    tl_view readout; /* (O, H), optional: then out = readout h + readout_bias at every step */
    tl_view readout_bias; /* (O,), optional */
    /* written by the forward pass; the backward pass reads y, or kept_states where y is absent */
    tl_view y; /* states after every step (L, H), optional */
    tl_view last; /* state after the last step (H,), optional */
    tl_view out; /* (L, O), where there is a readout */
    void *kept_states; /* reals of `kept_size` in _library.py each, or NULL */
    void *kept_gates; /* of one sub-step a step; NULL: the backward pass computes gates again */
    int64_t outputs; /* O */
    /* backward pass: gradients of the outputs, optional, and of the inputs, where wanted */
    tl_view grad_y;
    tl_view grad_last;
    tl_view grad_out;
    tl_view grad_x;
    tl_view grad_dt;
    tl_view grad_h0;
    tl_view grad_weight_ih;
    tl_view grad_weight_hh;
    tl_view grad_bias;
    tl_view grad_tau;
    tl_view grad_target;
    tl_view grad_readout;
    tl_view grad_readout_bias;
} tl_ltc;

/* A linear map at every step, y = W x + b, with O = sizes.hidden. */
typedef struct {
    tl_sizes sizes;
    tl_view x; /* (L, I) */
    tl_view weight; /* (O, I) */
    tl_view bias; /* (O,), optional */
    tl_view y; /* (L, O), forward only */
    tl_view grad_y; /* (L, O) */
    tl_view grad_x;
    tl_view grad_weight;
    tl_view grad_bias;
} tl_linear;

enum { TL_LSTM = 0, TL_GRU = 1, TL_DECAY_GRU = 2 };

/* LSTM and GRU, G = 4 or 3 gates in torch's order, stacked in the rows of the weights. The state of a
 * TL_DECAY_GRU decays between samples: h e^(-dt rate) is the state before a sample; a dt below 0 says
 * that there is no sample. */
typedef struct {
    tl_sizes sizes;
    int64_t kind;
    int64_t raw; /* 1: `rate` holds raw values, the rate is their softplus; so does grad_rate */
    double interval; /* dt of every step where `dt` is absent */
    tl_view x; /* (L, I) */
    tl_view h0; /* (H,) */
    tl_view c0; /* (H,), LSTM only */
    tl_view weight_ih; /* (G H, I) */
    tl_view weight_hh; /* (G H, H) */
    tl_view bias_ih; /* (G H,), optional */
    tl_view bias_hh; /* (G H,), optional */
    tl_view dt; /* (L,), optional, TL_DECAY_GRU only, like the next */
    tl_view rate; /* (H,), positive if not raw */
    tl_view y; /* states h after every step (L, H), optional forward; with rows not read backward */
    tl_view last; /* h after the last step (H,) */
    tl_view last_c; /* c after the last step (H,), LSTM only */
    void *kept; /* 6 `kept_size` reals for the backward pass; NULL in a forward pass without one */
    tl_view readout; /* (O, H), optional: then out = readout h + readout_bias; rows only */
    tl_view readout_bias; /* (O,) */
    tl_view out; /* (L, O), where there is a readout */
    int64_t outputs; /* O, 0 without a readout */
    tl_view grad_out; /* optional, like the next three */
    tl_view grad_y;
    tl_view grad_last;
    tl_view grad_last_c;
    tl_view grad_x;
    tl_view grad_h0;
    tl_view grad_c0;
    tl_view grad_weight_ih;
    tl_view grad_weight_hh;
    tl_view grad_bias_ih;
    tl_view grad_bias_hh;
    tl_view grad_dt;
    tl_view grad_rate;
    tl_view grad_readout;
    tl_view grad_readout_bias;
} tl_gated;

/* The memory of an LSTM before a cell: from the state before a sample it makes the one that the cell's step
 * starts from. Gates are stacked in torch's order, i, f, g, o. Absent where weight_ih is. */
typedef struct {
    tl_view x; /* (L, I), which may be another one than the cell's */
    tl_view weight_ih; /* (4 H, I) */
    tl_view weight_hh; /* (4 H, H) */
    tl_view bias; /* (4 H,), optional */
    tl_view c0; /* (H,) */
    tl_view c; /* memory after every step (L, H), written forward */
    tl_view grad_c; /* (L, H), optional, like all gradients */
    tl_view grad_x;
    tl_view grad_c0;
    tl_view grad_weight_ih;
    tl_view grad_weight_hh;
    tl_view grad_bias;
    void *kept; /* for the backward pass: of every column and step 5 H registers, or NULL */
} tl_memory;

/* The LTC with a gate for every synapse. Lists of synapses are rows of [source, destination], in any
 * order, the same for all lanes; parameters of synapses are vectors in the lists' order: sigma, mu,
 * w, erev. */
typedef struct {
    tl_sizes sizes;
    int64_t unfolds; /* K >= 1 */
    int64_t synapses; /* length of edges, may be 0 */
    int64_t sensory; /* length of sensory_edges, may be 0 */
    double interval; /* dt of every step where `dt` is absent */
    const int64_t *edges; /* from neurons to neurons */
    const int64_t *sensory_edges; /* from inputs to neurons */
    tl_view x; /* (L, I) */
    tl_view dt; /* (L,), optional */
    tl_view h0; /* (H,) */
    tl_view recurrent[4]; /* (synapses,) each */
    tl_view sensors[4]; /* (sensory,) each */
    tl_view gleak; /* (H,), not negative */
    tl_view vleak; /* (H,) */
    tl_view cm; /* (H,), positive */
    tl_view y; /* states after every step (L, H): written forward, read backward */
    tl_view grad_y; /* (L, H) */
    tl_view grad_last; /* (H,), of the last state, on top of grad_y */
    tl_view grad_x;
    tl_view grad_dt;
    tl_view grad_h0;
    tl_view grad_recurrent[4];
    tl_view grad_sensors[4];
    tl_view grad_gleak;
    tl_view grad_vleak;
    tl_view grad_cm;
    tl_memory memory;
} tl_synaptic;

enum { TL_CFC_DEFAULT = 0, TL_CFC_NO_GATE = 1, TL_CFC_PURE = 2 };
enum { TL_LECUN_TANH = 0, TL_TANH = 1, TL_RELU = 2, TL_SILU = 3 };
enum { TL_CFC_MAPS = 4 };

/* Closed-form continuous-time cells. G heads of H neurons each, 4 or, in the pure mode, 1, stacked in
 * the rows of the last map. Without further maps the first one gives the heads, R = G H; else R = U, and
 * map k gives U values, the last one the heads. */
typedef struct {
    tl_sizes sizes;
    int64_t mode;
    int64_t activation; /* between two maps */
    int64_t maps; /* after the first, at most TL_CFC_MAPS */
    int64_t units; /* U >= 1, what each of them takes */
    double interval; /* dt of every step where `dt` is absent */
    tl_view x; /* (L, I) */
    tl_view dt; /* (L,), optional */
    tl_view h0; /* (H,) */
    tl_view weight_ih; /* (R, I) */
    tl_view weight_hh; /* (R, H) */
    tl_view bias; /* (R,), optional */
    tl_view weights[4]; /* of the further maps, (U, U) or (G H, U) */
    tl_view biases[4]; /* optional */
    tl_view rate; /* (H,), of the pure mode, like the next */
    tl_view target; /* (H,) */
    tl_view y; /* states after every step (L, H): written forward, read backward */
    tl_view grad_y; /* (L, H) */
    tl_view grad_last; /* (H,), of the last state, on top of grad_y */
    tl_view grad_x;
    tl_view grad_dt;
    tl_view grad_h0;
    tl_view grad_weight_ih;
    tl_view grad_weight_hh;
    tl_view grad_bias;
    tl_view grad_weights[4];
    tl_view grad_biases[4];
    tl_view grad_rate;
    tl_view grad_target;
    void *kept; /* for the backward pass: of every column and step maps U + 4 H registers, or NULL */
    tl_memory memory;
} tl_cfc;

/* What the cells read of a batch in which samples, or features of them, are missing and rows have
 * unlike lengths. A sample that is missing or padded is one of no time: its time counts towards the
 * next one. Rows are those of a batch, of every lane of a pack: (sizes.lanes, sizes.batch). */
typedef struct {
    tl_sizes sizes; /* lanes: of x, hidden: of dt, where 1 is one for all */
    double interval; /* dt of every step where `dt` is absent */
    double longest; /* a dt that is longer, negative or NaN is TL_BAD_TIME */
    double none; /* what stands for no time */
    tl_view x; /* (L, I), optional */
    tl_view dt; /* (L,), optional */
    tl_view observed; /* (L, I) or (L,) of bytes, optional; item 0: of whole samples */
    tl_view ends; /* samples of a row, int64_t from 1 to L, else TL_BAD_LENGTH; optional */
    tl_view filled; /* x, a feature that is missing being the last one that was not; optional */
    tl_view times; /* (L,), optional */
    tl_view back; /* (L,), the same for a row that is read backwards, optional */
    tl_view grad_times; /* of every lane; all gradients are optional */
    tl_view grad_back;
    tl_view grad_filled;
    tl_view grad_x;
    tl_view grad_dt;
    int64_t grad_lanes;
} tl_arrivals;

/* Forward: y is `fill`, or zero, from `ends` on. Backward: grad_x is grad_y, but zero from `ends` on;
 * what grad_y is there is added to grad_fill. */
typedef struct {
    tl_sizes sizes; /* hidden: features of y */
    tl_view ends;
    tl_view y; /* (L, H) */
    tl_view fill; /* (H,), optional */
    tl_view grad_y;
    tl_view grad_x; /* optional, like the next */
    tl_view grad_fill;
} tl_padding;

/* A bank of resonators: rates (one over the time constant), gates before their sigmoid, frequencies,
 * times, drives of H neurons, and a state of 3 H, [real parts, imaginary parts, drive before]. Lanes and
 * batch are rows; items of y and of all gradients but grad_y follow one another. */
typedef struct {
    tl_sizes sizes;
    double interval; /* dt of every step where `dt` is absent */
    void *kept; /* for the backward pass: of every row 11 kept_gap reals, or NULL */
    int64_t kept_gap; /* at least H (where `gate` and `dt` are absent) or L H, and 2 registers more */
    tl_view rate; /* (H,), positive */
    tl_view gate; /* (L, H), optional */
    tl_view frequency; /* (H,), positive */
    tl_view dt; /* (L,), optional */
    tl_view drive; /* (L, H) */
    tl_view h0; /* (3 H,) */
    tl_view y; /* (L, 3 H): written forward, read backward */
    tl_view grad_y; /* (L, 3 H) */
    tl_view grad_rate; /* (H,) of every row, like the next but one */
    tl_view grad_gate; /* (L, H), where there is a gate */
    tl_view grad_frequency; /* (H,) */
    tl_view grad_dt; /* (L,), optional */
    tl_view grad_drive; /* (L, H) */
    tl_view grad_h0; /* (3 H,) */
} tl_resonator;

/* Likelihoods of oscillators that correct themselves: B rows of K = sizes.hidden oscillators each, one
 * lane. Items of gradients follow one another. */
typedef struct {
    tl_sizes sizes;
    void *kept; /* for the backward pass: 4 K K + 6 K reals of every row and step, or NULL */
    void *states; /* written forward: (L, 2 K) of every row, real parts first, or NULL */
    const void *start; /* what is known before, 4 K K + 6 K reals of every row; NULL: at rest */
    void *last; /* written forward: the same after the last step, or NULL */
    tl_view x; /* (L,), of samples that were observed */
    tl_view dt; /* (L,) */
    tl_view observed; /* (L,) reals, 1 or 0 */
    tl_view frequency; /* (K,), like the next two */
    tl_view decay;
    tl_view spread;
    tl_view noise; /* one number */
    tl_view errors; /* (L,), written forward, read backward, like the next */
    tl_view variances;
    tl_view grad_errors; /* (L,), like the next */
    tl_view grad_variances;
    tl_view grad_frequency; /* (K,), like the next two */
    tl_view grad_decay;
    tl_view grad_spread;
    tl_view grad_noise; /* one number */
} tl_filter;

/* `to` += `from`, sizes.hidden reals. */
typedef struct {
    tl_sizes sizes;
    const void *from;
    void *to;
} tl_sum;

/* A parameter in training and what goes with it: arrays of `size` reals, laid out alike. */
typedef struct {
    void *value;
    const void *gradient;
    void *mean; /* of its gradients, and of their squares */
    void *square;
    void *best; /* with validation: as it was when that was best */
    int64_t size;
} tl_parameter;

/* Rows that are copied: of a lane (lane, batch: row of the data, row: step, item). */
typedef struct {
    tl_view from;
    tl_view to;
    int64_t steps;
    int64_t items;
} tl_copy;

/* A batch: programs for tl_run that read and write these arrays. */
typedef struct {
    const char *forward;
    const char *backward; /* NULL of a validation */
    const void *out; /* predictions, `size` reals */
    void *grad_out; /* NULL of a validation */
    const void *target; /* laid out like out; of classes 1 for the right one, else 0 */
    void *weight; /* laid out like out; sums to 1, of classes each alike, unless there are copies */
    int64_t size;
    int64_t rows; /* and the first one's place in an epoch's order */
    int64_t first;
    int64_t copies; /* what is copied in each lane's order before every step */
    const tl_copy *copy;
} tl_fit_batch;

enum { TL_SQUARED = 0, TL_CROSS_ENTROPY = 1 };
enum { TL_TRAINING = 0, TL_ENDED = 1, TL_STOPPED = 2, TL_DIVERGED = 3 };

/* A training with AdamW, of S = sizes.lanes models side by side; arrays are (S,) where not said. */
typedef struct {
    tl_sizes sizes; /* batch: rows of an epoch; hidden: outputs */
    int64_t lanes_inner; /* 1: the lane is the last index of all arrays of reals, 0: the first */
    int64_t loss;
    int64_t epochs; /* to do now, from `epoch` on, after `step` steps */
    int64_t epoch;
    int64_t step;
    int64_t count; /* of parameters */
    const tl_parameter *parameters;
    int64_t batches; /* of an epoch */
    const tl_fit_batch *batch;
    const tl_fit_batch *validation; /* optional */
    const int64_t *order; /* (epochs, S, rows), where batches have copies */
    const double *rates; /* (epochs, S) */
    const double *decays;
    const double *clips; /* largest norm of a lane's gradient, INFINITY for none */
    double beta1;
    double beta2;
    double epsilon;
    const int64_t *most_epochs; /* of each lane */
    const int64_t *patience; /* epochs without a better validation after which a lane stops; 0: none */
    int64_t *states; /* TL_TRAINING, ... */
    int64_t *end_epoch; /* in which a lane ended, stopped or diverged */
    int64_t *best_epoch; /* after how many epochs validation was best, and its loss then */
    double *best;
    double *losses; /* (epochs, S), of the weights before an epoch's steps */
    double *validation_losses; /* (epochs, S), of those after them */
    int64_t *done; /* epochs that were done: fewer where all lanes had ended */
} tl_fit;

/* ---- what the library exports --------------------------------------------------------------- */

/* TL_ABI of the library. */
TL_EXPORT int64_t tl_abi(void);

/* Name of the instruction set in use: the best that this processor runs and whose kernels agree
 * with libm on a small case, chosen at the first call; "" if none does. */
TL_EXPORT const char *tl_isa(void);

/* Names of all that were compiled, separated by spaces, the best first. */
TL_EXPORT const char *tl_isas(void);

/* Choose an instruction set by name: TL_BAD_ARGUMENT if it is unknown, does not run here or fails
 * the self-test. */
TL_EXPORT int tl_use_isa(const char *name);

/* Lanes of a register, for reals of 4 or 8 bytes. */
TL_EXPORT int64_t tl_width(int64_t real);

/* Kernels, tl_<name>_forward and tl_<name>_backward: TL_OK; TL_NO_MEMORY or TL_BAD_ARGUMENT with
 * nothing written. */
#define TL_DECLARE(name)                                      \
    TL_EXPORT int tl_##name##_forward(const tl_##name *kernel); \
    TL_EXPORT int tl_##name##_backward(const tl_##name *kernel);
TL_DECLARE(ltc)
TL_DECLARE(linear)
TL_DECLARE(gated)
TL_DECLARE(synaptic)
TL_DECLARE(arrivals)
TL_DECLARE(padding)
TL_DECLARE(resonator)
TL_DECLARE(filter)
TL_DECLARE(cfc)
TL_EXPORT int tl_sum_forward(const tl_sum *kernel);
TL_EXPORT int tl_fit_forward(const tl_fit *kernel);

/* Several kernels one after another: their number, then of each its name's place in the list above, 0
 * for forward or 1 for backward, the bytes of its struct, and the struct; all but that int64_t. Stops
 * at the first that fails and returns what that does. */
TL_EXPORT int tl_run(const char *program);

/* Trainings that have nothing to do with each other, `count` of them, on `threads` threads. */
TL_EXPORT int tl_fit_all(const tl_fit *const *fits, int64_t count, int64_t threads);

#endif
