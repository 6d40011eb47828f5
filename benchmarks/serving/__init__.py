"""What `benchmarks/serve.py` and the tests of the server share: clients, visitors, and servers that are watched."""
