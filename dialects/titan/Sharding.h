// Meshes and shardings: what #titan.sharding and titan.mesh mean for shapes.
#pragma once

#include "dialects/titan/TitanDialect.h"

#include "mlir/IR/BuiltinOps.h"

#include <optional>
#include <string>

namespace titan {

/// The symbol of a module's mesh.
inline constexpr llvm::StringLiteral kMeshName = "mesh";
/// Where the function arguments' and results' sharded global types stand in a per-device program.
inline constexpr llvm::StringLiteral kGlobalType = "titan.global_type";
/// Marks an argument or result of a per-device program of which every rank holds a value of its
/// own.
inline constexpr llvm::StringLiteral kPerRank = "titan.per_rank";
/// The attribute of a function's argument that says, before propagation, how it arrives.
inline constexpr llvm::StringLiteral kArgumentSharding = "titan.sharding";

/// The axis of pipeline ranks: each computes some stages of the model.
inline constexpr llvm::StringLiteral kPipelineAxis = "pp";
/// The attribute of a function that only the ranks with this coordinate in the pipeline axis
/// execute. To it the mesh is what is left without that axis: of a variable that is a sum over the
/// pipeline axis it sees its own part.
inline constexpr llvm::StringLiteral kPipelineRank = "titan.pipeline_rank";
/// What a stage's function gets from the stage before, or its backward from the one after.
inline constexpr llvm::StringLiteral kReceived = "titan.received";
/// The attribute of a graph that names the model's modules, in the order of the forward: what a
/// pipeline does not cut.
inline constexpr llvm::StringLiteral kModules = "titan.modules";
/// Attributes of a module that titan-split-stages is to cut: per stage the names of its modules,
/// and the pipeline rank of each stage.
inline constexpr llvm::StringLiteral kStages = "titan.stages";
inline constexpr llvm::StringLiteral kStageRanks = "titan.stage_ranks";

/// The pipeline rank that a function, or the one that an op stands in, is for; none: all ranks.
std::optional<int64_t> getPipelineRank(mlir::Operation *op);

/// The type with which the op's function sees a variable of this type: see kPipelineRank.
mlir::RankedTensorType getSeenType(mlir::RankedTensorType variable, mlir::Operation *op);

/// Named axes with their sizes, outermost first.
///
/// Example: {dp_shard: 4, tp: 2} has 8 ranks; rank 5 has the coordinates dp_shard 2, tp 1.
class MeshShape {
public:
  struct Axis {
    mlir::StringAttr name;
    int64_t size;
  };

  MeshShape() = default;
  explicit MeshShape(MeshOp mesh);
  /// The module's mesh; no axes, hence one rank, when it has none.
  static MeshShape get(mlir::ModuleOp module);

  llvm::ArrayRef<Axis> getAxes() const { return axes; }
  bool hasAxis(mlir::StringAttr name) const;
  /// 1 for axes that the mesh lacks.
  int64_t getSize(mlir::StringAttr name) const;
  int64_t getSize(llvm::ArrayRef<mlir::StringAttr> names) const;
  int64_t getNumRanks() const;

  /// A rank's coordinate in some axes as one number, the first axis outermost.
  int64_t getCoordinate(int64_t rank, llvm::ArrayRef<mlir::StringAttr> names) const;
  /// The ranks that differ from `rank` in the named axes alone, in the order of their coordinates;
  /// `rank` is among them.
  llvm::SmallVector<int64_t> getGroup(int64_t rank, llvm::ArrayRef<mlir::StringAttr> names) const;

private:
  llvm::SmallVector<Axis, 5> axes;
};

/// A tensor type's sharding; null without one.
ShardingAttr getSharding(mlir::Type type);
mlir::RankedTensorType withSharding(mlir::RankedTensorType type, ShardingAttr sharding);
mlir::RankedTensorType withoutSharding(mlir::RankedTensorType type);

/// Whether two tensors have the same shape and element type, however they are laid out.
bool isSameTensor(mlir::Type left, mlir::Type right);

/// What a rank holds of a tensor, as a type without sharding: dimensions divided by their axes, or
/// for flat storage one dimension. Types without a sharding stay. Only for shardings that
/// checkSharding accepts.
mlir::RankedTensorType getLocalType(mlir::RankedTensorType type, const MeshShape &mesh);

/// For flat storage: what a rank has after the dimensions' axes alone, and how many elements of
/// the flat slices hold no element of it (all of them at the end of the last slices).
struct FlatStorage {
  mlir::RankedTensorType whole;
  int64_t sliceElements = 0;
  int64_t paddingElements = 0;
};
FlatStorage getFlatStorage(mlir::RankedTensorType type, const MeshShape &mesh);

/// The result types of a collective like `like` on other operands: longer or shorter along
/// `dimension` by the same factor.
llvm::SmallVector<mlir::Type> getGroupedTypes(mlir::ValueRange operands, mlir::Operation *like,
                                              unsigned dimension);

/// The first axis that a sharding names and the mesh lacks, as an error; empty without one.
std::string checkAxes(ShardingAttr sharding, const MeshShape &mesh);

/// Why a tensor cannot be laid out as its sharding says: an axis that the mesh lacks, or a
/// dimension that does not divide. Empty when it can.
std::string checkSharding(mlir::RankedTensorType type, const MeshShape &mesh);

} // namespace titan
