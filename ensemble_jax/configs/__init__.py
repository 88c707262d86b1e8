"""The configs that come with the package, one file for each experiment.

The head of each says what it shows, how it is run and how long it takes. `--config=NAME` finds it.
"""
