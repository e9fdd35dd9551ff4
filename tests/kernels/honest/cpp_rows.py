# reason = "Row-wise kernels in C++: one compiled module, one way of computing for each variant."
# [variants]
# gated_plain = "gated"
# gated_openmp = "gated"
# gated_tanh = "gated"
# gated_double = "gated"
# gated_two_pass = "gated"
# gated_avx2 = "gated"
# gated_joined_threads = "gated"
# gated_idle_pool = "gated"
# softmax_three_pass = "softmax"
# softmax_online = "softmax"
# softmax_log = "softmax"
# softmax_exp2 = "softmax"
# softmax_openmp = "softmax"
# softmax_double = "softmax"
# softmax_avx2 = "softmax"
# layer_norm_two_pass = "layer_norm"
# layer_norm_welford = "layer_norm"
# layer_norm_double = "layer_norm"
# layer_norm_openmp = "layer_norm"
# row_sum_sequential = "row_sum"
# row_sum_pairwise = "row_sum"
# row_sum_kahan = "row_sum"
# row_sum_eight = "row_sum"
# row_sum_backwards = "row_sum"
# row_sum_double = "row_sum"
# row_sum_atomic = "row_sum"
# scan_sequential = "scan"
# scan_blocked = "scan"
# scan_openmp = "scan"
# row_max_plain = "row_max"
# row_max_branchless = "row_max"
# normalize_plain = "normalize"
# normalize_scaled = "normalize"
# quantise_divide = "quantise"
# quantise_reciprocal = "quantise"
# recurrence_plain = "recurrence"
# loss_fused = "loss"
# row_stats_fused = "row_stats"
# transpose_blocked = "transpose"
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

VARIANT = ""

