"""Measurement: metrics, reports, the protocols of published benchmarks, and the files that benchmark servers take."""
