"""Locust's way to have the number of users move."""

from __future__ import annotations

from locust.env import Environment
from locust.shape import LoadTestShape

from loadtest.swarm.moves import LENGTH, MOVES, USERS, step


class Shape(LoadTestShape):
    """Moves Locust's users as `--shape` says, within Locust's own users and run time."""

    use_common_options = True

    def __init__(self, environment: Environment) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Locust's
        assert environment.parsed_options is not None
        self._options = environment.parsed_options
        self.runner = environment.runner

    def tick(self) -> tuple[int, float] | None:
        """See LoadTestShape."""
        return step(
            self._options.shape,
            at=self.get_run_time(),  # type: ignore[no-untyped-call]  # Locust's
            users=self._options.num_users or USERS,
            length=self._options.run_time or LENGTH,
        )


def shape(environment: Environment) -> None:
    """Give the environment the shape that its options ask for."""
    assert environment.parsed_options is not None
    if environment.parsed_options.shape in MOVES:
        environment.shape_class = Shape(environment)
