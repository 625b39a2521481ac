// Builds titan IR: one typed helper per op, which infers the result type from its operands, and
// named scopes that give variables their names and ops their locations.
//
//     GraphBuilder graph(&context);
//     graph.declareParameter("layer.weight", {32, 64}, graph.constant(1.0));
//     auto inputs = graph.beginFunction("f", {{"x", graph.f32({8, 64})}});
//     {
//       auto scope = graph.scope("layer");
//       graph.endFunction({graph.einsum("bk,nk->bn", inputs[0], graph.load("weight"))});
//     }
//
// The helpers take operands that fit together; the module's verifier checks them. No model stands
// here, only what models are made of.
#pragma once

#include "dialects/titan/Sharding.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringMap.h"

#include <string>

namespace titan {

/// Rotary position angles as in Llama 3.1 (see #titan.rope_table).
struct RopeScaling {
  double theta;
  double factor = 1.0; ///< 1 scales nothing
  double lowFrequency = 1.0;
  double highFrequency = 4.0;
  double originalLength = 8192.0;
};

class GraphBuilder {
public:
  explicit GraphBuilder(mlir::MLIRContext *context);

  /// The module; the builder must not be used after it.
  mlir::OwningOpRef<mlir::ModuleOp> takeModule() { return std::move(module); }

  /// Names within a scope begin with the scopes' names, joined by '.': in "attention" within
  /// "layers.0", the variable "wq.weight" is `layers.0.attention.wq.weight`. A scope ends with the
  /// object's life.
  class [[nodiscard]] Scope {
  public:
    Scope(const Scope &) = delete;
    Scope &operator=(const Scope &) = delete;
    ~Scope() { graph.leaveScope(outerLength); }

  private:
    friend class GraphBuilder;
    Scope(GraphBuilder &graph, llvm::StringRef name);

    GraphBuilder &graph;
    size_t outerLength;
  };
  Scope scope(llvm::StringRef name) { return Scope(*this, name); }

  /// The module's mesh, before everything that is laid out on it. Parameters are kept as flat
  /// slices over the `storage` axes, cut at multiples of `granule` elements. Without a mesh nothing
  /// is sharded.
  struct Axis {
    llvm::StringRef name;
    int64_t size;
  };
  void declareMesh(llvm::ArrayRef<Axis> axes, llvm::ArrayRef<llvm::StringRef> storage,
                   int64_t granule = 4);

  /// Names what a pipeline's stages are made of, as scopes name it, in the order of the forward.
  void declareModules(llvm::ArrayRef<std::string> names);

  /// For each dimension the axes that split it, outermost first. Axes of size 1 are left out.
  using Split = llvm::ArrayRef<llvm::ArrayRef<llvm::StringRef>>;

  mlir::RankedTensorType f32(llvm::ArrayRef<int64_t> shape);
  mlir::RankedTensorType i32(llvm::ArrayRef<int64_t> shape);

  /// Initializers.
  mlir::Attribute constant(double value);
  mlir::Attribute normal(double mean, double std);
  mlir::Attribute truncatedNormal(double mean, double std, double lower, double upper);
  mlir::Attribute ropeTable(RopeComponent component, const RopeScaling &scaling);

  /// float32 variables, named within the current scope. With `keepGathered` the backward of a
  /// microbatch uses what its forward has gathered from storage. The last `padding` rows of the
  /// shape are no part of the parameter: the ops that use it have to leave them zero.
  void declareParameter(llvm::StringRef name, llvm::ArrayRef<int64_t> shape,
                        mlir::Attribute initializer, Split split = {}, bool keepGathered = false,
                        int64_t padding = 0);
  void declareDerived(llvm::StringRef name, llvm::ArrayRef<int64_t> shape,
                      mlir::Attribute initializer);

  struct Argument {
    llvm::StringRef name;
    mlir::RankedTensorType type;
    Split split = {};
  };
  /// Starts a function whose arguments carry their names as `titan.name` and, on a mesh, their
  /// layouts as `titan.sharding`; returns the arguments.
  llvm::SmallVector<mlir::Value> beginFunction(llvm::StringRef name,
                                               llvm::ArrayRef<Argument> arguments);
  void endFunction(mlir::ValueRange results);

  /// The value of a declared variable, named within the current scope. A function loads each
  /// variable once.
  mlir::Value load(llvm::StringRef name);

  /// The value, laid out as told; the value itself without a mesh.
  mlir::Value constrain(mlir::Value value, Split split);

  mlir::Value einsum(llvm::StringRef equation, mlir::Value lhs, mlir::Value rhs);
  mlir::Value reshape(mlir::Value input, llvm::ArrayRef<int64_t> shape);
  mlir::Value add(mlir::Value lhs, mlir::Value rhs);
  mlir::Value mul(mlir::Value lhs, mlir::Value rhs);
  mlir::Value silu(mlir::Value input);
  /// A scalar function of one's own, applied to every element of inputs of one shape (or of rank 0:
  /// one number for all elements). `body` builds it, from scalars of float32, of the ops that
  /// titan.map may hold.
  using MapBody =
      llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location, mlir::ValueRange inputs)>;
  mlir::Value map(llvm::ArrayRef<mlir::Value> inputs, MapBody body);
  mlir::Value rmsNorm(mlir::Value input, mlir::Value weight, double epsilon);
  mlir::Value rope(mlir::Value input, mlir::Value cosine, mlir::Value sine);
  /// query [batch, queries, heads, dim], key and value [batch, keys, kv heads, dim].
  mlir::Value attention(mlir::Value query, mlir::Value key, mlir::Value value, double scale,
                        bool causal);
  /// tokens [..], table [rows, dim] -> [.., dim].
  mlir::Value embedding(mlir::Value tokens, mlir::Value table);

  /// Sums over the tokens whose labels are not negative: cross entropy, and 1.
  struct Loss {
    mlir::Value sum, valid;
  };
  /// input [.., dim], weight [classes, dim], labels [..]. Ranks that share the classes exchange
  /// sums or, with `wholeLogits`, all logits. The last `padding` rows of the weight are no classes.
  Loss headLoss(mlir::Value input, mlir::Value weight, mlir::Value labels, bool wholeLogits = false,
                int64_t padding = 0);

private:
  void leaveScope(size_t outerLength);
  std::string qualified(llvm::StringRef name) const;
  VariableOp declare(Role role, llvm::StringRef name, mlir::RankedTensorType type,
                     mlir::Attribute initializer);
  ShardingAttr getSharding(int64_t rank, Split split);

  mlir::OpBuilder builder;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::Operation *lastVariable = nullptr; ///< variables stand before all functions
  std::optional<MeshShape> mesh;
  llvm::SmallVector<mlir::StringAttr> storageAxes; ///< of sizes above 1
  int64_t storageGranule = 4;                      ///< elements
  std::string path;                                ///< of the current scope
  mlir::Location location;                         ///< the scope's, for new ops
  mlir::func::FuncOp function;                     ///< being built
  llvm::StringMap<mlir::RankedTensorType> variables;
  llvm::StringMap<mlir::Value> loads; ///< of the function being built
};

} // namespace titan
