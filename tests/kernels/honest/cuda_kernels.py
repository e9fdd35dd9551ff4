# reason = "CUDA kernels: one compiled module, one way of computing for each variant."
# devices = ["cuda"]
# [variants]
# gated_plain = "gated"
# gated_grid_stride = "gated"
# gated_four_at_once = "gated"
# softmax_warp = "softmax"
# softmax_block = "softmax"
# softmax_online = "softmax"
# layer_norm_block = "layer_norm"
# layer_norm_welford = "layer_norm"
# row_sum_shuffle = "row_sum"
# row_sum_atomic = "row_sum"
# row_sum_one_thread = "row_sum"
# matmul_plain = "matmul"
# matmul_shared = "matmul"
# matmul_registers = "matmul"
# matmul_split_k_atomic = "matmul"
# triangular_skips_zeros = "triangular"
# linear_gelu_fused = "linear_gelu"
# conv_direct = "conv_relu"
# attention_row = "attention"
# scan_block = "scan"
# recurrence_thread = "recurrence"
# row_max_warp = "row_max"
# normalize_warp = "normalize"
# quantise_block = "quantise"
# transpose_shared = "transpose"
# loss_fused = "loss"
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

VARIANT = ""

CUDA = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <cmath>

using torch::Tensor;
static const float* in(const Tensor& t) { return t.data_ptr<float>(); }
static float* out(Tensor& t) { return t.data_ptr<float>(); }
static cudaStream_t stream() { return c10::cuda::getCurrentCUDAStream(); }
static unsigned blocks(int64_t n, int64_t size) { return static_cast<unsigned>((n + size - 1) / size); }

// ---- reductions ---------------------------------------------------------------------------------------------------
__device__ float warp_sum(float v) {
    for (int d = 16; d; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
    return v;
}
__device__ float warp_max(float v) {
    for (int d = 16; d; d /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, d));
    return v;
}
template <bool MAX>
__device__ float block_reduce(float v) {
    __shared__ float part[32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    v = MAX ? warp_max(v) : warp_sum(v);
    __syncthreads();
    if (lane == 0) part[warp] = v;
    __syncthreads();
    float all = lane < warps ? part[lane] : (MAX ? -INFINITY : 0.0f);
    return MAX ? warp_max(all) : warp_sum(all);
}

// ---- gate ---------------------------------------------------------------------------------------------------------
__device__ float gate(float x, float g) { return x * (g / (1.0f + expf(-g))); }

__global__ void gated_plain(const float* x, const float* g, float* y, int64_t n) {
    int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) y[i] = gate(x[i], g[i]);
}
__global__ void gated_stride(const float* x, const float* g, float* y, int64_t n) {
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += int64_t(gridDim.x) * blockDim.x)
        y[i] = gate(x[i], g[i]);
}
__global__ void gated_four(const float* x, const float* g, float* y, int64_t n) {
    int64_t i = 4 * (int64_t(blockIdx.x) * blockDim.x + threadIdx.x);
    if (i + 4 <= n) {
        float4 a = *reinterpret_cast<const float4*>(x + i), b = *reinterpret_cast<const float4*>(g + i);
        *reinterpret_cast<float4*>(y + i) = make_float4(gate(a.x, b.x), gate(a.y, b.y), gate(a.z, b.z), gate(a.w, b.w));
    } else {
        for (; i < n; ++i) y[i] = gate(x[i], g[i]);
    }
}
static bool aligned(const Tensor& t) { return reinterpret_cast<uintptr_t>(t.data_ptr()) % 16 == 0; }

Tensor gated(Tensor x_, Tensor g_, std::string how) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto x = x_.contiguous(), g = g_.contiguous();
    auto y = torch::empty_like(x);
    int64_t n = x.numel();
    if (how == "gated_grid_stride") gated_stride<<<8, 256, 0, stream()>>>(in(x), in(g), out(y), n);
    else if (how == "gated_four_at_once" && aligned(x) && aligned(g))
        gated_four<<<blocks(n, 1024), 256, 0, stream()>>>(in(x), in(g), out(y), n);
    else gated_plain<<<blocks(n, 256), 256, 0, stream()>>>(in(x), in(g), out(y), n);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}

