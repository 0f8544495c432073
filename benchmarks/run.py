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
import functools
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


def main(arguments=None) -> int:
    """Run the benchmarks that the command line names."""
    groups = _groups()
    known = [*CASES, *(case for group in groups for case in group[1]), *PAIRS]
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
    others = {}
    for key, cases, show in groups:
        others[key] = []
        for name in filter(cases.__contains__, wanted):
            row = cases[name](options.rounds, clock)
            others[key].append(row)
            show(row)
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
        **others,
        "comparisons": comparisons,
    }
    target = paths.reports_dir() / "benchmarks" / f"{attnlib.backend()}.json"
    with paths.atomic_write(target) as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    print(f"written to {target}")
    return 0


def _groups():
    """Return `(key, cases, show)` of what has no peer.

    The key is that of the written file; cases are functions of the number of
    rounds and the clock, by name.
    """
    of_none = functools.partial(_show_beside, "none")
    return (
        ("searches", {"beam_search": searches.compare}, _show_search),
        (
            "prices",
            {
                name: functools.partial(prices.compare, name)
                for name in prices.PRICES
            },
            _show_price,
        ),
        (
            "scales",
            {"scales": scales.compare},
            functools.partial(_show_beside, "one"),
        ),
        ("windows", {"windows": windows.compare}, of_none),
        ("refinements", {"refinements": refinements.compare}, of_none),
    )


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


def _show_beside(first, row):
    """Print ratios to the first, which has a name."""
    alone = next(iter(row["seconds"].values()))
    print(f"\n{row['name']}\n  {first}: {1e3 * alone:.1f} ms")
    for count, ratio in row["ratios"].items():
        pixels = ""
        if "pixels" in row:
            pixels = f"; {row['pixels'][count]:.2f} times the pixels"
        print(
            f"  {count}: {ratio['median']:.2f} times that "
            f"({ratio['least']:.2f} to {ratio['greatest']:.2f}){pixels}",
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
