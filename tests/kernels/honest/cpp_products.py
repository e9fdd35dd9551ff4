# reason = "Products, convolutions and attention in C++: one compiled module, one way of computing for each variant."
# [variants]
# matmul_rows = "matmul"
# matmul_columns = "matmul"
# matmul_tiled = "matmul"
# matmul_transposed = "matmul"
# matmul_openmp = "matmul"
# matmul_split_k = "matmul"
# matmul_double = "matmul"
# matmul_strassen = "matmul"
# matmul_registers = "matmul"
# triangular_skips_zeros = "triangular"
# linear_gelu_fused = "linear_gelu"
# linear_gelu_packed_at_init = "linear_gelu"
# linear_gelu_cache_by_version = "linear_gelu"
# linear_gelu_openmp = "linear_gelu"
# conv_direct = "conv_relu"
# conv_im2col = "conv_relu"
# conv_winograd = "conv_relu"
# attention_online = "attention"
# attention_two_pass = "attention"
# half_sums_in_float = "matmul_half"
# half_sums_in_double = "matmul_half"
# batch_norm_fused = "batch_norm"
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

VARIANT = ""

SOURCE = r"""
#include <torch/extension.h>
#include <cmath>
#include <vector>

using torch::Tensor;
typedef int64_t I;
static const float* in(const Tensor& t) { return t.data_ptr<float>(); }
static float* out(Tensor& t) { return t.data_ptr<float>(); }

// ---- products: c (M, N) += a (M, K) b (K, N), all row-major with leading dimensions -------------------------------
static void rows(const float* a, I la, const float* b, I lb, float* c, I lc, I M, I N, I K) {
    for (I i = 0; i < M; ++i)
        for (I k = 0; k < K; ++k) {
            float v = a[i * la + k];
            for (I j = 0; j < N; ++j) c[i * lc + j] += v * b[k * lb + j];
        }
}

static void columns(const float* a, const float* b, float* c, I M, I N, I K) {
    for (I i = 0; i < M; ++i)
        for (I j = 0; j < N; ++j) {
            float s = 0;
            for (I k = 0; k < K; ++k) s += a[i * K + k] * b[k * N + j];
            c[i * N + j] = s;
        }
}

static void tiled(const float* a, const float* b, float* c, I M, I N, I K) {
    const I T = 32;
    for (I i = 0; i < M; i += T)
        for (I k = 0; k < K; k += T)
            for (I j = 0; j < N; j += T)
                rows(a + i * K + k, K, b + k * N + j, N, c + i * N + j, N, std::min(T, M - i), std::min(T, N - j), std::min(T, K - k));
}

static void registers(const float* a, const float* b, float* c, I M, I N, I K) {
    for (I i = 0; i < M; i += 4)
        for (I j = 0; j < N; j += 4) {
            float s[4][4] = {};
            I m = std::min<I>(4, M - i), n = std::min<I>(4, N - j);
            for (I k = 0; k < K; ++k)
                for (I p = 0; p < m; ++p)
                    for (I q = 0; q < n; ++q) s[p][q] += a[(i + p) * K + k] * b[k * N + j + q];
            for (I p = 0; p < m; ++p)
                for (I q = 0; q < n; ++q) c[(i + p) * N + j + q] = s[p][q];
        }
}

// One level of Strassen: seven products of halves. Only for even sizes.
static void strassen(const float* a, const float* b, float* c, I M, I N, I K) {
    I m = M / 2, n = N / 2, k = K / 2;
    auto part = [](const float* p, I ld, I r, I s, I rows_, I columns_, int sign, std::vector<float>& into) {
        for (I i = 0; i < rows_; ++i)
            for (I j = 0; j < columns_; ++j) into[i * columns_ + j] += sign * p[(r * rows_ + i) * ld + s * columns_ + j];
    };
    struct Term { int r, s, sign; };
    struct Product { std::vector<Term> a, b, c; };
    const std::vector<Product> products = {
        {{{0, 0, 1}, {1, 1, 1}}, {{0, 0, 1}, {1, 1, 1}}, {{0, 0, 1}, {1, 1, 1}}},
        {{{1, 0, 1}, {1, 1, 1}}, {{0, 0, 1}}, {{1, 0, 1}, {1, 1, -1}}},
        {{{0, 0, 1}}, {{0, 1, 1}, {1, 1, -1}}, {{0, 1, 1}, {1, 1, 1}}},
        {{{1, 1, 1}}, {{1, 0, 1}, {0, 0, -1}}, {{0, 0, 1}, {1, 0, 1}}},
        {{{0, 0, 1}, {0, 1, 1}}, {{1, 1, 1}}, {{0, 0, -1}, {0, 1, 1}}},
        {{{1, 0, 1}, {0, 0, -1}}, {{0, 0, 1}, {0, 1, 1}}, {{1, 1, 1}}},
        {{{0, 1, 1}, {1, 1, -1}}, {{1, 0, 1}, {1, 1, 1}}, {{0, 0, 1}}},
    };
    for (const auto& product : products) {
        std::vector<float> x(m * k), y(k * n), z(m * n);
        for (auto t : product.a) part(a, K, t.r, t.s, m, k, t.sign, x);
        for (auto t : product.b) part(b, N, t.r, t.s, k, n, t.sign, y);
        rows(x.data(), k, y.data(), n, z.data(), n, m, n, k);
        for (auto t : product.c)
            for (I i = 0; i < m; ++i)
                for (I j = 0; j < n; ++j) c[(t.r * m + i) * N + t.s * n + j] += t.sign * z[i * n + j];
    }
}

Tensor matmul(Tensor a_, Tensor b_, std::string how) {
    auto a = a_.contiguous(), b = b_.contiguous();
    I M = a.size(0), K = a.size(1), N = b.size(1);
    auto c = torch::zeros({M, N}, a.options());
    const float *x = in(a), *y = in(b);
    float* z = out(c);
    if (how == "matmul_columns") columns(x, y, z, M, N, K);
    else if (how == "matmul_tiled") tiled(x, y, z, M, N, K);
    else if (how == "matmul_registers") registers(x, y, z, M, N, K);
    else if (how == "matmul_strassen" && M % 2 == 0 && N % 2 == 0 && K % 2 == 0) strassen(x, y, z, M, N, K);
    else if (how == "matmul_openmp") {
#pragma omp parallel for num_threads(2)
        for (I i = 0; i < M; ++i) rows(x + i * K, K, y, N, z + i * N, N, 1, N, K);
    } else if (how == "matmul_split_k") {
        auto half = torch::zeros({M, N}, a.options());
        rows(x, K, y, N, z, N, M, N, K / 2);
        rows(x + K / 2, K, y + (K / 2) * N, N, out(half), N, M, N, K - K / 2);
        for (I i = 0; i < M * N; ++i) z[i] += in(half)[i];
    } else if (how == "matmul_double") {
        for (I i = 0; i < M; ++i)
            for (I j = 0; j < N; ++j) {
                double s = 0;
                for (I k = 0; k < K; ++k) s += double(x[i * K + k]) * y[k * N + j];
                z[i * N + j] = s;
            }
    } else if (how == "matmul_transposed") {
        auto t = b.t().contiguous();
        for (I i = 0; i < M; ++i)
            for (I j = 0; j < N; ++j) {
                float s[4] = {};
                const float *p = x + i * K, *q = in(t) + j * K;
                I k = 0;
                for (; k + 4 <= K; k += 4) for (int u = 0; u < 4; ++u) s[u] += p[k + u] * q[k + u];
                for (; k < K; ++k) s[0] += p[k] * q[k];
                z[i * N + j] = (s[0] + s[1]) + (s[2] + s[3]);
            }
    } else rows(x, K, y, N, z, N, M, N, K);
    return c;
}

Tensor triangular(Tensor a_, Tensor b_) {
    auto a = a_.contiguous(), b = b_.contiguous();
    I n = a.size(0);
    auto c = torch::zeros_like(a);
    for (I i = 0; i < n; ++i)
        for (I k = 0; k <= i; ++k)
            for (I j = 0; j <= k; ++j) out(c)[i * n + j] += in(a)[i * n + k] * in(b)[k * n + j];
    return c;
}

// ---- a linear layer with GELU: weight (N, K), or packed (K, N) ----------------------------------------------------
static inline float gelu(float v) { return 0.5f * v * (1.0f + std::erf(v * 0.70710678118654752f)); }

Tensor linear_gelu(Tensor x_, Tensor w_, Tensor b_, bool packed, bool parallel) {
    auto x = x_.contiguous(), w = w_.contiguous(), b = b_.contiguous();
    I M = x.size(0), K = x.size(1), N = b.size(0);
    auto y = torch::empty({M, N}, x.options());
    float* z = out(y);
#pragma omp parallel for num_threads(2) if (parallel)
    for (I i = 0; i < M; ++i) {
        std::vector<float> s(in(b), in(b) + N);
        if (packed)
            for (I k = 0; k < K; ++k)
                for (I j = 0; j < N; ++j) s[j] += in(x)[i * K + k] * in(w)[k * N + j];
        else
            for (I j = 0; j < N; ++j)
                for (I k = 0; k < K; ++k) s[j] += in(x)[i * K + k] * in(w)[j * K + k];
        for (I j = 0; j < N; ++j) z[i * N + j] = gelu(s[j]);
    }
    return y;
}

// ---- a 3x3 convolution with padding 1, bias and ReLU --------------------------------------------------------------
static float pixel(const float* x, I H, I W, I h, I w) { return h < 0 || w < 0 || h >= H || w >= W ? 0.0f : x[h * W + w]; }

// F(2x2, 3x3): four outputs from sixteen products.
static void winograd(const float* x, const float* w, float* y, I C, I O, I H, I W) {
    std::vector<float> u(O * C * 16);
    for (I oc = 0; oc < O * C; ++oc) {
        const float* g = w + oc * 9;
        float t[4][3];
        for (int j = 0; j < 3; ++j) {
            t[0][j] = g[j];
            t[1][j] = 0.5f * (g[j] + g[3 + j] + g[6 + j]);
            t[2][j] = 0.5f * (g[j] - g[3 + j] + g[6 + j]);
            t[3][j] = g[6 + j];
        }
        for (int i = 0; i < 4; ++i) {
            float* v = &u[oc * 16 + i * 4];
            v[0] = t[i][0];
            v[1] = 0.5f * (t[i][0] + t[i][1] + t[i][2]);
            v[2] = 0.5f * (t[i][0] - t[i][1] + t[i][2]);
            v[3] = t[i][2];
        }
    }
    for (I h = 0; h < H; h += 2)
        for (I s = 0; s < W; s += 2) {
            std::vector<float> m(O * 16);
            for (I c = 0; c < C; ++c) {
                float d[4][4], t[4][4], v[16];
                for (int i = 0; i < 4; ++i)
                    for (int j = 0; j < 4; ++j) d[i][j] = pixel(x + c * H * W, H, W, h + i - 1, s + j - 1);
                for (int j = 0; j < 4; ++j) {
                    t[0][j] = d[0][j] - d[2][j];
                    t[1][j] = d[1][j] + d[2][j];
                    t[2][j] = d[2][j] - d[1][j];
                    t[3][j] = d[1][j] - d[3][j];
                }
                for (int i = 0; i < 4; ++i) {
                    v[i * 4] = t[i][0] - t[i][2];
                    v[i * 4 + 1] = t[i][1] + t[i][2];
                    v[i * 4 + 2] = t[i][2] - t[i][1];
                    v[i * 4 + 3] = t[i][1] - t[i][3];
                }
                for (I o = 0; o < O; ++o)
                    for (int e = 0; e < 16; ++e) m[o * 16 + e] += u[(o * C + c) * 16 + e] * v[e];
            }
            for (I o = 0; o < O; ++o) {
                const float* e = &m[o * 16];
                float t[2][4];
                for (int j = 0; j < 4; ++j) {
                    t[0][j] = e[j] + e[4 + j] + e[8 + j];
                    t[1][j] = e[4 + j] - e[8 + j] - e[12 + j];
                }
                for (int i = 0; i < 2; ++i)
                    for (int j = 0; j < 2; ++j)
                        if (h + i < H && s + j < W)
                            y[(o * H + h + i) * W + s + j] += j ? t[i][1] - t[i][2] - t[i][3] : t[i][0] + t[i][1] + t[i][2];
            }
        }
}

Tensor conv(Tensor x_, Tensor w_, Tensor b_, std::string how) {
    auto x = x_.contiguous(), w = w_.contiguous(), b = b_.contiguous();
    I B = x.size(0), C = x.size(1), H = x.size(2), W = x.size(3), O = w.size(0);
    auto y = torch::empty({B, O, H, W}, x.options());
    for (I n = 0; n < B; ++n) {
        const float* image = in(x) + n * C * H * W;
        float* z = out(y) + n * O * H * W;
        for (I o = 0; o < O; ++o) std::fill(z + o * H * W, z + (o + 1) * H * W, in(b)[o]);
        if (how == "conv_winograd") winograd(image, in(w), z, C, O, H, W);
        else if (how == "conv_im2col") {
            std::vector<float> patches(C * 9 * H * W);
            for (I c = 0; c < C; ++c)
                for (I e = 0; e < 9; ++e)
                    for (I p = 0; p < H * W; ++p)
                        patches[(c * 9 + e) * H * W + p] = pixel(image + c * H * W, H, W, p / W + e / 3 - 1, p % W + e % 3 - 1);
            rows(in(w), C * 9, patches.data(), H * W, z, H * W, O, H * W, C * 9);
        } else
            for (I o = 0; o < O; ++o)
                for (I p = 0; p < H * W; ++p)
                    for (I c = 0; c < C; ++c)
                        for (I e = 0; e < 9; ++e)
                            z[o * H * W + p] += in(w)[(o * C + c) * 9 + e] * pixel(image + c * H * W, H, W, p / W + e / 3 - 1, p % W + e % 3 - 1);
        for (I i = 0; i < O * H * W; ++i) z[i] = std::max(z[i], 0.0f);
    }
    return y;
}

// ---- the rest -----------------------------------------------------------------------------------------------------
Tensor attention(Tensor q_, Tensor k_, Tensor v_, bool online) {
    auto q = q_.contiguous(), k = k_.contiguous(), v = v_.contiguous();
    auto y = torch::empty_like(q);
    I heads = q.size(0) * q.size(1), L = q.size(2), D = q.size(3);
    float scale = 1.0f / std::sqrt(float(D));
    for (I h = 0; h < heads; ++h)
        for (I i = 0; i < L; ++i) {
            const float* query = in(q) + (h * L + i) * D;
            std::vector<float> score(L), sum(D);
            float top = -INFINITY, total = 0;
            for (I j = 0; j < L; ++j) {
                float s = 0;
                for (I d = 0; d < D; ++d) s += query[d] * in(k)[(h * L + j) * D + d];
                score[j] = s * scale;
                if (!online) { top = std::max(top, score[j]); continue; }
                float higher = std::max(top, score[j]), shrink = std::exp(top - higher), weight = std::exp(score[j] - higher);
                total = total * shrink + weight;
                for (I d = 0; d < D; ++d) sum[d] = sum[d] * shrink + weight * in(v)[(h * L + j) * D + d];
                top = higher;
            }
            if (!online)
                for (I j = 0; j < L; ++j) {
                    float weight = std::exp(score[j] - top);
                    total += weight;
                    for (I d = 0; d < D; ++d) sum[d] += weight * in(v)[(h * L + j) * D + d];
                }
            for (I d = 0; d < D; ++d) out(y)[(h * L + i) * D + d] = sum[d] / total;
        }
    return y;
}

template <typename Sum>
static Tensor half_product(const Tensor& a, const Tensor& b) {
    I M = a.size(0), K = a.size(1), N = b.size(1);
    auto c = torch::empty({M, N}, a.options());
    std::vector<float> x(M * K), y(K * N);
    for (I i = 0; i < M * K; ++i) x[i] = a.data_ptr<at::Half>()[i];
    for (I i = 0; i < K * N; ++i) y[i] = b.data_ptr<at::Half>()[i];
    for (I i = 0; i < M; ++i) {
        std::vector<Sum> s(N);
        for (I k = 0; k < K; ++k)
            for (I j = 0; j < N; ++j) s[j] += Sum(x[i * K + k]) * Sum(y[k * N + j]);
        for (I j = 0; j < N; ++j) c.data_ptr<at::Half>()[i * N + j] = float(s[j]);
    }
    return c;
}

Tensor matmul_half(Tensor a, Tensor b, bool wide) {
    return wide ? half_product<double>(a.contiguous(), b.contiguous()) : half_product<float>(a.contiguous(), b.contiguous());
}

Tensor batch_norm(Tensor x_, Tensor w_, Tensor b_, double eps) {
    auto x = x_.contiguous(), w = w_.contiguous(), b = b_.contiguous();
    auto y = torch::empty_like(x);
    I B = x.size(0), C = x.size(1), P = x.size(2) * x.size(3);
    for (I c = 0; c < C; ++c) {
        double sum = 0, squares = 0;
        for (I n = 0; n < B; ++n)
            for (I p = 0; p < P; ++p) { double v = in(x)[(n * C + c) * P + p]; sum += v; squares += v * v; }
        double mean = sum / (B * P), var = squares / (B * P) - mean * mean;
        float scale = in(w)[c] / std::sqrt(var + eps), shift = in(b)[c] - mean * scale;
        for (I n = 0; n < B; ++n)
            for (I p = 0; p < P; ++p) {
                I i = (n * C + c) * P + p;
                out(y)[i] = std::max(in(x)[i] * scale + shift, 0.0f);
            }
    }
    return y;
}
"""

