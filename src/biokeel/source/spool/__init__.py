"""The durable spool between `send` and Kafka: what `send` has returned for is on the disk until Kafka has it.

```
<folder>/                            0700: events hold identifiers
├── lock                             held by the one writer; says which process that is
├── cursor.json                      what Kafka has acknowledged (`cursor`)
├── 00000000000000000000-<mark>.log  segments of frames (`frames`), named by the number of their first event
├── 00000000000000000000-<mark>.at   where Kafka put the events of a segment (`index`)
└── damaged/                         bytes that could not be read, kept for who wants to look
```

Every event has a number: 0, 1, 2, … in the order of `append`. `log` writes and reads events by number, `drain` hands
them to Kafka and keeps what came of each. What others lost, and what keeps it from happening here:

| seen elsewhere | here |
| --- | --- |
| the first hours of an outage are missing (OpenTelemetry's persistent queue) | nothing is ever deleted that Kafka has not acknowledged; a full spool refuses new events instead of dropping old ones, and partitions are found when events are sent, so it fills from the first event on, with Kafka away |
| all that waited is lost by a restart where fsync was off (the same) | what `append` has returned for is in the file, not in memory; without `sync` a dead machine, not a dead process, costs the last second |
| a start refused for one corrupt record, healed by deleting the folder (Vector's disk buffer) | damaged frames are put aside and counted; the next whole frame is found and everything from there on delivered |
| reading stuck for ever on a corrupt record (the same) | the same |
| the whole buffer read at start, out of memory (the same) | only the newest segment is read at start, and a segment is bounded |
| a lock of a process that is dead (the same) | the kernel's own lock, which dies with its process |
| a full disk that lets nothing out (several) | draining needs no room: segments are deleted although the cursor cannot be written |
| memory grows with the backlog | what waits is on the disk; in memory is what is on its way to Kafka, which is bounded |
| a clock that jumps deletes or delays | no decision looks at a clock of the wall |
"""  # noqa: E501 - a table
