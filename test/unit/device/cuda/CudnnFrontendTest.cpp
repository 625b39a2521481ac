// The graphs in attention-graphs.txt against those that NVIDIA's cudnn-frontend builds on the stub
// of cuDNN. Built where its headers are found; TITAN_RECORD_GRAPHS=FILE writes them anew.
#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include <cudnn_frontend.h>

#include "test/unit/device/cuda/AttentionGraphs.h"

#include <dlfcn.h>
#include <fstream>

namespace cudnn_frontend {
void *cudnn_dlhandle = nullptr;
}

namespace titan::cuda {
namespace {

namespace fe = cudnn_frontend;
using Attributes = fe::graph::Tensor_attributes;

std::vector<int64_t> stridesOf(const gpu::AttentionStrides &it) {
  return {it.batch, it.head, it.sequence, 1};
}

/// Builds the operation graph of a problem; the stub then shows it.
fe::error_t build(const AttentionProblem &problem, cudnnHandle_t handle) {
  const gpu::AttentionShape &shape = problem.shape;
  fe::graph::Graph graph;
  graph.set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT)
      .set_sm_version(90);
  const std::vector<int64_t> queries = {shape.batch, shape.heads, shape.queries, shape.dim};
  const std::vector<int64_t> keys = {shape.batch, shape.kvHeads, shape.keys, shape.dim};
  const auto input = [&](const std::vector<int64_t> &extents,
                         const gpu::AttentionStrides &strides) {
    return graph.tensor(Attributes().set_dim(extents).set_stride(stridesOf(strides)));
  };
  const auto q = input(queries, shape.q), k = input(keys, shape.k), v = input(keys, shape.v);
  const auto mask = [&](auto &options) {
    if (shape.causal)
      options.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
          .set_diagonal_band_right_bound(0);
  };
  if (!problem.isGradient) {
    // Without a mask it would take the one operation that cuDNN has for it since 9.13.1.
    auto options = fe::graph::SDPA_attributes()
                       .set_name("attention")
                       .set_implementation(fe::AttentionImplementation_t::COMPOSITE)
                       .set_generate_stats(true);
    mask(options.set_attn_scale(shape.scale));
    const auto [out, lse] = graph.sdpa(q, k, v, options);
    out->set_output(true).set_dim(queries).set_stride(stridesOf(shape.out));
    lse->set_output(true).set_data_type(fe::DataType_t::FLOAT);
  } else {
    const auto out = input(queries, shape.out), dout = input(queries, shape.dout);
    const auto lse =
        graph.tensor(Attributes()
                         .set_dim({shape.batch, shape.heads, shape.queries, 1})
                         .set_stride({shape.heads * shape.queries, shape.queries, 1, 1})
                         .set_data_type(fe::DataType_t::FLOAT));
    auto options = fe::graph::SDPA_backward_attributes()
                       .set_name("gradient")
                       .set_deterministic_algorithm(problem.deterministic);
    mask(options.set_attn_scale(shape.scale));
    const auto [dq, dk, dv] = graph.sdpa_backward(q, k, v, out, dout, lse, options);
    dq->set_output(true).set_dim(queries).set_stride(stridesOf(shape.dq));
    dk->set_output(true).set_dim(keys).set_stride(stridesOf(shape.dk));
    dv->set_output(true).set_dim(keys).set_stride(stridesOf(shape.dv));
  }
  if (auto error = graph.validate(); error.is_bad())
    return error;
  return graph.build_operation_graph(handle);
}

TEST(CudnnFrontendTest, RecordedGraphs) {
  const auto device = CudaDevice::open(testOptions()); // makes a context current
  ASSERT_TRUE(device.ok()) << device.status().message();
  fe::cudnn_dlhandle = dlopen(testOptions().cudnn.c_str(), RTLD_NOW);
  ASSERT_NE(fe::cudnn_dlhandle, nullptr);
  const DnnStub stub;
  cudnnHandle_t handle = nullptr;
  ASSERT_EQ(fe::detail::create_handle(&handle), CUDNN_STATUS_SUCCESS);
  std::ofstream record;
  if (const char *path = std::getenv("TITAN_RECORD_GRAPHS"))
    record.open(path);
  record << "# What cudnn-frontend " << CUDNN_FRONTEND_MAJOR_VERSION << "."
         << CUDNN_FRONTEND_MINOR_VERSION << "." << CUDNN_FRONTEND_PATCH_VERSION
         << " builds for cuDNN 9.19; written by CudnnFrontendTest.\n";
  for (const auto &[name, problem] : recordedProblems()) {
    fe::error_t error = build(problem, handle);
    ASSERT_TRUE(error.is_good()) << error.get_message();
    record << "\n## " << name << "\n\n" << stub.graph();
    if (!record.is_open())
      EXPECT_EQ(stub.graph(), recordedGraph(name)) << name;
  }
  fe::detail::destroy_handle(handle);
}

} // namespace
} // namespace titan::cuda