// ---- rows ---------------------------------------------------------------------------------------------------------
__global__ void softmax_warp(const float* x, float* y, int64_t rows, int n) {
    int64_t row = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += row * n;
    y += row * n;
    float top = -INFINITY, sum = 0;
    for (int i = lane; i < n; i += 32) top = fmaxf(top, x[i]);
    top = warp_max(top);
    for (int i = lane; i < n; i += 32) sum += expf(x[i] - top);
    sum = warp_sum(sum);
    for (int i = lane; i < n; i += 32) y[i] = expf(x[i] - top) / sum;
}
__global__ void softmax_block(const float* x, float* y, int n) {
    x += int64_t(blockIdx.x) * n;
    y += int64_t(blockIdx.x) * n;
    float top = -INFINITY, sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) top = fmaxf(top, x[i]);
    top = block_reduce<true>(top);
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += expf(x[i] - top);
    sum = block_reduce<false>(sum);
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = expf(x[i] - top) / sum;
}
__global__ void softmax_online(const float* x, float* y, int n) {
    x += int64_t(blockIdx.x) * n;
    y += int64_t(blockIdx.x) * n;
    float top = -INFINITY, sum = 0;
    for (int i = threadIdx.x; i < n; i += 32) {
        float higher = fmaxf(top, x[i]);
        sum = (top == higher ? sum : sum * expf(top - higher)) + expf(x[i] - higher);
        top = higher;
    }
    float all = warp_max(top);
    sum = warp_sum(top == -INFINITY ? 0.0f : sum * expf(top - all));
    for (int i = threadIdx.x; i < n; i += 32) y[i] = expf(x[i] - all) / sum;
}
Tensor softmax(Tensor x_, std::string how) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto x = x_.contiguous();
    auto y = torch::empty_like(x);
    int64_t rows = x.size(0);
    int n = x.size(1);
    if (how == "softmax_warp") softmax_warp<<<blocks(rows, 4), 128, 0, stream()>>>(in(x), out(y), rows, n);
    else if (how == "softmax_block") softmax_block<<<rows, 128, 0, stream()>>>(in(x), out(y), n);
    else softmax_online<<<rows, 32, 0, stream()>>>(in(x), out(y), n);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}

__global__ void layer_norm_block(const float* x, const float* w, const float* b, float* y, int n, float eps) {
    x += int64_t(blockIdx.x) * n;
    y += int64_t(blockIdx.x) * n;
    float sum = 0, squares = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
    float mean = block_reduce<false>(sum) / n;
    for (int i = threadIdx.x; i < n; i += blockDim.x) squares += (x[i] - mean) * (x[i] - mean);
    float scale = rsqrtf(block_reduce<false>(squares) / n + eps);
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = (x[i] - mean) * scale * w[i] + b[i];
}
__global__ void layer_norm_welford(const float* x, const float* w, const float* b, float* y, int n, float eps) {
    x += int64_t(blockIdx.x) * n;
    y += int64_t(blockIdx.x) * n;
    float mean = 0, m2 = 0, count = 0;
    for (int i = threadIdx.x; i < n; i += 32) {
        count += 1;
        float delta = x[i] - mean;
        mean += delta / count;
        m2 += delta * (x[i] - mean);
    }
    for (int d = 16; d; d /= 2) {
        float other = __shfl_xor_sync(0xffffffffu, mean, d), m = __shfl_xor_sync(0xffffffffu, m2, d);
        float c = __shfl_xor_sync(0xffffffffu, count, d), both = count + c, delta = other - mean;
        if (both > 0) {
            // Both lanes of a pair must come to the same value: the mean weighted, not one moved towards the other.
            float merged = (mean * count + other * c) / both;
            m2 = m2 + m + delta * delta * (count * c / both);
            mean = merged;
            count = both;
        }
    }
    float scale = rsqrtf(m2 / n + eps);
    for (int i = threadIdx.x; i < n; i += 32) y[i] = (x[i] - mean) * scale * w[i] + b[i];
}
Tensor layer_norm(Tensor x_, Tensor w, Tensor b, double eps, std::string how) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto x = x_.contiguous();
    auto y = torch::empty_like(x);
    if (how == "layer_norm_welford")
        layer_norm_welford<<<x.size(0), 32, 0, stream()>>>(in(x), in(w), in(b), out(y), x.size(1), eps);
    else layer_norm_block<<<x.size(0), 128, 0, stream()>>>(in(x), in(w), in(b), out(y), x.size(1), eps);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}

