#!/usr/bin/env python3
"""Counts the tests in lit's xunit report: `passed failed skipped`, then a line per failed test."""

import sys
import xml.etree.ElementTree as ElementTree


def selected(case):
    """Whether the test was to run at all: lit also reports what its --filter leaves out."""
    skipped = case.find("skipped")
    return skipped is None or not skipped.get("message", "").startswith("Test not selected")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: lit-counts.py REPORT.xml")
    try:
        cases = [case for case in ElementTree.parse(sys.argv[1]).iter("testcase") if selected(case)]
    except (OSError, ElementTree.ParseError) as error:
        sys.exit(f"error: cannot read lit's report {sys.argv[1]}: {error}")
    failed = [case for case in cases if case.find("failure") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    print(len(cases) - len(failed) - skipped, len(failed), skipped)
    for case in failed:
        print(f"{case.get('classname')}/{case.get('name')}")


if __name__ == "__main__":
    main()
