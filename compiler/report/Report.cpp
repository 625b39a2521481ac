#include "compiler/report/Report.h"

#include <spdlog/fmt/fmt.h>

#include <iterator>

namespace titan {

std::string withSeparators(int64_t number) {
  std::string digits = std::to_string(number);
  const int64_t first = number < 0 ? 1 : 0;
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > first; at -= 3)
    digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

std::string humanBytes(int64_t bytes) {
  constexpr const char *units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024)
    return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit)
    value /= 1024;
  return fmt::format("{:.2f} {}", value, units[unit]);
}

std::vector<RematFrontier::Point> samplePlans(llvm::ArrayRef<RematFrontier::Point> range,
                                              size_t most) {
  std::vector<RematFrontier::Point> samples;
  if (range.empty())
    return samples;
  const int64_t first = range.front().bytes, last = range.back().bytes;
  size_t at = 0;
  for (size_t i = 0; i < most; ++i) {
    const int64_t bytes =
        first - (first - last) / static_cast<int64_t>(most - 1) * static_cast<int64_t>(i);
    while (at + 1 < range.size() && (range[at].bytes > bytes || i + 1 == most))
      ++at;
    if (samples.empty() || range[at].bytes < samples.back().bytes)
      samples.push_back(range[at]);
  }
  return samples;
}

std::string describeRanks(const MemoryFacts &memory) {
  const bool isPipeline = llvm::any_of(
      memory.segments, [](const MemoryFacts::Item &segment) { return segment.rank.has_value(); });
  return isPipeline
             ? "the total is of the pipeline rank that has the most; NAME.R is pipeline rank R's, "
               "and all have the others"
             : "every rank has as much";
}

