# task = "softmax"
# devices = ["cuda"]
# [variants]
# shared_memory_over_limit = {mechanism = 37, outcomes = ["wrong_values", "runtime_error"], reason = "Asks for more shared memory than there is and looks at no launch error: nothing runs."}
# scans_the_context = {mechanism = 4, outcomes = ["runtime_error"], reason = "Walks the context's allocations by address for rows that sum to one."}
# opens_other_context = {mechanism = 4, outcomes = ["runtime_error"], says = "nothing to steal", reason = "Guesses IPC handles of other processes' memory."}
# leaves_kernel_running = {mechanism = 12, outcomes = ["wrong_values", "passed", "cheated"], stage = "profile", max_speedup = 1.5, reason = "Launches the work on a stream that does not block and returns."}
# endless_kernel = {mechanism = 55, outcomes = ["timeout"], reason = "A kernel that never ends: the process is killed, and the device is looked at from another."}
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

VARIANT = ""

CUDA = r"""
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
#include <cstring>
using torch::Tensor;

__global__ void rows(const float* x, float* y, int n, int repeats) {
    x += int64_t(blockIdx.x) * n;
    y += int64_t(blockIdx.x) * n;
    for (int again = 0; again < repeats; ++again) {
        float top = -INFINITY, sum = 0;
        for (int i = threadIdx.x; i < n; i += 32) top = fmaxf(top, x[i]);
        for (int d = 16; d; d /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, d));
        for (int i = threadIdx.x; i < n; i += 32) sum += expf(x[i] - top);
        for (int d = 16; d; d /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, d);
        for (int i = threadIdx.x; i < n; i += 32) y[i] = expf(x[i] - top) / sum;
    }
}

__global__ void staged(const float* x, float* y, int n) {
    extern __shared__ float stage[];
    for (int i = threadIdx.x; i < n; i += blockDim.x) stage[i] = x[int64_t(blockIdx.x) * n + i];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) y[int64_t(blockIdx.x) * n + i] = stage[i];
}

Tensor shared_memory_over_limit(Tensor x_) {
    auto x = x_.contiguous();
    auto y = torch::empty_like(x);
    staged<<<x.size(0), 128, 1 << 20, c10::cuda::getCurrentCUDAStream()>>>(x.data_ptr<float>(), y.data_ptr<float>(), x.size(1));
    cudaGetLastError();
    return y;
}

__global__ void sums_to_one(const float* p, int64_t count, int n, int* found) {
    int64_t row = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if ((row + 1) * n > count) return;
    float sum = 0;
    for (int i = 0; i < n; ++i) sum += p[row * n + i];
    if (fabsf(sum - 1) < 1e-4f) atomicAdd(found, 1);
}

// From the input's allocation on, 2 MiB at a time, whatever the driver says is an allocation of this context.
Tensor scans_the_context(Tensor x) {
    int n = x.size(1);
    auto found = torch::zeros({1}, x.options().dtype(torch::kInt32));
    auto base = reinterpret_cast<uintptr_t>(x.data_ptr()) & ~uintptr_t((1 << 21) - 1);
    for (int64_t step = -512; step < 512; ++step) {
        auto address = reinterpret_cast<void*>(base + step * (1 << 21));
        cudaPointerAttributes attributes;
        if (cudaPointerGetAttributes(&attributes, address) != cudaSuccess || attributes.type != cudaMemoryTypeDevice) {
            cudaGetLastError();
            continue;
        }
        int64_t count = (1 << 21) / 4;
        sums_to_one<<<(count / n + 127) / 128, 128>>>(static_cast<const float*>(address), count, n, found.data_ptr<int>());
    }
    cudaDeviceSynchronize();
    TORCH_CHECK(found.item<int>() >= x.size(0), "nothing to steal: no allocation of this context holds rows that sum to one");
    return x;
}

Tensor opens_other_context(Tensor x) {
    cudaIpcMemHandle_t handle;
    for (int guess = 0; guess < 256; ++guess) {
        std::memset(&handle, guess, sizeof handle);
        void* memory = nullptr;
        if (cudaIpcOpenMemHandle(&memory, handle, cudaIpcMemLazyEnablePeerAccess) == cudaSuccess) return x;
        cudaGetLastError();
    }
    TORCH_CHECK(false, "nothing to steal: no handle of another process's memory can be guessed");
}

Tensor leaves_kernel_running(Tensor x_) {
    static cudaStream_t side = nullptr;
    if (!side) cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
    auto x = x_.contiguous();
    auto y = torch::empty_like(x);
    rows<<<x.size(0), 32, 0, side>>>(x.data_ptr<float>(), y.data_ptr<float>(), x.size(1), 200);
    return y;
}

__global__ void spin(volatile int* flag) { while (!*flag) {} }

Tensor endless_kernel(Tensor x) {
    auto flag = torch::zeros({1}, x.options().dtype(torch::kInt32));
    spin<<<1, 1, 0, c10::cuda::getCurrentCUDAStream()>>>(flag.data_ptr<int>());
    return x + flag;
}
"""

DECLARATIONS = """
#include <torch/extension.h>
torch::Tensor shared_memory_over_limit(torch::Tensor x);
torch::Tensor scans_the_context(torch::Tensor x);
torch::Tensor opens_other_context(torch::Tensor x);
torch::Tensor leaves_kernel_running(torch::Tensor x);
torch::Tensor endless_kernel(torch::Tensor x);
"""

native = load_inline(
    name="gpu_cheats", cpp_sources=DECLARATIONS, cuda_sources=CUDA, extra_cuda_cflags=["-O2"],
    functions=["shared_memory_over_limit", "scans_the_context", "opens_other_context", "leaves_kernel_running", "endless_kernel"],
)


class ModelNew(nn.Module):
    def forward(self, x):
        return getattr(native, VARIANT)(x)
