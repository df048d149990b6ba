"""The commands, one file each: parse the arguments, call the library, print the result."""
