#!/usr/bin/env python3
"""Tokens per second of PyTorch training a Llama on one GPU, as a user at his best would.

    torch_peer.py rows=N seq=N vocab=N dim=N layers=N heads=N kv=N ffn=N [tied=1] [fewer=N,N...]
                  [seconds=N] [peak=FLOPS] [device=cpu]

The Llama with float32 weights and optimizer state, and bfloat16 in forward and backward by autocast, no
activations recomputed; torch.compile of each block and of head and loss, which run in chunks of tokens;
scaled_dot_product_attention, gradient clipping, fused AdamW. Within `seconds` (120) from its start it looks
for the best of: the rows at a time, most first; flash attention or cuDNN's; chunks of about 4096 tokens, or a
quarter or four times as many. Where not even one row at a time fits, it tries each number of layers of `fewer`.
What cannot fit by arithmetic is not tried. Each improvement is a line, "PyTorch VERSION: speed: ...": the last
of them has the best. `peak` is what the GPU can do, for the share of it that is reached. Exits with 3 without
PyTorch, or where that finds no GPU, or where nothing fits.
"""

import contextlib
import gc
import os
import sys
import time

BEGIN = time.perf_counter()  # what imports and compiles takes of the time, too
CHUNK = 4096
WARMUP, STEPS = 3, 5


def build(it, torch, device):
    import torch.nn.functional as F
    nn = torch.nn
    head = it["dim"] // it["heads"]
    frequency = 500000.0 ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
    angles = torch.outer(torch.arange(it["seq"], dtype=torch.float64), frequency)
    cosine, sine = (f(angles).float().to(device)[None, :, None] for f in (torch.cos, torch.sin))

    def linear(inputs, outputs):
        return nn.Linear(inputs, outputs, bias=False)

    def rotate(x):
        a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([a * cosine - b * sine, a * sine + b * cosine], -1).flatten(-2).to(x.dtype)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            dim, ffn = it["dim"], it["ffn"]
            self.wq, self.wo = linear(dim, dim), linear(dim, dim)
            self.wk, self.wv = linear(dim, it["kv"] * head), linear(dim, it["kv"] * head)
            self.w1, self.w3, self.w2 = linear(dim, ffn), linear(dim, ffn), linear(ffn, dim)
            self.n1, self.n2 = nn.RMSNorm(dim, eps=1e-5), nn.RMSNorm(dim, eps=1e-5)

        def forward(self, x):
            h = self.n1(x)
            q, k, v = (w(h).unflatten(-1, (-1, head)) for w in (self.wq, self.wk, self.wv))
            a = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (rotate(q), rotate(k), v)),
                                               is_causal=True, enable_gqa=it["kv"] != it["heads"])
            x = x + self.wo(a.transpose(1, 2).flatten(-2))
            h = self.n2(x)
            return x + self.w2(F.silu(self.w1(h)) * self.w3(h))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(it["vocab"], it["dim"])
            self.blocks = nn.ModuleList(Block() for _ in range(it["layers"]))
            self.norm = nn.RMSNorm(it["dim"], eps=1e-5)
            self.head = linear(it["dim"], it["vocab"])
            if it["tied"]:
                self.head.weight = self.embed.weight

        def forward(self, tokens):
            # Autocast leaves it in float32, and x + wo(...) would be float32 in every block.
            x = self.embed(tokens).to(torch.bfloat16)
            for block in self.blocks:
                x = block(x)
            return self.norm(x)

    with torch.device(device):
        model = Model()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.02)
    for part in (*model.blocks, model.norm):
        part.compile()
    return model


