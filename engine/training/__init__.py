"""Training and evaluation by the published protocol."""
