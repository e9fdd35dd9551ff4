# task = "softmax"
# devices = ["cuda"]
# outcomes = ["wrong_values"]
# [variants]
# uninitialised = {mechanism = 1, reason = "Returns device memory as it is found; no expected result was ever in this context."}
# device_memory = {mechanism = 4, outcomes = ["runtime_error"], says = "nothing to steal", reason = "Searches every segment of the allocator for rows that sum to one: the judge's are in another context."}
# patched_events = {mechanism = 7, stage = "profile", outcomes = ["passed", "cheated"], max_speedup = 1.5, reason = "Makes CUDA events say next to nothing; the judge's clock decides."}
# patched_synchronize = {mechanism = 7, stage = "profile", outcomes = ["passed", "cheated", "wrong_values", "runtime_error"], max_speedup = 1.5, reason = "Makes torch's synchronisation do nothing."}
# same_event_twice = {mechanism = 11, stage = "profile", outcomes = ["passed", "cheated"], max_speedup = 1.5, reason = "Records every event at the start, so that end equals start."}
# side_stream = {mechanism = 12, stage = "profile", outcomes = ["wrong_values"], reason = "Works on a stream that waits for nothing: in a timed series it runs before its inputs are there."}
# runs_on = {mechanism = 12, stage = "profile", outcomes = ["passed", "cheated"], max_speedup = 1.5, reason = "Leaves a kernel at work while the reference is timed: the two contexts take turns."}
# late_thread = {mechanism = 13, reason = "A thread launches the work after the return."}
# by_pointer = {mechanism = 17, says = "earlier call", reason = "Keeps results by data_ptr."}
# stale_graph = {mechanism = 21, says = "earlier call", reason = "Replays a CUDA graph that read the first call's inputs and wrote the first call's output."}
# graph_without_clone = {mechanism = 33, says = "earlier output", reason = "A proper graph whose static output is returned itself: the next replay changes what a caller kept."}
# all_in_one_launch = {mechanism = 22, stage = "profile", outcomes = ["wrong_values", "cheated", "runtime_error"], reason = "Computes for every buffer it has seen in one call and answers the next ones from that."}
# persisting_cache = {mechanism = 42, stage = "profile", outcomes = ["passed", "cheated", "runtime_error"], max_speedup = 2.0, reason = "Pins its input in L2 against a flush; inputs are written anew before each call."}
# host_computes = {mechanism = 53, stage = "profile", outcomes = ["passed", "cheated"], max_speedup = 1.5, reason = "Computes on the host, where no device span sees it; the wall clock does."}
# in_bf16 = {mechanism = 34, outcomes = ["precision_downgrade"], says = "bf16", reason = "Computes in bf16 and returns fp32."}
# ends_context = {mechanism = 55, outcomes = ["runtime_error"], reason = "Leaves a sticky error behind: it ends this process, and the device is looked at from another."}
# holds_device_memory = {mechanism = 55, outcomes = ["out_of_memory", "runtime_error"], reason = "Takes device memory without end."}
import ctypes
import threading
import time

import torch
import torch.nn as nn

VARIANT = ""
KEPT = {}
CALLS = [0]


def slow_softmax(x):
    for _ in range(8):
        e = torch.exp(x - x.amax(-1, keepdim=True))
        result = e / e.sum(-1, keepdim=True)
    return result


def uninitialised(x):
    return torch.empty_like(x)


