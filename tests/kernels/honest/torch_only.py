# reason = "Rewritten with torch's own operations, in the ways people write them."
# devices = ["cpu", "cuda"]
# [variants]
# gated_silu = "gated"
# gated_in_place = "gated"
# gated_chunks = "gated"
# gated_out_argument = "gated"
# gated_joined_thread = "gated"
# gated_idle_executor = "gated"
# gated_scripted = "gated"
# gated_autotuned = "gated"
# gated_workspace = "gated"
# softmax_library = "softmax"
# softmax_by_hand = "softmax"
# softmax_logsumexp = "softmax"
# softmax_double = "softmax"
# softmax_rows_view = "softmax"
# layer_norm_library = "layer_norm"
# layer_norm_var_mean = "layer_norm"
# row_sum_product = "row_sum"
# row_sum_two_steps = "row_sum"
# row_sum_view_of_two = "row_sum"
# matmul_library = "matmul"
# matmul_einsum = "matmul"
# matmul_transposed_view = "matmul"
# matmul_split_k = "matmul"
# matmul_outer_products = "matmul"
# matmul_row_blocks = "matmul"
# linear_gelu_addmm = "linear_gelu"
# linear_gelu_buffer = "linear_gelu"
# linear_gelu_lazy_transpose = "linear_gelu"
# conv_unfold = "conv_relu"
# conv_channels_last = "conv_relu"
# conv_shifted_sums = "conv_relu"
# scan_triangular_product = "scan"
# scan_flipped_twice = "scan"
# scan_log_steps = "scan"
# row_max_sorted = "row_max"
# row_max_one_call = "row_max"
# row_stats_list_of_ops = "row_stats"
# transpose_view = "transpose"
# transpose_copy = "transpose"
# normalize_rsqrt_free = "normalize"
# half_library = "matmul_half"
# half_chunks_in_float = "matmul_half"
# loss_log_softmax = "loss"
# loss_logsumexp = "loss"
# triangular_blocks = "triangular"
# attention_library = "attention"
# attention_chunked = "attention"
# quantise_library = "quantise"
# recurrence_steps = "recurrence"
# batch_norm_by_hand = "batch_norm"
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn as nn
import torch.nn.functional as F

VARIANT = ""


