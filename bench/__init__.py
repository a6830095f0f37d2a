"""What it costs, beside others; see docs/benchmarks.md."""
