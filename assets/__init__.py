"""Software-defined assets: a decorator and a few lines that call the library."""
