"""The processes that train one run together, and the folders it consists of."""
