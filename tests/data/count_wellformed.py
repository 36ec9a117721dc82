#!/usr/bin/python3
"""Counts the well-formed rows of the recorded data by the rules of RULES.md.

usage: count_wellformed.py [--values] FOLDER [FILE ...]
  FOLDER    the data folder
  FILE ...  only these, by their path below it; without: every file that has a rule
  --values  print each well-formed row as a line of JSON instead: numbers as the texts they are

Prints one line of JSON a file: file, map, stream, rows (all but headers), wellformed, identities.
Independent of the importer on purpose.
"""

import csv
import datetime
import fnmatch
import gzip
import json
import re
import sys
from pathlib import Path

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")
INTEGER = re.compile(r"[+-]?\d+\Z")


def number(text):
    if not NUMBER.match(text) or float(text) in (float("inf"), float("-inf")):
        raise ValueError(text)
    return text


def integer(text):
    if not INTEGER.match(text):
        raise ValueError(text)
    return text


def boolean(text):
    return {"yes": True, "no": False}[text.lower()]


AIR = ("temperature humidity pressure iaq co2 voc").split()
PM = ("pm1_0 pm2_5 pm10").split()


def columns(first, names, kind):
    return [(first + i, name, kind) for i, name in enumerate(names)]


FLAGS = ["baseline_ready", "spike_detected"]
ESP_14 = (columns(2, AIR + PM, number) + columns(11, FLAGS, boolean) + [(13, "signature", str)])
ESP_19 = (columns(2, AIR + ["raw_gas_ohms"] + PM, number) + columns(12, FLAGS, boolean)
          + [(14, "signature", str), (15, "spike_duration_sec", number),
             (16, "total_spikes", integer)]
          + columns(17, ["baseline_iaq", "baseline_voc", "baseline_co2"], number))
MADAVI = [(8, "pm10", number), (9, "pm2_5", number), (12, "temperature", number),
          (13, "humidity", number), (22, "signal", number)]
MADAVI_SYSTEM = columns(19, ["samples", "min_cycle", "max_cycle"], integer) + [
    (22, "signal", number)]
ESP = "aq-esp32-pms7003/capture_"
NAB = "system-metrics-nab/"
AIR_QUALITY, SYSTEM = "sensors/air_quality", "sensors/system"

# pattern, map, stream, fields, delimiter, time column, time format, mapped columns, header
TABLES = [
    ("aq-sensor-community/*.csv.gz", "aq-sensor-community", AIR_QUALITY, 12, ";", 6,
     "%Y-%m-%dT%H:%M:%S", [(7, "pm10", number), (10, "pm2_5", number)], "sensor_id;"),
    ("aq-madavi-device/*.csv.gz", "aq-madavi-device", AIR_QUALITY, 22, ";", 1,
     "%Y/%m/%d %H:%M:%S", MADAVI, "Time;"),
    ("aq-madavi-device/*.csv.gz", "aq-madavi-device-system", SYSTEM, 22, ";", 1,
     "%Y/%m/%d %H:%M:%S", MADAVI_SYSTEM, "Time;"),
    (ESP + "2025-07-17*", "aq-esp32-14", AIR_QUALITY, 14, ",", 1, "%Y-%m-%d %H:%M:%S",
     ESP_14 + [(14, "spike_score", number)], None),
    (ESP + "2025-07-28*", "aq-esp32-15", AIR_QUALITY, 15, ",", 1, "%Y-%m-%d %H:%M:%S",
     ESP_14 + [(14, "spike_duration_sec", number), (15, "total_spikes", integer)], None),
    (ESP + "2025-08-02*", "aq-esp32-11", AIR_QUALITY, 11, ",", 1, "%Y-%m-%d %H:%M:%S",
     columns(2, PM, number) + columns(5, "n0_3 n0_5 n1_0 n2_5 n5_0 n10_0".split(), integer)
     + [(11, "signature", str)], None),
    (ESP + "2025-12*", "aq-esp32-19", AIR_QUALITY, 19, ",", 1, "%Y-%m-%d %H:%M:%S", ESP_19,
     "timestamp,temp_c,"),
    (ESP + "2026*", "aq-esp32-19", AIR_QUALITY, 19, ",", 1, "%Y-%m-%d %H:%M:%S", ESP_19,
     "timestamp,temp_c,"),
] + [
    (NAB + pattern, "nab-" + name, SYSTEM, 2, ",", 1, "%Y-%m-%d %H:%M:%S",
     [(2, field, number)], "timestamp,")
    for pattern, name, field in (("*cpu*", "cpu", "cpu_percent"),
                                 ("*disk_write*", "disk-write", "disk_write_bytes"),
                                 ("*network_in*", "network-in", "network_in"),
                                 ("grok*", "value", "value"),
                                 ("machine_temperature*", "value", "value"))
]
HISTORY = ["robot-commands-opentrons/*.jsonl.gz", "eventlog-git/*.jsonl.gz"]

