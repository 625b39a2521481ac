// Where a program's variables, inputs and residuals live, and the timelines over its functions.
#pragma once

#include "dialects/titan/Sharding.h"
#include "passes/memory/ValuePlacement.h"
#include "passes/pipeline/RankTimeline.h"

#include "llvm/ADT/StringSet.h"

namespace titan {

/// Segments and residual classes of the program file. Those of one pipeline rank end in its number,
/// as in `parameters.1`, and classes of a stage in the stage's.
namespace segments {
inline constexpr llvm::StringLiteral kParameters = "parameters";
inline constexpr llvm::StringLiteral kState = "state";
inline constexpr llvm::StringLiteral kGradients = "gradients";
inline constexpr llvm::StringLiteral kDerived = "derived";
inline constexpr llvm::StringLiteral kIo = "io";
inline constexpr llvm::StringLiteral kResiduals = "residuals";
inline constexpr llvm::StringLiteral kScratch = "scratch";
inline constexpr llvm::StringLiteral kBatch = "batch";
inline constexpr llvm::StringLiteral kForwardToBackward = "fwd_to_bwd";
inline constexpr llvm::StringLiteral kForwardToWeight = "fwd_to_weight";
inline constexpr llvm::StringLiteral kInputToWeight = "input_to_weight";
inline constexpr llvm::StringLiteral kActivations = "activations";
} // namespace segments

/// The dense row-major buffer of a tensor type.
mlir::MemRefType getBufferType(mlir::Type tensor);

/// A buffer of that many bytes.
mlir::MemRefType getScratchType(mlir::OpBuilder &builder, int64_t bytes);

class ProgramLayout {
public:
  explicit ProgramLayout(mlir::ModuleOp module);

  /// Plans timelines and slots; fails with a diagnostic if the functions do not fit each other or
  /// their schedule.
  mlir::LogicalResult plan();

  FunctionLayout getFunctionLayout(mlir::func::FuncOp function) const;

  /// The segment of a function's arena.
  std::string getScratch(mlir::func::FuncOp function) const;

  /// Declares the program, segments, residual classes and variables before all functions;
  /// `arenaBytes` by segment.
  void declareMemory(mlir::OpBuilder &builder, const llvm::StringMap<int64_t> &arenaBytes);

  /// Declares @train and, if the module can evaluate, @evaluation after all functions; of a
  /// pipeline
  /// @train.R and so on, and the functions that send and receive.
  void declareTimelines(mlir::OpBuilder &builder);

private:
  /// Equal slots of tensors, one after another.
  struct ResidualClass {
    std::string name;
    llvm::SmallVector<mlir::Type> types;
    llvm::SmallVector<int64_t> offsets;
    llvm::SmallVector<int64_t> rooms;
    int64_t bytes = 0;
    int64_t slots = 1;
    int64_t offset = 0;          ///< in its segment
    std::optional<int64_t> rank; ///< the pipeline rank that has it
  };
  struct Input {
    std::string name;
    mlir::func::FuncOp function; ///< the first that takes it
    unsigned index;              ///< among its arguments
  };
  /// The functions of training or of evaluation, by stage.
  struct Flow {
    std::string prefix; ///< of names
    llvm::SmallVector<mlir::func::FuncOp> forward, backward;
    llvm::SmallVector<mlir::func::FuncOp> weights; ///< second halves of backwards in two halves
    llvm::SmallVector<Input> inputs;
    ResidualClass batch;
    /// By stage and SlotClass.
    std::vector<std::array<ResidualClass, kNumSlotClasses>> classes;
    PipelineTimelines timelines;
    PipelineSchedule schedule;

    bool isPipeline() const { return getPipelineRank().has_value(); }
    std::optional<int64_t> getPipelineRank(int64_t stage = 0) const {
      return titan::getPipelineRank(forward[stage]);
    }
    mlir::func::FuncOp getFunction(const PipelineAction &action) const;
    /// What stages hand on: to the next stage, or to the one before.
    unsigned countSent(int64_t stage) const;
    unsigned countCotangents(int64_t stage) const;
    /// Whether the second half of the backward reads argument `index` of the backward.
    bool isReadByWeights(int64_t stage, unsigned index) const;
    /// Whether it reads some of those that come from other stages: activations, or the cotangents
    /// behind the residuals.
    bool doWeightsRead(SlotClass received, int64_t stage) const;
    /// Of the forward's result `index` behind those that it sends.
    SlotClass getResidualClass(int64_t stage, unsigned index) const;
    unsigned countResiduals(int64_t stage) const;
    ResidualClass &get(SlotClass slotClass, int64_t stage) {
      return classes[stage][static_cast<size_t>(slotClass)];
    }
    const ResidualClass &get(SlotClass slotClass, int64_t stage) const {
      return classes[stage][static_cast<size_t>(slotClass)];
    }
    /// Where a stage's results for its neighbour go.
    const ResidualClass &getOutgoing(int64_t stage, bool isForward) const;
  };

  void forEachClass(llvm::function_ref<void(ResidualClass &)> visit);
  void placeVariable(VariableOp variable, llvm::StringRef segment, int64_t room);
  /// `room`: how many bytes it takes, at least the type's.
  static void append(ResidualClass &to, mlir::Type type, int64_t room = 0);

  mlir::LogicalResult planFlow(Flow &flow, llvm::StringRef scheduleName);
  mlir::LogicalResult verifyFamilies(const Flow &flow);
  void findInputs(Flow &flow);
  mlir::LogicalResult layOutStage(Flow &flow, int64_t stage);
  mlir::LogicalResult setSchedule(Flow &flow, llvm::StringRef name);
  mlir::LogicalResult verifyStage(const Flow &flow, int64_t stage) const;
  static mlir::LogicalResult verifyWeights(const Flow &flow, int64_t stage);
  class StageRanges;
  bool layOutFunction(const Flow &flow, mlir::func::FuncOp function, FunctionLayout &layout) const;
  void layOutForward(const Flow &flow, int64_t stage, FunctionLayout &layout) const;
  void layOutBackward(const Flow &flow, int64_t stage, bool isWeights,
                      FunctionLayout &layout) const;

  void declareSegments(mlir::OpBuilder &builder, const llvm::StringMap<int64_t> &arenaBytes);
  void declareClasses(mlir::OpBuilder &builder);
  void declareVariables(mlir::OpBuilder &builder);
  void declareInputs(mlir::OpBuilder &builder, const Flow &flow);
  void declareFlow(mlir::OpBuilder &builder, const Flow &flow, llvm::StringRef timeline);
  void declareBody(mlir::OpBuilder &builder, const Flow &flow, const RankTimeline &timeline);
  std::string getTransfer(mlir::OpBuilder &builder, const Flow &flow, const TimelineEntry &entry);

  mlir::ModuleOp module;
  std::optional<int64_t> numRanks; ///< of the pipeline
  llvm::StringMap<int64_t> owners; ///< pipeline ranks of variables
  llvm::StringMap<FixedRange> variables;
  llvm::StringMap<int64_t> segmentBytes;
  Flow training, evaluation;
  llvm::StringSet<> transfers; ///< functions of transfers that have been made
};

} // namespace titan
