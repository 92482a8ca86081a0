"""Speed against the stock way and the libraries, and agreement with the metrics' peers."""
