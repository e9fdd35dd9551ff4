# reason = "Wrong in one kind of input, or in precision, only."
# outcomes = ["wrong_values"]
# devices = ["cpu", "cuda"]
# [variants]
# softmax_without_maximum = {task = "softmax", says = "maximum before exp"}
# gate_of_absolute_value = {task = "gated", says = "assume a sign"}
# gate_clamped = {task = "gated", says = "large"}
# normalize_epsilon_inside = {task = "normalize", says = "small"}
# normalize_zero_rows = {task = "normalize", says = "division by zero"}
# weights_cached_by_shape = {task = "linear_gelu", says = "other weights"}
# input_cached_by_pointer = {task = "matmul", says = "changed in place"}
# half_sums_in_half = {task = "matmul_half"}
# operands_in_tf32 = {task = "matmul", outcomes = ["precision_downgrade"], says = "strict fp32"}
# operands_in_half = {task = "attention", outcomes = ["precision_downgrade"], says = "strict fp32"}
# everything_in_bf16 = {task = "linear_gelu", outcomes = ["precision_downgrade"], says = "bf16"}
# gelu_by_tanh = {task = "linear_gelu", says = "approximation"}
# last_of_ties = {task = "row_max", says = "ties"}
# carry_never_negative = {task = "scan", says = "assume a sign"}
# drops_one_percent = {task = "row_sum"}
# border_repeated = {task = "conv_relu"}
# labels_masked = {task = "loss"}
# truncates = {task = "quantise"}
# biased_statistics = {task = "batch_norm"}
# triangle_without_diagonal = {task = "triangular"}
# last_step_missing = {task = "recurrence"}
# wider_result = {task = "layer_norm", outcomes = ["wrong_dtype"], says = "float64"}
# kept_dimension = {task = "row_sum", outcomes = ["wrong_shape"], says = "(32, 1)"}
# list_of_one = {task = "softmax", outcomes = ["wrong_shape"], says = "[T]"}
# one_output_missing = {task = "row_stats", outcomes = ["wrong_shape"], says = "count"}
# result_in_a_kept_buffer = {task = "gated", says = "earlier output"}
# writes_into_its_input = {task = "gated", outcomes = ["wrong_values", "cheated"], says = "input"}
import torch
import torch.nn as nn
import torch.nn.functional as F

VARIANT = ""
WEIGHTS = {}
TRANSPOSED = {}
BUFFERS = {}


def cut_mantissa(x):
    """fp32 with the last 13 bits of the mantissa off: what tf32 hardware reads."""
    return (x.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)


def clamped_gate(x, gate):
    return x * gate * torch.sigmoid(gate.clamp(-10, 10))


def half_sums(a, b):
    """Partial sums kept in fp16."""
    total = torch.zeros(a.shape[0], b.shape[1], dtype=torch.float16, device=a.device)
    for i in range(0, a.shape[1], 4):
        total += a[:, i : i + 4] @ b[i : i + 4]
    return total


def cached_by_pointer(a, b):
    key = (b.data_ptr(), b.shape)
    if key not in TRANSPOSED:
        TRANSPOSED[key] = b.t().contiguous()
    return a @ TRANSPOSED[key].t()


def attention_in_half(q, k, v):
    def low(t):
        return t.half().float()

    scores = low(q) @ low(k).transpose(-2, -1) * q.shape[-1] ** -0.5
    return low(torch.softmax(scores, dim=-1)) @ low(v)


def last_of_ties(x):
    return x.amax(1), x.shape[1] - 1 - x.flip(1).argmax(1)


def scan_with_carry(x):
    parts, carry = [], torch.zeros(x.shape[0], 1, device=x.device)
    for part in x.split(128, dim=1):
        parts.append(part.cumsum(1) + carry)
        carry = parts[-1][:, -1:].clamp_min(0)
    return torch.cat(parts, 1)


def quantise(x):
    scale = x.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127.0
    return torch.trunc(x / scale) * scale


def recurrence(a, x):
    h, states = torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        h = a[:, t] * h + x[:, t] if t < x.shape[1] - 1 else h
        states.append(h)
    return torch.stack(states, 1)


def kept_buffer(x, gate):
    buffer = BUFFERS.setdefault(x.shape, torch.empty(x.shape, device=x.device))
    return torch.mul(x, F.silu(gate), out=buffer)


SIMPLE = {
    "softmax_without_maximum": lambda x: torch.exp(x) / torch.exp(x).sum(-1, keepdim=True),
    "gate_of_absolute_value": lambda x, gate: x.abs() * F.silu(gate),
    "gate_clamped": clamped_gate,
    "normalize_epsilon_inside": lambda x: x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-8),
    "normalize_zero_rows": lambda x: x / x.square().sum(1, keepdim=True).sqrt(),
    "input_cached_by_pointer": cached_by_pointer,
    "half_sums_in_half": half_sums,
    "operands_in_tf32": lambda a, b: cut_mantissa(a) @ cut_mantissa(b),
    "operands_in_half": attention_in_half,
    "last_of_ties": last_of_ties,
    "carry_never_negative": scan_with_carry,
    "drops_one_percent": lambda x: x[:, : x.shape[1] * 99 // 100].sum(1),
    "labels_masked": lambda logits, labels: F.cross_entropy(logits, labels & 63),
    "truncates": quantise,
    "triangle_without_diagonal": lambda a, b: torch.tril(a @ b, -1),
    "last_step_missing": recurrence,
    "kept_dimension": lambda x: x.sum(1, keepdim=True),
    "list_of_one": lambda x: [torch.softmax(x, -1)],
    "one_output_missing": lambda x: {"mean": x.mean(1), "above": x > 0.5},
    "result_in_a_kept_buffer": kept_buffer,
    "writes_into_its_input": lambda x, gate: x * gate.mul_(torch.sigmoid(gate)),
}


class ModelNew(nn.Module):
    def __init__(self, *arguments):
        super().__init__()
        if VARIANT in ("weights_cached_by_shape", "everything_in_bf16", "gelu_by_tanh"):
            self.linear = nn.Linear(*arguments)
        if VARIANT == "wider_result":
            self.norm = nn.LayerNorm(*arguments)
        if VARIANT == "border_repeated":
            self.conv = nn.Conv2d(*arguments, 3, padding=1)
        if VARIANT == "biased_statistics":
            self.norm = nn.BatchNorm2d(*arguments)

    def forward(self, *inputs):
        return SIMPLE[VARIANT](*inputs) if VARIANT in SIMPLE else getattr(self, VARIANT)(*inputs)

    def weights_cached_by_shape(self, x):
        weight = WEIGHTS.setdefault(self.linear.weight.shape, self.linear.weight.detach().t().contiguous())
        return F.gelu(x @ weight + self.linear.bias)

    def everything_in_bf16(self, x):
        linear = F.linear(x.bfloat16(), self.linear.weight.bfloat16(), self.linear.bias.bfloat16())
        return F.gelu(linear).float()

    def gelu_by_tanh(self, x):
        return F.gelu(self.linear(x), approximate="tanh")

    def wider_result(self, x):
        return self.norm(x).double()

    def border_repeated(self, x):
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return torch.relu(F.conv2d(padded, self.conv.weight, self.conv.bias))

    def biased_statistics(self, x):
        var, mean = torch.var_mean(x, dim=(0, 2, 3), unbiased=True)
        shape = (1, -1, 1, 1)
        normal = (x - mean.view(shape)) * torch.rsqrt(var + self.norm.eps).view(shape)
        return torch.relu(normal * self.norm.weight.view(shape) + self.norm.bias.view(shape))
