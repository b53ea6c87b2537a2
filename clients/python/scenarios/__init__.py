"""How the scenarios of all clients drive this one."""
