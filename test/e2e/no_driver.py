#!/usr/bin/env python3
"""Checks what titan-run says of a program for a GPU where there is no driver.

    no_driver.py BUILD_DIR PROGRAM

Does nothing on a machine that has one.
"""

import ctypes
import os
import subprocess
import sys

try:
    ctypes.CDLL("libcuda.so.1")
    sys.exit(0)
except OSError:
    pass
done = subprocess.run([os.path.join(sys.argv[1], "bin", "titan-run"), sys.argv[2]], capture_output=True, text=True)
expected = ("NVIDIA's driver is missing: cannot load library 'libcuda.so.1'", "or newer; compile the job with --target=cpu")
if done.returncode != 1 or any(text not in done.stderr for text in expected):
    sys.exit(f"exit status {done.returncode}, expected 1 and {expected}:\n{done.stderr}")
