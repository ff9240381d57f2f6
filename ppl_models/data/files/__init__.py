"""Files of tables, sequences and graphs: read as a kind of data, and graphs written."""
