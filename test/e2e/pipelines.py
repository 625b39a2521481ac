"""Trains the debug model in pipelines and compares each with one rank.

    pipelines.py BUILD_DIR WORK_DIR [--layers N] [--poison CASE] CASE ...
    pipelines.py BUILD_DIR WORK_DIR --all      every schedule, mesh and number of microbatches: an hour
                                               WORK_DIR/table.md is what docs/pipelines.md shows

A case is SCHEDULE,PP,SHARD,TP,MICROBATCHES, such as 1F1B,2,1,2,4, and may go on with options,
key=value of [parallelism], or of titan-compile as --name=value, separated by commas; a SCHEDULE that ends in .csv is
a file. Microbatches are of one row of 64 tokens for each rank that splits the batch; the one rank recomputes nothing.
Without --layers the model has the debug model's six. Deviations, bounds and limits of memory are as in meshes.py.
"""

import argparse
import sys

import meshes



def is_whole_rounds(ranks, count):
    return count % max(1, count // ranks) == 0


# Which microbatch counts on so many ranks a schedule takes.
SCHEDULES = {
    "GPipe": lambda ranks, count: True,
    "1F1B": lambda ranks, count: True,
    "Interleaved1F1B": is_whole_rounds,
    "LoopedBFS": lambda ranks, count: True,
    "InterleavedZeroBubble": is_whole_rounds,
    "ZBVZeroBubble": lambda ranks, count: True,
    "DualPipeV": lambda ranks, count: count >= 2 * ranks,
}
COUNTS = (1, 2, 3, 4, 8, 16)
# dp_shard and tp
MESHES = ((1, 1), (2, 1), (1, 2), (2, 2))


class Pipeline:
    """A case as meshes.Trainer.run() takes it."""

    def __init__(self, text):
        schedule, ranks, shard, tp, count, *options = text.split(",")
        self.name = text
        self.world = int(ranks) * int(shard) * int(tp)
        self.rows = int(count) * int(shard)
        self.options = ["--training.local_batch_size", count, "--parallelism.pipeline_parallel_degree", ranks,
                        "--parallelism.data_parallel_shard_degree", shard,
                        "--parallelism.tensor_parallel_degree", tp]
        if schedule.endswith(".csv"):
            self.options += ["--parallelism.pipeline_parallel_schedule", "PipelineScheduleMulti",
                             "--parallelism.pipeline_parallel_schedule_csv", schedule]
        else:
            self.options += ["--parallelism.pipeline_parallel_schedule", schedule]
        for option in options:
            key, value = option.split("=")
            self.options += [key if key.startswith("--") else "--parallelism." + key, value]

    def compile_options(self):
        return ["--world-size", str(self.world), *self.options]


class OneRank:
    def __init__(self, rows):
        self.rows = rows

    def compile_options(self):
        return ["--training.local_batch_size", str(self.rows), "--activation_checkpoint.mode", "none"]


def all_cases():
    for schedule, takes in SCHEDULES.items():
        for ranks in (2, 4):
            for shard, tp in MESHES:
                for count in COUNTS:
                    if takes(ranks, count):
                        yield f"{schedule},{ranks},{shard},{tp},{count}"


class Table:
    """The worst deviations over the microbatch counts, for the documentation."""

    def __init__(self):
        self.cells = {}

    def add(self, name, rows):
        schedule, ranks, shard, tp, count, *_ = name.split(",")
        worst = {quantity: value for quantity, _, (value, _) in rows}
        self.cells.setdefault((schedule, ranks), {}).setdefault((shard, tp), []).append(
            (int(count), worst["loss"], worst["parameters"]))

    def write(self, path):
        names = ["alone", "dp_shard 2", "tp 2", "dp_shard 2 x tp 2"]
        lines = [f"| schedule | ranks | microbatches | {' | '.join(names)} |", "|---|---|---|---|---|---|---|"]
        for (schedule, ranks), meshes_of in self.cells.items():
            counts = sorted({count for cell in meshes_of.values() for count, _, _ in cell})
            texts = [f"{max(c[1] for c in cell):.1e}, {max(c[2] for c in cell):.1e}" if cell else ""
                     for cell in (meshes_of.get((str(shard), str(tp))) for shard, tp in MESHES)]
            lines.append(f"| `{schedule}` | {ranks} | {', '.join(map(str, counts))} | {' | '.join(texts)} |")
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("work")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--poison", action="append", default=[])
    arguments = parser.parse_intermixed_args()
    trainer = meshes.Trainer(arguments.build, arguments.work, arguments.layers)
    references, table = {}, Table()
    good = []
    for name in arguments.cases + (list(all_cases()) if arguments.all else []):
        case = Pipeline(name)
        trainer.rows = case.rows
        if case.rows not in references:
            references[case.rows] = trainer.run("one", OneRank(case.rows), False)
        result = trainer.run("pipeline", case, name in arguments.poison)
        good.append(meshes.compare(name, result, references[case.rows]))
        table.add(name, meshes.measure(result, references[case.rows])[0])
        table.write(trainer.path("table.md"))
    if not good or not all(good):
        sys.exit(f"FAILED: {good.count(False)} of {len(good)} pipelines")
    print(f"{len(good)} pipelines train as one rank does")


if __name__ == "__main__":
    main()