__global__ void row_sum_shuffle(const float* x, float* y, int64_t n) {
    float sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += x[blockIdx.x * n + i];
    sum = block_reduce<false>(sum);
    if (threadIdx.x == 0) y[blockIdx.x] = sum;
}
__global__ void row_sum_atomic(const float* x, float* y, int64_t n) {
    int64_t i = int64_t(blockIdx.y) * blockDim.x + threadIdx.x;
    float sum = warp_sum(i < n ? x[blockIdx.x * n + i] : 0.0f);
    if (threadIdx.x % 32 == 0) atomicAdd(y + blockIdx.x, sum);
}
__global__ void row_sum_thread(const float* x, float* y, int64_t rows, int64_t n) {
    int64_t row = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    float sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += x[row * n + i];
    y[row] = sum;
}
Tensor row_sum(Tensor x_, std::string how) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto x = x_.contiguous();
    int64_t rows = x.size(0), n = x.size(1);
    auto y = torch::zeros({rows}, x.options());
    if (how == "row_sum_atomic") row_sum_atomic<<<dim3(rows, blocks(n, 256)), 256, 0, stream()>>>(in(x), out(y), n);
    else if (how == "row_sum_one_thread") row_sum_thread<<<blocks(rows, 32), 32, 0, stream()>>>(in(x), out(y), rows, n);
    else row_sum_shuffle<<<rows, 256, 0, stream()>>>(in(x), out(y), n);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}

__global__ void scan_block(const float* x, float* y, int n) {
    __shared__ float part[256];
    x += int64_t(blockIdx.x) * n;
    y += int64_t(blockIdx.x) * n;
    float carry = 0;
    for (int start = 0; start < n; start += 256) {
        int i = start + threadIdx.x;
        part[threadIdx.x] = i < n ? x[i] : 0.0f;
        __syncthreads();
        for (int d = 1; d < 256; d *= 2) {
            float before = threadIdx.x >= d ? part[threadIdx.x - d] : 0.0f;
            __syncthreads();
            part[threadIdx.x] += before;
            __syncthreads();
        }
        if (i < n) y[i] = carry + part[threadIdx.x];
        carry += part[255];
        __syncthreads();
    }
}
Tensor scan(Tensor x_) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto x = x_.contiguous();
    auto y = torch::empty_like(x);
    scan_block<<<x.size(0), 256, 0, stream()>>>(in(x), out(y), x.size(1));
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}

__global__ void recurrence_thread(const float* a, const float* x, float* y, int64_t batch, int64_t steps, int64_t width) {
    int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= batch * width) return;
    float h = 0;
    for (int64_t t = 0; t < steps; ++t) {
        int64_t at = (i / width * steps + t) * width + i % width;
        y[at] = h = a[at] * h + x[at];
    }
}
Tensor recurrence(Tensor a_, Tensor x_) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto a = a_.contiguous(), x = x_.contiguous();
    auto y = torch::empty_like(x);
    int64_t lines = x.size(0) * x.size(2);
    recurrence_thread<<<blocks(lines, 64), 64, 0, stream()>>>(in(a), in(x), out(y), x.size(0), x.size(1), x.size(2));
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}