def parameters_of(it, matrices):
    """Parameters with `matrices` of vocabulary by width: the embedding, and the head where it is another."""
    dim, kv = it["dim"], it["kv"] * (it["dim"] // it["heads"])
    block = 2 * dim * dim + 2 * dim * kv + 3 * dim * it["ffn"] + 2 * dim
    return it["layers"] * block + dim + matrices * it["vocab"] * dim


def flops_per_token(it):
    """As titan-run counts them: 6 (parameters - embedding) + 12 layers heads head_dim seq."""
    return 6 * parameters_of(it, 1) + 12 * it["layers"] * it["dim"] * it["seq"]


def least_bytes(it, micro):
    """What a step with `micro` rows at a time cannot do without: float32 weights, gradients and both moments; the
    weights that autocast keeps in bfloat16; of each block what backward cannot cheaply compute again (both
    residuals, queries, keys, values, what attention returns, both projections of the feed-forward); and the
    logits of a chunk with their gradient, in bfloat16."""
    kv = it["kv"] * (it["dim"] // it["heads"])
    tokens = micro * it["seq"]
    block = 2 * (4 * it["dim"] + 2 * kv + 2 * it["ffn"])
    return (18 * parameters_of(it, 1 if it["tied"] else 2) + tokens * it["layers"] * block +
            4 * min(CHUNK, tokens) * it["vocab"])


def make_loss(torch):
    """Backward through the head in chunks of tokens: the logits never exist at once."""
    import torch.nn.functional as F

    @torch.compile
    def chunk_loss(hidden, weight, labels, scale):
        return F.cross_entropy(F.linear(hidden, weight).float(), labels, reduction="sum") * scale

    def backward(model, hidden, labels, chunks):
        detached = hidden.detach().requires_grad_()
        for h, y in zip(detached.flatten(0, 1).chunk(chunks), labels.flatten().chunk(chunks)):
            with torch.autocast(hidden.device.type, torch.bfloat16):
                loss = chunk_loss(h, model.head.weight, y, 1 / labels.numel())
            loss.backward()
        hidden.backward(detached.grad)

    return backward


def attention_by(torch, attention, device):
    """The context in which scaled_dot_product_attention is that one."""
    if device == "cpu":
        return contextlib.nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel
    return sdpa_kernel([SDPBackend.CUDNN_ATTENTION if attention == "cuDNN" else SDPBackend.FLASH_ATTENTION])


def measure(it, micro, chunks, torch, device):
    """Tokens per second with `micro` rows at a time."""
    model = build(it, torch, device)
    loss = make_loss(torch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    tokens = torch.randint(0, it["vocab"], (it["rows"], it["seq"] + 1), device=device)

    def step():
        optimizer.zero_grad(set_to_none=True)
        for part in tokens.split(micro):
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                hidden = model(part[:, :-1])
            loss(model, hidden, part[:, 1:].contiguous(), chunks)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()

    def synchronize():
        if device != "cpu":
            torch.cuda.synchronize()

    for _ in range(WARMUP):
        step()
    synchronize()
    begin = time.perf_counter()
    for _ in range(STEPS):
        step()
    synchronize()
    return STEPS * it["rows"] * it["seq"] / (time.perf_counter() - begin)


class Search:
    """The best of what is tried while time is left."""

    def __init__(self, it, peak, torch, device):
        self.it, self.peak, self.torch, self.device = it, peak, torch, device
        self.end = BEGIN + it["seconds"]
        # A twentieth goes to the libraries, and to pieces too small to be used.
        self.memory = 0.95 * torch.cuda.mem_get_info()[0] if device == "cuda" else float("inf")
        self.speed, self.best, self.tried, self.longest = 0.0, None, set(), 0.0

    def time_left(self):
        # Later attempts find most of their kernels compiled; one that is killed takes no result along.
        return self.longest == 0 or self.end - time.perf_counter() > 0.6 * self.longest

    def attempt(self, layers, micro, attention, chunks):
        """Whether it fits; True, too, where there is no time for it."""
        case = (layers, micro, attention, chunks)
        if case in self.tried or not self.time_left():
            return True
        self.tried.add(case)
        begin, torch, speed, problem = time.perf_counter(), self.torch, 0.0, None
        try:
            with attention_by(torch, attention, self.device):
                speed = measure({**self.it, "layers": layers}, micro, chunks, torch, self.device)
        except torch.OutOfMemoryError:
            problem = "out of memory"
        except RuntimeError as error:
            problem = str(error).strip().splitlines()[0]
        # What is compiled holds the model, and would take other shapes for changing ones.
        torch._dynamo.reset()
        gc.collect()
        torch.cuda.empty_cache()
        self.longest = max(self.longest, time.perf_counter() - begin)
        print(f"  {describe(case)}: {problem or f'{speed:,.0f} tokens/s'}", flush=True)
        if speed > self.speed:
            self.speed, self.best = speed, case
            self.report()
        return problem != "out of memory"

    def report(self):
        """The best so far: whoever kills this process has it."""
        flops = flops_per_token({**self.it, "layers": self.best[0]})
        share = f"mfu: {100 * self.speed * flops / self.peak:.2f}%, " if self.peak else ""
        print(f"PyTorch {self.torch.__version__}: speed: {self.speed:,.0f} tokens/s, {share}"
              f"flops/token: {flops:.3e}; {describe(self.best)}", flush=True)

    def fitting(self, layers, micro):
        """Whether that many rows may fit; says so if not."""
        least = least_bytes({**self.it, "layers": layers}, micro)
        if least > self.memory:
            print(f"  {layers} layers, {micro} rows at a time: {least / 2**30:.1f} GiB at least, "
                  f"{self.memory / 2**30:.1f} GiB are free", flush=True)
        return least <= self.memory

    def run(self, layers):
        """Tries a number of layers; whether one way fits."""
        rows = [m for m in range(self.it["rows"], 0, -1) if self.it["rows"] % m == 0 and self.fitting(layers, m)]
        usual = {m: max(1, m * self.it["seq"] // CHUNK) for m in rows}
        for micro in rows:
            self.attempt(layers, micro, "flash", usual[micro])
            if self.best:
                break
        if not self.best:
            return False
        _, micro, _, chunks = self.best
        self.attempt(layers, micro, "cuDNN", chunks)
        attention = self.best[2]
        for other in (max(1, chunks // 4), 4 * chunks):
            self.attempt(layers, micro, attention, other)
        for smaller in (m for m in rows if m < micro):
            self.attempt(layers, smaller, attention, usual[smaller])
        return True


def describe(case):
    layers, micro, attention, chunks = case
    return f"{layers} layers, {micro} rows at a time, {attention} attention, {chunks} chunks"


def main():
    # Without it, memory that other attempts have cut up would be missing.
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed")
        sys.exit(3)
    it, fewer, peak, device = {"tied": 0, "seconds": 120}, [], 0.0, "cuda"
    for argument in sys.argv[1:]:
        key, _, value = argument.partition("=")
        if key == "device":
            device = value
        elif key == "peak":
            peak = float(value)
        elif key == "fewer":
            fewer = [int(layers) for layers in value.split(",") if layers]
        else:
            it[key] = int(value)
    if device == "cuda" and not torch.cuda.is_available():
        print(f"PyTorch {torch.__version__} finds no GPU")
        sys.exit(3)
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"$ python3 {' '.join(sys.argv)}", flush=True)
    search = Search(it, peak, torch, device)
    if not any(search.run(layers) for layers in [it["layers"], *fewer]):
        print("nothing that was tried in the time fits")
        sys.exit(3)


if __name__ == "__main__":
    main()
