"""`ensemble-jax audit` in a checkout, without installation."""

from ensemble_jax.cli.entry import run_verb

if __name__ == "__main__":
    run_verb("audit")