__global__ void row_max_warp(const float* x, float* value, int64_t* where, int n) {
    x += int64_t(blockIdx.x) * n;
    float top = -INFINITY;
    int first = n;
    for (int i = threadIdx.x; i < n; i += 32)
        if (x[i] > top) { top = x[i]; first = i; }
    float all = warp_max(top);
    if (top != all) first = n;
    for (int d = 16; d; d /= 2) first = min(first, __shfl_xor_sync(0xffffffffu, first, d));
    if (threadIdx.x == 0) { value[blockIdx.x] = all; where[blockIdx.x] = first; }
}
std::vector<Tensor> row_max(Tensor x_) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto x = x_.contiguous();
    auto value = torch::empty({x.size(0)}, x.options());
    auto where = torch::empty({x.size(0)}, x.options().dtype(torch::kInt64));
    row_max_warp<<<x.size(0), 32, 0, stream()>>>(in(x), out(value), where.data_ptr<int64_t>(), x.size(1));
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return {value, where};
}

__global__ void normalize_warp(const float* x, float* y, int n) {
    x += int64_t(blockIdx.x) * n;
    y += int64_t(blockIdx.x) * n;
    float sum = 0;
    for (int i = threadIdx.x; i < n; i += 32) sum += x[i] * x[i];
    float length = fmaxf(sqrtf(warp_sum(sum)), 1e-12f);
    for (int i = threadIdx.x; i < n; i += 32) y[i] = x[i] / length;
}
__global__ void quantise_block(const float* x, float* y, int n) {
    x += int64_t(blockIdx.x) * n;
    y += int64_t(blockIdx.x) * n;
    float top = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) top = fmaxf(top, fabsf(x[i]));
    float scale = fmaxf(block_reduce<true>(top), 1e-12f) / 127.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = rintf(x[i] / scale) * scale;
}
Tensor per_row(Tensor x_, std::string how) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto x = x_.contiguous();
    auto y = torch::empty_like(x);
    if (how == "normalize_warp") normalize_warp<<<x.size(0), 32, 0, stream()>>>(in(x), out(y), x.size(1));
    else quantise_block<<<x.size(0), 64, 0, stream()>>>(in(x), out(y), x.size(1));
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}

__global__ void loss_rows(const float* x, const int64_t* label, float* y, int64_t rows, int n) {
    x += int64_t(blockIdx.x) * n;
    float top = -INFINITY, sum = 0;
    for (int i = threadIdx.x; i < n; i += 32) top = fmaxf(top, x[i]);
    top = warp_max(top);
    for (int i = threadIdx.x; i < n; i += 32) sum += expf(x[i] - top);
    sum = warp_sum(sum);
    if (threadIdx.x == 0) atomicAdd(y, (logf(sum) + top - x[label[blockIdx.x]]) / rows);
}
Tensor loss(Tensor x_, Tensor label_) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto x = x_.contiguous(), label = label_.contiguous();
    auto y = torch::zeros({}, x.options());
    loss_rows<<<x.size(0), 32, 0, stream()>>>(in(x), label.data_ptr<int64_t>(), out(y), x.size(0), x.size(1));
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}

__global__ void transpose_shared(const float* x, float* y, int rows, int columns) {
    __shared__ float tile[32][33];
    x += int64_t(blockIdx.z) * rows * columns;
    y += int64_t(blockIdx.z) * rows * columns;
    for (int i = threadIdx.y; i < 32; i += 8) {
        int r = blockIdx.y * 32 + i, c = blockIdx.x * 32 + threadIdx.x;
        if (r < rows && c < columns) tile[i][threadIdx.x] = x[int64_t(r) * columns + c];
    }
    __syncthreads();
    for (int i = threadIdx.y; i < 32; i += 8) {
        int c = blockIdx.x * 32 + i, r = blockIdx.y * 32 + threadIdx.x;
        if (r < rows && c < columns) y[int64_t(c) * rows + r] = tile[threadIdx.x][i];
    }
}
Tensor transpose(Tensor x_) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto x = x_.contiguous();
    auto y = torch::empty({x.size(0), x.size(2), x.size(1)}, x.options());
    dim3 grid(blocks(x.size(2), 32), blocks(x.size(1), 32), x.size(0));
    transpose_shared<<<grid, dim3(32, 8), 0, stream()>>>(in(x), out(y), x.size(1), x.size(2));
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}

