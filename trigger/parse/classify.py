"""Which role a completed block plays: kernel, host wrapper, model, or none of these."""
from __future__ import annotations

import re

from trigger.parse.blocks import Block
from trigger.parse.python import STORES
from trigger.signals import Kind

_TENSOR = re.compile(r"\b(?:torch|at)::Tensor\b|\bTensor\b")
_LAUNCH = re.compile(r"<<<|\w+\s*\[[^\]\n]*\]\s*\(|\.launch\(|cudaLaunchKernel|AT_DISPATCH")
_LOOP = re.compile(r"\bfor\s*\(|\bwhile\s*\(")
_PARALLEL = re.compile(r"#\s*pragma\s+omp|\bat::parallel_for\b|\b_mm\d+_|\bstd::thread\b")
_WRAPPER_NAME = re.compile(r"wrapper|launch|_cuda\Z|_host\Z|forward_cuda")
_MODEL_BASE = re.compile(r"class\s+\w+\s*\([^)]*\bModule\b")


def classify(block: Block, text: str) -> Kind:
    """The signal that `block`, whose source is `text`, gives."""
    return _c(block, text) if block.language == "c" else _python(block, text)


def _c(block: Block, text: str) -> Kind:
    if "__global__" in block.header or not block.name:
        return "kernel_completed"
    if "__device__" in block.header:
        return "function_completed"
    body = text[len(block.header) :]
    if _LAUNCH.search(body):
        return "wrapper_completed"
    if _LOOP.search(body) and (_TENSOR.search(block.header) or _PARALLEL.search(body)):
        return "kernel_completed"
    return "wrapper_completed" if _TENSOR.search(block.header) else "function_completed"


def _python(block: Block, text: str) -> Kind:
    if "triton.jit" in block.header or "@jit" in block.header:
        return "kernel_completed" if STORES.search(text) else "function_completed"
    if "class " in block.header and (block.name == "ModelNew" or _MODEL_BASE.search(block.header)):
        return "model_completed"
    if _LAUNCH.search(text[len(block.header) :]) or _WRAPPER_NAME.search(block.name):
        return "wrapper_completed"
    return "function_completed"


def calls(kind: Kind, block: Block, text: str) -> bool:
    """Whether a block is what Python calls: a wrapper, a model that launches, or a CPU kernel that takes tensors."""
    if kind == "kernel_completed":
        return block.language == "c" and bool(_TENSOR.search(block.header))
    return kind == "wrapper_completed" or (kind == "model_completed" and bool(_LAUNCH.search(text)))
