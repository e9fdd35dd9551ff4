# reason = "Row-wise Triton kernels."
# devices = ["cuda"]
# [variants]
# gated_flat = "gated"
# gated_exp2 = "gated"
# gated_sigmoid = "gated"
# gated_autotuned = "gated"
# gated_persistent = "gated"
# softmax_one_block = "softmax"
# softmax_online = "softmax"
# softmax_several_rows = "softmax"
# softmax_persistent = "softmax"
# layer_norm_one_block = "layer_norm"
# layer_norm_loop = "layer_norm"
# row_sum_loop = "row_sum"
# row_sum_atomic = "row_sum"
# row_sum_two_stages = "row_sum"
# scan_one_block = "scan"
# scan_carry = "scan"
# row_max_one_block = "row_max"
# row_stats_fused = "row_stats"
# normalize_one_block = "normalize"
# quantise_rint = "quantise"
# recurrence_steps = "recurrence"
# transpose_tiles = "transpose"
# loss_fused = "loss"
# batch_norm_channel = "batch_norm"
import torch
import torch.nn as nn
import triton
import triton.language as tl
from triton.language.extra import libdevice

VARIANT = ""


@triton.jit
def silu_exp(g):
    return g / (1.0 + tl.exp(-g))


@triton.jit
def gated_kernel(x_ptr, g_ptr, y_ptr, n, HOW: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    g = tl.load(g_ptr + offsets, mask=mask)
    if HOW == 0:
        y = x * silu_exp(g)
    elif HOW == 1:
        y = x * (g / (1.0 + tl.exp2(-g * 1.4426950408889634)))
    else:
        y = x * (g * tl.sigmoid(g))
    tl.store(y_ptr + offsets, y, mask=mask)


@triton.autotune(
    configs=[triton.Config({"BLOCK": size}, num_warps=warps) for size in (256, 1024) for warps in (2, 4, 8)], key=["n"]
)
@triton.jit
def gated_tuned_kernel(x_ptr, g_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    g = tl.load(g_ptr + offsets, mask=mask, other=0.0)
    y = tl.load(x_ptr + offsets, mask=mask, other=0.0) * silu_exp(g)
    tl.store(y_ptr + offsets, y, mask=mask)


@triton.jit
def gated_persistent_kernel(x_ptr, g_ptr, y_ptr, n, BLOCK: tl.constexpr):
    for start in range(tl.program_id(0) * BLOCK, n, tl.num_programs(0) * BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        mask = offsets < n
        g = tl.load(g_ptr + offsets, mask=mask, other=0.0)
        tl.store(y_ptr + offsets, tl.load(x_ptr + offsets, mask=mask, other=0.0) * silu_exp(g), mask=mask)


@triton.jit
def softmax_kernel(x_ptr, y_ptr, rows, n, BLOCK: tl.constexpr):
    for row in range(tl.program_id(0), rows, tl.num_programs(0)):
        columns = tl.arange(0, BLOCK)
        mask = columns < n
        x = tl.load(x_ptr + row * n + columns, mask=mask, other=-float("inf"))
        e = tl.exp(x - tl.max(x, axis=0))
        tl.store(y_ptr + row * n + columns, e / tl.sum(e, axis=0), mask=mask)


@triton.jit
def softmax_online_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    top = -float("inf")
    total = 0.0
    for start in range(0, n, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * n + columns, mask=columns < n, other=-float("inf"))
        higher = tl.maximum(top, tl.max(x, axis=0))
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(x - higher), axis=0)
        top = higher
    for start in range(0, n, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * n + columns, mask=columns < n, other=-float("inf"))
        tl.store(y_ptr + row * n + columns, tl.exp(x - top) / total, mask=columns < n)


@triton.jit
def softmax_rows_kernel(x_ptr, y_ptr, rows, n, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    c = tl.arange(0, BLOCK)[None, :]
    mask = (r < rows) & (c < n)
    x = tl.load(x_ptr + r * n + c, mask=mask, other=-float("inf"))
    # Rows past the end hold nothing but -inf: they are not stored, but must not stop the others.
    e = tl.exp(x - tl.max(x, axis=1)[:, None])
    tl.store(y_ptr + r * n + c, e / tl.sum(e, axis=1)[:, None], mask=mask)


@triton.jit
def layer_norm_kernel(x_ptr, w_ptr, b_ptr, y_ptr, n, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    mask = c < n
    x = tl.load(x_ptr + row * n + c, mask=mask, other=0.0)
    mean = tl.sum(x, axis=0) / n
    centred = tl.where(mask, x - mean, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=0) / n + eps)
    w = tl.load(w_ptr + c, mask=mask)
    b = tl.load(b_ptr + c, mask=mask)
    tl.store(y_ptr + row * n + c, centred * scale * w + b, mask=mask)


@triton.jit
def layer_norm_loop_kernel(x_ptr, w_ptr, b_ptr, y_ptr, n, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, n, BLOCK):
        c = start + tl.arange(0, BLOCK)
        total += tl.load(x_ptr + row * n + c, mask=c < n, other=0.0)
    mean = tl.sum(total, axis=0) / n
    squares = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, n, BLOCK):
        c = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * n + c, mask=c < n, other=0.0)
        squares += tl.where(c < n, (x - mean) * (x - mean), 0.0)
    scale = tl.rsqrt(tl.sum(squares, axis=0) / n + eps)
    for start in range(0, n, BLOCK):
        c = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * n + c, mask=c < n, other=0.0)
        y = (x - mean) * scale * tl.load(w_ptr + c, mask=c < n) + tl.load(b_ptr + c, mask=c < n)
        tl.store(y_ptr + row * n + c, y, mask=c < n)


