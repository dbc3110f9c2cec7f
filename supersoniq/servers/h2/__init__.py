"""HTTP/2 on the ``h2`` library."""
