#!/usr/bin/env python3
"""Tokens per second of titan-run against PyTorch, same model, shapes and optimizer, one machine.

    test/bench/peer.py BUILD_DIR VENV JOB [ROUNDS]     JOB is debug or bench

debug: models/llama3/debugmodel.toml with one row of 2048 tokens; bench: models/llama3/bench.toml.
Neither recomputes activations. PyTorch runs eager and compiled, float32, with
scaled_dot_product_attention, fused AdamW and all cores: the settings that were fastest on CPUs. It
is installed from PyPI into VENV when missing.
Rounds are interleaved (Titan, eager, compiled, Titan, ...); the medians of their tokens per second
and the ratios are printed.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from steps import STEPS, step_seconds, write_text

JOBS = {
    "debug": dict(toml="debugmodel.toml", rows=1, seq=2048, vocab=2048, dim=256, layers=6, heads=16,
                  ffn=768),
    "bench": dict(toml="bench.toml", rows=4, seq=512, vocab=2048, dim=1024, layers=4, heads=8,
                  ffn=2816),
}


# OpenMP's threads sleep between rounds, so that they take nothing from Titan's.
THREADING = dict(OMP_WAIT_POLICY="PASSIVE", KMP_BLOCKTIME="0")


def build_model(job, torch):
    """A Llama with the shapes of the job, and its training step."""
    import torch.nn.functional as F
    nn = torch.nn
    head_dim = job["dim"] // job["heads"]
    linear = lambda i, o: nn.Linear(i, o, bias=False)
    position = torch.arange(job["seq"], dtype=torch.float64)
    frequency = 500000.0 ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.outer(position, frequency)
    cosine, sine = angles.cos().float()[None, :, None], angles.sin().float()[None, :, None]

    def rotate(x):
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cosine - b * sine, a * sine + b * cosine], -1).flatten(-2)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            dim, ffn = job["dim"], job["ffn"]
            self.wq, self.wk, self.wv, self.wo = (linear(dim, dim) for _ in range(4))
            self.w1, self.w3, self.w2 = linear(dim, ffn), linear(dim, ffn), linear(ffn, dim)
            self.n1, self.n2 = nn.RMSNorm(dim, eps=1e-5), nn.RMSNorm(dim, eps=1e-5)

        def forward(self, x):
            h = self.n1(x)
            q, k, v = (w(h).unflatten(-1, (job["heads"], head_dim))
                       for w in (self.wq, self.wk, self.wv))
            q, k = rotate(q), rotate(k)
            a = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)),
                                               is_causal=True)
            x = x + self.wo(a.transpose(1, 2).flatten(-2))
            h = self.n2(x)
            return x + self.w2(F.silu(self.w1(h)) * self.w3(h))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(job["vocab"], job["dim"])
            self.blocks = nn.ModuleList(Block() for _ in range(job["layers"]))
            self.norm = nn.RMSNorm(job["dim"], eps=1e-5)
            self.head = linear(job["dim"], job["vocab"])

        def forward(self, tokens, labels):
            x = self.embed(tokens)
            for block in self.blocks:
                x = block(x)
            return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), labels.flatten())

    return Model()


def worker(name, mode):
    """Runs in the virtual environment: a round of steps for each line on standard input."""
    import torch
    torch.manual_seed(0)
    job = JOBS[name]
    model = build_model(job, torch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), fused=True)
    forward = torch.compile(model) if mode == "compiled" else model
    tokens = torch.randint(0, job["vocab"], (job["rows"], job["seq"] + 1))

    def step():
        optimizer.zero_grad(set_to_none=True)
        forward(tokens[:, :-1], tokens[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    step()
    print(f"PyTorch {torch.__version__}, {mode}, float32, {torch.get_num_threads()} threads, "
          "scaled_dot_product_attention, AdamW(fused=True), clip_grad_norm_, "
          + ", ".join(f"{name}={value}" for name, value in THREADING.items()), flush=True)
    for _ in sys.stdin:
        step()
        start = time.perf_counter()
        for _ in range(STEPS - 1):
            step()
        seconds = (time.perf_counter() - start) / (STEPS - 1)
        print(job["rows"] * job["seq"] / seconds, flush=True)


def start_worker(python, name, mode):
    environment = dict(os.environ, **THREADING)
    process = subprocess.Popen([python, os.path.abspath(__file__), "--worker", name, mode],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env=environment)
    print(f"{mode}: {process.stdout.readline().strip()}", flush=True)
    return process


def ask(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main():
    if sys.argv[1] == "--worker":
        return worker(*sys.argv[2:4])
    build, venv, name = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    job, python = JOBS[name], os.path.join(venv, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "-q", "torch", "numpy"], check=True)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with tempfile.TemporaryDirectory() as work:
        program, text = os.path.join(work, "model.tbin"), write_text(work)
        subprocess.run([os.path.join(build, "bin", "titan-compile"),
                        os.path.join(root, "models", "llama3", job["toml"]), "-o", program,
                        "--training.local_batch_size", str(job["rows"]), "--training.seq_len",
                        str(job["seq"]), "--activation_checkpoint.mode", "none"],
                       check=True, stderr=subprocess.DEVNULL)
        workers = {mode: start_worker(python, name, mode) for mode in ("eager", "compiled")}
        speeds = {"titan": [], "eager": [], "compiled": []}
        for _ in range(rounds):
            seconds = statistics.mean(step_seconds(build, program, text, work))
            speeds["titan"].append(job["rows"] * job["seq"] / seconds)
            for mode, process in workers.items():
                speeds[mode].append(ask(process))
        for process in workers.values():
            process.stdin.close()
            process.wait()
    median = {key: statistics.median(values) for key, values in speeds.items()}
    print(f"{name}: {job['rows']} x {job['seq']} tokens, {rounds} rounds, medians of tokens/s")
    for key, value in median.items():
        spread = f"{min(speeds[key]):8.0f} to {max(speeds[key]):8.0f}"
        print(f"  {key:10} {value:8.0f}   ({spread})   titan / {key}: {median['titan'] / value:.2f}")


if __name__ == "__main__":
    main()
