"""The explorers of the book: pages whose rules are gdjax's own, written as JavaScript at build."""
