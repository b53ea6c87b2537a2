"""Openline's server as one installed package: the services' tree stands inside it, and runs in processes of its own."""
