#!/usr/bin/env python3
"""Tokens per second of PyTorch training a Llama on one GPU, as a user at his best would.

    torch_peer.py rows=N seq=N vocab=N dim=N layers=N heads=N kv=N ffn=N [tied=1] [seconds=N] [device=cpu]

The Llama with float32 weights and optimizer state, and bfloat16 in forward and backward by
autocast; torch.compile of each block, scaled_dot_product_attention (flash or cuDNN), cross entropy in
chunks of tokens, gradient clipping, fused AdamW. Each number of rows at a time that divides rows is
tried, most rows first, while half of `seconds` (120) is left; the best counts. Exits with 3 without PyTorch.
"""

import sys
import time

CHUNKS = 8


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
            x = self.embed(tokens)
            for block in self.blocks:
                x = block(x)
            return self.norm(x)

    with torch.device(device):
        model = Model()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.02)
    for block in model.blocks:
        block.compile()
    return model


def chunk_loss(model, hidden, labels, torch):
    """Backward through the head in chunks of tokens: the logits never exist at once."""
    import torch.nn.functional as F
    detached = hidden.detach().requires_grad_()
    total = 0
    for h, y in zip(detached.flatten(0, 1).chunk(CHUNKS), labels.flatten().chunk(CHUNKS)):
        with torch.autocast(hidden.device.type, torch.bfloat16):
            loss = F.cross_entropy(model.head(h).float(), y, reduction="sum") / labels.numel()
        loss.backward()
        total += loss.detach()
    hidden.backward(detached.grad)
    return total


def measure(it, micro, torch, device):
    """Tokens per second with `micro` rows at a time."""
    model = build(it, torch, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    tokens = torch.randint(0, it["vocab"], (it["rows"], it["seq"] + 1), device=device)

    def step():
        optimizer.zero_grad(set_to_none=True)
        for part in tokens.split(micro):
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                hidden = model(part[:, :-1])
            chunk_loss(model, hidden, part[:, 1:], torch)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()

    def synchronize():
        if device != "cpu":
            torch.cuda.synchronize()

    for _ in range(3):
        step()
    synchronize()
    begin, steps = time.perf_counter(), 5
    for _ in range(steps):
        step()
    synchronize()
    return steps * it["rows"] * it["seq"] / (time.perf_counter() - begin)


def main():
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed")
        sys.exit(3)
    it = {"tied": 0, "seconds": 120}
    device = "cuda"
    for argument in sys.argv[1:]:
        key, _, value = argument.partition("=")
        if key == "device":
            device = value
        else:
            it[key] = int(value)
    torch.backends.cuda.matmul.allow_tf32 = False
    started, best = time.perf_counter(), 0.0
    for micro in (m for m in range(it["rows"], 0, -1) if it["rows"] % m == 0):
        if best and time.perf_counter() - started > it["seconds"] / 2:
            break
        try:
            speed = measure(it, micro, torch, device)
        except torch.OutOfMemoryError:
            print(f"  {micro} rows at a time: out of memory", flush=True)
            continue
        finally:
            torch.cuda.empty_cache()
        print(f"  {micro} rows at a time: {speed:,.0f} tokens/s", flush=True)
        best = max(best, speed)
    print(f"PyTorch {torch.__version__}: {best:,.0f} tokens/s; python3 {' '.join(sys.argv)}")
    sys.exit(0 if best else 1)


if __name__ == "__main__":
    main()