def written_gate(x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    return x * (gate * torch.sigmoid(gate))


if VARIANT == "gated_scripted":
    scripted_gate = torch.jit.script(written_gate)


def gate_in_place(x, gate):
    result = torch.sigmoid(gate)
    return result.mul_(gate).mul_(x)


def gate_chunks(x, gate):
    parts = [a * F.silu(b) for a, b in zip(x.chunk(3), gate.chunk(3))]
    return torch.cat(parts)


def gate_out(x, gate):
    result = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    torch.mul(x, F.silu(gate), out=result)
    return result


def gate_thread(x, gate):
    """Half of the rows in a thread that is joined before the return."""
    result = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    half = x.shape[0] // 2

    def work(rows):
        with torch.no_grad():
            result[rows] = x[rows] * F.silu(gate[rows])

    other = threading.Thread(target=work, args=(slice(half, None),))
    other.start()
    work(slice(0, half))
    other.join()
    return result


def scan_steps(x):
    """Doubling steps instead of one pass."""
    step = 1
    while step < x.shape[1]:
        x = torch.cat([x[:, :step], x[:, step:] + x[:, :-step]], dim=1)
        step *= 2
    return x


def shifted_convolution(x, weight, bias):
    padded = F.pad(x, (1, 1, 1, 1))
    height, width = x.shape[2:]
    total = bias.view(1, -1, 1, 1).expand(x.shape[0], -1, height, width).clone()
    for i in range(3):
        for j in range(3):
            total += torch.einsum("bchw,oc->bohw", padded[:, :, i : i + height, j : j + width], weight[:, :, i, j])
    return torch.relu(total)


def unfolded_convolution(x, weight, bias):
    patches = F.unfold(x, 3, padding=1)
    result = weight.view(weight.shape[0], -1) @ patches + bias.view(1, -1, 1)
    return torch.relu(result).view(x.shape[0], -1, *x.shape[2:])


def triangular_blocks(a, b):
    """Products of blocks at or below the diagonal only."""
    n, size = a.shape[0], 32
    result = torch.zeros_like(a)
    for i in range(0, n, size):
        stop = min(n, i + size)
        result[i:stop, :stop] = a[i:stop, :stop] @ b[:stop, :stop]
    return torch.tril(result)


def attention_chunked(q, k, v):
    scale = q.shape[-1] ** -0.5
    parts = [torch.softmax(part @ k.transpose(-2, -1) * scale, dim=-1) @ v for part in q.split(8, dim=-2)]
    return torch.cat(parts, dim=-2)


def half_chunks(a, b):
    total = torch.zeros(a.shape[0], b.shape[1], dtype=torch.float32, device=a.device)
    for i in range(0, a.shape[1], 256):
        total += a[:, i : i + 256].float() @ b[i : i + 256].float()
    return total.half()


def softmax_by_hand(x):
    e = torch.exp(x - x.amax(dim=-1, keepdim=True))
    return e / e.sum(dim=-1, keepdim=True)


def layer_norm(x, norm):
    var, mean = torch.var_mean(x, dim=-1, unbiased=False, keepdim=True)
    return (x - mean) * torch.rsqrt(var + norm.eps) * norm.weight + norm.bias


def row_max_sorted(x):
    values, order = torch.sort(x, dim=1, descending=True, stable=True)
    return values[:, 0], order[:, 0]


def row_stats(x):
    above = torch.gt(x, 0.5)
    return {"mean": x.sum(1) / x.shape[1], "above": above, "count": torch.count_nonzero(above, dim=1)}


def recurrence(a, x):
    h, states = x[:, 0], [x[:, 0]]
    for t in range(1, x.shape[1]):
        h = torch.addcmul(x[:, t], a[:, t], h)
        states.append(h)
    return torch.stack(states, 1)


def loss_logsumexp(logits, labels):
    return (torch.logsumexp(logits, dim=1) - logits.gather(1, labels[:, None])[:, 0]).mean()


def batch_norm(x, norm):
    var, mean = torch.var_mean(x, dim=(0, 2, 3), unbiased=False)
    scale = norm.weight * torch.rsqrt(var + norm.eps)
    return torch.relu(x * scale.view(1, -1, 1, 1) + (norm.bias - mean * scale).view(1, -1, 1, 1))


def quantise(x):
    scale = x.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127.0
    return (x / scale).round_() * scale


SIMPLE = {
    "gated_silu": lambda x, gate: x * F.silu(gate),
    "gated_in_place": gate_in_place,
    "gated_chunks": gate_chunks,
    "gated_out_argument": gate_out,
    "gated_joined_thread": gate_thread,
    "softmax_library": lambda x: F.softmax(x, -1),
    "softmax_by_hand": softmax_by_hand,
    "softmax_logsumexp": lambda x: torch.exp(x - torch.logsumexp(x, -1, keepdim=True)),
    "softmax_double": lambda x: torch.softmax(x.double(), -1).float(),
    "softmax_rows_view": lambda x: torch.softmax(x.t().contiguous(), 0).t(),
    "row_sum_product": lambda x: x @ torch.ones(x.shape[1], dtype=x.dtype, device=x.device),
    "row_sum_two_steps": lambda x: torch.stack([part.sum(1) for part in x.split(500, dim=1)]).sum(0),
    "row_sum_view_of_two": lambda x: torch.stack([x.sum(1), x.amax(1)], dim=1)[:, 0],
    "matmul_library": torch.matmul,
    "matmul_einsum": lambda a, b: torch.einsum("mk,kn->mn", a, b),
    "matmul_transposed_view": lambda a, b: (b.t() @ a.t()).t(),
    "matmul_split_k": lambda a, b: sum(p @ q for p, q in zip(a.split(200, 1), b.split(200, 0))),
    "matmul_outer_products": lambda a, b: (a.t().reshape(-1, a.shape[0], 1) * b.reshape(b.shape[0], 1, -1)).sum(0),
    "matmul_row_blocks": lambda a, b: torch.cat([p @ b for p in a.split(40)]),
    "conv_unfold": unfolded_convolution,
    "conv_channels_last": lambda x, w, b: torch.relu(F.conv2d(x.contiguous(memory_format=torch.channels_last), w, b, padding=1)),
    "conv_shifted_sums": shifted_convolution,
    "scan_triangular_product": lambda x: x @ torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=x.dtype, device=x.device)),
    "scan_flipped_twice": lambda x: x.flip(1).flip(1).cumsum(1),
    "scan_log_steps": scan_steps,
    "row_max_sorted": row_max_sorted,
    "row_max_one_call": lambda x: tuple(torch.max(x, dim=1)),
    "row_stats_list_of_ops": row_stats,
    "transpose_view": lambda x: x.transpose(1, 2).clone(memory_format=torch.preserve_format),
    "transpose_copy": lambda x: torch.empty(x.shape[0], x.shape[2], x.shape[1], dtype=x.dtype, device=x.device).copy_(x.mT),
    "normalize_rsqrt_free": lambda x: x / x.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12),
    "half_library": torch.mm,
    "half_chunks_in_float": half_chunks,
    "loss_log_softmax": lambda logits, labels: F.nll_loss(F.log_softmax(logits, 1), labels),
    "loss_logsumexp": loss_logsumexp,
    "triangular_blocks": triangular_blocks,
    "attention_library": F.scaled_dot_product_attention,
    "attention_chunked": attention_chunked,
    "quantise_library": quantise,
    "recurrence_steps": recurrence,
}


