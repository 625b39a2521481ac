"""What the sanitizers of the `sanitize` preset are told; loaded by both suites.

allow_user_poisoning=0    LLVM's allocators tell AddressSanitizer what they hand out, from inline code.
                          Debian's libLLVM is not instrumented, so half of that is missing, and memory
                          that is in use would look poisoned.
"""

import os

if config.titan_sanitize:
    symbolizer = os.path.join(config.llvm_tools_dir, "llvm-symbolizer")
    for name, options in (("ASAN", "allow_user_poisoning=0"), ("UBSAN", "print_stacktrace=1")):
        own = os.environ.get(f"{name}_OPTIONS")  # what the user says comes last, and wins
        config.environment[f"{name}_OPTIONS"] = f"{options}:{own}" if own else options
        config.environment[f"{name}_SYMBOLIZER_PATH"] = symbolizer