// ---- products -----------------------------------------------------------------------------------------------------
__global__ void matmul_plain(const float* a, const float* b, float* c, int M, int N, int K, int from, int to) {
    int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= M || column >= N) return;
    float sum = 0;
    for (int k = from; k < to; ++k) sum += a[int64_t(row) * K + k] * b[int64_t(k) * N + column];
    c[int64_t(row) * N + column] = sum;
}
__global__ void matmul_triangular(const float* a, const float* b, float* c, int n) {
    int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= n || column >= n) return;
    float sum = 0;
    for (int k = column; k <= row; ++k) sum += a[int64_t(row) * n + k] * b[int64_t(k) * n + column];
    c[int64_t(row) * n + column] = sum;
}
__global__ void matmul_shared(const float* a, const float* b, float* c, int M, int N, int K) {
    __shared__ float s[16][16], t[16][17];
    int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
    float sum = 0;
    for (int start = 0; start < K; start += 16) {
        int k = start + threadIdx.x, l = start + threadIdx.y;
        s[threadIdx.y][threadIdx.x] = row < M && k < K ? a[int64_t(row) * K + k] : 0.0f;
        t[threadIdx.y][threadIdx.x] = l < K && column < N ? b[int64_t(l) * N + column] : 0.0f;
        __syncthreads();
        for (int i = 0; i < 16; ++i) sum += s[threadIdx.y][i] * t[i][threadIdx.x];
        __syncthreads();
    }
    if (row < M && column < N) c[int64_t(row) * N + column] = sum;
}
// A tile of 32 x 32 by 64 threads, 4 x 4 values each.
__global__ void matmul_registers(const float* a, const float* b, float* c, int M, int N, int K) {
    __shared__ float s[8][32], t[8][32];
    int tx = threadIdx.x % 8, ty = threadIdx.x / 8;
    float sum[4][4] = {};
    for (int start = 0; start < K; start += 8) {
        for (int i = threadIdx.x; i < 256; i += 64) {
            int row = blockIdx.y * 32 + i / 8, k = start + i % 8, l = start + i / 32, column = blockIdx.x * 32 + i % 32;
            s[i % 8][i / 8] = row < M && k < K ? a[int64_t(row) * K + k] : 0.0f;
            t[i / 32][i % 32] = l < K && column < N ? b[int64_t(l) * N + column] : 0.0f;
        }
        __syncthreads();
        for (int k = 0; k < 8; ++k)
            for (int i = 0; i < 4; ++i)
                for (int j = 0; j < 4; ++j) sum[i][j] += s[k][ty * 4 + i] * t[k][tx * 4 + j];
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) {
            int row = blockIdx.y * 32 + ty * 4 + i, column = blockIdx.x * 32 + tx * 4 + j;
            if (row < M && column < N) c[int64_t(row) * N + column] = sum[i][j];
        }
}
__global__ void matmul_split(const float* a, const float* b, float* c, int M, int N, int K) {
    int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= M || column >= N) return;
    int share = (K + gridDim.z - 1) / gridDim.z, from = blockIdx.z * share, to = min(K, from + share);
    float sum = 0;
    for (int k = from; k < to; ++k) sum += a[int64_t(row) * K + k] * b[int64_t(k) * N + column];
    atomicAdd(c + int64_t(row) * N + column, sum);
}
Tensor matmul(Tensor a_, Tensor b_, std::string how) {
    const at::cuda::CUDAGuard guard(a_.device());
    auto a = a_.contiguous(), b = b_.contiguous();
    int M = a.size(0), K = a.size(1), N = b.size(1);
    auto c = torch::zeros({M, N}, a.options());
    dim3 grid(blocks(N, 16), blocks(M, 16)), block(16, 16);
    if (how == "matmul_shared") matmul_shared<<<grid, block, 0, stream()>>>(in(a), in(b), out(c), M, N, K);
    else if (how == "matmul_registers")
        matmul_registers<<<dim3(blocks(N, 32), blocks(M, 32)), 64, 0, stream()>>>(in(a), in(b), out(c), M, N, K);
    else if (how == "matmul_split_k_atomic")
        matmul_split<<<dim3(grid.x, grid.y, 4), block, 0, stream()>>>(in(a), in(b), out(c), M, N, K);
    else if (how == "triangular_skips_zeros") matmul_triangular<<<grid, block, 0, stream()>>>(in(a), in(b), out(c), M);
    else matmul_plain<<<grid, block, 0, stream()>>>(in(a), in(b), out(c), M, N, K, 0, K);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return c;
}