class ModelNew(nn.Module):
    def __init__(self, *arguments):
        super().__init__()
        self.chosen = None
        self.workspace = None
        self.transposed = None
        if VARIANT == "gated_idle_executor":
            self.executor = ThreadPoolExecutor(max_workers=2)
        if VARIANT.startswith("layer_norm"):
            self.norm = nn.LayerNorm(*arguments)
        if VARIANT.startswith("batch_norm"):
            self.norm = nn.BatchNorm2d(*arguments)
        if VARIANT.startswith("conv"):
            self.conv = nn.Conv2d(*arguments, 3, padding=1)
        if VARIANT.startswith("linear_gelu"):
            linear = nn.Linear(*arguments)
            if VARIANT == "linear_gelu_buffer":
                self.register_buffer("wide", linear.weight.detach().t().contiguous())
                self.register_buffer("shift", linear.bias.detach().clone())
            else:
                self.linear = linear

    def forward(self, *inputs):
        if VARIANT in SIMPLE and VARIANT.startswith("conv"):
            return SIMPLE[VARIANT](*inputs, self.conv.weight, self.conv.bias)
        if VARIANT in SIMPLE:
            return SIMPLE[VARIANT](*inputs)
        return getattr(self, VARIANT)(*inputs)

    def gated_idle_executor(self, x, gate):
        """Workers that stay alive between calls and do nothing then."""
        parts = list(self.executor.map(lambda pair: pair[0] * F.silu(pair[1]), zip(x.chunk(2), gate.chunk(2))))
        return torch.cat(parts)

    def gated_autotuned(self, x, gate):
        """The first call tries every way a few times and keeps the fastest."""
        ways = [gate_in_place, gate_chunks, gate_out, written_gate]
        if self.chosen is None:
            times = []
            for way in ways:
                start = time.perf_counter()
                for _ in range(5):
                    way(x, gate)
                times.append(time.perf_counter() - start)
            self.chosen = ways[times.index(min(times))]
        return self.chosen(x, gate)

    def gated_scripted(self, x, gate):
        return scripted_gate(x, gate)

    def gated_workspace(self, x, gate):
        """A scratch buffer that is kept; the result is not in it."""
        if self.workspace is None or self.workspace.shape != x.shape:
            self.workspace = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        torch.sigmoid(gate, out=self.workspace)
        self.workspace.mul_(gate)
        return x * self.workspace

    def layer_norm_library(self, x):
        return F.layer_norm(x, x.shape[-1:], self.norm.weight, self.norm.bias, self.norm.eps)

    def layer_norm_var_mean(self, x):
        return layer_norm(x, self.norm)

    def linear_gelu_addmm(self, x):
        return F.gelu(torch.addmm(self.linear.bias, x, self.linear.weight.t()))

    def linear_gelu_buffer(self, x):
        return F.gelu(x @ self.wide + self.shift)

    def linear_gelu_lazy_transpose(self, x):
        """A transposed copy made at the first call and again whenever the weight was written to."""
        weight = self.linear.weight
        key = (weight.data_ptr(), weight._version)
        if self.transposed is None or self.transposed[0] != key:
            self.transposed = (key, weight.detach().t().contiguous())
        return F.gelu(x @ self.transposed[1] + self.linear.bias)

    def batch_norm_by_hand(self, x):
        return batch_norm(x, self.norm)