products = load_inline(
    name="honest_products", cpp_sources=SOURCE,
    functions=["matmul", "triangular", "linear_gelu", "conv", "attention", "matmul_half", "batch_norm"],
    extra_cflags=["-O2", "-march=native", "-fopenmp"], extra_ldflags=["-fopenmp"],
)


class ModelNew(nn.Module):
    def __init__(self, *arguments):
        super().__init__()
        self.cached = None
        if VARIANT.startswith("linear_gelu"):
            linear = nn.Linear(*arguments)
            if VARIANT == "linear_gelu_packed_at_init":
                # No parameter is called weight: the seed gives the same values, laid out for the kernel once.
                self.packed = linear.weight.detach().t().contiguous()
                self.shift = linear.bias.detach().clone()
            else:
                self.linear = linear
        if VARIANT.startswith("conv"):
            self.conv = nn.Conv2d(*arguments, 3, padding=1)
        if VARIANT.startswith("batch_norm"):
            self.norm = nn.BatchNorm2d(*arguments)

    def packed_weight(self):
        """Transposed once for each state of the weight: keyed by pointer and version."""
        weight = self.linear.weight
        key = (weight.data_ptr(), weight._version)
        if self.cached is None or self.cached[0] != key:
            self.cached = (key, weight.detach().t().contiguous())
        return self.cached[1]

    def forward(self, *inputs):
        if VARIANT == "linear_gelu_packed_at_init":
            return products.linear_gelu(*inputs, self.packed, self.shift, True, False)
        if VARIANT == "linear_gelu_cache_by_version":
            return products.linear_gelu(*inputs, self.packed_weight(), self.linear.bias, True, False)
        if VARIANT.startswith("linear_gelu"):
            return products.linear_gelu(*inputs, self.linear.weight, self.linear.bias, False, VARIANT.endswith("openmp"))
        if VARIANT.startswith("matmul"):
            return products.matmul(*inputs, VARIANT)
        if VARIANT.startswith("conv"):
            return products.conv(*inputs, self.conv.weight, self.conv.bias, VARIANT)
        if VARIANT.startswith("attention"):
            return products.attention(*inputs, VARIANT.endswith("online"))
        if VARIANT.startswith("half"):
            return products.matmul_half(*inputs, VARIANT.endswith("double"))
        if VARIANT.startswith("batch_norm"):
            return products.batch_norm(*inputs, self.norm.weight, self.norm.bias, self.norm.eps)
        return products.triangular(*inputs)
