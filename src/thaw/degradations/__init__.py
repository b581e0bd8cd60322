"""One module a degradation, found by its name: the class is the name in CamelCase."""
