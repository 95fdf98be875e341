"""One question per file; `experiments/bench/` measures against peers."""