__global__ void linear_gelu_kernel(const float* x, const float* w, const float* b, float* y, int M, int N, int K) {
    int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= M || column >= N) return;
    float v = b[column];
    for (int k = 0; k < K; ++k) v += x[int64_t(row) * K + k] * w[int64_t(column) * K + k];
    y[int64_t(row) * N + column] = 0.5f * v * (1.0f + erff(v * 0.70710678118654752f));
}
Tensor linear_gelu(Tensor x_, Tensor w_, Tensor b) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto x = x_.contiguous(), w = w_.contiguous();
    int M = x.size(0), K = x.size(1), N = w.size(0);
    auto y = torch::empty({M, N}, x.options());
    linear_gelu_kernel<<<dim3(blocks(N, 16), blocks(M, 16)), dim3(16, 16), 0, stream()>>>(in(x), in(w), in(b), out(y), M, N, K);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}

__global__ void conv_direct(const float* x, const float* w, const float* b, float* y, int B, int C, int O, int H, int W) {
    int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= int64_t(B) * O * H * W) return;
    int column = i % W, row = i / W % H, o = i / (int64_t(H) * W) % O, n = i / (int64_t(O) * H * W);
    float sum = b[o];
    for (int c = 0; c < C; ++c)
        for (int e = 0; e < 9; ++e) {
            int r = row + e / 3 - 1, s = column + e % 3 - 1;
            if (r >= 0 && r < H && s >= 0 && s < W)
                sum += x[((int64_t(n) * C + c) * H + r) * W + s] * w[(o * C + c) * 9 + e];
        }
    y[i] = fmaxf(sum, 0.0f);
}
Tensor conv(Tensor x_, Tensor w_, Tensor b) {
    const at::cuda::CUDAGuard guard(x_.device());
    auto x = x_.contiguous(), w = w_.contiguous();
    auto y = torch::empty({x.size(0), w.size(0), x.size(2), x.size(3)}, x.options());
    conv_direct<<<blocks(y.numel(), 128), 128, 0, stream()>>>(
        in(x), in(w), in(b), out(y), x.size(0), x.size(1), w.size(0), x.size(2), x.size(3));
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}

