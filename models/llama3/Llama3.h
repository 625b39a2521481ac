// Llama 3 (Grattafiori et al. 2024, The Llama 3 Herd of Models): a decoder of pre-norm blocks with
// rotary positions, grouped-query attention and SwiGLU, without biases.
//
// Names of parameters, dimensions of flavors and initializers are torchtitan's; the rotary
// frequencies are scaled as in Llama 3.1.
#pragma once

#include "frontend/JobGraph.h"

namespace titan {

extern const ModelDefinition kLlama3;

} // namespace titan
