"""One module a DVC stage: read its parameters, call the library, write its artifacts."""
