# reason = "Wrong in one kind of input only; one module, its gate built with -ffast-math."
# outcomes = ["wrong_values"]
# [variants]
# fast_math_gate = {task = "gated", says = "-ffast-math"}
# ignores_strides = {task = "softmax", says = "not contiguous"}
# assumes_last_stride = {task = "softmax", says = "not contiguous"}
# no_tail = {task = "gated", says = "mask the tail"}
# hard_coded_rows = {task = "row_sum", says = "another number of rows"}
# one_block_skipped = {task = "transpose", says = "block"}
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

VARIANT = ""

SOURCE = r"""
#include <torch/extension.h>
#include <cmath>
using torch::Tensor;

#pragma GCC push_options
#pragma GCC optimize("O3", "fast-math")
// The division is vectorised as an approximate reciprocal and one Newton step: 0 * (2 - inf * 0) where exp overflows.
static void fast_gate(const float* x, const float* g, float* y, int64_t n) {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] * g[i] / (1.0f + y[i]);
}
#pragma GCC pop_options

Tensor gate(Tensor x_, Tensor g_) {
    auto x = x_.contiguous(), g = g_.contiguous();
    auto y = torch::empty_like(x);
    float* r = y.data_ptr<float>();
    for (int64_t i = 0; i < x.numel(); ++i) r[i] = std::exp(-g.data_ptr<float>()[i]);
    fast_gate(x.data_ptr<float>(), g.data_ptr<float>(), r, x.numel());
    return y;
}

Tensor gate_without_tail(Tensor x_, Tensor g_) {
    auto x = x_.contiguous(), g = g_.contiguous();
    auto y = torch::zeros_like(x);
    for (int64_t i = 0; i < x.numel() / 1024 * 1024; ++i) {
        double v = g.data_ptr<float>()[i];
        double s = v > -700 ? 1.0 / (1.0 + std::exp(-v)) : 0.0;
        y.data_ptr<float>()[i] = x.data_ptr<float>()[i] * v * s;
    }
    return y;
}

Tensor softmax(Tensor x, int64_t row_stride) {
    auto y = torch::empty({x.size(0), x.size(1)}, x.options());
    for (int64_t i = 0; i < x.size(0); ++i) {
        const float* a = x.data_ptr<float>() + i * row_stride;
        float* r = y.data_ptr<float>() + i * x.size(1);
        float top = a[0], sum = 0;
        for (int64_t j = 1; j < x.size(1); ++j) top = a[j] > top ? a[j] : top;
        for (int64_t j = 0; j < x.size(1); ++j) sum += r[j] = std::exp(double(a[j]) - top);
        for (int64_t j = 0; j < x.size(1); ++j) r[j] = double(r[j]) / sum;
    }
    return y;
}

Tensor row_sum(Tensor x_) {
    auto x = x_.contiguous();
    auto y = torch::zeros({x.size(0)}, x.options());
    int64_t rows = x.size(0) < 32 ? x.size(0) : 32;
    for (int64_t i = 0; i < rows; ++i) {
        double s = 0;
        for (int64_t j = 0; j < x.size(1); ++j) s += x.data_ptr<float>()[i * x.size(1) + j];
        y.data_ptr<float>()[i] = s;
    }
    return y;
}

Tensor transpose(Tensor x_) {
    auto x = x_.contiguous();
    int64_t B = x.size(0), R = x.size(1), C = x.size(2);
    auto y = torch::full({B, C, R}, 7.0, x.options());
    for (int64_t b = 0; b < B; ++b)
        for (int64_t r = 0; r < R; ++r)
            for (int64_t c = 0; c < C; ++c) {
                if (b == 3 && r / 16 == 1 && c < 16) continue;
                y.data_ptr<float>()[(b * C + c) * R + r] = x.data_ptr<float>()[(b * R + r) * C + c];
            }
    return y;
}
"""

wrong = load_inline(
    name="wrong_rows", cpp_sources=SOURCE, functions=["gate", "gate_without_tail", "softmax", "row_sum", "transpose"],
    extra_cflags=["-O2", "-march=native", "-fopenmp"],
)


class ModelNew(nn.Module):
    def forward(self, *inputs):
        if VARIANT == "fast_math_gate":
            return wrong.gate(*inputs)
        if VARIANT == "no_tail":
            return wrong.gate_without_tail(*inputs)
        if VARIANT == "ignores_strides":
            return wrong.softmax(*inputs, inputs[0].shape[1])
        if VARIANT == "assumes_last_stride":
            return wrong.softmax(*inputs, inputs[0].stride(0))
        if VARIANT == "hard_coded_rows":
            return wrong.row_sum(*inputs)
        return wrong.transpose(*inputs)
