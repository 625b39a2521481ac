"""Where the sanitizers of the `sanitize` preset find a symbolizer; loaded by both suites.

What they are told stands in cmake/SanitizerOptions.cpp.
"""

import os

if config.titan_sanitize:
    for name in ("ASAN", "UBSAN"):
        if f"{name}_OPTIONS" in os.environ:
            config.environment[f"{name}_OPTIONS"] = os.environ[f"{name}_OPTIONS"]
        config.environment[f"{name}_SYMBOLIZER_PATH"] = os.path.join(config.llvm_tools_dir, "llvm-symbolizer")