@triton.jit
def row_sum_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, n, BLOCK):
        c = start + tl.arange(0, BLOCK)
        total += tl.load(x_ptr + row * n + c, mask=c < n, other=0.0)
    tl.store(y_ptr + row, tl.sum(total, axis=0))


@triton.jit
def row_sum_atomic_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(y_ptr + row, tl.sum(tl.load(x_ptr + row * n + c, mask=c < n, other=0.0), axis=0))


@triton.jit
def row_part_kernel(x_ptr, y_ptr, n, parts, BLOCK: tl.constexpr):
    row, part = tl.program_id(0), tl.program_id(1)
    c = part * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + row * parts + part, tl.sum(tl.load(x_ptr + row * n + c, mask=c < n, other=0.0), axis=0))


@triton.jit
def scan_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    carry = 0.0
    for start in range(0, n, BLOCK):
        c = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * n + c, mask=c < n, other=0.0)
        tl.store(y_ptr + row * n + c, tl.cumsum(x, axis=0) + carry, mask=c < n)
        carry += tl.sum(x, axis=0)


@triton.jit
def row_max_kernel(x_ptr, value_ptr, where_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + c, mask=c < n, other=-float("inf"))
    top = tl.max(x, axis=0)
    first = tl.min(tl.where(x == top, c, BLOCK), axis=0)
    tl.store(value_ptr + row, top)
    tl.store(where_ptr + row, first.to(tl.int64))


@triton.jit
def row_stats_kernel(x_ptr, mean_ptr, above_ptr, count_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + c, mask=c < n, other=0.0)
    above = (x > 0.5).to(tl.int8)
    tl.store(above_ptr + row * n + c, above, mask=c < n)
    tl.store(mean_ptr + row, tl.sum(x, axis=0) / n)
    tl.store(count_ptr + row, tl.sum(above.to(tl.int32), axis=0).to(tl.int64))


@triton.jit
def normalize_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + c, mask=c < n, other=0.0)
    length = tl.maximum(tl.sqrt(tl.sum(x * x, axis=0)), 1e-12)
    tl.store(y_ptr + row * n + c, x / length, mask=c < n)


@triton.jit
def quantise_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + c, mask=c < n, other=0.0)
    scale = tl.maximum(tl.max(tl.abs(x), axis=0), 1e-12) / 127.0
    tl.store(y_ptr + row * n + c, libdevice.rint(x / scale) * scale, mask=c < n)


@triton.jit
def recurrence_kernel(a_ptr, x_ptr, y_ptr, steps, width, BLOCK: tl.constexpr):
    batch = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    h = tl.zeros([BLOCK], dtype=tl.float32)
    for t in range(0, steps):
        at = (batch * steps + t) * width + c
        h = tl.load(a_ptr + at, mask=c < width, other=0.0) * h + tl.load(x_ptr + at, mask=c < width, other=0.0)
        tl.store(y_ptr + at, h, mask=c < width)


