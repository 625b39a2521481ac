#include "dialects/titan/Sharding.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

using namespace mlir;

namespace titan {
namespace {

class ShardingTest : public testing::Test {
protected:
  ShardingTest() {
    context.loadDialect<TitanDialect, func::FuncDialect>();
    module = parseSourceString<ModuleOp>("titan.mesh @mesh [dp = 4, cp = 1, tp = 3]", &context);
    mesh = MeshShape::get(*module);
  }

  RankedTensorType type(llvm::StringRef text) {
    return cast<RankedTensorType>(parseType(text, &context));
  }
  SmallVector<StringAttr> axes(std::initializer_list<llvm::StringRef> names) {
    SmallVector<StringAttr> result;
    for (llvm::StringRef name : names)
      result.push_back(StringAttr::get(&context, name));
    return result;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  MeshShape mesh;
};

TEST_F(ShardingTest, MeshCoordinates) {
  EXPECT_EQ(mesh.getNumRanks(), 12);
  EXPECT_EQ(mesh.getSize(axes({"dp", "tp"})), 12);
  EXPECT_EQ(mesh.getSize(axes({"absent"})), 1);
  // Rank 7 = dp 2, tp 1.
  EXPECT_EQ(mesh.getCoordinate(7, axes({"dp"})), 2);
  EXPECT_EQ(mesh.getCoordinate(7, axes({"tp"})), 1);
  EXPECT_EQ(mesh.getCoordinate(7, axes({"tp", "dp"})), 1 * 4 + 2);
  EXPECT_EQ(mesh.getGroup(7, axes({"tp"})), (SmallVector<int64_t>{6, 7, 8}));
  EXPECT_EQ(mesh.getGroup(7, axes({"dp"})), (SmallVector<int64_t>{1, 4, 7, 10}));
  EXPECT_EQ(mesh.getGroup(7, {}), (SmallVector<int64_t>{7}));
  // Coordinates number the members of a group.
  for (int64_t member : mesh.getGroup(7, axes({"tp", "dp"})))
    EXPECT_EQ(mesh.getGroup(7, axes({"tp", "dp"}))[mesh.getCoordinate(member, axes({"tp", "dp"}))],
              member);
}

TEST_F(ShardingTest, LocalTypes) {
  EXPECT_EQ(getLocalType(type("tensor<8x6xf32>"), mesh), type("tensor<8x6xf32>"));
  EXPECT_EQ(getLocalType(type("tensor<8x6xf32, #titan.sharding<[{dp}, {tp}]>>"), mesh),
            type("tensor<2x2xf32>"));
  EXPECT_EQ(getLocalType(type("tensor<24x6xf32, #titan.sharding<[{dp, tp}, {}]>>"), mesh),
            type("tensor<2x6xf32>"));
  EXPECT_EQ(getLocalType(type("tensor<8x6xf32, #titan.sharding<[{}, {}], partial {tp}>>"), mesh),
            type("tensor<8x6xf32>"));
}

TEST_F(ShardingTest, FlatStorageIsPadded) {
  // 7 * 2 = 14 elements a tp rank in 4 slices of 4: two elements are padding.
  auto flat = type("tensor<7x6xf32, #titan.sharding<[{}, {tp}], flat {dp} granule 4>>");
  EXPECT_EQ(getLocalType(flat, mesh), type("tensor<4xf32>"));
  const FlatStorage storage = getFlatStorage(flat, mesh);
  EXPECT_EQ(storage.whole, type("tensor<7x2xf32>"));
  EXPECT_EQ(storage.sliceElements, 4);
  EXPECT_EQ(storage.paddingElements, 2);
}

TEST_F(ShardingTest, WhatDoesNotDivideIsNamed) {
  EXPECT_EQ(checkSharding(type("tensor<8x6xf32, #titan.sharding<[{dp}, {tp}]>>"), mesh), "");
  EXPECT_EQ(checkSharding(type("tensor<8x6xf32, #titan.sharding<[{tp}, {}]>>"), mesh),
            "dimension 0 of size 8 cannot be split over tp, of degree 3; it divides by 1, 2, 4, 8");
  EXPECT_EQ(checkSharding(type("tensor<8x6xf32, #titan.sharding<[{ep}, {}]>>"), mesh),
            "axis 'ep' is not one of the mesh, which has dp, cp, tp");
  EXPECT_EQ(checkSharding(type("tensor<7xf32, #titan.sharding<[{}], flat {dp} granule 4>>"), mesh),
            "");
}

} // namespace
} // namespace titan
