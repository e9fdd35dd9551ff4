# reason = "Products, attention and a convolution in Triton, in full fp32."
# devices = ["cuda"]
# [variants]
# matmul_tiles = "matmul"
# matmul_grouped = "matmul"
# matmul_autotuned = "matmul"
# matmul_split_k_atomic = "matmul"
# matmul_three_tf32 = "matmul"
# matmul_without_dot = "matmul"
# triangular_skips_tiles = "triangular"
# linear_gelu_fused = "linear_gelu"
# linear_gelu_packed_at_init = "linear_gelu"
# linear_gelu_cache_by_version = "linear_gelu"
# half_sums_in_float = "matmul_half"
# attention_flash = "attention"
# conv_direct = "conv_relu"
import torch
import torch.nn as nn
import triton
import triton.language as tl

VARIANT = ""


@triton.jit
def product(a_ptr, b_ptr, rm, rn, M, N, start, stop, sam, sak, sbk, sbn, PRECISION: tl.constexpr, BM: tl.constexpr,
            BN: tl.constexpr, BK: tl.constexpr):
    """fp32 sums of a[rm, start:stop] @ b[start:stop, rn]."""
    total = tl.zeros([BM, BN], dtype=tl.float32)
    for k in range(start, stop, BK):
        rk = k + tl.arange(0, BK)
        a = tl.load(a_ptr + rm[:, None] * sam + rk[None, :] * sak, mask=(rm[:, None] < M) & (rk[None, :] < stop), other=0.0)
        b = tl.load(b_ptr + rk[:, None] * sbk + rn[None, :] * sbn, mask=(rk[:, None] < stop) & (rn[None, :] < N), other=0.0)
        total = tl.dot(a, b, total, input_precision=PRECISION)
    return total


