"""The command line: `gdjax train digits`. One file per group of commands, one dataclass per command."""
