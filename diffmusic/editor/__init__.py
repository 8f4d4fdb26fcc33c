"""Editors: solvers that change music which nothing has damaged."""
