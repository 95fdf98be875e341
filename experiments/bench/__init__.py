"""Speed, measured: every claim is a ratio of medians of interleaved runs; the figures are kept by `--json FILE`."""
