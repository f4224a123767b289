#!/usr/bin/env python3
"""Holds a conformance run against the list of tests that pass, so that the list only ever grows.

    compare.py [--update] REPORT.xml [REPORT.xml ...]

REPORT is a JUnit report of upstream's e2e suite. Prints what passes anew and what no longer does.
Exit code 1 when a test of the list failed in a report. A test that no report ran says nothing.
With --update, tests that passed are added to passing.txt; nothing is ever taken out by it.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree

# What ends a conformance test's name; its labels follow in a report.
MARK = "[Conformance]"
LIST = pathlib.Path(__file__).with_name("passing.txt")


def outcomes(reports):
    """Names of conformance tests that passed and that failed; a failure in any report counts."""
    passed, failed = set(), set()
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            name, mark, _labels = case.get("name", "").removeprefix("[It] ").partition(MARK)
            if not mark or case.find("skipped") is not None:
                continue
            bad = case.find("failure") is not None or case.find("error") is not None
            (failed if bad else passed).add(name + mark)
    return passed - failed, failed


def main(arguments):
    update = "--update" in arguments
    reports = [argument for argument in arguments if argument != "--update"]
    if not reports:
        sys.exit(__doc__)
    known = set(LIST.read_text().splitlines()) if LIST.exists() else set()
    passed, failed = outcomes(reports)
    lost, gained = sorted(known & failed), sorted(passed - known)
    for name in gained:
        print(f"new   {name}")
    for name in lost:
        print(f"LOST  {name}")
    if update and gained:
        LIST.write_text("".join(f"{name}\n" for name in sorted(known | passed)))
    print(f"{len(passed)} passed, {len(failed)} failed in the reports; {len(known)} on the list, {len(gained)} new, {len(lost)} lost")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
