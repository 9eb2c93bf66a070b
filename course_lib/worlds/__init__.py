"""What an agent lives in: decision processes, grids, classics, environments, task families."""
