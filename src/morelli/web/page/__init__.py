"""The web page: Gradio's parts around the same facades, limits, decoding processes and records as the HTTP API."""
