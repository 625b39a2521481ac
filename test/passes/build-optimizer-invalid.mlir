// RUN: titan-opt %s -titan-build-optimizer="optimizer=SGD" -verify-diagnostics

// expected-error @+1 {{expects the optimizer AdamW or Adam, found SGD}}
module {
}
