"""python: functions of the user's own, timed as they stand in a file. It is no framework, and no config names it."""
