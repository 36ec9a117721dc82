#!/usr/bin/python3
"""Reads the results that test.sh left in a folder, lists what was skipped and what failed, and
ends with the line 'N passed, N failed, N skipped'. Exit status 1 if anything failed, or if
nothing ran at all.

Counted is every ctest entry per build; a pytest file or a unit test program is one entry, and each
case in it that was skipped counts as skipped too (a file skipped whole counts by its cases alone).

usage: summary.py RESULTS_DIR [--report FILE]
"""
import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
import xml.etree.ElementTree as ET


NO_NOTE = {"skipped": "no reason given", "failed": "its output is above"}


class Result:
    def __init__(self, name, outcome, seconds, note=""):
        self.name = name
        self.outcome = outcome
        self.seconds = seconds
        self.note = note


def last_line(text):
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def ctest_outcome(case):
    """A test that was to run and could not (its program was not built) is a failure."""
    if case.get("status") == "run":
        return "passed", ""
    skipped = case.find("skipped")
    message = skipped.get("message", "") if skipped is not None else ""
    if "SKIP_" in message:
        return "skipped", last_line(case.findtext("system-out"))
    if case.get("status") == "disabled":
        return "skipped", "disabled"
    failure = case.find("failure")
    if failure is not None:
        message = failure.get("message", "")
    return "failed", message


def pytest_skips(path):
    """[(case, reason)] of one pytest result file."""
    if not os.path.exists(path):
        return []
    skips = []
    for case in ET.parse(path).getroot().iter("testcase"):
        skipped = case.find("skipped")
        if skipped is not None:
            skips.append((case.get("name"), skipped.get("message", "")))
    return skips


def cmocka_skips(output):
    """[(case, reason)] of what a unit test program printed; the reason is its own line before."""
    skips, reason = {}, ""
    for line in (output or "").splitlines():
        if line.startswith("skipped: "):
            reason = line[len("skipped: "):].strip()
        match = re.match(r"\[  SKIPPED \] ([a-zA-Z_]\w*)$", line.strip())
        if match:
            skips.setdefault(match.group(1), reason)
            reason = ""
    return list(skips.items())


def read_run(path):
    """The results of one ctest run; its file is named <preset>.<labels>.xml."""
    preset = os.path.basename(path).split(".")[0]
    build = os.path.join(os.path.dirname(path), "..", preset)
    results = []
    for case in ET.parse(path).getroot().iter("testcase"):
        name = case.get("name")
        outcome, note = ctest_outcome(case)
        skips = cmocka_skips(case.findtext("system-out")) if name.startswith("unit.") else []
        if name.startswith("system."):
            skips = pytest_skips(os.path.join(build, "pytest", name[len("system."):] + ".xml"))
        if outcome != "skipped" or not skips:
            shown = f"{name} ({preset})"
            results.append(Result(shown, outcome, float(case.get("time", 0)), note))
        for skipped, reason in skips:
            results.append(Result(f"{name}::{skipped}", "skipped", 0.0, reason))
    return results


def read_all(folder):
    results = []
    broken = os.path.join(folder, "broken")
    if os.path.exists(broken):
        with open(broken) as file:
            results += [Result(line, "failed", 0.0) for line in dict.fromkeys(file.read().splitlines())]
    for entry in sorted(os.listdir(folder)):
        if entry.endswith(".xml"):
            results += read_run(os.path.join(folder, entry))
    return results


def cpu_name():
    try:
        with open("/proc/cpuinfo") as file:
            match = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.M)
    except OSError:
        match = None
    return match.group(1) if match else platform.machine()


def commit():
    def git(*words):
        return subprocess.run(("git",) + words, capture_output=True, text=True).stdout.strip()
    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + (" with changes" if changed else "")
    except OSError:
        return "unknown"


def write_report(path, folder, results, closing):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    made_of = commit()  # before the report itself changes
    with open(os.path.join(folder, "stages")) as file:
        stages = [line.strip() for line in file]
    with open(path, "w") as file:
        file.write("# Report of `./test.sh --long`\n\n")
        file.write(f"- commit: {made_of}\n")
        file.write(f"- date: {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC\n")
        file.write(f"- machine: {cpu_name()}, {os.cpu_count()} processors, {memory:.0f} GiB, "
                   f"Linux {platform.release()}\n")
        file.write(f"- result: **{closing}**\n\n")
        file.write("| test | outcome | seconds | note |\n|---|---|---|---|\n")
        for result in results:
            note = result.note.replace("|", "\\|").replace("\n", " ")
            file.write(f"| {result.name} | {result.outcome} | {result.seconds:.1f} | {note} |\n")
        file.write("\n| stage | time |\n|---|---|\n")
        for line in stages:
            took, name = line.split("  ", 1)
            file.write(f"| {name} | {took} |\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("results")
    parser.add_argument("--report")
    args = parser.parse_args()

    results = read_all(args.results)
    for outcome, title in (("skipped", "Skipped:"), ("failed", "Failed:")):
        chosen = [result for result in results if result.outcome == outcome]
        if chosen:
            print(f"\n{title}")
        for result in chosen:
            print(f"  {result.name}: {result.note or NO_NOTE[outcome]}")
    count = {outcome: sum(result.outcome == outcome for result in results)
             for outcome in ("passed", "failed", "skipped")}
    closing = f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped"
    if args.report:
        write_report(args.report, args.results, results, closing)
    print(f"\n{closing}")
    sys.exit(1 if count["failed"] or not results else 0)


main()