DIGITS = {"%Y": r"\d{4}", "%m": r"\d\d", "%d": r"\d\d", "%H": r"\d\d", "%M": r"\d\d",
          "%S": r"\d\d"}


def strict_time(text, form):
    """strptime takes "2018/1/1" too; these files always write two digits."""
    pattern = re.escape(form)
    for directive, digits in DIGITS.items():
        pattern = pattern.replace(re.escape(directive), digits)
    if not re.fullmatch(pattern, text):
        raise ValueError(text)
    return datetime.datetime.strptime(text, form).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_row(line, rule):
    """The record of one line, or None when it is not well-formed."""
    _, _, _, width, delimiter, time_column, time_format, mapped, _ = rule
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=True))
        if len(cells) != width:
            return None
        record = {"ts": strict_time(cells[time_column - 1].strip(" \t"), time_format)}
        for column, name, kind in mapped:
            text = cells[column - 1]
            if kind is not str:
                text = text.strip(" \t")
            record[name] = None if text.strip(" \t") == "" else kind(text)
        return record
    except (ValueError, KeyError, StopIteration, csv.Error):
        return None


def lines_of(path):
    with gzip.open(path, "rb") as file:
        for raw in file.read().split(b"\n"):
            yield raw


def table_rows(path, rule):
    """Yields a record or None for every line that is no header; blank lines are none at all."""
    header = rule[8]
    for raw in lines_of(path):
        if raw.endswith(b"\r"):
            raw = raw[:-1]
        if raw == b"" or b"\0" in raw:
            if raw:
                yield None
            continue
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            line = raw.decode("utf-8", "surrogateescape")
        if header and line.startswith(header):
            continue
        record = read_row(line, rule)
        try:
            json.dumps(record, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            record = None
        yield record


def history_rows(path):
    for raw in lines_of(path):
        if raw.strip() == b"":
            continue
        try:
            record = json.loads(raw)
            yield record if isinstance(record["command_id"], str) else None
        except (ValueError, KeyError, TypeError):
            yield None


def count(file, name, stream, rows, values):
    total = wellformed = 0
    identities = set()
    for record in rows:
        total += 1
        if record is None:
            continue
        wellformed += 1
        if stream.startswith("history"):
            identities.add((record["command_id"], record.get("robot_id") or None,
                            record.get("trace_id") or ""))
        if values:
            print(json.dumps(record, ensure_ascii=False))
    if not values:
        print(json.dumps({"file": file, "map": name, "stream": stream, "rows": total,
                          "wellformed": wellformed,
                          "identities": len(identities) if identities else None}))


def main(argv):
    values = "--values" in argv
    folder, *wanted = [arg for arg in argv if arg != "--values"]
    folder = Path(folder)
    for path in sorted(folder.glob("*/*")):
        file = str(path.relative_to(folder))
        if wanted and file not in wanted:
            continue
        for rule in TABLES:
            if fnmatch.fnmatch(file, rule[0]):
                count(file, rule[1], rule[2], table_rows(path, rule), values)
        for pattern in HISTORY:
            if fnmatch.fnmatch(file, pattern):
                count(file, None, "history", history_rows(path), values)


if __name__ == "__main__":
    if not [arg for arg in sys.argv[1:] if arg != "--values"]:
        sys.exit(__doc__)
    main(sys.argv[1:])
