"""One module for each group of figures; `bench.registry` lists them."""
