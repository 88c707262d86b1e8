"""The commands of `ensemble-jax` for a checkout without installation, and stored results."""
