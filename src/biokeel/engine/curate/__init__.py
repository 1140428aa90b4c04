"""Application 2: blocks are read, judged, buffered, landed, and their linking state saved."""
