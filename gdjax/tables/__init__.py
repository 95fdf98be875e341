"""From a table of any columns to arrays: kinds of columns, the task, the split of the rows, the encoding."""