SOURCE = r"""
#include <torch/extension.h>
#include <immintrin.h>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

using torch::Tensor;
static const float* in(const Tensor& t) { return t.data_ptr<float>(); }
static float* out(Tensor& t) { return t.data_ptr<float>(); }

// ---- gate: x * g * sigmoid(g) -------------------------------------------------------------------------------------
static inline float silu(float g) { return g / (1.0f + std::exp(-g)); }
static inline float silu_tanh(float g) { return g * (0.5f + 0.5f * std::tanh(0.5f * g)); }

static void gate_range(const float* x, const float* g, float* y, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) y[i] = x[i] * silu(g[i]);
}

// exp in AVX2: 2^k * e^f with |f| <= ln2 / 2, f reduced in two parts, a Taylor polynomial of degree 7.
static inline __m256 exp8(__m256 x) {
    x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-104.0f)), _mm256_set1_ps(88.72f));
    __m256 k = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 f = _mm256_sub_ps(x, _mm256_mul_ps(k, _mm256_set1_ps(0.693359375f)));
    f = _mm256_sub_ps(f, _mm256_mul_ps(k, _mm256_set1_ps(-2.12194440e-4f)));
    const float c[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
    __m256 p = _mm256_set1_ps(c[0]);
    for (int i = 1; i < 8; ++i) p = _mm256_add_ps(_mm256_mul_ps(p, f), _mm256_set1_ps(c[i]));
    // Two factors, so that a result below 2^-126 is still made from normal numbers.
    __m256i half = _mm256_srai_epi32(_mm256_cvtps_epi32(k), 1);
    __m256i rest = _mm256_sub_epi32(_mm256_cvtps_epi32(k), half);
    __m256i bias = _mm256_set1_epi32(127);
    __m256 a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    __m256 b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(p, a), b);
}

static void gate_avx2(const float* x, const float* g, float* y, int64_t n) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 gate = _mm256_loadu_ps(g + i);
        __m256 e = exp8(_mm256_sub_ps(_mm256_setzero_ps(), gate));
        __m256 s = _mm256_div_ps(gate, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), s));
    }
    gate_range(x, g, y, i, n);
}

// Workers that live as long as the process and sleep between calls.
class Pool {
  public:
    explicit Pool(int count) {
        for (int i = 0; i < count; ++i) std::thread([this, i] { serve(i); }).detach();
        count_ = count;
    }
    void run(const std::function<void(int)>& work) {
        std::unique_lock<std::mutex> lock(mutex_);
        work_ = &work;
        left_ = count_;
        ++round_;
        wake_.notify_all();
        done_.wait(lock, [this] { return left_ == 0; });
    }

  private:
    void serve(int index) {
        int seen = 0;
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return round_ != seen; });
            seen = round_;
            const auto* work = work_;
            lock.unlock();
            (*work)(index);
            lock.lock();
            if (--left_ == 0) done_.notify_one();
        }
    }
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(int)>* work_ = nullptr;
    int count_ = 0, left_ = 0, round_ = 0;
};

Tensor gated(Tensor x_, Tensor g_, std::string how) {
    auto x = x_.contiguous(), g = g_.contiguous();
    auto y = torch::empty_like(x);
    const float *a = in(x), *b = in(g);
    float* r = out(y);
    int64_t n = x.numel();
    if (how == "gated_openmp") {
#pragma omp parallel for num_threads(2)
        for (int64_t i = 0; i < n; ++i) r[i] = a[i] * silu(b[i]);
    } else if (how == "gated_tanh") {
        for (int64_t i = 0; i < n; ++i) r[i] = a[i] * silu_tanh(b[i]);
    } else if (how == "gated_double") {
        for (int64_t i = 0; i < n; ++i) r[i] = double(a[i]) * (double(b[i]) / (1.0 + std::exp(-double(b[i]))));
    } else if (how == "gated_two_pass") {
        for (int64_t i = 0; i < n; ++i) r[i] = 1.0f / (1.0f + std::exp(-b[i]));
        for (int64_t i = 0; i < n; ++i) r[i] = a[i] * (b[i] * r[i]);
    } else if (how == "gated_avx2") {
        gate_avx2(a, b, r, n);
    } else if (how == "gated_joined_threads") {
        std::thread other(gate_range, a, b, r, n / 2, n);
        gate_range(a, b, r, 0, n / 2);
        other.join();
    } else if (how == "gated_idle_pool") {
        static Pool* pool = new Pool(2);
        pool->run([&](int i) { gate_range(a, b, r, i ? n / 2 : 0, i ? n : n / 2); });
    } else {
        gate_range(a, b, r, 0, n);
    }
    return y;
}

// ---- softmax ------------------------------------------------------------------------------------------------------
static void softmax_row(const float* x, float* y, int64_t n, const std::string& how) {
    float top = -INFINITY;
    if (how == "softmax_online") {
        float sum = 0;
        for (int64_t i = 0; i < n; ++i) {
            if (x[i] > top) { sum = sum * std::exp(top - x[i]); top = x[i]; }
            sum += std::exp(x[i] - top);
        }
        for (int64_t i = 0; i < n; ++i) y[i] = std::exp(x[i] - top) / sum;
        return;
    }
    for (int64_t i = 0; i < n; ++i) top = std::max(top, x[i]);
    if (how == "softmax_double") {
        double sum = 0;
        for (int64_t i = 0; i < n; ++i) sum += std::exp(double(x[i]) - top);
        for (int64_t i = 0; i < n; ++i) y[i] = std::exp(double(x[i]) - top) / sum;
        return;
    }
    float sum = 0;
    if (how == "softmax_log") {
        for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - top);
        float shift = std::log(sum);
        for (int64_t i = 0; i < n; ++i) y[i] = std::exp((x[i] - top) - shift);
        return;
    }
    if (how == "softmax_exp2") {
        const float log2e = 1.44269504088896f;
        for (int64_t i = 0; i < n; ++i) sum += y[i] = std::exp2((x[i] - top) * log2e);
    } else if (how == "softmax_avx2") {
        int64_t i = 0;
        for (; i + 8 <= n; i += 8)
            _mm256_storeu_ps(y + i, exp8(_mm256_sub_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(top))));
        for (; i < n; ++i) y[i] = std::exp(x[i] - top);
        for (i = 0; i < n; ++i) sum += y[i];
    } else {
        for (int64_t i = 0; i < n; ++i) sum += y[i] = std::exp(x[i] - top);
    }
    float inverse = 1.0f / sum;
    for (int64_t i = 0; i < n; ++i) y[i] *= inverse;
}

Tensor softmax(Tensor x_, std::string how) {
    auto x = x_.contiguous();
    auto y = torch::empty_like(x);
    int64_t rows = x.size(0), n = x.size(1);
    const float* a = in(x);
    float* r = out(y);
    if (how == "softmax_openmp") {
#pragma omp parallel for num_threads(2)
        for (int64_t i = 0; i < rows; ++i) softmax_row(a + i * n, r + i * n, n, how);
    } else {
        for (int64_t i = 0; i < rows; ++i) softmax_row(a + i * n, r + i * n, n, how);
    }
    return y;
}

// ---- layer norm ---------------------------------------------------------------------------------------------------
static void norm_row(const float* x, const float* w, const float* b, float* y, int64_t n, float eps, const std::string& how) {
    float mean = 0, var = 0;
    if (how == "layer_norm_welford") {
        float m2 = 0;
        for (int64_t i = 0; i < n; ++i) {
            float delta = x[i] - mean;
            mean += delta / float(i + 1);
            m2 += delta * (x[i] - mean);
        }
        var = m2 / n;
    } else if (how == "layer_norm_double") {
        double s = 0, q = 0;
        for (int64_t i = 0; i < n; ++i) { s += x[i]; q += double(x[i]) * x[i]; }
        mean = s / n;
        var = q / n - (s / n) * (s / n);
    } else {
        for (int64_t i = 0; i < n; ++i) mean += x[i];
        mean /= n;
        for (int64_t i = 0; i < n; ++i) var += (x[i] - mean) * (x[i] - mean);
        var /= n;
    }
    float scale = 1.0f / std::sqrt(var + eps);
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * scale * w[i] + b[i];
}

Tensor layer_norm(Tensor x_, Tensor w_, Tensor b_, double eps, std::string how) {
    auto x = x_.contiguous(), w = w_.contiguous(), b = b_.contiguous();
    auto y = torch::empty_like(x);
    int64_t rows = x.size(0), n = x.size(1);
    const float *a = in(x), *c = in(w), *d = in(b);
    float* r = out(y);
#pragma omp parallel for num_threads(2) if (how == "layer_norm_openmp")
    for (int64_t i = 0; i < rows; ++i) norm_row(a + i * n, c, d, r + i * n, n, eps, how);
    return y;
}

// ---- sums ---------------------------------------------------------------------------------------------------------
static float pairwise(const float* x, int64_t n) {
    if (n <= 8) { float s = 0; for (int64_t i = 0; i < n; ++i) s += x[i]; return s; }
    return pairwise(x, n / 2) + pairwise(x + n / 2, n - n / 2);
}

static float sum_of(const float* x, int64_t n, const std::string& how) {
    if (how == "row_sum_pairwise") return pairwise(x, n);
    if (how == "row_sum_double") { double s = 0; for (int64_t i = 0; i < n; ++i) s += x[i]; return s; }
    if (how == "row_sum_backwards") { float s = 0; for (int64_t i = n; i-- > 0;) s += x[i]; return s; }
    if (how == "row_sum_kahan") {
        volatile float s = 0, c = 0;
        for (int64_t i = 0; i < n; ++i) { volatile float y = x[i] - c, t = s + y; c = (t - s) - y; s = t; }
        return s;
    }
    if (how == "row_sum_eight") {
        float s[8] = {};
        int64_t i = 0;
        for (; i + 8 <= n; i += 8) for (int j = 0; j < 8; ++j) s[j] += x[i + j];
        for (; i < n; ++i) s[0] += x[i];
        return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
    float s = 0;
    for (int64_t i = 0; i < n; ++i) s += x[i];
    return s;
}

// Chunks are added in whatever order the threads come: not bitwise repeatable.
static float sum_atomic(const float* x, int64_t n) {
    std::atomic<float> total{0.0f};
    auto work = [&](int64_t from) {
        for (int64_t start = from; start < n; start += 512) {
            float s = 0;
            for (int64_t i = start; i < std::min(n, start + 256); ++i) s += x[i];
            float seen = total.load();
            while (!total.compare_exchange_weak(seen, seen + s)) {}
        }
    };
    std::thread other(work, 256);
    work(0);
    other.join();
    return total;
}

Tensor row_sum(Tensor x_, std::string how) {
    auto x = x_.contiguous();
    int64_t rows = x.size(0), n = x.size(1);
    auto y = torch::empty({rows}, x.options());
    for (int64_t i = 0; i < rows; ++i)
        out(y)[i] = how == "row_sum_atomic" ? sum_atomic(in(x) + i * n, n) : sum_of(in(x) + i * n, n, how);
    return y;
}

// ---- scans --------------------------------------------------------------------------------------------------------
static void scan_row(const float* x, float* y, int64_t n, bool blocked) {
    if (!blocked) {
        float s = 0;
        for (int64_t i = 0; i < n; ++i) y[i] = s += x[i];
        return;
    }
    const int64_t block = 48;
    float carry = 0;
    for (int64_t start = 0; start < n; start += block) {
        int64_t stop = std::min(n, start + block);
        float s = 0;
        for (int64_t i = start; i < stop; ++i) y[i] = s += x[i];
        for (int64_t i = start; i < stop; ++i) y[i] += carry;
        carry += s;
    }
}

Tensor scan(Tensor x_, std::string how) {
    auto x = x_.contiguous();
    auto y = torch::empty_like(x);
    int64_t rows = x.size(0), n = x.size(1);
    const float* a = in(x);
    float* r = out(y);
#pragma omp parallel for num_threads(2) if (how == "scan_openmp")
    for (int64_t i = 0; i < rows; ++i) scan_row(a + i * n, r + i * n, n, how == "scan_blocked");
    return y;
}

Tensor recurrence(Tensor a_, Tensor x_) {
    auto a = a_.contiguous(), x = x_.contiguous();
    auto y = torch::empty_like(x);
    int64_t batch = x.size(0), steps = x.size(1), width = x.size(2);
    for (int64_t b = 0; b < batch; ++b)
        for (int64_t w = 0; w < width; ++w) {
            float h = 0;
            for (int64_t t = 0; t < steps; ++t) {
                int64_t i = (b * steps + t) * width + w;
                out(y)[i] = h = in(a)[i] * h + in(x)[i];
            }
        }
    return y;
}

// ---- the rest -----------------------------------------------------------------------------------------------------
std::vector<Tensor> row_max(Tensor x_, std::string how) {
    auto x = x_.contiguous();
    int64_t rows = x.size(0), n = x.size(1);
    auto value = torch::empty({rows}, x.options());
    auto where = torch::empty({rows}, x.options().dtype(torch::kInt64));
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = in(x) + r * n;
        float top = row[0];
        int64_t at = 0;
        for (int64_t i = 1; i < n; ++i) {
            if (how == "row_max_branchless") {
                bool more = row[i] > top;
                at = more ? i : at;
                top = more ? row[i] : top;
            } else if (row[i] > top) { top = row[i]; at = i; }
        }
        out(value)[r] = top;
        where.data_ptr<int64_t>()[r] = at;
    }
    return {value, where};
}

Tensor normalize(Tensor x_, std::string how) {
    auto x = x_.contiguous();
    auto y = torch::empty_like(x);
    int64_t rows = x.size(0), n = x.size(1);
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = in(x) + r * n;
        float top = 1.0f, sum = 0;
        if (how == "normalize_scaled") { top = 0; for (int64_t i = 0; i < n; ++i) top = std::max(top, std::fabs(row[i])); }
        if (top == 0) top = 1.0f;
        for (int64_t i = 0; i < n; ++i) sum += (row[i] / top) * (row[i] / top);
        float length = std::max(top * std::sqrt(sum), 1e-12f);
        for (int64_t i = 0; i < n; ++i) out(y)[r * n + i] = row[i] / length;
    }
    return y;
}

Tensor quantise(Tensor x_, std::string how) {
    auto x = x_.contiguous();
    auto y = torch::empty_like(x);
    int64_t rows = x.size(0), n = x.size(1);
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = in(x) + r * n;
        float top = 0;
        for (int64_t i = 0; i < n; ++i) top = std::max(top, std::fabs(row[i]));
        float scale = std::max(top, 1e-12f) / 127.0f, inverse = 127.0f / std::max(top, 1e-12f);
        for (int64_t i = 0; i < n; ++i) {
            float level = how == "quantise_reciprocal" ? row[i] * inverse : row[i] / scale;
            out(y)[r * n + i] = std::nearbyint(level) * scale;
        }
    }
    return y;
}

Tensor loss(Tensor x_, Tensor labels_) {
    auto x = x_.contiguous(), labels = labels_.contiguous();
    int64_t rows = x.size(0), n = x.size(1);
    float total = 0;
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = in(x) + r * n;
        float top = -INFINITY, sum = 0;
        for (int64_t i = 0; i < n; ++i) top = std::max(top, row[i]);
        for (int64_t i = 0; i < n; ++i) sum += std::exp(row[i] - top);
        total += std::log(sum) + top - row[labels.data_ptr<int64_t>()[r]];
    }
    return torch::full({}, total / rows, x.options());
}

std::vector<Tensor> row_stats(Tensor x_) {
    auto x = x_.contiguous();
    int64_t rows = x.size(0), n = x.size(1);
    auto mean = torch::empty({rows}, x.options());
    auto above = torch::empty({rows, n}, x.options().dtype(torch::kBool));
    auto count = torch::empty({rows}, x.options().dtype(torch::kInt64));
    for (int64_t r = 0; r < rows; ++r) {
        float sum = 0;
        int64_t many = 0;
        for (int64_t i = 0; i < n; ++i) {
            float v = in(x)[r * n + i];
            sum += v;
            many += above.data_ptr<bool>()[r * n + i] = v > 0.5f;
        }
        out(mean)[r] = sum / n;
        count.data_ptr<int64_t>()[r] = many;
    }
    return {mean, above, count};
}

Tensor transpose(Tensor x_) {
    auto x = x_.contiguous();
    int64_t batch = x.size(0), rows = x.size(1), columns = x.size(2);
    auto y = torch::empty({batch, columns, rows}, x.options());
    const int64_t tile = 16;
    for (int64_t b = 0; b < batch; ++b)
        for (int64_t i = 0; i < rows; i += tile)
            for (int64_t j = 0; j < columns; j += tile)
                for (int64_t r = i; r < std::min(rows, i + tile); ++r)
                    for (int64_t c = j; c < std::min(columns, j + tile); ++c)
                        out(y)[(b * columns + c) * rows + r] = in(x)[(b * rows + r) * columns + c];
    return y;
}
"""

