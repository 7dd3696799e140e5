"""What this package costs above the SDK: `python -m tests.benchmarks`."""
