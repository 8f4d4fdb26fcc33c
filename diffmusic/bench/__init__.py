"""The runner: a suite of clips, problems and solvers as cells that are measured one by one, and tables of them."""