FUNCTIONS = ["gated", "softmax", "layer_norm", "row_sum", "scan", "recurrence", "row_max", "normalize", "quantise", "loss",
             "row_stats", "transpose"]
rows = load_inline(
    name="honest_rows", cpp_sources=SOURCE, functions=FUNCTIONS, extra_cflags=["-O2", "-march=native", "-fopenmp"],
    extra_ldflags=["-fopenmp"],
)


class ModelNew(nn.Module):
    def __init__(self, *arguments):
        super().__init__()
        if VARIANT.startswith("layer_norm"):
            self.norm = nn.LayerNorm(*arguments)

    def forward(self, *inputs):
        if VARIANT.startswith("gated"):
            return rows.gated(*inputs, VARIANT)
        if VARIANT.startswith("softmax"):
            return rows.softmax(*inputs, VARIANT)
        if VARIANT.startswith("layer_norm"):
            return rows.layer_norm(*inputs, self.norm.weight, self.norm.bias, self.norm.eps, VARIANT)
        if VARIANT.startswith("row_sum"):
            return rows.row_sum(*inputs, VARIANT)
        if VARIANT.startswith("scan"):
            return rows.scan(*inputs, VARIANT)
        if VARIANT.startswith("row_max"):
            return tuple(rows.row_max(*inputs, VARIANT))
        if VARIANT.startswith("normalize"):
            return rows.normalize(*inputs, VARIANT)
        if VARIANT.startswith("quantise"):
            return rows.quantise(*inputs, VARIANT)
        if VARIANT == "row_stats_fused":
            return dict(zip(("mean", "above", "count"), rows.row_stats(*inputs)))
        return {"recurrence_plain": rows.recurrence, "loss_fused": rows.loss, "transpose_blocked": rows.transpose}[VARIANT](*inputs)
