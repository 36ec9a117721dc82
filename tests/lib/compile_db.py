#!/usr/bin/python3
"""Copies a compile_commands.json with one entry per source, so that a linter reads a file once even
where several targets compile it, and prints the sources. Generated and foreign files are left out.

usage: compile_db.py BUILD_DIR OUT_DIR [EXTRA_INCLUDE_DIR]
"""
import json
import os
import sys


def main():
    build, out = sys.argv[1:3]
    extra = "".join(f" -I{os.path.realpath(folder)}" for folder in sys.argv[3:])
    root = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
    with open(os.path.join(build, "compile_commands.json")) as file:
        entries = json.load(file)
    chosen = {}
    for entry in entries:
        path = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
        if path.startswith(root + os.sep):
            entry["command"] += extra
            chosen.setdefault(path, entry)
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "compile_commands.json"), "w") as file:
        json.dump(list(chosen.values()), file, indent=1)
    for path in sorted(chosen, key=os.path.getsize, reverse=True):
        print(path)


main()
