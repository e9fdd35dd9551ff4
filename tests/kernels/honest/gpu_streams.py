# task = "gated"
# reason = "Streams, graphs and threads used properly: nothing runs on after the return, and results are the call's own."
# devices = ["cuda"]
# [variants]
# joined_side_stream = "gated"
# two_joined_streams = "gated"
# graph_copied_in_and_cloned_out = "gated"
# worker_thread_joined = "gated"
# idle_thread = "gated"
# synchronised = "gated"
# slow_first_call = "gated"
import threading
import time
from queue import SimpleQueue

import torch
import torch.nn as nn
import torch.nn.functional as F

VARIANT = ""


def gate(x, g):
    return x * F.silu(g)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.graphs = {}
        self.streams = []
        self.tasks = None
        self.chosen = None

    def forward(self, x, g):
        return getattr(self, VARIANT)(x, g)

    def side_streams(self, count):
        while len(self.streams) < count:
            self.streams.append(torch.cuda.Stream())
        return self.streams[:count]

    def joined_side_stream(self, x, g):
        (side,), here = self.side_streams(1), torch.cuda.current_stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            result = gate(x, g)
        here.wait_stream(side)
        result.record_stream(here)
        return result

    def two_joined_streams(self, x, g):
        here, result, half = torch.cuda.current_stream(), torch.empty(x.shape, device=x.device), x.shape[0] // 2
        for side, rows in zip(self.side_streams(2), (slice(0, half), slice(half, None))):
            side.wait_stream(here)
            with torch.cuda.stream(side):
                result[rows] = gate(x[rows], g[rows])
        for side in self.streams:
            here.wait_stream(side)
        return result

    def graph_copied_in_and_cloned_out(self, x, g):
        """One graph for each shape; inputs are copied into its own, the result is a copy of its own."""
        if x.shape not in self.graphs:
            self.graphs[x.shape] = self.capture(x, g)
        graph, static_x, static_g, result = self.graphs[x.shape]
        static_x.copy_(x)
        static_g.copy_(g)
        graph.replay()
        return result.clone()

    def capture(self, x, g):
        static_x, static_g = torch.empty(x.shape, device=x.device), torch.empty(x.shape, device=x.device)
        static_x.copy_(x)
        static_g.copy_(g)
        side = self.side_streams(1)[0]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            gate(static_x, static_g)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = gate(static_x, static_g)
        return graph, static_x, static_g, result

    def worker_thread_joined(self, x, g):
        results = []

        def work():
            with torch.no_grad():
                results.append(gate(x, g))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return results[0]

    def idle_thread(self, x, g):
        """A thread that lives on between calls, asleep."""
        if self.tasks is None:
            self.tasks, self.answers = SimpleQueue(), SimpleQueue()

            def serve():
                while True:
                    a, b = self.tasks.get()
                    with torch.no_grad():
                        self.answers.put(gate(a, b))

            threading.Thread(target=serve, daemon=True).start()
        self.tasks.put((x, g))
        return self.answers.get()

    def synchronised(self, x, g):
        result = gate(x, g)
        torch.cuda.synchronize()
        return result

    def slow_first_call(self, x, g):
        if self.chosen is None:
            ways = [gate, lambda a, b: a * b * torch.sigmoid(b), lambda a, b: torch.mul(a, b).mul_(torch.sigmoid(b))]
            times = []
            for way in ways:
                start = time.perf_counter()
                for _ in range(20):
                    way(x, g)
                torch.cuda.synchronize()
                times.append(time.perf_counter() - start)
            self.chosen = ways[times.index(min(times))]
        return self.chosen(x, g)
