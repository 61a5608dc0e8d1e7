"""What connects a machine with people and programs: the terminal, files, scripts of expected text, signals."""
