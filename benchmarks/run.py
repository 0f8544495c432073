"""Time the models against their peers: `make bench`.

Prints a table and writes `reports/benchmarks/<backend>.json`. Choose the
backend with KERAS_BACKEND (or `make bench BACKEND=jax`), cases by name.
"""

import argparse
import json
import platform
import sys
import time

import keras
from cases import CASES
from harness import measure

import attnlib
from attnlib import paths


def main(arguments=None) -> int:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "case", nargs="*", help=f"any of {', '.join(CASES)}; default: all"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.case) - set(CASES))
    if unknown:
        parser.error(f"unknown case {', '.join(unknown)}: see --help")
    print(f"{attnlib.backend()} on {attnlib.device()}", flush=True)
    rows = []
    for name in options.case or CASES:
        # Small models need more updates for a round to be long enough.
        steps = options.steps * (10 if name == "ram" else 1)
        row = measure(CASES[name], options.rounds, steps)
        rows.append(row)
        _show(row)
    document = {
        "device": attnlib.device(),
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "keras": keras.__version__,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "results": rows,
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


if __name__ == "__main__":
    sys.exit(main())
