// RUN: titan-opt %s -titan-schedule-instructions=prefetch=-1 -verify-diagnostics

// expected-error @+1 {{expects a prefetch distance of at least 0, found -1}}
module {
}
