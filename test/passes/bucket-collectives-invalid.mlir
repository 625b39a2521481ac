// RUN: titan-opt %s -titan-bucket-collectives=limit=-1 -verify-diagnostics

// expected-error @+1 {{expects a limit of at least 0 bytes, found -1}}
module {
}
