"""What learns in one world: planning, sampling, searching."""