// One warp for each query; width at most 64.
__global__ void attention_row(const float* q, const float* k, const float* v, float* y, int L, int D, float scale) {
    int64_t base = int64_t(blockIdx.y) * L * D;
    int row = blockIdx.x, lane = threadIdx.x;
    float top = -INFINITY, total = 0, sum[2] = {};
    for (int j = 0; j < L; ++j) {
        float part = 0;
        for (int d = lane; d < D; d += 32) part += q[base + int64_t(row) * D + d] * k[base + int64_t(j) * D + d];
        float score = warp_sum(part) * scale, higher = fmaxf(top, score);
        float shrink = expf(top - higher), weight = expf(score - higher);
        total = total * shrink + weight;
        for (int u = 0; u < 2; ++u) {
            int d = lane + 32 * u;
            if (d < D) sum[u] = sum[u] * shrink + weight * v[base + int64_t(j) * D + d];
        }
        top = higher;
    }
    for (int u = 0; u < 2; ++u) {
        int d = lane + 32 * u;
        if (d < D) y[base + int64_t(row) * D + d] = sum[u] / total;
    }
}
Tensor attention(Tensor q_, Tensor k_, Tensor v_) {
    const at::cuda::CUDAGuard guard(q_.device());
    auto q = q_.contiguous(), k = k_.contiguous(), v = v_.contiguous();
    auto y = torch::empty_like(q);
    int L = q.size(2), D = q.size(3);
    TORCH_CHECK(D <= 64, "heads of at most 64 values");
    attention_row<<<dim3(L, q.size(0) * q.size(1)), 32, 0, stream()>>>(in(q), in(k), in(v), out(y), L, D, 1.0f / std::sqrt(float(D)));
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}
"""

DECLARATIONS = r"""
#include <torch/extension.h>
using torch::Tensor;
Tensor gated(Tensor x, Tensor g, std::string how);
Tensor softmax(Tensor x, std::string how);
Tensor layer_norm(Tensor x, Tensor w, Tensor b, double eps, std::string how);
Tensor row_sum(Tensor x, std::string how);
Tensor scan(Tensor x);
Tensor recurrence(Tensor a, Tensor x);
std::vector<Tensor> row_max(Tensor x);
Tensor per_row(Tensor x, std::string how);
Tensor loss(Tensor x, Tensor label);
Tensor transpose(Tensor x);
Tensor matmul(Tensor a, Tensor b, std::string how);
Tensor linear_gelu(Tensor x, Tensor w, Tensor b);
Tensor conv(Tensor x, Tensor w, Tensor b);
Tensor attention(Tensor q, Tensor k, Tensor v);
"""

cuda = load_inline(
    name="honest_cuda", cpp_sources=DECLARATIONS, cuda_sources=CUDA, extra_cuda_cflags=["-O2"],
    functions=["gated", "softmax", "layer_norm", "row_sum", "scan", "recurrence", "row_max", "per_row", "loss", "transpose",
               "matmul", "linear_gelu", "conv", "attention"],
)


class ModelNew(nn.Module):
    def __init__(self, *arguments):
        super().__init__()
        if VARIANT.startswith("layer_norm"):
            self.norm = nn.LayerNorm(*arguments)
        if VARIANT.startswith("linear_gelu"):
            self.linear = nn.Linear(*arguments)
        if VARIANT.startswith("conv"):
            self.conv = nn.Conv2d(*arguments, 3, padding=1)

    def forward(self, *inputs):
        if VARIANT.startswith(("gated", "softmax", "row_sum", "matmul", "triangular")):
            name = "matmul" if VARIANT.startswith("triangular") else "row_sum" if VARIANT.startswith("row") else VARIANT.split("_")[0]
            return getattr(cuda, name)(*inputs, VARIANT)
        if VARIANT.startswith("layer_norm"):
            return cuda.layer_norm(*inputs, self.norm.weight, self.norm.bias, self.norm.eps, VARIANT)
        if VARIANT.startswith(("normalize", "quantise")):
            return cuda.per_row(*inputs, VARIANT)
        if VARIANT.startswith("row_max"):
            return tuple(cuda.row_max(*inputs))
        if VARIANT.startswith("linear_gelu"):
            return cuda.linear_gelu(*inputs, self.linear.weight, self.linear.bias)
        if VARIANT.startswith("conv"):
            return cuda.conv(*inputs, self.conv.weight, self.conv.bias)
        return getattr(cuda, VARIANT.split("_")[0])(*inputs)