namespace {

/// Lines "  name      number  remark" under headings.
class Page {
public:
  void heading(const std::string &name) { text += (text.empty() ? "" : "\n") + name + "\n"; }
  void row(const std::string &name, const std::string &value, const std::string &remark = "") {
    text += fmt::format("  {:<34}{:>26}{}{}\n", name, value, remark.empty() ? "" : "  ", remark);
  }
  void note(const std::string &sentence) { text += "  " + sentence + "\n"; }
  std::string take() { return std::move(text); }

private:
  std::string text;
};

/// The ranks of a stage share its products evenly.
void renderModel(Page &page, const Report &report) {
  const ModelFacts &model = report.model;
  const int64_t microbatches = report.countMicrobatches();
  const int64_t times = report.traffic.numRanksOfStage() * microbatches;
  int64_t rerunFlops = 0;
  for (const RematFacts::Rank &rank : report.remat.ranks)
    rerunFlops += times * rank.einsumFlops;
  const int64_t einsumFlops = times * llvm::sum_of(report.einsumFlops) - rerunFlops;
  page.heading("model");
  page.row("parameters", withSeparators(model.parameters));
  page.row("  input embedding", withSeparators(model.inputEmbedding),
           model.inputEmbedding ? "only looked up in" : "none: its matrix is the head's too");
  page.row("  norm weights", withSeparators(model.normWeights));
  page.row("flops per token", withSeparators(model.flopsPerToken()),
           "6 x (parameters - input embedding) + 12 x layers x heads x head dim x sequence");
  page.row("tokens of a local batch", withSeparators(microbatches * model.tokens),
           microbatches > 1 ? fmt::format("of all ranks: {} microbatches of {}", microbatches,
                                          withSeparators(model.tokens))
                            : "of all ranks");
  const int64_t expected = microbatches * model.weightProductFlops();
  page.row("flops of its matrix products", withSeparators(einsumFlops),
           einsumFlops == expected
               ? "= 6 x (parameters - norm weights - input embedding) x tokens"
               : "but 6 x (parameters - norm weights - input embedding) x tokens = " +
                     withSeparators(expected));
  if (rerunFlops)
    page.row("  of those that run again", withSeparators(rerunFlops),
             fmt::format("in the backward; executed are {} together",
                         withSeparators(einsumFlops + rerunFlops)));
}

/// What a run has beside the arena. The host fills its own copy of a batch, then a slot.
void renderHostMemory(Page &page, const MemoryFacts &memory) {
  int64_t batches = 0;
  for (const MemoryFacts::Item &item : memory.residualClasses)
    if (item.name == "batch" || item.name == "eval_batch")
      batches += item.slotBytes;
  page.heading("beside the arena");
  page.row("host batches", withSeparators(batches), humanBytes(batches));
  page.row("kernel workspaces, token files", "at the start of a run",
           "they depend on its threads and its data; titan-run prints them");
}

std::string describeMesh(const TrafficFacts &traffic) {
  std::string text;
  for (const TrafficFacts::Axis &axis : traffic.mesh)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", axis.name, axis.size);
  return text.empty() ? "one rank" : text;
}

void renderTraffic(Page &page, const TrafficFacts::Rank &rank, int64_t localBatches) {
  page.heading(rank.pipelineRank
                   ? fmt::format("traffic of a rank of pipeline rank {}", *rank.pipelineRank)
                   : "traffic of one rank");
  page.note(kRingConvention.str());
  for (const TrafficFacts::Row &row : rank.rows) {
    page.row(row.kind + " over " + row.axes, withSeparators(row.bytes(localBatches)),
             fmt::format("a step, {} collectives of {} ranks", row.count(localBatches), row.ranks));
    page.row("  each local batch", withSeparators(row.bytesPerLocalBatch),
             fmt::format("{} collectives", row.countPerLocalBatch));
  }
  const int64_t total = rank.bytes(localBatches);
  page.row("total", withSeparators(total), humanBytes(total) + " a step");
  page.heading("gradient accumulation");
  page.row("reductions of each local batch", withSeparators(rank.gradientBytes),
           humanBytes(rank.gradientBytes));
  page.row("reductions of a step", withSeparators(localBatches * rank.gradientBytes),
           fmt::format("{} x", localBatches));
  page.row("memory to reduce once instead", withSeparators(rank.unreducedGradientBytes),
           "more for gradients before they are cut into slices");
}

void renderTraffic(Page &page, const Report &report) {
  const TrafficFacts &traffic = report.traffic;
  page.heading("mesh");
  page.row("ranks", withSeparators(traffic.numRanks()), describeMesh(traffic));
  page.row("local batches of a step", withSeparators(report.localBatches));
  for (const TrafficFacts::Rank &rank : traffic.ranks)
    renderTraffic(page, rank, report.localBatches);
}

void renderPadding(Page &page, const MemoryFacts &memory) {
  if (memory.padding.empty())
    return;
  page.heading("padding of variables, the parts of all ranks together");
  for (const MemoryFacts::Padding &padding : memory.padding)
    page.row(padding.name, withSeparators(padding.bytes),
             "of " + withSeparators(padding.ofBytes) + " bytes");
}

void renderMemory(Page &page, const MemoryFacts &memory) {
  page.heading("memory of one rank");
  for (const MemoryFacts::Item &segment : memory.segments)
    page.row(segment.name, withSeparators(segment.bytes), humanBytes(segment.bytes));
  page.row("total", withSeparators(memory.totalBytes()), humanBytes(memory.totalBytes()));
  page.note(describeRanks(memory) +
            "; this is the peak, since it is allocated once and never grows");
  if (!memory.residualClasses.empty()) {
    page.heading("residuals by class");
    for (const MemoryFacts::Item &item : memory.residualClasses)
      page.row(item.name, withSeparators(item.bytes),
               fmt::format("{} x {}", item.slots, humanBytes(item.slotBytes)));
  }
  page.heading("largest buffers");
  for (const MemoryFacts::Buffer &buffer : memory.largest)
    page.row(buffer.base, withSeparators(buffer.bytes),
             buffer.count == 1 ? buffer.name : fmt::format("{} x {}", buffer.count, buffer.name));
  renderPadding(page, memory);
  renderHostMemory(page, memory);
}

void renderPipeline(Page &page, const PipelineFacts &pipeline) {
  if (pipeline.isEmpty())
    return;
  page.heading("pipeline");
  const Simulation simulation = pipeline.simulate();
  for (const auto &[index, stage] : llvm::enumerate(pipeline.stages)) {
    page.note(fmt::format("stage {} on pipeline rank {}", index, stage.rank));
    for (const auto &[name, work] : pipeline.listWork(index))
      page.row(fmt::format("  {} flops", name), withSeparators(work.flops),
               humanBytes(work.bytes()) + " moved by ops that run alone");
    page.row("  kept of a microbatch", withSeparators(stage.getResidualBytes()),
             fmt::format("{} x {}", PipelineFacts::countInFlight(simulation, index),
                         humanBytes(stage.getResidualBytes())));
  }
  page.row("idle share of all ranks", fmt::format("{:.1f} %", 100 * simulation.getIdleShare()),
           "by the stages' flops and bytes");
}

void renderItems(Page &page, const std::string &title, const std::vector<RematFacts::Item> &items,
                 llvm::function_ref<std::string(const RematFacts::Item &)> remark) {
  constexpr size_t kMostItems = 8;
  if (items.empty())
    return;
  page.note(title);
  for (size_t i = 0; i < std::min(items.size(), kMostItems); ++i)
    page.row("", withSeparators(items[i].amount),
             fmt::format("{} x {}{}", items[i].count, items[i].name, remark(items[i])));
  if (items.size() > kMostItems)
    page.note(fmt::format("  and {} more", items.size() - kMostItems));
}

void renderRemat(Page &page, const RematFacts::Rank &facts) {
  page.heading("recomputation" +
               (facts.rank ? fmt::format(" of pipeline rank {}", *facts.rank) : ""));
  auto share = [&](const RematFrontier::Point &point) {
    return fmt::format("{:.1f} % of forward and backward", 100 * facts.slowDown(point));
  };
  page.row("kept for the backward", withSeparators(facts.chosen.bytes),
           humanBytes(facts.chosen.bytes) + ", of all microbatches in flight");
  page.row("time of what runs again", withSeparators(facts.chosen.work),
           "in flops; " + share(facts.chosen));
  page.note("bytes that could be kept instead, and the time that would run again");
  constexpr size_t kMostPlans = 9;
  for (const RematFrontier::Point &point : samplePlans(facts.range, kMostPlans))
    page.row("", withSeparators(point.bytes), share(point));
  renderItems(page, "kept, bytes of a microbatch", facts.kept,
              [](const RematFacts::Item &) { return ""; });
  renderItems(page, "run again, time in flops", facts.rerun,
              [&](const RematFacts::Item &item) { return ", " + share({0, item.amount}); });
}

} // namespace

std::string renderReport(const Report &report) {
  Page page;
  renderModel(page, report);
  renderPipeline(page, report.pipeline);
  for (const RematFacts::Rank &rank : report.remat.ranks)
    renderRemat(page, rank);
  renderTraffic(page, report);
  renderMemory(page, report.memory);
  return page.take();
}

} // namespace titan
