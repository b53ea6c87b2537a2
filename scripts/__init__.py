"""Tools of the repository, called by the Makefile."""