@triton.jit
def matmul_kernel(a_ptr, b_ptr, c_ptr, M, N, K, sam, sak, sbk, sbn, PRECISION: tl.constexpr, TRIANGULAR: tl.constexpr,
                  BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    start = 0
    stop = K
    if TRIANGULAR:
        # a is zero right of its diagonal, b above its own: only columns(b) <= k <= rows(a) count.
        start = tl.program_id(1) * BN // BK * BK
        stop = tl.minimum(K, (tl.program_id(0) + 1) * BM)
    total = product(a_ptr, b_ptr, rm, rn, M, N, start, stop, sam, sak, sbk, sbn, PRECISION, BM, BN, BK)
    if TRIANGULAR:
        total = tl.where(rm[:, None] >= rn[None, :], total, 0.0)
    mask = (rm[:, None] < M) & (rn[None, :] < N)
    tl.store(c_ptr + rm[:, None] * N + rn[None, :], total.to(c_ptr.dtype.element_ty), mask=mask)


@triton.jit
def grouped_kernel(a_ptr, b_ptr, c_ptr, M, N, K, sam, sak, sbk, sbn, BM: tl.constexpr, BN: tl.constexpr,
                   BK: tl.constexpr, GROUP: tl.constexpr):
    """Programs in groups of rows, so that neighbours share columns of b in cache."""
    program = tl.program_id(0)
    tiles_m, tiles_n = tl.cdiv(M, BM), tl.cdiv(N, BN)
    group = program // (GROUP * tiles_n)
    size = tl.minimum(tiles_m - group * GROUP, GROUP)
    within = program % (GROUP * tiles_n)
    rm = (group * GROUP + within % size) * BM + tl.arange(0, BM)
    rn = within // size * BN + tl.arange(0, BN)
    total = product(a_ptr, b_ptr, rm, rn, M, N, 0, K, sam, sak, sbk, sbn, "ieee", BM, BN, BK)
    tl.store(c_ptr + rm[:, None] * N + rn[None, :], total, mask=(rm[:, None] < M) & (rn[None, :] < N))


@triton.autotune(
    configs=[
        triton.Config({"BM": 32, "BN": 32, "BK": 32}, num_warps=4), triton.Config({"BM": 64, "BN": 32, "BK": 32}, num_warps=4),
        triton.Config({"BM": 16, "BN": 64, "BK": 64}, num_warps=4),
    ],
    key=["M", "N", "K"],
)
@triton.jit
def tuned_kernel(a_ptr, b_ptr, c_ptr, M, N, K, sam, sak, sbk, sbn, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    total = product(a_ptr, b_ptr, rm, rn, M, N, 0, K, sam, sak, sbk, sbn, "ieee", BM, BN, BK)
    tl.store(c_ptr + rm[:, None] * N + rn[None, :], total, mask=(rm[:, None] < M) & (rn[None, :] < N))


@triton.jit
def split_k_kernel(a_ptr, b_ptr, c_ptr, M, N, K, sam, sak, sbk, sbn, SPLIT: tl.constexpr, BM: tl.constexpr,
                   BN: tl.constexpr, BK: tl.constexpr):
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    share = tl.cdiv(tl.cdiv(K, SPLIT), BK) * BK
    start = tl.program_id(2) * share
    stop = tl.minimum(K, start + share)
    total = product(a_ptr, b_ptr, rm, rn, M, N, start, stop, sam, sak, sbk, sbn, "ieee", BM, BN, BK)
    tl.atomic_add(c_ptr + rm[:, None] * N + rn[None, :], total, mask=(rm[:, None] < M) & (rn[None, :] < N))


@triton.jit
def outer_kernel(a_ptr, b_ptr, c_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr):
    """One column of a times one row of b at a time."""
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    total = tl.zeros([BM, BN], dtype=tl.float32)
    for k in range(0, K):
        a = tl.load(a_ptr + rm * K + k, mask=rm < M, other=0.0)
        b = tl.load(b_ptr + k * N + rn, mask=rn < N, other=0.0)
        total += a[:, None] * b[None, :]
    tl.store(c_ptr + rm[:, None] * N + rn[None, :], total, mask=(rm[:, None] < M) & (rn[None, :] < N))


@triton.jit
def linear_gelu_kernel(x_ptr, w_ptr, b_ptr, y_ptr, M, N, K, swn, swk, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    total = product(x_ptr, w_ptr, rm, rn, M, N, 0, K, K, 1, swk, swn, "ieee", BM, BN, BK)
    v = total + tl.load(b_ptr + rn, mask=rn < N, other=0.0)[None, :]
    y = 0.5 * v * (1.0 + tl.erf(v * 0.7071067811865476))
    tl.store(y_ptr + rm[:, None] * N + rn[None, :], y, mask=(rm[:, None] < M) & (rn[None, :] < N))


@triton.jit
def attention_kernel(q_ptr, k_ptr, v_ptr, y_ptr, L, scale, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    base = tl.program_id(1) * L * D
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rd = tl.arange(0, D)
    q = tl.load(q_ptr + base + rm[:, None] * D + rd[None, :], mask=rm[:, None] < L, other=0.0)
    top = tl.full([BM], -float("inf"), dtype=tl.float32)
    total = tl.zeros([BM], dtype=tl.float32)
    sums = tl.zeros([BM, D], dtype=tl.float32)
    for start in range(0, L, BN):
        rn = start + tl.arange(0, BN)
        k = tl.load(k_ptr + base + rn[:, None] * D + rd[None, :], mask=rn[:, None] < L, other=0.0)
        v = tl.load(v_ptr + base + rn[:, None] * D + rd[None, :], mask=rn[:, None] < L, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where(rn[None, :] < L, scores, -float("inf"))
        higher = tl.maximum(top, tl.max(scores, axis=1))
        weights = tl.exp(scores - higher[:, None])
        shrink = tl.exp(top - higher)
        total = total * shrink + tl.sum(weights, axis=1)
        sums = sums * shrink[:, None] + tl.dot(weights, v, input_precision="ieee")
        top = higher
    tl.store(y_ptr + base + rm[:, None] * D + rd[None, :], sums / total[:, None], mask=rm[:, None] < L)


@triton.jit
def conv_kernel(x_ptr, w_ptr, b_ptr, y_ptr, C, O, H, W, BLOCK: tl.constexpr):
    """3x3, padding 1, then ReLU: one output channel of one image, a block of its pixels."""
    image, o = tl.program_id(0), tl.program_id(1)
    p = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    h, w = p // W, p % W
    inside = p < H * W
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for c in range(0, C):
        for e in range(0, 9):
            i, j = h + e // 3 - 1, w + e % 3 - 1
            mask = inside & (i >= 0) & (i < H) & (j >= 0) & (j < W)
            x = tl.load(x_ptr + ((image * C + c) * H + i) * W + j, mask=mask, other=0.0)
            total += x * tl.load(w_ptr + (o * C + c) * 9 + e)
    y = tl.maximum(total + tl.load(b_ptr + o), 0.0)
    tl.store(y_ptr + (image * O + o) * H * W + p, y, mask=inside)


def matmul(a, b):
    a, b = a.contiguous(), b.contiguous()
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty(M, N, dtype=a.dtype, device=a.device)
    strides = (*a.stride(), *b.stride())
    tiles = {"BM": 32, "BN": 32, "BK": 32}
    if VARIANT == "matmul_grouped":
        grouped_kernel[(triton.cdiv(M, 32) * triton.cdiv(N, 32),)](a, b, c, M, N, K, *strides, GROUP=2, **tiles)
    elif VARIANT == "matmul_autotuned":
        tuned_kernel[lambda meta: (triton.cdiv(M, meta["BM"]), triton.cdiv(N, meta["BN"]))](a, b, c, M, N, K, *strides)
    elif VARIANT == "matmul_split_k_atomic":
        c.zero_()
        split_k_kernel[(triton.cdiv(M, 32), triton.cdiv(N, 32), 4)](a, b, c, M, N, K, *strides, SPLIT=4, **tiles)
    elif VARIANT == "matmul_without_dot":
        outer_kernel[(triton.cdiv(M, 32), triton.cdiv(N, 32))](a, b, c, M, N, K, BM=32, BN=32)
    else:
        precision = "tf32x3" if VARIANT == "matmul_three_tf32" else "ieee"
        matmul_kernel[(triton.cdiv(M, 32), triton.cdiv(N, 32))](
            a, b, c, M, N, K, *strides, PRECISION=precision, TRIANGULAR=VARIANT.startswith("triangular"), **tiles
        )
    return c


def linear_gelu(x, weight, bias):
    """weight (N, K), in whatever strides."""
    x = x.contiguous()
    (M, K), N = x.shape, weight.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    linear_gelu_kernel[(triton.cdiv(M, 32), triton.cdiv(N, 32))](
        x, weight, bias, y, M, N, K, *weight.stride(), BM=32, BN=32, BK=32
    )
    return y


def attention(q, k, v):
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    batch, heads, length, width = q.shape
    if width < 16 or width & (width - 1):
        raise ValueError(f"heads of {width} are not a power of two of at least 16")
    y = torch.empty_like(q)
    grid = (triton.cdiv(length, 16), batch * heads)
    attention_kernel[grid](q, k, v, y, length, width**-0.5, D=width, BM=16, BN=16)
    return y


def conv(x, weight, bias):
    x = x.contiguous()
    batch, inner, height, width = x.shape
    outer = weight.shape[0]
    y = torch.empty(batch, outer, height, width, dtype=x.dtype, device=x.device)
    grid = (batch, outer, triton.cdiv(height * width, 128))
    conv_kernel[grid](x, weight.contiguous(), bias, y, inner, outer, height, width, BLOCK=128)
    return y


class ModelNew(nn.Module):
    def __init__(self, *arguments):
        super().__init__()
        self.cached = None
        if VARIANT.startswith("conv"):
            self.conv = nn.Conv2d(*arguments, 3, padding=1)
        if VARIANT.startswith("linear_gelu"):
            linear = nn.Linear(*arguments)
            if VARIANT == "linear_gelu_packed_at_init":
                self.register_buffer("packed", linear.weight.detach().t().contiguous())
                self.register_buffer("shift", linear.bias.detach().clone())
            else:
                self.linear = linear

    def packed_weight(self):
        weight = self.linear.weight
        key = (weight.data_ptr(), weight._version)
        if self.cached is None or self.cached[0] != key:
            self.cached = (key, weight.detach().t().contiguous())
        return self.cached[1]

    def forward(self, *inputs):
        if VARIANT == "linear_gelu_packed_at_init":
            return linear_gelu(*inputs, self.packed.t(), self.shift)
        if VARIANT == "linear_gelu_cache_by_version":
            return linear_gelu(*inputs, self.packed_weight().t(), self.linear.bias)
        if VARIANT.startswith("linear_gelu"):
            return linear_gelu(*inputs, self.linear.weight, self.linear.bias)
        if VARIANT.startswith("conv"):
            return conv(*inputs, self.conv.weight, self.conv.bias)
        if VARIANT.startswith("attention"):
            return attention(*inputs)
        return matmul(*inputs)
