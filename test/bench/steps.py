"""What the benchmarks of training steps share: a text, and titan-run's seconds per step."""

import json
import os
import subprocess

STEPS = 4  # of a run; the first is not counted


def write_text(folder):
    """A file to train on."""
    path = os.path.join(folder, "text.txt")
    with open(path, "w") as file:
        file.write("the quick brown fox jumps over the lazy dog. " * 5000)
    return path


def step_seconds(build, program, text, folder, *options):
    """Seconds of each counted step of one run."""
    metrics = os.path.join(folder, "metrics.jsonl")
    subprocess.run([os.path.join(build, "bin", "titan-run"), program, "--training.dataset_path", text,
                    "--metrics.log_freq", "1", "--training.steps", str(STEPS), "--metrics.jsonl", metrics,
                    "--debug.seed", "1", *options], check=True, stderr=subprocess.DEVNULL)
    with open(metrics) as lines:
        return [json.loads(line)["seconds_per_step"] for line in lines][1:]
