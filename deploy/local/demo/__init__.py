"""What the page at `/` may order of a local run: kill a gateway, feed a chart, send a notification. No other deployment has it."""
