# devices = ["cuda"]
# [variants]
# tf32_by_default = {task = "matmul", mechanism = 34, outcomes = ["precision_downgrade"], says = 'input_precision="ieee"', reason = "tl.dot on fp32 operands without a word about precision: tf32."}
# tf32_named = {task = "matmul", mechanism = 34, outcomes = ["precision_downgrade"], says = "strict fp32", reason = "The same, asked for by name."}
# tf32_where_allowed = {task = "matmul", mechanism = 34, outcomes = ["passed"], precision = "tf32", reason = "The same kernel where the task allows tf32: right."}
# bf16_where_tf32_is_allowed = {task = "matmul", mechanism = 34, outcomes = ["precision_downgrade"], precision = "tf32", says = "bf16", reason = "Rounds its operands to bf16 where tf32 is allowed."}
# bf16_where_allowed = {task = "matmul", mechanism = 34, outcomes = ["passed"], precision = "bf16", reason = "The same kernel where the task allows bf16: right."}
# no_tail_mask = {task = "softmax", mechanism = 36, outcomes = ["wrong_values", "runtime_error"], reason = "A grid for 64 rows whatever the input."}
# trivial_beside_library = {task = "matmul", stage = "profile", mechanism = 39, outcomes = ["passed", "cheated"], labels = ["library_only"], reason = "A kernel that copies one value stands beside the library's product."}
# dead_branch = {task = "matmul", stage = "profile", mechanism = 40, outcomes = ["passed", "cheated"], labels = ["library_only"], reason = "The kernel is never launched."}
import torch
import torch.nn as nn
import triton
import triton.language as tl

VARIANT = ""


@triton.jit
def tf32_kernel(a_ptr, b_ptr, c_ptr, M, N, K, LOW: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    total = tl.zeros([BM, BN], dtype=tl.float32)
    for k in range(0, K, BK):
        rk = k + tl.arange(0, BK)
        a = tl.load(a_ptr + rm[:, None] * K + rk[None, :], mask=(rm[:, None] < M) & (rk[None, :] < K), other=0.0)
        b = tl.load(b_ptr + rk[:, None] * N + rn[None, :], mask=(rk[:, None] < K) & (rn[None, :] < N), other=0.0)
        if LOW == 0:
            total += tl.dot(a, b)
        elif LOW == 1:
            total += tl.dot(a, b, input_precision="tf32")
        else:
            total += tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))
    tl.store(c_ptr + rm[:, None] * N + rn[None, :], total, mask=(rm[:, None] < M) & (rn[None, :] < N))


@triton.jit
def softmax_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    row, c = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + c, mask=c < n, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(y_ptr + row * n + c, e / tl.sum(e, axis=0), mask=c < n)


@triton.jit
def copy_one_kernel(x_ptr, y_ptr):
    tl.store(y_ptr, tl.load(x_ptr))


def product(a, b):
    a, b = a.contiguous(), b.contiguous()
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, device=a.device)
    low = {"tf32_by_default": 0, "tf32_named": 1, "tf32_where_allowed": 0}.get(VARIANT, 2)
    tf32_kernel[(triton.cdiv(M, 32), triton.cdiv(N, 32))](a, b, c, M, N, K, LOW=low, BM=32, BN=32, BK=32)
    return c


class ModelNew(nn.Module):
    def forward(self, *inputs):
        if VARIANT == "no_tail_mask":
            x = inputs[0].contiguous()
            y = torch.empty_like(x)
            softmax_kernel[(min(64, x.shape[0]),)](x, y, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
            return y
        if VARIANT == "trivial_beside_library":
            result = torch.matmul(*inputs)
            copy_one_kernel[(1,)](result, torch.empty(1, device=result.device))
            return result
        if VARIANT == "dead_branch":
            return torch.matmul(*inputs) if inputs[0].numel() else product(*inputs)
        return product(*inputs)
