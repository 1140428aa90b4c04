"""One module for each foreign format; each turns a file into raw events."""
