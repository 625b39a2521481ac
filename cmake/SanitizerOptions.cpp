// What the sanitizers of the `sanitize` preset are told by every binary; ASAN_OPTIONS and
// UBSAN_OPTIONS of the environment change it.

/// LLVM's allocators tell AddressSanitizer what they hand out, from inline code. Debian's libLLVM
/// is not instrumented, so half of that is missing, and memory that is in use would look poisoned.
extern "C" const char *__asan_default_options() { return "allow_user_poisoning=0"; }

extern "C" const char *__ubsan_default_options() { return "print_stacktrace=1"; }
