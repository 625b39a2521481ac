#!/usr/bin/env python3
"""Reference numbers for Titan from plain PyTorch on CPU: one small Llama 3, 20 AdamW steps.

Usage: golden.py NAME OUT_DIR   (NAME is a key of CONFIGS)

Written against torch 1.13; nothing newer is needed. Semantics are torchtitan v0.2.2's:
complex RoPE over adjacent pairs with Llama 3.1 frequency scaling, RMSNorm, SwiGLU, grouped queries,
causal attention, cross entropy summed over valid labels and divided by their global number,
clipping by the global norm, AdamW with decoupled decay on every parameter, warmup-stable-decay.
"""
import json, math, os, struct, sys
import numpy as np
import torch
import torch.nn.functional as F

CONFIGS = {
    # kv heads < heads, odd vocabulary, a length that is no power of two, some labels ignored
    "untied": dict(dim=48, n_layers=2, n_heads=6, n_kv_heads=2, ffn=128, vocab=257, seq=40, batch=4, tied=False, seed=1),
    "tied": dict(dim=64, n_layers=3, n_heads=4, n_kv_heads=4, ffn=160, vocab=192, seq=33, batch=6, tied=True, seed=2),
}
STEPS, LR, WARMUP, DECAY_RATIO, MIN_FACTOR = 20, 3e-3, 4, 0.5, 0.1
BETAS, EPS, WEIGHT_DECAY, MAX_NORM, NORM_EPS = (0.9, 0.95), 1e-8, 0.1, 1.0, 1e-5
THETA, SCALE, LOW, HIGH, ORIGINAL = 500000.0, 8.0, 1.0, 4.0, 8192


