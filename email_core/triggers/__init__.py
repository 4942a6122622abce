"""The Azure Functions edge: decode, call one function, encode."""
