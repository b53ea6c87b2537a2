"""The auth service: users, clients and the tokens they get."""
