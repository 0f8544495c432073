"""Time the models against their peers: `make bench`.

Operations and layers are timed beside their obvious alternatives, too, a
search of many sentences beside one after the other, training with a part of a
model beside training without it, a network of several scales beside one of a
single scale, one of several windows beside one of none, and saliency maps
refined in windows beside global ones. Prints a table and writes
`reports/benchmarks/<backend>.json`. Choose the backend with KERAS_BACKEND (or
`make bench BACKEND=jax`), cases by name.
"""

import argparse
import json
import platform
import sys
import time

import keras
import prices
import refinements
import scales
import searches
import windows
from cases import CASES
from comparison import compare
from harness import measure
from pairs import PAIRS

import attnlib
from attnlib import paths

SEARCHES = {"beam_search": searches.compare}
SCALES = {"scales": scales.compare}
WINDOWS = {"windows": windows.compare}
REFINEMENTS = {"refinements": refinements.compare}


def main(arguments=None) -> int:
    """Run the benchmarks that the command line names."""
    known = [
        *CASES,
        *SEARCHES,
        *prices.PRICES,
        *SCALES,
        *WINDOWS,
        *REFINEMENTS,
        *PAIRS,
    ]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "case",
        nargs="*",
        help=f"any of {', '.join(known)}; default: all",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument(
        "--xla",
        action="store_true",
        help="compile operations and layers with XLA on TensorFlow, too",
    )
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="time by processor time: on one core of a busy machine",
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.case) - set(known))
    if unknown:
        parser.error(f"unknown case {', '.join(unknown)}: see --help")
    clock = time.process_time if options.cpu_time else time.perf_counter
    print(f"{attnlib.backend()} on {attnlib.device()}", flush=True)
    wanted = options.case or known
    rows = []
    for name in filter(CASES.__contains__, wanted):
        # Small models need more updates for a round to be long enough.
        steps = options.steps * {"ram": 10, "ram-60": 3}.get(name, 1)
        row = measure(CASES[name], options.rounds, steps, clock)
        rows.append(row)
        _show(row)
    searched = []
    for name in filter(SEARCHES.__contains__, wanted):
        row = SEARCHES[name](options.rounds, clock)
        searched.append(row)
        _show_search(row)
    priced = []
    for name in filter(prices.PRICES.__contains__, wanted):
        row = prices.compare(name, options.rounds, clock)
        priced.append(row)
        _show_price(row)
    scaled = []
    for name in filter(SCALES.__contains__, wanted):
        row = SCALES[name](options.rounds, clock)
        scaled.append(row)
        _show_scales(row)
    windowed = []
    for name in filter(WINDOWS.__contains__, wanted):
        row = WINDOWS[name](options.rounds, clock)
        windowed.append(row)
        _show_windows(row)
    refined = []
    for name in filter(REFINEMENTS.__contains__, wanted):
        row = REFINEMENTS[name](options.rounds, clock)
        refined.append(row)
        _show_windows(row)
    comparisons = []
    for name in filter(PAIRS.__contains__, wanted):
        title, other, build = PAIRS[name]
        row = compare(
            title,
            other,
            build(),
            options.rounds,
            xla=options.xla,
            clock=clock,
        )
        row = {"case": name, **row}
        comparisons.append(row)
        _show_comparison(row)
    document = {
        "device": attnlib.device(),
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "keras": keras.__version__,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "results": rows,
        "searches": searched,
        "prices": priced,
        "scales": scaled,
        "windows": windowed,
        "refinements": refined,
        "comparisons": comparisons,
    }
    target = paths.reports_dir() / "benchmarks" / f"{attnlib.backend()}.json"
    with paths.atomic_write(target) as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    print(f"written to {target}")
    return 0


def _show(row):
    ratio, share = row["ratio_to_peer"], row["share_of_ceiling"]
    print(
        f"\n{row['name']}\n"
        f"  {row['examples_per_s']:.0f} examples/s beside "
        f"{row['gflop_per_s']:.0f} GFLOP/s of matrix products; "
        f"{row['parameters'] / 1e6:.2f} M parameters\n"
        f"  {ratio['median']:.2f} times {row['peer']} at the same rate "
        f"({ratio['least']:.2f} to {ratio['greatest']:.2f}; aim "
        f"{row['aim']})\n"
        f"  {100 * share['median']:.0f} % of the ceiling that the matrix "
        f"products set ({100 * share['least']:.0f} to "
        f"{100 * share['greatest']:.0f} %)",
        flush=True,
    )


def _show_search(row):
    ratio = row["ratio"]
    print(
        f"\n{row['name']}\n"
        f"  {row['batched_s']:.2f} s, {ratio['median']:.2f} times as fast as "
        f"one after the other ({ratio['least']:.2f} to "
        f"{ratio['greatest']:.2f})",
        flush=True,
    )


def _show_price(row):
    ratio = row["ratio"]
    print(
        f"\n{row['name']}\n"
        f"  {1e3 * row['with_s']:.0f} ms, {ratio['median']:.2f} times as long "
        f"as without ({ratio['least']:.2f} to {ratio['greatest']:.2f})",
        flush=True,
    )


def _show_scales(row):
    print(f"\n{row['name']}\n  one: {1e3 * row['seconds'][1]:.1f} ms")
    for count, ratio in row["ratios"].items():
        print(
            f"  {count}: {ratio['median']:.2f} times that "
            f"({ratio['least']:.2f} to {ratio['greatest']:.2f}); "
            f"{row['pixels'][count]:.2f} times the pixels",
            flush=True,
        )


def _show_windows(row):
    none = next(iter(row["seconds"].values()))
    print(f"\n{row['name']}\n  none: {1e3 * none:.1f} ms")
    for count, ratio in row["ratios"].items():
        print(
            f"  {count}: {ratio['median']:.2f} times that "
            f"({ratio['least']:.2f} to {ratio['greatest']:.2f})",
            flush=True,
        )


def _show_comparison(row):
    print(
        f"\n{row['name']}\n"
        f"  {row['operations'] / 1e6:.1f} M operations, "
        f"{row['bytes'] / 1e6:.2f} MB moved at least"
    )
    for direction in ("forward", "backward"):
        found = row[direction]
        ratio = found["ratio"]
        print(
            f"  {direction}: {1e3 * found['ours_s']:.2f} ms, "
            f"{ratio['median']:.2f} times as fast as {row['other']} "
            f"({ratio['least']:.2f} to {ratio['greatest']:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