def save_safetensors(path, tensors):
    """Writes numpy arrays in the safetensors format (sorted by name)."""
    names = {np.dtype("float64"): "F64", np.dtype("float32"): "F32", np.dtype("int32"): "I32"}
    header, blobs, at = {}, [], 0
    for name in sorted(tensors):
        a = np.ascontiguousarray(tensors[name])
        header[name] = {"dtype": names[a.dtype], "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        blobs.append(a.tobytes())
        at += a.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def lr_factor(i):
    """Learning-rate factor of 0-based step i: linear warmup, stable, cosine decay."""
    decay = round(STEPS * DECAY_RATIO)
    stable = STEPS + 1 - WARMUP - decay
    if i < WARMUP:
        return (i + 1) / WARMUP
    if i < WARMUP + stable:
        return 1.0
    p = (i + 1 - (WARMUP + stable)) / decay
    return MIN_FACTOR + (1 - MIN_FACTOR) * 0.5 * (1 + math.cos(math.pi * p))


def frequencies(head_dim, seq):
    """RoPE angles [seq, head_dim / 2] with Llama 3.1 scaling, float64."""
    f = 1.0 / THETA ** (torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    wavelength = 2 * math.pi / f
    smooth = (ORIGINAL / wavelength - LOW) / (HIGH - LOW)
    scaled = torch.where(wavelength > ORIGINAL / LOW, f / SCALE, f)
    middle = (wavelength <= ORIGINAL / LOW) & (wavelength >= ORIGINAL / HIGH)
    scaled = torch.where(middle, (1 - smooth) * f / SCALE + smooth * f, scaled)
    return torch.outer(torch.arange(seq, dtype=torch.float64), scaled)


def rope(x, angles):
    """x [batch, seq, heads, head_dim]: rotate adjacent pairs; in float32 at least, as torchtitan does."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(*x.shape[:-1], -1, 2)
    c, s = angles.cos().to(wide.dtype)[None, :, None, :], angles.sin().to(wide.dtype)[None, :, None, :]
    a, b = wide[..., 0], wide[..., 1]
    return torch.stack([a * c - b * s, a * s + b * c], -1).reshape(x.shape).to(x.dtype)


def rms_norm(x, w):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    y = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + NORM_EPS)
    return (y * w.to(wide.dtype)).to(x.dtype)


def linear(x, weight):
    """x [..., in] times weight [out, in]."""
    return x @ weight.T


def loss_fn(p, c, tokens, labels):
    """Returns (logits, loss summed over valid labels / number of valid labels)."""
    B, S, H, K = c["batch"], c["seq"], c["n_heads"], c["n_kv_heads"]
    D = c["dim"] // H
    angles = frequencies(D, S)
    x = F.embedding(tokens, p["tok_embeddings.weight"])
    mask = torch.full((S, S), float("-inf"), dtype=torch.float64).triu(1)
    for i in range(c["n_layers"]):
        w = lambda n: p[f"layers.{i}.{n}.weight"]
        h = rms_norm(x, w("attention_norm"))
        q = rope(linear(h, w("attention.wq")).view(B, S, H, D), angles)
        k = rope(linear(h, w("attention.wk")).view(B, S, K, D), angles)
        v = linear(h, w("attention.wv")).view(B, S, K, D)
        k, v = (t.repeat_interleave(H // K, dim=2) for t in (k, v))
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        wide = torch.promote_types(x.dtype, torch.float32)
        scores = (q.to(wide) @ k.to(wide).transpose(2, 3)) / math.sqrt(D) + mask.to(wide)
        a = (scores.softmax(-1) @ v.to(wide)).to(x.dtype)
        x = x + linear(a.transpose(1, 2).reshape(B, S, H * D), w("attention.wo"))
        h = rms_norm(x, w("ffn_norm"))
        x = x + linear(F.silu(linear(h, w("feed_forward.w1"))) * linear(h, w("feed_forward.w3")), w("feed_forward.w2"))
    x = rms_norm(x, p["norm.weight"])
    head = p["tok_embeddings.weight"] if c["tied"] else p["output.weight"]
    logits = x @ head.T
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32)).flatten(0, 1)
    total = F.cross_entropy(wide, labels.flatten(), ignore_index=-100, reduction="sum")
    return logits, total / (labels != -100).sum()


def initial(c):
    """Initial parameters, exactly representable in float32 (float64 arrays)."""
    r = np.random.default_rng(c["seed"])
    kv = c["dim"] // c["n_heads"] * c["n_kv_heads"]
    shapes = {"tok_embeddings.weight": (c["vocab"], c["dim"]), "norm.weight": (c["dim"],)}
    if not c["tied"]:
        shapes["output.weight"] = (c["vocab"], c["dim"])
    for i in range(c["n_layers"]):
        shapes.update({
            f"layers.{i}.attention_norm.weight": (c["dim"],), f"layers.{i}.ffn_norm.weight": (c["dim"],),
            f"layers.{i}.attention.wq.weight": (c["dim"], c["dim"]), f"layers.{i}.attention.wk.weight": (kv, c["dim"]),
            f"layers.{i}.attention.wv.weight": (kv, c["dim"]), f"layers.{i}.attention.wo.weight": (c["dim"], c["dim"]),
            f"layers.{i}.feed_forward.w1.weight": (c["ffn"], c["dim"]), f"layers.{i}.feed_forward.w3.weight": (c["ffn"], c["dim"]),
            f"layers.{i}.feed_forward.w2.weight": (c["dim"], c["ffn"])})
    out = {}
    for name in sorted(shapes):
        x = r.standard_normal(shapes[name])
        x = 1 + 0.1 * x if "norm" in name else x * (0.5 if "embed" in name else 1.5 / math.sqrt(c["dim"]))
        out[name] = x.astype(np.float32).astype(np.float64)
    return out


def batches(c):
    """tokens, labels [STEPS, batch, seq] int64; labels are the next tokens, about 5 % set to -100."""
    r = np.random.default_rng(c["seed"] + 100)
    stream = r.integers(0, c["vocab"], (STEPS, c["batch"], c["seq"] + 1))
    tokens, labels = stream[..., :-1].copy(), stream[..., 1:].copy()
    labels[r.random(labels.shape) < 0.05] = -100
    return tokens, labels


def train(c, compute):
    """20 steps with float64 (compute=float64) or float32 master parameters; forward and backward in `compute`."""
    master = torch.float64 if compute == torch.float64 else torch.float32
    p = {n: torch.tensor(a, dtype=master, requires_grad=True) for n, a in initial(c).items()}
    m = {n: torch.zeros_like(t) for n, t in p.items()}
    v = {n: torch.zeros_like(t) for n, t in p.items()}
    tokens, labels = (torch.tensor(a) for a in batches(c))
    log, keep = [], {}
    for i in range(STEPS):
        for t in p.values():
            t.grad = None
        logits, loss = loss_fn({n: t.to(compute) for n, t in p.items()}, c, tokens[i], labels[i])
        loss.backward()
        norm = torch.sqrt(sum((t.grad.double() ** 2).sum() for t in p.values()))
        if i == 0:
            keep["logits"] = logits.detach()
            keep.update({"grad." + n: t.grad.clone() for n, t in p.items()})
        lr = LR * lr_factor(i)
        clip = min(1.0, MAX_NORM / (norm.item() + 1e-6))
        with torch.no_grad():
            for n, t in p.items():
                g = t.grad * clip
                m[n].mul_(BETAS[0]).add_(g, alpha=1 - BETAS[0])
                v[n].mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
                t.mul_(1 - lr * WEIGHT_DECAY)
                t.addcdiv_(m[n] / (1 - BETAS[0] ** (i + 1)), (v[n] / (1 - BETAS[1] ** (i + 1))).sqrt() + EPS, value=-lr)
        log.append({"step": i + 1, "loss": loss.item(), "grad_norm": norm.item(), "lr": lr})
        if i + 1 in (1, STEPS):
            keep.update({f"step{i + 1}." + n: t.detach().clone() for n, t in p.items()})
    return log, keep


def main():
    name, out = sys.argv[1], sys.argv[2]
    c = CONFIGS[name]
    os.makedirs(out, exist_ok=True)
    torch.manual_seed(0)
    tokens, labels = batches(c)
    save_safetensors(f"{out}/{name}.init.safetensors", {n: a.astype(np.float32) for n, a in initial(c).items()})
    save_safetensors(f"{out}/{name}.batches.safetensors", {"tokens": tokens.astype(np.int32), "labels": labels.astype(np.int32)})
    exact, keep = train(c, torch.float64)
    save_safetensors(f"{out}/{name}.float64.safetensors", {n: t.double().numpy() for n, t in keep.items()})
    result = {"config": c, "optimizer": dict(lr=LR, betas=BETAS, eps=EPS, weight_decay=WEIGHT_DECAY, max_norm=MAX_NORM,
                                            warmup_steps=WARMUP, decay_ratio=DECAY_RATIO, decay_type="cosine", min_lr_factor=MIN_FACTOR),
              "float64": exact, "float32": train(c, torch.float32)[0], "bfloat16": train(c, torch.bfloat16)[0]}
    with open(f"{out}/{name}.json", "w") as f:
        json.dump(result, f, indent=1)


if __name__ == "__main__":
    main()
