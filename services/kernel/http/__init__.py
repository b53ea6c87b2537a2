"""What every HTTP service shares: serving, problem documents, middleware, health."""
