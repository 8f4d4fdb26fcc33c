"""From a name, a folder or the hub to a loaded backbone."""
