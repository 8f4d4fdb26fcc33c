"""Benchmark runner: measures the cells of a suite of clips, problems and solvers one by one, and tabulates them."""
