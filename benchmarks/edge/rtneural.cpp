// An LSTM of 8 with readout in RTNeural, and an exported LTC of 8 with readout, in turns on one core.
// Prints for each round the nanoseconds of a step of the one and of the other, of processor time.
#include <RTNeural/RTNeural.h>

#include <cstdio>
#include <ctime>

extern "C" {
#include "net.h"
}

static double now()
{
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return 1e9 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec);
}

int main()
{
    constexpr int steps = 200000, rounds = 25;
    RTNeural::ModelT<float, 1, 1, RTNeural::LSTMLayerT<float, 1, 8>, RTNeural::DenseT<float, 8, 1>> model;
    auto& lstm = model.get<0>();
    std::vector<std::vector<float>> w(1, std::vector<float>(32)), u(8, std::vector<float>(32));
    std::vector<float> b(32);
    // weights of the size that training starts from: what is computed does not depend on them
    for (int i = 0; i < 32; i++) {
        b[i] = 0.3f - 0.02f * static_cast<float>(i);
        w[0][i] = 0.02f * static_cast<float>(i) - 0.3f;
        for (int j = 0; j < 8; j++) {
            u[j][i] = 0.05f * static_cast<float>((5 * i + 3 * j) % 13 - 6);
        }
    }
    lstm.setWVals(w);
    lstm.setUVals(u);
    lstm.setBVals(b);
    model.reset();
    net_state state;
    net_reset(&state);
    volatile float sink = 0;
    for (int round = 0; round < rounds; round++) {
        float sum = 0, in[1], out[1];
        const double start = now();
        for (int i = 0; i < steps; i++) {
            in[0] = 0.001f * static_cast<float>(i & 1023);
            sum += model.forward(in);
        }
        const double middle = now();
        for (int i = 0; i < steps; i++) {
            in[0] = 0.001f * static_cast<float>(i & 1023);
            net_step(&state, in, out);
            sum += out[0];
        }
        sink = sum;
        const double end = now();
        std::printf("%.3f %.3f\n", (middle - start) / steps, (end - middle) / steps);
    }
    return 0;
}
