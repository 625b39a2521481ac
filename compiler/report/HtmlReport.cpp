#include "compiler/report/HtmlReport.h"

#include "compiler/report/HtmlPage.h"
#include "compiler/report/MemoryChart.h"
#include "compiler/report/RematChart.h"
#include "compiler/report/Timetable.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

namespace titan {
namespace {

using Row = std::vector<HtmlCell>;

HtmlCell number(int64_t value) { return {.text = withSeparators(value), .isNumber = true}; }
HtmlCell size(int64_t bytes) { return {.text = humanBytes(bytes), .isNumber = true}; }
HtmlCell right(std::string text) { return {.text = std::move(text), .isNumber = true}; }

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

void addModel(HtmlPage &page, const Report &report) {
  const ModelFacts &model = report.model;
  const int64_t microbatches = report.countMicrobatches();
  page.heading("Model");
  std::vector<Row> rows = {
      {{"parameters"}, number(model.parameters)},
      {{"of these in the input embedding, if it is only looked up in"},
       number(model.inputEmbedding)},
      {{"of these norm weights"}, number(model.normWeights)},
      {{"flops per token"}, number(model.flopsPerToken())},
      {{"tokens of a local batch of all ranks"}, number(microbatches * model.tokens)}};
  for (const auto &[index, rank] : llvm::enumerate(report.remat.ranks)) {
    rows.push_back(
        {{"flops of the matrix products that a rank " +
          (rank.rank ? fmt::format("of pipeline rank {} ", *rank.rank) : "") + "does for it"},
         number(microbatches * report.einsumFlops[index])});
    rows.push_back(
        {{"of these what the backward runs again"}, number(microbatches * rank.einsumFlops)});
  }
  page.table("", {{"fact"}, right("number")}, rows);
}

void addMesh(HtmlPage &page, const Report &report) {
  page.heading("Mesh");
  std::vector<Row> rows;
  for (const TrafficFacts::Axis &axis : report.traffic.mesh)
    rows.push_back({{axis.name}, number(axis.size)});
  rows.push_back({{"ranks"}, number(report.traffic.numRanks())});
  rows.push_back({{"local batches of a step"}, number(report.localBatches)});
  page.table("", {{"axis"}, right("size")}, rows);
}

void addPipeline(HtmlPage &page, const PipelineFacts &pipeline) {
  if (pipeline.isEmpty())
    return;
  const Simulation simulation = pipeline.simulate();
  page.heading("Pipeline");
  page.paragraph(
      "The timetable of a local batch by simulation, in units of the mean forward of a "
      "stage; what an action costs is the time of its ops, each by its flops or by the "
      "bytes it moves. Transfers take no time. A box's number is its microbatch, a paler box is "
      "one of a later stage of the rank; under a row are the rank's bytes.");
  page.markup("<div class=\"wide\">" + drawTimetable(pipeline.schedule, simulation) + "</div>\n");
  std::vector<Row> rows;
  for (size_t index = 0; index < pipeline.stages.size(); ++index) {
    const PipelineFacts::Stage &stage = pipeline.stages[index];
    Row row{number(static_cast<int64_t>(index)), number(stage.rank)};
    for (const auto &[name, work] : pipeline.listWork(index))
      llvm::append_values(row, number(work.flops), size(work.bytes()));
    llvm::append_values(row, size(stage.getResidualBytes()),
                        number(PipelineFacts::countInFlight(simulation, index)));
    rows.push_back(std::move(row));
  }
  Row columns{right("stage"), right("pipeline rank")};
  for (const auto &[name, work] : pipeline.listWork(0))
    llvm::append_values(columns, right(fmt::format("{} flops", name)), right("bytes"));
  llvm::append_values(columns, right("kept"), right("most in flight"));
  page.table(
      "Stages, of one microbatch on one rank; bytes are those that ops move if each runs alone",
      columns, rows);
  rows.clear();
  for (size_t rank = 0; rank < simulation.ranks.size(); ++rank) {
    const RankSimulation &result = simulation.ranks[rank];
    const double idle = 1 - result.busy / simulation.makespan;
    rows.push_back({number(static_cast<int64_t>(rank)),
                    {.text = fmt::format("{:.1f} %", 100 * idle), .isNumber = true, .bar = idle},
                    number(result.inFlight),
                    size(result.peakBytes)});
  }
  page.table("Pipeline ranks",
             {right("rank"), right("idle"), right("most in flight"), right("most bytes")}, rows);
}

std::vector<Row> listItems(const RematFacts &facts,
                           std::vector<RematFacts::Item> RematFacts::Rank::*items,
                           llvm::function_ref<HtmlCell(const RematFacts::Rank &, int64_t)> show) {
  std::vector<Row> rows;
  for (const RematFacts::Rank &rank : facts.ranks)
    for (const RematFacts::Item &item : rank.*items)
      rows.push_back({{item.name},
                      number(rank.rank.value_or(0)),
                      number(item.count),
                      show(rank, item.amount)});
  return rows;
}

void addRemat(HtmlPage &page, const RematFacts &facts) {
  if (facts.isEmpty())
    return;
  page.heading("Recomputation");
  page.paragraph(
      "What a rank keeps for the backward, of all microbatches in flight, over the time "
      "of what the backward would compute again, as a share of forward and backward: "
      "every plan that is best for its bytes, from no recomputation to the least bytes.");
  page.markup(drawRematRange(facts));
  auto share = [](const RematFacts::Rank &rank, const RematFrontier::Point &point) {
    return right(fmt::format("{:.1f} %", 100 * rank.slowDown(point)));
  };
  std::vector<Row> rows;
  for (const RematFacts::Rank &rank : facts.ranks)
    rows.push_back({number(rank.rank.value_or(0)), size(rank.none.bytes), size(rank.chosen.bytes),
                    share(rank, rank.chosen), size(rank.range.back().bytes),
                    share(rank, rank.range.back())});
  page.table("By pipeline rank",
             {right("rank"), right("without recomputation"), right("kept"), right("time again"),
              right("least"), right("its time again")},
             rows);
  rows = listItems(facts, &RematFacts::Rank::kept,
                   [](const RematFacts::Rank &, int64_t bytes) { return size(bytes); });
  page.table("Kept", {{"of"}, right("pipeline rank"), right("count"), right("of a microbatch")},
             rows);
  rows =
      listItems(facts, &RematFacts::Rank::rerun,
                [&](const RematFacts::Rank &rank, int64_t work) { return share(rank, {0, work}); });
  if (!rows.empty())
    page.table("Run again, beside pointwise functions",
               {{"of"}, right("pipeline rank"), right("count"), right("time")}, rows);
}

void addStepMemory(HtmlPage &page, const StepMemory &step) {
  if (step.numInstructions() == 0)
    return;
  page.heading("Memory over a step");
  page.paragraph("Bytes of one rank that hold something in use, by kind, over the instructions of "
                 "the step with one microbatch. Residuals and scratch count from the instruction "
                 "that writes them to the last that reads them; the other kinds are always there.");
  page.markup(drawStepMemory(step));
  const size_t peak = step.peak();
  std::vector<Row> rows;
  for (const StepMemory::Kind &kind : step.kinds)
    rows.push_back({{kind.name},
                    size(kind.bytes[peak]),
                    size(*std::max_element(kind.bytes.begin(), kind.bytes.end()))});
  const int64_t total = step.totalBytes(peak);
  rows.push_back({{"together"}, size(total), size(total)});
  page.table(fmt::format("Most in use: {} bytes, at instruction {}", withSeparators(total), peak),
             {{"kind"}, right("then"), right("its own most")}, rows);
  rows.clear();
  for (const StepMemory::Stretch &stretch : step.stretches) {
    int64_t most = 0;
    for (size_t at = stretch.begin; at < stretch.end; ++at)
      most = std::max(most, step.totalBytes(at));
    rows.push_back({{"@" + stretch.function},
                    number(static_cast<int64_t>(stretch.end - stretch.begin)),
                    size(most)});
  }
  page.table("Functions in the order of the timeline",
             {{"function"}, right("instructions"), right("most in use")}, rows);
}

void addMemory(HtmlPage &page, const MemoryFacts &memory) {
  page.heading("Memory of one rank");
  page.paragraph("Allocated once, when the program is loaded; " + describeRanks(memory) + ".");
  const int64_t total = memory.totalBytes();
  std::vector<Row> rows;
  for (const MemoryFacts::Item &item : memory.segments)
    rows.push_back({{.text = item.name, .bar = share(item.bytes, total)},
                    number(item.bytes),
                    size(item.bytes)});
  rows.push_back({{"total"}, number(total), size(total)});
  page.table("", {{"segment"}, right("bytes"), right("size")}, rows);
  rows.clear();
  for (const MemoryFacts::Item &item : memory.residualClasses)
    rows.push_back({{item.name}, number(item.slots), size(item.slotBytes), number(item.bytes)});
  page.table("Residuals by class", {{"class"}, right("slots"), right("of a slot"), right("bytes")},
             rows);
  rows.clear();
  for (const MemoryFacts::Padding &padding : memory.padding)
    rows.push_back({{padding.name}, number(padding.bytes), number(padding.ofBytes)});
  if (!rows.empty())
    page.table("Padding of variables, in the parts of all ranks that share them",
               {{"segment"}, right("bytes of padding"), right("of bytes")}, rows);
}

void addTraffic(HtmlPage &page, const TrafficFacts::Rank &rank, int64_t count) {
  const std::string of =
      rank.pipelineRank ? fmt::format(" of pipeline rank {}", *rank.pipelineRank) : "";
  const int64_t total = rank.bytes(count);
  std::vector<Row> rows;
  for (const TrafficFacts::Row &row : rank.rows)
    rows.push_back({{.text = row.axes, .bar = share(row.bytes(count), total)},
                    {row.kind},
                    number(row.ranks),
                    number(row.count(count)),
                    number(row.bytes(count)),
                    size(row.bytes(count)),
                    size(row.bytesPerLocalBatch)});
  rows.push_back({{"total"}, {}, {}, {}, number(total), size(total), {}});
  page.table("By axis and collective" + of + "; the bars are shares of the total",
             {{"axes"},
              {"collective"},
              right("ranks"),
              right("count"),
              right("bytes"),
              right("size"),
              right("per local batch")},
             rows);
  page.table("Gradient accumulation" + of, {{""}, right("bytes"), right("size")},
             {{{"reductions of each local batch's gradients"},
               number(rank.gradientBytes),
               size(rank.gradientBytes)},
              {{"reductions of a step's gradients"},
               number(count * rank.gradientBytes),
               size(count * rank.gradientBytes)},
              {{"memory to reduce them once instead, beside the slices"},
               number(rank.unreducedGradientBytes),
               size(rank.unreducedGradientBytes)}});
}

void addTraffic(HtmlPage &page, const Report &report) {
  page.heading("Traffic of one rank in a step");
  if (llvm::all_of(report.traffic.ranks,
                   [](const TrafficFacts::Rank &rank) { return rank.rows.empty(); }))
    return page.paragraph("None: no collective runs.");
  page.paragraph("Counted are " + kRingConvention.str() + ".");
  for (const TrafficFacts::Rank &rank : report.traffic.ranks)
    addTraffic(page, rank, report.localBatches);
}

void addLargest(HtmlPage &page, const Report &report) {
  page.heading("Largest buffers");
  std::vector<Row> rows;
  for (const MemoryFacts::Buffer &buffer : report.memory.largest)
    rows.push_back({{buffer.name}, {buffer.base}, number(buffer.count), size(buffer.bytes)});
  page.table("N stands for a number where several are alike",
             {{"name"}, {"in"}, right("count"), right("of one")}, rows);
  if (report.traffic.largest.empty())
    return;
  page.heading("Largest collectives");
  rows.clear();
  for (const TrafficFacts::Collective &one : report.traffic.largest)
    rows.push_back({{fmt::format("@{}: {}", one.function, one.name)},
                    {one.kind},
                    {one.axes},
                    number(one.stretches),
                    number(one.count),
                    size(one.bytes)});
  page.table("By the first tensor in each group",
             {{"name"},
              {"collective"},
              {"axes"},
              right("stretches"),
              right("count"),
              right("sent by one")},
             rows);
}

} // namespace

std::string renderHtmlReport(const Report &report, std::string_view job) {
  HtmlPage page(fmt::format("What {} needs", job));
  addModel(page, report);
  addMesh(page, report);
  addPipeline(page, report.pipeline);
  addRemat(page, report.remat);
  addStepMemory(page, report.step);
  addMemory(page, report.memory);
  addTraffic(page, report);
  addLargest(page, report);
  return page.take();
}

} // namespace titan
