"""`python -m ensemble_jax VERB`, the same as `ensemble-jax VERB`."""

from ensemble_jax.cli.entry import main

if __name__ == "__main__":
    main()