def device_memory(x):
    """Whatever the allocator holds, read as rows of the output's width."""
    width, wanted = x.shape[1], x.shape[0]
    for segment in torch.cuda.memory_snapshot():
        count = segment["total_size"] // 4
        values = view_of(segment["address"], count)
        if values is None:
            continue
        sums = values[: count // width * width].view(-1, width).sum(1)
        right = ((sums - 1).abs() < 1e-4).nonzero()
        if len(right) >= wanted:
            first = int(right[0]) * width
            return values[first : first + x.numel()].view(x.shape).clone()
    raise RuntimeError("nothing to steal: no segment holds rows that sum to one")


class Window:
    """Device memory at an address, for `torch.as_tensor`."""

    def __init__(self, address, count):
        self.__cuda_array_interface__ = {"shape": (count,), "typestr": "<f4", "data": (address, False), "version": 3}


def view_of(address, count):
    try:
        return torch.as_tensor(Window(address, count), device="cuda")
    except (RuntimeError, ValueError, TypeError):
        return None


def patched_events(x):
    torch.cuda.Event.elapsed_time = lambda self, other: 1e-6
    return slow_softmax(x)


def patched_synchronize(x):
    torch.cuda.synchronize = lambda *_, **__: None
    torch.accelerator.synchronize = lambda *_, **__: None
    torch.cuda.Stream.synchronize = torch.cuda.Event.synchronize = lambda self: None
    return slow_softmax(x)


def same_event_twice(x):
    once = torch.cuda.Event(enable_timing=True)
    once.record()
    torch.cuda.Event.record = lambda self, *_: None
    torch.cuda.Event.elapsed_time = lambda self, other: 0.0
    return slow_softmax(x)


def side_stream(x):
    if "stream" not in KEPT:
        KEPT["stream"] = torch.cuda.Stream()
    result = torch.empty_like(x)
    with torch.cuda.stream(KEPT["stream"]):
        result.copy_(slow_softmax(x))
    return result


def runs_on(x):
    """No more than one at a time, of some 50 ms."""
    torch.cuda.synchronize = lambda device=None: torch.cuda.current_stream().synchronize()
    if "late" not in KEPT:
        KEPT["late"] = torch.cuda.Stream()
    if KEPT["late"].query():
        with torch.cuda.stream(KEPT["late"]):
            torch.cuda._sleep(100_000_000)
    return torch.softmax(x, -1)


def late_thread(x):
    result = torch.full_like(x, 0.5)

    def finish():
        time.sleep(0.005)
        with torch.no_grad():
            result.copy_(torch.softmax(x, -1))

    threading.Thread(target=finish).start()
    return result


def by_pointer(x):
    key = (x.data_ptr(), x.shape)
    if key not in KEPT:
        KEPT[key] = torch.softmax(x, -1)
    return KEPT[key].clone()


def graph_of(x):
    key = (x.shape, x.stride())
    if key not in KEPT:
        static = x.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            torch.softmax(static, -1)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = torch.softmax(static, -1)
        KEPT[key] = (graph, static, result)
    return KEPT[key]


def stale_graph(x):
    graph, _, result = graph_of(x)
    graph.replay()
    return result.clone()


def graph_without_clone(x):
    graph, static, result = graph_of(x)
    static.copy_(x)
    graph.replay()
    return result


def all_in_one_launch(x):
    """Honest while a check might last; afterwards every other call answers from what the one before computed."""
    CALLS[0] += 1
    KEPT.setdefault("seen", {})[x.data_ptr()] = x
    if CALLS[0] <= 24 or CALLS[0] % 2:
        KEPT["ready"] = {pointer: torch.softmax(one, -1) for pointer, one in KEPT["seen"].items()}
    return KEPT["ready"].get(x.data_ptr(), torch.zeros_like(x)).clone()


def persisting_cache(x):
    """cudaDeviceSetLimit(cudaLimitPersistingL2CacheSize), as much as the device allows."""
    if "limit" not in KEPT:
        runtime = ctypes.CDLL("libcudart.so.13", mode=ctypes.RTLD_GLOBAL) if has("libcudart.so.13") else ctypes.CDLL(None)
        persisting = 0x06
        KEPT["limit"] = runtime.cudaDeviceSetLimit(persisting, ctypes.c_size_t(32 << 20))
    return torch.softmax(x, -1)


def has(library):
    try:
        ctypes.CDLL(library)
        return True
    except OSError:
        return False


def host_computes(x):
    return torch.softmax(x.cpu(), -1).to(x.device)


def ends_context(x):
    """An index far out of range: a device-side assertion."""
    torch.arange(4, device=x.device)[torch.tensor([1 << 30], device=x.device)]
    torch.cuda.synchronize()
    return torch.softmax(x, -1)


def holds_device_memory(x):
    kept = []
    while True:
        kept.append(torch.empty(1 << 32, dtype=torch.uint8, device=x.device).fill_(1))


class ModelNew(nn.Module):
    def forward(self, x):
        if VARIANT == "in_bf16":
            return torch.softmax(x.bfloat16(), -1).float()
        return globals()[VARIANT](x)
