"""From the containers people have to plain arrays: tables, sequences of tokens, graphs."""
