"""Benchmarks: each beside the peer that it is measured against, in one run."""
