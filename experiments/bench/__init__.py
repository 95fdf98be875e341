"""Speed, measured: every claim is a ratio of medians of interleaved runs. Each file takes `--json FILE`."""
