"""The gateway: connections of clients, and what each channel delivers to them. README.md beside this file is its map."""
