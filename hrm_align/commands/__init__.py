"""One file a command: read the arguments, call the library, print."""
