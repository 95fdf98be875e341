"""Speed, measured: every claim is a ratio of medians taken interleaved in one run. Each file takes `--json FILE`."""
