"""How long each DAG file takes to import, beyond `import airflow` itself. `python -m benchmarks.imports`.

Each figure is the median of several fresh interpreters. Goal: under 1 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

ROUNDS = 5
PROGRAM = """
import runpy, sys, time
import airflow
begin = time.perf_counter()
runpy.run_path(sys.argv[1])
print(time.perf_counter() - begin)
"""


def main() -> int:
    """Print one line a DAG file; the exit code is 1 if one takes 1 s or longer."""
    slow = False
    print(f"Seconds to import a DAG file beyond `import airflow`, median of {ROUNDS} fresh interpreters")
    for dag in sorted((Path(__file__).parents[1] / "dags").glob("*.py")):
        runs = [
            float(
                subprocess.run(
                    [sys.executable, "-c", PROGRAM, str(dag)], check=True, capture_output=True, text=True
                ).stdout.split()[-1]
            )
            for _ in range(ROUNDS)
        ]
        median = statistics.median(runs)
        slow |= median >= 1.0
        print(f"  {dag.name:32} {median:6.3f}  (min {min(runs):.3f}, max {max(runs):.3f})")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
