"""A sweep of training runs, from a table to its folder: what `gdjax sweep` does.

options     the options of a run, of which many may have several values: a base and axes
plans       the run of each configuration, as `gdjax train` would run it; those that share a program together
stages      configurations that are known together, run as lanes group by group
folder      what a sweep leaves: sweep.json, sweep.csv, pictures, and the blocks of lanes that it goes on from
range_test  what `gdjax find-lr` does
race        what `gdjax tournament` does
"""
