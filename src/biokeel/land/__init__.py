"""Landing, exactly once: tables, the commit protocol, recovery, and what operators read from the lake."""
