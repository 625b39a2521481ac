"""The GoogleTests: every binary in build/test/unit whose name ends in Tests.

lit runs a binary in shards and counts its cases one by one.
"""

import os

import lit.formats

config.name = "TitanUnit"
config.test_source_root = os.path.join(config.titan_build_root, "test", "unit")
config.test_exec_root = config.test_source_root
config.test_format = lit.formats.GoogleTest(".", "Tests")
config.environment["TITAN_SOURCE_ROOT"] = config.titan_source_root

lit_config.load_config(config, os.path.join(config.titan_source_root, "test", "environment.cfg.py"))
