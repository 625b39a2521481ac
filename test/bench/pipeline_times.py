#!/usr/bin/env python3
"""Steps of pipelines on two ranks: predicted by titan-schedule's simulation, and measured.

    test/bench/pipeline_times.py BUILD_DIR [MICROBATCHES]

The debug model with 8 layers, microbatches of one row of 256 tokens, nothing recomputed, two ranks that are
threads. Interleaved1F1B and InterleavedZeroBubble are recorded (profiling.enable_profiling): what each stage's F, B,
I and W take, the median of each over the steps and of these the mean over the microbatches, and what a step does
outside of its body. With these alone other schedules are
simulated, on the same four stages or on two, each two of the four; then they are trained without recording.
Printed are the simulated steps and the medians of 10 measured ones.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

from steps import write_text

STEPS, OTHERS = 10, 2  # those that are counted, after the others
LAYERS = 8
STAGES = [["tok_embeddings", "layers.0", "layers.1"], ["layers.2", "layers.3"], ["layers.4", "layers.5"],
          ["layers.6", "layers.7", "norm", "output"]]
# Recorded: simulated with its costs.
PREDICTIONS = {
    "Interleaved1F1B": ["Interleaved1F1B", "LoopedBFS", "GPipe", "1F1B"],
    "InterleavedZeroBubble": ["InterleavedZeroBubble", "ZBVZeroBubble", "DualPipeV"],
}
SINGLE = ("GPipe", "1F1B")

JOB = """\
[model]
name = "llama3"
flavor = "debugmodel"
n_layers = {layers}

[training]
dataset_path = "{text}"
seq_len = 256
local_batch_size = {microbatches}
steps = {steps}
mixed_precision_param = "float32"

[parallelism]
pipeline_parallel_degree = 2

[activation_checkpoint]
mode = "none"

[metrics]
log_freq = 1

[debug]
seed = 1

[profiling]
profile_freq = {steps}
profiler_active = {active}
"""


class Bench:
    def __init__(self, build, work, microbatches):
        self.bin, self.work, self.microbatches = os.path.join(os.path.abspath(build), "bin"), work, microbatches
        with open(self.path("job.toml"), "w") as job:
            job.write(JOB.format(layers=LAYERS, text=write_text(work), microbatches=microbatches, steps=STEPS + OTHERS,
                                 active=STEPS))

    def path(self, name):
        return os.path.join(self.work, name)

    def call(self, tool, *arguments):
        return subprocess.run([os.path.join(self.bin, tool), *arguments], cwd=self.work, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout

    def compile(self, schedule):
        stages = STAGES if schedule not in SINGLE else [STAGES[0] + STAGES[1], STAGES[2] + STAGES[3]]
        self.call("titan-compile", "job.toml", "--world-size", "2", "-o", schedule + ".tbin",
                  "--parallelism.pipeline_parallel_schedule", schedule,
                  "--parallelism.module_fqns_per_model_part", ";".join(",".join(names) for names in stages))

    def record(self, schedule):
        """The trace's events of each rank."""
        self.call("titan-run", schedule + ".tbin", "--profiling.enable_profiling", "--job.dump_folder", self.work)
        events = []
        for rank in (0, 1):
            with open(self.path(f"profile_traces/iteration_{STEPS + OTHERS}/rank{rank}_trace.json")) as file:
                events += [event for event in json.load(file)["traceEvents"] if event["ph"] == "X"]
        return events

    def measure(self, schedule):
        """Seconds of a step."""
        metrics = self.path("metrics.jsonl")
        self.call("titan-run", schedule + ".tbin", "--job.dump_folder", self.work, "--metrics.jsonl", metrics)
        with open(metrics) as lines:
            return statistics.median([json.loads(line)["seconds_per_step"] for line in lines][-STEPS:])

    def simulate(self, schedule, costs, transfer):
        if schedule in SINGLE:
            costs = {kind: [values[0] + values[1], values[2] + values[3]] for kind, values in costs.items()}
        text = ",".join(kind + "=" + ":".join(map(str, values)) for kind, values in costs.items())
        stages = [] if schedule in SINGLE else ["--stages-per-rank", "2"]
        return json.loads(self.call("titan-schedule", schedule, "--ranks", "2", "--microbatches",
                                    str(self.microbatches), *stages, "--cost", text, "--transfer", str(transfer),
                                    "--format", "json"))["makespan"]


def end(event):
    return event["ts"] + event["dur"]


def read_costs(events):
    """In seconds: ({"F": of each stage, ...}, outside of the body, of a transfer)."""
    times = {}
    for event in events:
        if event["cat"] in "FBIW":
            microbatches = times.setdefault((event["cat"], event["args"]["stage"]), {})
            microbatches.setdefault(event["args"]["microbatch"], []).append(event["dur"] * 1e-6)
    costs = {kind: [statistics.mean(map(statistics.median, times[kind, stage].values()))
                    for stage in range(len(STAGES))] for kind in sorted({kind for kind, _ in times})}
    if "B" not in costs:
        costs["B"] = [i + w for i, w in zip(costs["I"], costs["W"])]
    outside = []
    for step in [event for event in events if event["cat"] == "step" and event["pid"] == 0]:
        body = [event for event in events
                if event["cat"] in "FBIWSV" and event["args"]["step"] == step["args"]["step"]]
        outside.append((step["dur"] - max(map(end, body)) + min(event["ts"] for event in body)) * 1e-6)
    return costs, statistics.median(outside), read_transfer(events)


def read_transfer(events):
    """Seconds from the start of a send to the end of its receive, for receives that waited for it."""
    def key(event, to):
        forward = "activations" in event["name"]
        arguments = event["args"]
        return forward, arguments["step"], arguments["microbatch"], arguments["stage"] + (to if forward else -to)

    sent = {key(event, 1): event["ts"] for event in events if event["name"].startswith("start send")}
    received = [(event, sent[key(event, 0)]) for event in events if event["name"].startswith("await receive")]
    taken = [(end(event) - at) * 1e-6 for event, at in received if event["ts"] < at]
    return statistics.median(taken) if taken else 0


def main():
    microbatches = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(sys.argv[1], work, microbatches)
        for schedules in PREDICTIONS.values():
            for schedule in schedules:
                bench.compile(schedule)
        for recorded, schedules in PREDICTIONS.items():
            costs, outside, transfer = read_costs(bench.record(recorded))
            print(f"{microbatches} microbatches, costs of {recorded}: ms of each stage "
                  + ", ".join(f"{kind} {' '.join(f'{1e3 * value:.1f}' for value in values)}"
                              for kind, values in costs.items())
                  + f"; outside of the body {1e3 * outside:.1f} ms, a transfer {1e3 * transfer:.2f} ms")
            for schedule in schedules:
                predicted = bench.simulate(schedule, costs, transfer) + outside
                measured = bench.measure(schedule)
                print(f"  {schedule:22} predicted {predicted:.3f} s, measured {measured:.3f} s,"
                      f" off by {100 * (predicted / measured - 1):+.1f} %", flush=True)


if __name__ == "__main__":
    main()