@triton.jit
def transpose_kernel(x_ptr, y_ptr, rows, columns, TILE: tl.constexpr):
    base = tl.program_id(2) * rows * columns
    r = tl.program_id(0) * TILE + tl.arange(0, TILE)
    c = tl.program_id(1) * TILE + tl.arange(0, TILE)
    x = tl.load(x_ptr + base + r[:, None] * columns + c[None, :], mask=(r[:, None] < rows) & (c[None, :] < columns))
    tl.store(y_ptr + base + c[:, None] * rows + r[None, :], tl.trans(x), mask=(c[:, None] < columns) & (r[None, :] < rows))


@triton.jit
def loss_kernel(x_ptr, label_ptr, y_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + c, mask=c < n, other=-float("inf"))
    top = tl.max(x, axis=0)
    total = tl.log(tl.sum(tl.exp(x - top), axis=0)) + top
    tl.store(y_ptr + row, total - tl.load(x_ptr + row * n + tl.load(label_ptr + row)))


@triton.jit
def batch_norm_kernel(x_ptr, w_ptr, b_ptr, y_ptr, batch, channels, pixels, eps, BLOCK: tl.constexpr):
    channel = tl.program_id(0)
    count = batch * pixels
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, count, BLOCK):
        i = start + tl.arange(0, BLOCK)
        at = (i // pixels * channels + channel) * pixels + i % pixels
        total += tl.load(x_ptr + at, mask=i < count, other=0.0)
    mean = tl.sum(total, axis=0) / count
    squares = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, count, BLOCK):
        i = start + tl.arange(0, BLOCK)
        at = (i // pixels * channels + channel) * pixels + i % pixels
        x = tl.load(x_ptr + at, mask=i < count, other=0.0)
        squares += tl.where(i < count, (x - mean) * (x - mean), 0.0)
    scale = tl.load(w_ptr + channel) / tl.sqrt(tl.sum(squares, axis=0) / count + eps)
    shift = tl.load(b_ptr + channel)
    for start in range(0, count, BLOCK):
        i = start + tl.arange(0, BLOCK)
        at = (i // pixels * channels + channel) * pixels + i % pixels
        x = tl.load(x_ptr + at, mask=i < count, other=0.0)
        tl.store(y_ptr + at, tl.maximum((x - mean) * scale + shift, 0.0), mask=i < count)


def gated(x, gate):
    x, gate = x.contiguous(), gate.contiguous()
    y, n = torch.empty_like(x), x.numel()
    if VARIANT == "gated_autotuned":
        gated_tuned_kernel[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, gate, y, n)
    elif VARIANT == "gated_persistent":
        gated_persistent_kernel[(8,)](x, gate, y, n, BLOCK=512)
    else:
        how = {"gated_flat": 0, "gated_exp2": 1, "gated_sigmoid": 2}[VARIANT]
        gated_kernel[(triton.cdiv(n, 1024),)](x, gate, y, n, HOW=how, BLOCK=1024)
    return y


def softmax(x):
    x = x.contiguous()
    y, (rows, n) = torch.empty_like(x), x.shape
    block = triton.next_power_of_2(n)
    if VARIANT == "softmax_online":
        softmax_online_kernel[(rows,)](x, y, n, BLOCK=128)
    elif VARIANT == "softmax_several_rows":
        softmax_rows_kernel[(triton.cdiv(rows, 4),)](x, y, rows, n, ROWS=4, BLOCK=block)
    else:
        softmax_kernel[(16 if VARIANT == "softmax_persistent" else rows,)](x, y, rows, n, BLOCK=block)
    return y


def layer_norm(x, norm):
    x = x.contiguous()
    y, (rows, n) = torch.empty_like(x), x.shape
    if VARIANT == "layer_norm_loop":
        layer_norm_loop_kernel[(rows,)](x, norm.weight, norm.bias, y, n, norm.eps, BLOCK=128)
    else:
        layer_norm_kernel[(rows,)](x, norm.weight, norm.bias, y, n, norm.eps, BLOCK=triton.next_power_of_2(n))
    return y


def row_sum(x):
    x = x.contiguous()
    rows, n = x.shape
    if VARIANT == "row_sum_atomic":
        y = torch.zeros(rows, dtype=x.dtype, device=x.device)
        row_sum_atomic_kernel[(rows, triton.cdiv(n, 256))](x, y, n, BLOCK=256)
        return y
    if VARIANT == "row_sum_two_stages":
        parts = triton.cdiv(n, 512)
        part = torch.empty(rows, parts, dtype=x.dtype, device=x.device)
        row_part_kernel[(rows, parts)](x, part, n, parts, BLOCK=512)
        y = torch.empty(rows, dtype=x.dtype, device=x.device)
        row_sum_kernel[(rows,)](part, y, parts, BLOCK=triton.next_power_of_2(parts))
        return y
    y = torch.empty(rows, dtype=x.dtype, device=x.device)
    row_sum_kernel[(rows,)](x, y, n, BLOCK=1024)
    return y


def scan(x):
    x = x.contiguous()
    y, (rows, n) = torch.empty_like(x), x.shape
    scan_kernel[(rows,)](x, y, n, BLOCK=triton.next_power_of_2(n) if VARIANT == "scan_one_block" else 64)
    return y


def row_max(x):
    x = x.contiguous()
    rows, n = x.shape
    value = torch.empty(rows, dtype=x.dtype, device=x.device)
    where = torch.empty(rows, dtype=torch.int64, device=x.device)
    row_max_kernel[(rows,)](x, value, where, n, BLOCK=triton.next_power_of_2(n))
    return value, where


def row_stats(x):
    x = x.contiguous()
    rows, n = x.shape
    mean = torch.empty(rows, dtype=x.dtype, device=x.device)
    above = torch.empty(rows, n, dtype=torch.int8, device=x.device)
    count = torch.empty(rows, dtype=torch.int64, device=x.device)
    row_stats_kernel[(rows,)](x, mean, above, count, n, BLOCK=triton.next_power_of_2(n))
    return {"mean": mean, "above": above.view(torch.bool), "count": count}


def one_row(kernel, x):
    x = x.contiguous()
    y, (rows, n) = torch.empty_like(x), x.shape
    kernel[(rows,)](x, y, n, BLOCK=triton.next_power_of_2(n))
    return y


def recurrence(a, x):
    a, x = a.contiguous(), x.contiguous()
    y, (batch, steps, width) = torch.empty_like(x), x.shape
    recurrence_kernel[(batch,)](a, x, y, steps, width, BLOCK=triton.next_power_of_2(width))
    return y


def transpose(x):
    x = x.contiguous()
    batch, rows, columns = x.shape
    y = torch.empty(batch, columns, rows, dtype=x.dtype, device=x.device)
    transpose_kernel[(triton.cdiv(rows, 32), triton.cdiv(columns, 32), batch)](x, y, rows, columns, TILE=32)
    return y


def loss(x, labels):
    x, labels = x.contiguous(), labels.contiguous()
    rows, n = x.shape
    y = torch.empty(rows, dtype=x.dtype, device=x.device)
    loss_kernel[(rows,)](x, labels, y, n, BLOCK=triton.next_power_of_2(n))
    return y.mean()


def batch_norm(x, norm):
    x = x.contiguous()
    y, (batch, channels) = torch.empty_like(x), x.shape[:2]
    pixels = x.shape[2] * x.shape[3]
    batch_norm_kernel[(channels,)](x, norm.weight, norm.bias, y, batch, channels, pixels, norm.eps, BLOCK=256)
    return y


FAMILIES = {
    "gated": gated, "softmax": softmax, "row_sum": row_sum, "scan": scan, "row_max": row_max, "row_stats": row_stats,
    "normalize": lambda x: one_row(normalize_kernel, x), "quantise": lambda x: one_row(quantise_kernel, x),
    "recurrence": recurrence, "transpose": transpose, "loss": loss,
}


class ModelNew(nn.Module):
    def __init__(self, *arguments):
        super().__init__()
        if VARIANT.startswith("layer_norm"):
            self.norm = nn.LayerNorm(*arguments)
        if VARIANT.startswith("batch_norm"):
            self.norm = nn.BatchNorm2d(*arguments)

    def forward(self, *inputs):
        if VARIANT.startswith("layer_norm"):
            return layer_norm(*inputs, self.norm)
        if VARIANT.startswith("batch_norm"):
            return batch_norm(*inputs, self.norm)
        name = next(name for name in sorted(FAMILIES, key=len, reverse=True) if VARIANT.startswith(name))
        return FAMILIES[name](*inputs)
