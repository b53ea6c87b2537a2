"""The HTTP API of back ends: publishing, reading, commands to the fleet. README.md has the layers."""
