"""The local page of ``diffmusic app``: look, listen, mark what is lost, restore.

The page is one more user of the command line: what it runs is a ``diffmusic`` command in a process of its own.
"""
